"""The page around reports: headings, ids, escaping."""

from __future__ import annotations

import re

from mama_augment.core.shared.page import Section, note, page, table, warning


def test_a_page_is_one_file_with_a_link_to_each_section() -> None:
    sections = [
        Section(title="R@1 & loss", html="<p>x</p>"),
        Section(name="Main", title="A long title", html=""),
        Section(title="R@1 loss", html=""),
        Section(title="§", html=""),
    ]
    html = page("<Run>", sections, made_by="a program", lead="1 < 2")
    ids = re.findall(r'<section id="([^"]+)"', html)
    assert ids == ["r-1-loss", "main-2", "r-1-loss-2", "section"]
    assert re.findall(r'<li><a href="#([^"]+)">', html) == ids
    assert "<h1>&lt;Run&gt;</h1>" in html
    assert "1 &lt; 2" in html
    assert ">Main</a>" in html
    assert ">A long title</h2>" in html
    assert "prefers-color-scheme: dark" in html
    assert "<script" not in html


def test_tables_and_remarks_escape_what_they_show() -> None:
    html = table(["", "a<b"], [["<i>", 3], ["x", "1.0 ± 0.1"]], caption="A & B")
    assert "<i>" not in html
    assert html.count("<tr>") == 3
    assert '<th scope="row">x</th><td>1.0 ± 0.1</td>' in html
    assert "A &amp; B" in html
    assert "<b>" not in note("<b>") + warning("<b>")


def test_text_columns_stand_left() -> None:
    html = table(["setting", "value"], [["lr", "x"]], num_left=2)
    assert html.count('class="left"') == 3
