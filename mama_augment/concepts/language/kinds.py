"""Kinds of concepts, and the closed lists that tell them apart in English.

What a caption is about are things and doings. Words for people, looks, positions and the medium
stand in nearly every caption and say little of it; they are concepts only on request.
"""

from __future__ import annotations

from mama_augment.core.errors import InputError

KINDS = ("objects", "actions", "scenes", "attributes", "people")
DEFAULT_KINDS = ("objects", "actions", "scenes")

PEOPLE = frozenset(
    """
    man woman guy girl boy person people child kid lady male female human adult teenager teen
    gentleman dude friend couple someone somebody anyone everyone one individual member player
    youngster toddler fellow elder brother sister son daughter husband wife mom dad mother father
    boyfriend girlfriend group other crowd performer""".split()  # noqa: SIM905
)
ATTRIBUTES = frozenset(
    """
    red orange yellow green blue purple violet pink brown black white grey gray blond blonde beige
    golden gold silver dark light bright colorful colourful striped checkered plaid leather denim
    sleeve sleeved sleeveless long short tall big large small little tiny huge old young new
    cyan magenta turquoise maroon navy teal tan
    color colour naked shirtless bald haired bearded""".split()  # noqa: SIM905
)
GENERAL_NOUNS = frozenset(
    """
    front back side top bottom middle center centre left right end part way direction place area
    background foreground position corner edge inside outside surface air line row circle
    distance height length thing something anything nothing everything stuff kind type sort lot
    bit piece pair set number bunch couple time day night moment second minute while turn manner
    fashion style motion movement action act move video clip image picture scene footage frame gif
    screen camera view shot look reaction expression case fact order use name world life
    upside slow sudden bunch half eachother""".split()  # noqa: SIM905
)
GENERAL_VERBS = frozenset(
    """
    be have do go get make take come put give let seem appear start begin continue try keep use
    show see look wear move happen become cause stay remain proceed manage need want know think
    like attempt pretend contain include follow bring set leave face film record feature
    hold turn place surround dress cover lead end stop shoot""".split()  # noqa: SIM905
)
DETERMINERS = frozenset(
    "a an the his her their its my your our this that these those some".split()  # noqa: SIM905
)
"""Words that a phrase is read across: "rides his bike" is "ride bike"."""


def parse_kinds(text: str) -> tuple[str, ...]:
    """Read `--concept-kinds`: names with commas, in any order.

    Raises:
        InputError: one is not a kind.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    check_kinds(names)
    return names


def check_kinds(names: tuple[str, ...]) -> None:
    """
    Raises:
        InputError: one is not a kind, or there is none.
    """
    wrong = [name for name in names if name not in KINDS]
    if wrong or not names:
        raise InputError(
            f"--concept-kinds is {', '.join(wrong) or 'empty'}; allowed: {', '.join(KINDS)}, "
            "several with commas"
        )
