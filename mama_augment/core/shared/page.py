"""A page for people: one HTML file with everything inside, without scripts, light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources

ACTED_UPON = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Of data: controls, and what turns the direction of the text around it; a page shows them."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page, or of another program's page."""

    title: str
    html: str
    """A fragment; used as it is."""
    name: str = ""
    """Its word in the page's navigation; the title by default."""

    @property
    def label(self) -> str:
        return self.name or self.title


def page(
    title: str,
    sections: Sequence[Section],
    *,
    made_by: str,
    lead: str = "",
    top: str = "",
    css: str = "",
) -> str:
    """The whole page.

    Args:
        made_by: the program.
        lead: a sentence or two below the title.
        top: a fragment above the first section.
        css: rules beyond those of `page.css`.
    """
    style = resources.files("mama_augment.core.shared").joinpath("page.css").read_text()
    ids = _ids(section.label for section in sections)
    links = "".join(
        f'<li><a href="#{i}">{escape(s.label)}</a></li>' for i, s in zip(ids, sections, strict=True)
    )
    parts = "\n".join(
        f'<section id="{i}" aria-labelledby="h-{i}">\n<h2 id="h-{i}">{escape(s.title)}</h2>\n'
        f"{s.html}\n</section>"
        for i, s in zip(ids, sections, strict=True)
    )
    html = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{style}{css}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<h1>{escape(title)}</h1>
{note(lead) if lead else ""}
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main id="main">
{top}
{parts}
</main>
<footer>Made by {escape(made_by)}. This file needs no network.</footer>
</body>
</html>
"""
    return ACTED_UPON.sub(lambda found: found.group().encode("unicode_escape").decode(), html)


def _ids(labels: Iterable[str]) -> list[str]:
    """An id for each section, from its label, none twice and none of the page's own."""
    taken = {"main"}
    ids = []
    for label in labels:
        base = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "section"
        free = (base if n == 1 else f"{base}-{n}" for n in range(1, len(taken) + 2))
        ids.append(next(i for i in free if i not in taken))
        taken.add(ids[-1])
    return ids


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "", num_left: int = 1
) -> str:
    """Rows of values as a table; the first of each row names it, and `num_left` columns of text
    are aligned left, numbers right."""
    kinds = [' class="left"' if column < num_left else "" for column in range(len(head))]
    top = "".join(
        f'<th scope="col"{kind}>{escape(cell)}</th>' for kind, cell in zip(kinds, head, strict=True)
    )
    body = "\n".join(
        f'<tr><th scope="row">{escape(str(row[0]))}</th>'
        + "".join(
            f"<td{kind}>{escape(str(cell))}</td>"
            for kind, cell in zip(kinds[1:], row[1:], strict=True)
        )
        + "</tr>"
        for row in rows
    )
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table class="plain">{above}\n<thead><tr>{top}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def note(text: str) -> str:
    """A remark in small print."""
    return f'<p class="soft">{escape(text)}</p>'


def warning(text: str) -> str:
    """A paragraph that stands out."""
    return f'<p class="warn">{escape(text)}</p>'
