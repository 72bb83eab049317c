"""The settings that ship with the program: which there are, and what each says."""

from __future__ import annotations

from mama_augment.core.shared import say
from mama_augment.core.shared.settings_file import config_text, shipped_configs

CONFIGS = "mama_train.configs"


def show_recipes(name: str | None) -> int:
    """Print a table of all, or one as it is, with the source of each number."""
    if name is not None:
        text = config_text(name, CONFIGS)
        for line in text.splitlines():
            say.say(line)
        say.summary({"name": name, "text": text})
        return 0
    found = {name: about(config_text(name, CONFIGS)) for name in shipped_configs(CONFIGS)}
    say.table("mama-train configs", ("--config", "what it is"), list(found.items()))
    say.summary({"configs": found})
    return 0


def about(text: str) -> str:
    """The first sentence of the comment that a file begins with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    comment = " ".join(lines)
    end = comment.find(". ")
    return comment if end < 0 else comment[: end + 1]
