"""The directory that a step is told to write to, before and while it is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pyarrow as pa

from mama_augment.core.errors import InputError
from mama_augment.core.ledger import Ledger
from mama_augment.core.manifest import Manifest
from mama_augment.core.shares import Share
from mama_augment.core.store.audit import audit
from mama_augment.core.store.lock import locked
from mama_augment.core.store.rejects import check_not_everybody
from mama_augment.core.store.step_dir import StepDir


@dataclass(frozen=True)
class StepOutput:
    """A `core.step.Output`: `uri` is a local path or an object store's."""

    uri: str
    overwrite: bool = False
    """Discard what is there."""
    share: Share | None = None
    """The units that this run takes, beside runs of other shares."""

    def __post_init__(self) -> None:
        if self.overwrite and self.share is not None:
            raise InputError(
                f"--overwrite and --share {self.share} are both given: it would discard what the "
                "other shares have done. Empty the directory first, then start every share"
            )

    def locked(self) -> AbstractContextManager[None]:
        """Be the only run that writes there, or the only one of its share."""
        return locked(self.uri, self.share)

    def begun(self) -> StepDir | None:
        """What an earlier run began there and this one may continue, of whatever step."""
        return None if self.overwrite else StepDir.begun(self.uri)

    def to_resume(self, manifest: Manifest) -> StepDir | None:
        """What `open` continues; None where it starts anew. Writes nothing.

        Raises:
            InputError: as `open`.
        """
        return StepDir.to_resume(self.uri, manifest, overwrite=self.overwrite)

    def open(
        self, manifest: Manifest, files: Mapping[str, bytes | pa.Buffer] | None = None
    ) -> StepDir:
        """Start the directory, or continue it; `files` are written before a manifest that names
        them.

        Raises:
            InputError: it holds another config, another input, or other files.
        """
        return StepDir.create_or_resume(
            self.uri, manifest, overwrite=self.overwrite, share=self.share, files=files
        )

    def check_not_everybody(self, directory: StepDir, unit_ids: Sequence[str]) -> None:
        """Refuse that nothing is ok for one reason that is no item's own.

        Raises:
            EverybodysFaultError: all items of the directory left for it.
        """
        check_not_everybody(directory, unit_ids)

    def audit(self, directory: StepDir, share: Share | None = None) -> Ledger:
        """Every item, counted from the listing; or those of a share's units."""
        # As it is now: another share may have given it more to do.
        return audit(StepDir.open(directory.folder.absolute), share=share)
