"""What a package offers at its top level, imported when it is first used (PEP 562).

`import mama_augment` must take no time: workers, `--help` and the trainer's core do it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from importlib import import_module
from typing import Any


def lazily(
    owners: Mapping[str, Sequence[str]], module: MutableMapping[str, Any]
) -> tuple[Callable[[str], Any], list[str]]:
    """(`__getattr__`, `__all__`) of a package. owners: module to the names that it gives. module:
    the package's `globals()`, where a name stays once it is there."""
    owner_of = {name: owner for owner, names in owners.items() for name in names}

    def get(name: str) -> Any:
        if name not in owner_of:
            raise AttributeError(f"module {module['__name__']!r} has no attribute {name!r}")
        value = getattr(import_module(owner_of[name]), name)
        module[name] = value
        return value

    return get, sorted([*owner_of, "__version__"])
