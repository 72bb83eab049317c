"""What `balance`, `plan` and `report` read: outputs of `keyframes` and of `caption`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mama_augment.core.errors import InputError
from mama_augment.core.manifest import fingerprint
from mama_augment.core.store.files import Folder
from mama_augment.core.store.several import StepDirs
from mama_augment.core.store.step_dir import StepDir


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Directories that are open: each manifest is read once."""

    clips: StepDirs
    captions: tuple[StepDir, ...] = ()

    @classmethod
    def open(cls, clips: str | Sequence[str], captions: Sequence[str] = ()) -> Inputs:
        """Open directories whose steps are known.

        Raises:
            InputError: a directory is not the output of the step that it is given for.
        """
        return cls(
            clips=StepDirs.open(clips, step="keyframes"),
            captions=tuple(StepDir.open(uri, step="caption") for uri in captions),
        )

    @classmethod
    def sort(cls, uris: Sequence[str]) -> Inputs:
        """Open directories given in any order; captions keep theirs.

        Raises:
            InputError: one holds another step's output, or none holds clips.
        """
        return cls.of(by_step(uris))

    @classmethod
    def of(cls, opened: Mapping[str, Sequence[StepDir]]) -> Inputs:
        """As `sort`, of directories by their step.

        Raises:
            InputError: see `sort`.
        """
        for step, dirs in opened.items():
            if step not in ("keyframes", "caption"):
                raise InputError(
                    f"{dirs[0].folder.uri!r} holds the output of `mama-augment {step}`; outputs "
                    "of keyframes and of caption are needed here"
                )
        clips = opened.get("keyframes", ())
        captions = opened.get("caption", ())
        if not clips:
            given = ", ".join(d.folder.uri for d in captions)
            raise InputError(
                "none of the directories holds the output of `mama-augment keyframes` "
                f"({given or 'none is given'}); give one or more"
            )
        return cls(clips=StepDirs(tuple(clips)), captions=tuple(captions))

    @property
    def dirs(self) -> tuple[StepDir, ...]:
        """All of them, clips first."""
        return (*self.clips.dirs, *self.captions)

    @property
    def num_rows(self) -> int:
        """At most: those of the manifests."""
        return sum(sum(step_dir.manifest.units.values()) for step_dir in self.dirs)

    def check_finished(self) -> None:
        """Refuse what is still being made.

        Raises:
            InputError: units of a directory are pending.
        """
        for step_dir in self.dirs:
            step_dir.check_finished()

    def fingerprint(self) -> str:
        """What a next step remembers of their content."""
        clips = [step_dir.input_fingerprint() for step_dir in self.clips.dirs]
        return source_fingerprint(clips, [d.input_fingerprint() for d in self.captions])


def source_fingerprint(clips: Sequence[str], captions: Sequence[str]) -> str:
    """The order of captions directories counts, because it numbers the texts of a clip; that of
    clips directories does not."""
    first = clips[0] if len(clips) == 1 else fingerprint(sorted(clips))
    return fingerprint([first, *captions])


def by_step(uris: Sequence[str]) -> dict[str, list[StepDir]]:
    """Open directories given in any order, by the step that their manifests name.

    Raises:
        InputError: one is not a step's output, or is given twice.
    """
    if len({Folder(uri).absolute for uri in uris}) < len(uris):
        raise InputError(f"a directory is given twice: {', '.join(uris)}; give each once")
    found: dict[str, list[StepDir]] = {}
    for uri in uris:
        step_dir = StepDir.open(uri)
        found.setdefault(step_dir.step, []).append(step_dir)
    return found
