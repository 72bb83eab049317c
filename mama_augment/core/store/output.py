"""The directory that a step is told to write to, before and while it is open."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from mama_augment.core.ledger import Ledger
from mama_augment.core.manifest import Manifest
from mama_augment.core.store.audit import audit
from mama_augment.core.store.files import Folder
from mama_augment.core.store.layout import MANIFEST_NAME
from mama_augment.core.store.lock import locked
from mama_augment.core.store.step_dir import StepDir


@dataclass(frozen=True)
class StepOutput:
    """A `core.step.Output`: `uri` is a local path or an object store's."""

    uri: str
    overwrite: bool = False
    """Discard what is there."""

    def locked(self) -> AbstractContextManager[None]:
        """Be the only run that writes there."""
        return locked(self.uri)

    def begun(self) -> StepDir | None:
        """What an earlier run began there and this one may continue, of whatever step."""
        if self.overwrite or not Folder(self.uri).exists(MANIFEST_NAME):
            return None
        return StepDir.open(self.uri)

    def to_resume(self, manifest: Manifest) -> StepDir | None:
        """What `open` continues; None where it starts anew. Writes nothing.

        Raises:
            InputError: as `open`.
        """
        return StepDir.to_resume(self.uri, manifest, overwrite=self.overwrite)

    def open(self, manifest: Manifest) -> StepDir:
        """Start the directory, or continue it.

        Raises:
            InputError: it holds another config, another input, or other files.
        """
        return StepDir.create_or_resume(self.uri, manifest, overwrite=self.overwrite)

    def audit(self, directory: StepDir) -> Ledger:
        """Every item counted from the files."""
        return audit(directory)
