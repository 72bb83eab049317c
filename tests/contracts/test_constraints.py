"""The two sets of versions: each pin satisfies what pyproject.toml asks for."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[2]


def pins(name: str) -> dict[str, str]:
    lines = (REPOSITORY / name).read_text().splitlines()
    found = [line.split(";")[0].strip() for line in lines if "==" in line and line[0] != "#"]
    return {
        pin.split("==")[0].lower().replace("_", "-"): pin.split("==")[1].strip() for pin in found
    }


@pytest.mark.parametrize(
    ("file", "extras"), [("constraints.txt", ["dev"]), ("constraints-vllm.txt", ["vllm"])]
)
def test_every_dependency_is_pinned_to_a_version_that_is_allowed(
    file: str, extras: list[str]
) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    there = pins(file)
    for text in wanted:
        requirement = Requirement(text)
        name = requirement.name.lower().replace("_", "-")
        assert name in there, f"{file} lacks {name}"
        assert requirement.specifier.contains(there[name]), f"{text}: {file} has {there[name]}"


def test_torchvision_fits_torch_in_both() -> None:
    for file in ("constraints.txt", "constraints-vllm.txt"):
        there = pins(file)
        torch, vision = (there[name].split(".") for name in ("torch", "torchvision"))
        assert int(vision[1]) - int(torch[1]) == 15, file  # 2.13 goes with 0.28
