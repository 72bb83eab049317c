"""The JSON files that `balance` writes beside the shards, read by reports, checks and training."""

from __future__ import annotations

import json
from typing import Any

from mama_augment.core.errors import InputError
from mama_augment.core.store.files import Folder

STATS_NAME = "stats.json"
CONCEPTS_NAME = "concepts.json"
KINDS: dict[str, type] = {CONCEPTS_NAME: list, STATS_NAME: dict}


def read_sidecar(folder: Folder, name: str) -> Any:
    """The content of one of them: CONCEPTS_NAME (a list: id, name, num_given, num_before, num_after
    of each concept) or STATS_NAME (a dict).

    Raises:
        InputError: it is missing or damaged.
    """
    path = f"{folder.uri.rstrip('/')}/{name}"
    again = "run the same `mama-augment balance` again; it writes what is missing"
    found = folder.read_if_there(name)
    if found is None:
        raise InputError(f"{path!r} is missing; {again}")
    try:
        content = json.loads(found)
        problem = "" if isinstance(content, KINDS[name]) else f"holds no {KINDS[name].__name__}"
    except ValueError as error:
        problem = f"no JSON: {error}"
    if problem:
        raise InputError(f"{path!r} is damaged ({problem}); delete it and {again}")
    return content
