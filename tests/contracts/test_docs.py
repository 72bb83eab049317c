"""The docs say what the code says: generated tables are fresh, links lead somewhere, and every
command line is one that the programs take."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from mama_augment.cli import app as augment
from mama_augment.cli.pipeline import PIPELINES
from mama_train.cli import app as train

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "mama_augment/**/README.md")
    for path in ROOT.glob(pattern)
)
PROGRAMS = {"mama-augment": augment, "mama-train": train}


def check(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, cwd=DOCS.parent
    )


def test_generated_tables_are_those_of_the_code() -> None:
    result = check(DOCS / "generate.py")
    assert result.returncode == 0, f"{result.stdout}{result.stderr}run: python docs/generate.py"


def test_a_stale_table_is_named_and_left_alone(tmp_path: Path) -> None:
    page = "keyframes.md"
    for path in DOCS.glob("*.*"):
        shutil.copy(path, tmp_path)
    stale = (tmp_path / page).read_text().replace("<!-- end -->", "| old |\n<!-- end -->", 1)
    (tmp_path / page).write_text(stale)
    result = check(tmp_path / "generate.py")
    assert (result.returncode, result.stdout.strip()) == (1, f"stale: {page}"), result.stderr
    assert (tmp_path / page).read_text() == stale


def test_every_command_has_its_options_in_one_page() -> None:
    text = "".join((ROOT / page).read_text() for page in PAGES if page.startswith("docs/"))
    shown = re.findall(r"<!-- options:(\S+) -->", text)
    commands = [
        f"{program}/{name}"
        for program, app in PROGRAMS.items()
        for name in typer.main.get_command(app).commands  # type: ignore[attr-defined]
        if name not in ("pipeline", "demo")
    ]
    assert sorted(shown) == sorted(commands)


def links(page: str) -> Iterator[str]:
    """The targets of a page's links and pictures; code is not looked at."""
    text = re.sub(r"`[^`\n]*`", "", without_blocks((ROOT / page).read_text()))
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```|^    [^\n]*$", "", text, flags=re.DOTALL | re.MULTILINE)


@functools.cache
def anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), f"{page}: {link}"
        assert not anchor or anchor in anchors(path.resolve()), f"{page}: {link}"


def test_an_index_of_packages_shows_a_readme_whose_links_lead_somewhere() -> None:
    code = (
        "import setuptools\n"
        "setuptools.setup = lambda **given: print(given['long_description'])\n"
        "exec(compile(open('setup.py').read(), 'setup.py', 'exec'), {'__file__': 'setup.py'})\n"
    )
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    found = re.findall(r"\]\(([^)\s]+)\)", shown)
    assert len(found) == len(list(links("README.md"))) > 10
    assert [link for link in found if not link.startswith("https://")] == []
    assert any(link.endswith("/raw/main/docs/images/grid.jpg") for link in found)


def command_lines(page: str) -> Iterator[list[str]]:
    """The words of every command of ours in a page, in blocks and in running text."""
    text = (ROOT / page).read_text()
    found = re.findall(r"^    (mama-(?:augment|train) .+)$", text, re.MULTILINE)
    found += re.findall(r"(?<!`)`(mama-(?:augment|train) [^`\n]+)`(?!`)", text)
    for line in found:
        words = shlex.split(line, comments=True)
        if len(words) > 1 and re.fullmatch(r"[a-z]+", words[1]) and "NAME" not in words:
            yield words


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_is_one_that_the_programs_take(page: str) -> None:
    for program, name, *words in command_lines(page):
        commands: dict[str, click.Command] = typer.main.get_command(PROGRAMS[program]).commands  # type: ignore[attr-defined]
        assert name in commands, f"{page}: {program} {name}"
        flags = {flag for p in commands[name].params for flag in (*p.opts, *p.secondary_opts)}
        given = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
        if name in ("pipeline", "demo"):
            module = PIPELINES[words[0] if name == "pipeline" and words else "demo"]
            source = (ROOT / "pipelines" / f"{module}.py").read_text()
            flags = {
                f"--{n.replace('_', '-')}" for n in re.findall(r"^    (\w+): Ann", source, re.M)
            }
        unknown = set(given) - flags - {"-h", "--help", "--version"}
        assert not unknown, f"{page}: {program} {name} has no {', '.join(sorted(unknown))}"
