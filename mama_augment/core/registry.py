"""Variants of one kind by name: strategies, assigners; each is imported when it is first used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

from mama_augment.core.errors import check_choice

Variant = TypeVar("Variant")


class Registry(Mapping[str, Variant], Generic[Variant]):
    """Name to variant, in the order in which messages and help list the names.

    A variant is given itself, or as `package.module:Name`, which costs nothing before it is used:
    that is how a command line can list variants whose libraries are slow to import.
    """

    def __init__(self, option: str, variants: Mapping[str, Variant | str]) -> None:
        self._option = option
        self._variants = dict(variants)

    def __getitem__(self, name: str) -> Variant:
        variant = self._variants[name]
        return cast(Variant, load(variant) if isinstance(variant, str) else variant)

    def __iter__(self) -> Iterator[str]:
        return iter(self._variants)

    def __len__(self) -> int:
        return len(self._variants)

    def check(self, name: str) -> None:
        """Refuse what is not registered.

        Raises:
            InputError: naming the option, and the names there are.
        """
        check_choice(self._option, name, tuple(self))

    @contextmanager
    def registered(self, name: str, variant: Variant | str) -> Iterator[None]:
        """Add a variant of one's own for as long as the block lasts, in this process."""
        assert name not in self._variants, name
        self._variants[name] = variant
        try:
            yield
        finally:
            del self._variants[name]


def load(place: str) -> Any:
    """The object that `package.module:Name` names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
