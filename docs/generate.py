"""Write the tables of these pages that the code knows best; `--check` only says which are stale.

    python docs/generate.py            # rewrites docs/*.md in place
    python docs/generate.py --check    # exit 1 where a page differs from the code

A table stands between `<!-- NAME:ARGUMENT -->` and `<!-- end -->`. To add a kind of table, write a
function from the argument to Markdown lines, and name it in TABLES.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mama_augment import cli as augment
from mama_augment.caption import models
from mama_augment.caption.models.aliases import ALIASES
from mama_augment.caption.models.families import FAMILIES, default_input
from mama_augment.concepts import ASSIGNERS, ConceptConfig
from mama_augment.core.reasons import Reason, reasons_of
from mama_augment.core.shared.leaves import UNGROUPED, Leaf, leaves
from mama_augment.keyframes.strategies import STRATEGIES
from mama_augment.keyframes.strategies.config import KeyFrameConfig
from mama_augment.people.export.config import ExportConfig
from mama_augment.people.export.formats import FORMATS
from mama_train import cli as train

PAGES = Path(__file__).resolve().parent
PROGRAMS = {"mama-augment": augment.COMMANDS, "mama-train": train.COMMANDS}
MARKED = re.compile(r"<!-- (?P<name>[a-z]+):(?P<argument>\S+) -->\n.*?<!-- end -->", re.DOTALL)

FLAG = re.compile(r"(?<![`\w-])--[a-z][a-z-]*")
"""An option in a text for a terminal; pages set it in type."""


def reasons(argument: str) -> list[str]:
    """`STEP`, or `STEP/WHERE` for those recorded there (`rejects`, `rows` or `manifest`)."""
    step, _, where = argument.partition("/")
    found = [reason for reason in reasons_of(step) if where in ("", reason.where)]
    assert found, f"no reasons of {argument!r}"
    if len({reason.verdict for reason in found}) == 1:
        return table(("reason", "meaning"), ((f"`{r.code}`", meaning(r)) for r in found))
    rows = ((r.verdict, f"`{r.code}`", meaning(r)) for r in found)
    return table(("verdict", "reason", "meaning"), rows)


def meaning(reason: Reason) -> str:
    return f"{reason.text} ({reason.more})" if reason.more else reason.text


def variants(argument: str) -> list[str]:
    """`strategies`, `models`, `formats` or `assigners`: what the registry says of each."""
    if argument == "strategies":
        rows = (
            (named(name, KeyFrameConfig.strategy), s.help, f"`{s.without_index or name}`")
            for name, s in STRATEGIES.items()
        )
        return table(("`--strategy`", "chooses", "where frames have no times"), rows)
    if argument == "models":
        return table(("`--model`", "hub id", "grid", "default input"), _models())
    if argument == "formats":
        return table(("`--format`", "writes", "`--media`"), _formats())
    assert argument == "assigners", argument
    rows = (
        (named(name, ConceptConfig.assigner), a.help, "the clips table" if a.reads else "the texts")
        for name, a in ASSIGNERS.items()
    )
    return table(("`--concepts`", "a concept is", "reads"), rows)


def _models() -> Iterable[Sequence[str]]:
    for name, alias in ALIASES.items():
        shape = "" if alias.size.step_px is None else ", any shape"
        shown = default_input(FAMILIES[alias.model_type].inputs)
        yield (f"`{name}`", alias.hub_id, f"{alias.size.width_px} px{shape}", shown)
    found = models.find(models.BUNDLED)
    what = "in the package; knows only the shapes world"
    yield (f"`{models.BUNDLED}`", what, f"{found.size.width_px} px, {found.grid}", "grid")


def _formats() -> Iterable[Sequence[str]]:
    for name, format in FORMATS.items():
        kind = "a folder" if format.is_folder else "a file"
        media = ", ".join(format.media) if len(format.media) > 1 else ""
        yield (named(name, ExportConfig.format), f"{kind}: {format.help}", media)


def options(argument: str) -> list[str]:
    """`PROGRAM/COMMAND`: its options as `--help` has them, panel by panel."""
    program, _, command = argument.partition("/")
    by_name: dict[str, Leaf] = {}
    for leaf in leaves(PROGRAMS[program][command]):
        by_name.setdefault(leaf.name, leaf)
    by_panel: dict[str, list[Leaf]] = {UNGROUPED: []}
    for leaf in by_name.values():
        by_panel.setdefault(leaf.panel, []).append(leaf)
    lines: list[str] = []
    for panel, found in by_panel.items():
        if not found:
            continue
        if lines:
            lines += ["", f"*{panel}*", ""]
        rows = ((flags_of(leaf), default_of(leaf), leaf.help_text) for leaf in found)
        lines += table(("option", "default", "meaning"), rows)
    return lines


def flags_of(leaf: Leaf) -> str:
    """Its names, the older ones last; of an argument the name that `--help` shows."""
    if leaf.spec.positional:
        return f"`{leaf.name.upper()}`"
    return ", ".join(f"`{flag}`" for flags in leaf.flags for flag in flags.split("/"))


def default_of(leaf: Leaf) -> str:
    """As `--help` shows it; empty where the text says what is done without the option."""
    default = leaf.default
    if default is dataclasses.MISSING:
        return "must be given"
    if leaf.spec.default_shown is not None:
        return f"`{leaf.spec.default_shown}`"
    if default is None or default is False or default == ():
        return ""
    return "on" if default is True else f"`{default}`"


def named(name: str, default: str) -> str:
    return f"`{name}` (default)" if name == default else f"`{name}`"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; a `|` in a cell does not end it, and options are set in type."""
    lines = [header, ["---"] * len(header), *rows]
    cells = ([FLAG.sub("`\\g<0>`", cell.replace("|", "\\|")) for cell in line] for line in lines)
    return [f"| {' | '.join(line)} |" for line in cells]


TABLES: dict[str, Callable[[str], list[str]]] = {
    "reasons": reasons,
    "variants": variants,
    "options": options,
}


def generated(page: str) -> str:
    """A page with its tables as they should be."""

    def replaced(match: re.Match[str]) -> str:
        name, argument = match["name"], match["argument"]
        return "\n".join([f"<!-- {name}:{argument} -->", *TABLES[name](argument), "<!-- end -->"])

    return MARKED.sub(replaced, page)


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the generated tables of docs/*.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    is_check = parser.parse_args().check
    stale = []
    for path in sorted(PAGES.rglob("*.md")):
        page = path.read_text(encoding="utf-8")
        wanted = generated(page)
        if wanted != page:
            stale.append(path.name)
            if not is_check:
                path.write_text(wanted, encoding="utf-8")
    if stale:
        print(f"{'stale' if is_check else 'rewritten'}: {', '.join(stale)}")
    return 1 if stale and is_check else 0


if __name__ == "__main__":
    sys.exit(main())
