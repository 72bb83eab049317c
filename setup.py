"""Beside pyproject.toml only because of one thing: pipelines/ is installed with the package."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["mama_augment*", "mama_train*"]),
        "mama_augment.pipelines",
    ],
    package_dir={"mama_augment.pipelines": "pipelines"},
)
