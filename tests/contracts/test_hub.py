"""Both programs look a model up in the same way, and say the same when it cannot be had."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from mama_augment.caption import models
from mama_augment.core.errors import InputError
from mama_train.start import build


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


def test_code_and_a_revision_are_fetched_only_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    (tmp_path / "config.json").write_text('{"model_type": "llava"}')
    (tmp_path / "preprocessor_config.json").write_text('{"size": 336}')
    asked: list[tuple[object, list[str]]] = []

    class Hub:
        def model_info(self, hub_id: str, revision: str | None, timeout: float) -> SimpleNamespace:
            return SimpleNamespace(sha=f"commit-of-{revision}")

    def download(hub_id: str, revision: str | None = None, **how: object) -> str:
        if how.get("local_files_only"):
            if not asked:
                raise LocalEntryNotFoundError("not here")
            return str(tmp_path)
        patterns = how["allow_patterns"]
        assert isinstance(patterns, list)
        asked.append((revision, patterns))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    models.find("owner/name", revision="v2")
    assert asked[-1][0] == "commit-of-v2"
    assert not {"*.py", "*.tiktoken"} & set(asked[-1][1])
    # It is here now, but without its code.
    models.find("owner/name", with_code=True)
    assert len(asked) == 2
    assert {"*.py", "*.tiktoken"} <= set(asked[-1][1])
    (tmp_path / "modeling.py").write_text("")
    models.find("owner/name", with_code=True)
    models.find("owner/name")
    assert len(asked) == 2
