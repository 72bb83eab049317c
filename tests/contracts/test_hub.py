"""Both programs look a model up in the same way, and say the same when it cannot be had."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mama_augment.caption import models
from mama_augment.core.errors import InputError
from mama_train.models import build


@pytest.mark.parametrize(
    ("find", "hub_id"),
    [
        (lambda: models.find("llava"), "llava-hf/llava-1.5-7b-hf"),
        (lambda: build.locate("clip-vip-b32"), "openai/clip-vit-base-patch32"),
    ],
)
def test_an_unreachable_hub_is_an_error_of_seconds_that_says_where_it_looked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    find: Callable[[], object],
    hub_id: str,
) -> None:
    from huggingface_hub import constants

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and never listening: connections are refused
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", endpoint)
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.delenv(variable, raising=False)
            monkeypatch.delenv(variable.lower(), raising=False)
        started = time.monotonic()
        with pytest.raises(InputError) as caught:
            find()
    assert time.monotonic() - started < 20
    message = str(caught.value)
    assert hub_id in message
    assert str(tmp_path) in message
    assert "--model /path/to/directory" in message
