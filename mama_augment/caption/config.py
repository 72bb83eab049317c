"""What a user asks of a captioner, before it is looked up; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field

from mama_augment.caption.engines.base import ChatConfig, SamplingConfig
from mama_augment.caption.input.layout import AUTO, GridLayout
from mama_augment.caption.input.shown import INPUTS
from mama_augment.caption.judge.config import JudgeConfig
from mama_augment.core.errors import InputError, check_choice
from mama_augment.core.fields import option
from mama_augment.core.shared.flags import NEAR_IDENTICAL, parse_flags

MOST_PICTURE_PX = 4096
"""A grid of this side takes 48 MB, and several are in memory at once."""


@dataclass(frozen=True, kw_only=True)
class AskConfig:
    """Which model is shown what, what it is asked, and how often."""

    model: str = "llava"
    """A hub id (owner/name) or a local directory of any model that can be shown pictures; a short
    name: llava (LLaVA-1.5-7B, the paper's) or one of those listed in docs/caption.md;
    llava-shapes (bundled, tiny, knows only the generated shapes world)."""
    revision: str | None = None
    """A branch, tag or commit of a hub id; by default its main branch."""
    trust_remote_code: bool = False
    """Run the Python that a model's repository brings, with your rights on this machine."""
    input: str = AUTO
    """How key frames are shown: grid (one picture of all), images (one by one, with their times),
    video (the model's own video input, with their times); auto is video for models that take it,
    images for those behind a server, else grid."""
    grid: GridLayout | None = field(
        default=None,
        metadata=option(parse=lambda text: GridLayout.parse(text), default_shown=AUTO),
    )
    """With --input grid: rows x columns of key frames in the picture, such as 3x4; auto takes what
    shows a clip's frames largest."""
    prompt: str = "process"
    """process or order (the paper's), a text, or a file; a text may be a Jinja template over the
    clip's columns."""
    num_captions: int | None = field(
        default=None, metadata=option("--num-captions", "-n", default_shown="1")
    )
    """Captions per clip."""
    plan: str | None = None
    """A file or URI from `mama-augment plan`, which says how many captions each clip gets; it takes
    the place of --num-captions."""
    every_split: bool = False
    """Caption meta, val and test clips too, to evaluate the captioner on them. `balance` takes no
    generated captions there, so by default they are left out."""
    skip_flags: tuple[str, ...] | None = field(
        default=None, metadata=option(parse=parse_flags, default_shown="none")
    )
    """Leave out clips with one of these flags, such as black,static."""
    chat: ChatConfig = field(default_factory=ChatConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    judging: JudgeConfig = field(default_factory=JudgeConfig)
    seed: int = 0
    """Another seed draws other captions."""
    picture_px: int | None = None
    """With --input grid: side of the picture in pixels, or of the square of the same area for
    models that take any shape; by default, what the model takes (336 for LLaVA-1.5)."""

    def __post_init__(self) -> None:
        check_choice("--input", self.input, (AUTO, *INPUTS))
        if NEAR_IDENTICAL in (self.skip_flags or ()):
            raise InputError(
                f"--skip-flags {NEAR_IDENTICAL}: only `mama-augment plan` looks at all clips "
                "together; give it there, and follow the plan with --plan"
            )
        if self.picture_px is not None and not 1 <= self.picture_px <= MOST_PICTURE_PX:
            raise InputError(f"--picture-px is {self.picture_px}; allowed: 1 to {MOST_PICTURE_PX}")


@dataclass(frozen=True, kw_only=True)
class CaptionRun:
    """How to run the step: nothing here changes what a caption says."""

    allow_partial: bool = False
    """Caption the clips that are there, even though `keyframes` is unfinished."""
    reuse_uri: str | None = field(default=None, metadata=option("--reuse"))
    """A captions directory to copy from where everything is the same: frames, grid, prompt, model,
    sampling and seed."""


@dataclass(frozen=True, kw_only=True)
class Replicas:
    """How many engines side by side: a number, or as many as there is room for between two."""

    least: int
    most: int

    @classmethod
    def parse(cls, text: str) -> Replicas:
        """From `8` or `1:8`.

        Raises:
            InputError: another form, none at all, or more at least than at most.
        """
        first, colon, second = text.partition(":")
        try:
            least = int(first)
            most = int(second) if colon else least
        except ValueError:
            least = most = 0
        if not 1 <= least <= most:
            raise InputError(
                f"--replicas is {text}; give a number of at least 1, or two such as 1:8: at least "
                "and at most"
            )
        return cls(least=least, most=most)
