"""What pyproject.toml cannot say: pipelines/ is installed with the package, and an index of
packages shows README.md alone, where relative links would lead nowhere."""

import re
import tomllib
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def absolute_links(text: str, repository: str) -> str:
    """Links and pictures of a page of the repository, for a page that stands elsewhere."""
    text = re.sub(r"(!\[[^]]*\])\((?!https?://)", rf"\1({repository}/raw/main/", text)
    return re.sub(r"(?<!!)(\[[^]]*\])\((?!https?://|#)", rf"\1({repository}/blob/main/", text)


project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
setup(
    packages=[
        *find_packages(include=["mama_augment*", "mama_train*"]),
        "mama_augment.pipelines",
    ],
    package_dir={"mama_augment.pipelines": "pipelines"},
    long_description=absolute_links(
        (HERE / "README.md").read_text(), project["urls"]["Repository"]
    ),
    long_description_content_type="text/markdown",
)
