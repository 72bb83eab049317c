"""A model on the Hugging Face hub: from this machine's cache, else downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mama_augment.core.errors import InputError

TIMEOUT_SECONDS = 5.0
MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
CODE_FILES = ("*.py", "*.tiktoken")
"""What a repository runs on this machine; fetched only for whoever trusts it."""


def hub_folder(
    hub_id: str, files: Sequence[str] = MODEL_FILES, *, revision: str | None = None
) -> Path:
    """The local snapshot of a hub model, downloaded if it is not there yet.

    Args:
        files: patterns of the files to download.
        revision: a branch, tag or commit; None: the hub's main branch.

    Raises:
        InputError: it is not on this machine, and the hub cannot be reached or does not give it.
    """
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        there = Path(snapshot_download(hub_id, revision=revision, local_files_only=True))
        # One that was fetched without its code lacks what is asked for now.
        if "*.py" not in files or any(there.glob("*.py")):
            return there
    except LocalEntryNotFoundError:
        pass
    try:
        # One quick question first: the download itself would retry for a minute or more.
        commit = HfApi().model_info(hub_id, revision=revision, timeout=TIMEOUT_SECONDS).sha
        return Path(snapshot_download(hub_id, revision=commit, allow_patterns=list(files)))
    except HfHubHTTPError as error:
        why = str(error).splitlines()[0]
    except OfflineModeIsEnabled:
        why = "HF_HUB_OFFLINE is set"
    except OSError as error:  # no name resolution, no route, refused, timed out
        why = f"{constants.ENDPOINT} cannot be reached ({error})"
    except Exception as error:
        # The hub's client raises its transport's own errors, which share no base class with
        # OSError; anything else is ours to see.
        if type(error).__module__.split(".")[0] not in ("httpx", "httpx2", "httpcore", "requests"):
            raise
        why = f"{constants.ENDPOINT} cannot be reached ({error})"
    raise InputError(
        f"the model {hub_id} is not on this machine: not in {constants.HF_HUB_CACHE}, and {why}. "
        "Copy the model's directory here and pass it as --model /path/to/directory, or set "
        "HF_HOME to where it is cached"
    )
