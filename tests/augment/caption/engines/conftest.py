from __future__ import annotations

from pathlib import Path

import pytest

from tests.augment.tiny_models import make_llava


@pytest.fixture(scope="session")
def tiny_llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llava(tmp_path_factory.mktemp("models") / "tiny-llava")
