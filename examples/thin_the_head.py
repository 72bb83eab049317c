"""What balancing does to a long tail: counts in, keep probabilities and expected counts out.

python examples/thin_the_head.py
"""

from __future__ import annotations

from mama_augment.balance.keep.union import auto_cap, concept_probabilities, keep_probability
from mama_augment.core.draws import draw_unit

COUNTS = {"cooking": 6000, "football": 900, "painting": 120, "beekeeping": 20, "glass blowing": 3}


def main() -> None:
    counts = list(COUNTS.values())
    cap = auto_cap(counts)
    probabilities = concept_probabilities(counts, cap)
    print(f"cap: {cap:.0f} texts per concept")
    for name, count, probability in zip(COUNTS, counts, probabilities, strict=True):
        # A draw is a hash of its item: the same for any number of workers, and after a crash.
        kept = sum(draw_unit(0, name, index) < probability for index in range(count))
        print(f"{name:15} {count:5} texts, keep probability {probability:.3f}, {kept:5} kept")
    both = keep_probability([0, 4], probabilities)
    print(f"a text about cooking and glass blowing is kept with probability {both:.3f}")


if __name__ == "__main__":
    main()
