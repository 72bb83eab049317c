"""What is installed: every file that the packages need besides their modules."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("package", ["mama_augment", "mama_train"])
def test_every_file_of_a_package_is_installed_with_it(package: str) -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"][package]
    installed = {path for pattern in patterns for path in (ROOT / package).glob(pattern)}
    there = {
        path
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert there == installed


def test_the_sdist_holds_what_a_checkout_needs_to_be_tested() -> None:
    lines = (ROOT / "MANIFEST.in").read_text().splitlines()
    named = {word for line in lines if not line.startswith("global") for word in line.split()[1:]}
    wanted = {"tests", "docs", "pipelines", "examples", "benchmarks", "Makefile", "constraints.txt"}
    assert wanted <= named
    assert [name for name in named if not (ROOT / name).exists()] == []
