"""`--config NAME|FILE`: the settings of commands in TOML, under the names of their options."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from mama_augment.core.errors import InputError, did_you_mean


def read_config(
    value: str, command: str, names: Sequence[str], commands: Sequence[str], configs: str
) -> dict[str, Any]:
    """The settings of a command in a file, or in one that ships with the package.

    A file may hold the settings of one command at its top, or of several in tables named after
    their commands. names: the command's settings. commands: all of the program.

    Raises:
        InputError: there is no such file, it cannot be read as TOML, or names something unknown.
    """
    try:
        content = tomllib.loads(config_text(value, configs))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--config {value!r} is not a TOML file: {error}") from error
    except OSError as error:
        raise InputError(f"--config {value!r} cannot be read: {error}") from error
    tables = {key: item for key, item in content.items() if isinstance(item, dict)}
    for key in tables:
        if key not in commands:
            raise InputError(
                f"--config {value!r}: there is no command {key!r} for its table [{key}]; "
                f"{did_you_mean(key, commands)}"
            )
    settings = {key: item for key, item in content.items() if key not in tables}
    settings |= tables.get(command, {})
    found = {key.replace("-", "_"): item for key, item in settings.items()}
    for key in found:
        if key not in names:
            raise InputError(
                f"--config {value!r}: `{command}` has no setting {key!r}; "
                f"{did_you_mean(key, names, 'allowed')}"
            )
    return found


def config_text(value: str, configs: str) -> str:
    """What a file holds, or one that ships with the package.

    Raises:
        InputError: there is neither.
    """
    path = Path(value)
    if path.is_file():
        return path.read_text(encoding="utf-8")
    shipped = shipped_configs(configs)
    if value not in shipped:
        raise InputError(
            f"--config is {value!r}, which is not a file; "
            f"{did_you_mean(value, shipped, 'ships with this program')}"
        )
    return (resources.files(configs) / f"{value}.toml").read_text(encoding="utf-8")


def shipped_configs(package: str) -> list[str]:
    """The names that `--config` takes without a file."""
    return sorted(
        item.name.removesuffix(".toml")
        for item in resources.files(package).iterdir()
        if item.name.endswith(".toml")
    )


def shipped_text(package: str) -> str:
    names = shipped_configs(package)
    return f" Shipped: {', '.join(names)}." if names else ""
