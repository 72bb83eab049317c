"""What is exported, and how; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.core.errors import InputError, check_choice, check_positive
from mama_augment.core.fields import option
from mama_augment.people.export.formats import FORMATS

STATUSES = ("ok", "rejected", "all")
MEDIA = ("none", "frames", "clip")
QUESTION = "Describe what happens in this video."


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Everything that decides what is written."""

    format: str = field(default="jsonl", metadata=option(choices=tuple(FORMATS)))
    """The format."""
    clips: tuple[str, ...] = ()
    """Outputs of `keyframes` that hold the clips, repeated for each of several. Of captions they
    are known; of shards they add the videos' paths and spans."""
    status: str = "ok"
    """Of captions, those that are ok, rejected (with reason and raw text), or all."""
    media: str | None = None
    """What webdataset and sharegpt hold beside the texts: frames (JPEG key frames, the default),
    clip (the clip, cut out of its video without encoding it again), or none."""
    columns: tuple[str, ...] = ()
    """A further column of the clips, such as one of your manifest's own; may be repeated."""
    question: str = QUESTION
    """sharegpt: what the person asks."""
    tar_mb: int = 256
    """webdataset: about how many MiB a tar holds."""

    def __post_init__(self) -> None:
        FORMATS.check(self.format)
        check_choice("--status", self.status, STATUSES)
        check_positive("--tar-mb", self.tar_mb)
        if self.format == "sharegpt" and self.status != "ok":
            raise InputError(
                f"--status is {self.status!r}; sharegpt teaches a model its answers, and takes ok "
                "texts alone. jsonl, csv and parquet take all"
            )
        allowed = FORMATS[self.format].media
        if self.media is None:
            return
        check_choice("--media", self.media, MEDIA)
        if self.media not in allowed:
            raise InputError(
                f"--media is {self.media!r}; {self.format} holds {' or '.join(allowed)}. "
                "webdataset and sharegpt hold what --media says"
            )

    @property
    def media_kind(self) -> str:
        """What goes beside the texts: none, frames or clip."""
        return self.media or FORMATS[self.format].media[0]


@dataclass(frozen=True, kw_only=True)
class PushConfig:
    """Where a folder for `datasets` goes besides."""

    push: str | None = None
    """hf: also upload the folder to this dataset repository of the Hugging Face hub
    (OWNER/NAME). Needs a token (`hf auth login`, or HF_TOKEN)."""
    public: bool = False
    """With --push: make a new repository public; by default it is private."""

    def check(self, format: str) -> None:
        """
        Raises:
            InputError: nothing can be pushed.
        """
        if self.push is None:
            if self.public:
                raise InputError("--public is given without --push; add --push OWNER/NAME")
            return
        if format != "hf":
            raise InputError(f"--push is given with --format {format}; it needs --format hf")
        if self.push.count("/") != 1:
            raise InputError(f"--push is {self.push!r}; a repository is OWNER/NAME")
        from huggingface_hub import get_token

        if get_token() is None:
            raise InputError(
                f"--push {self.push}: there is no token of the Hugging Face hub. Run `hf auth "
                "login` or set HF_TOKEN, or leave --push out"
            )
