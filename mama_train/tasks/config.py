"""Settings of the task; imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt

from mama_augment.core.fields import Named
from mama_train.checked import checked

TaskName = Literal["retrieval", "qa-open", "qa-choice"]
VideoChoice = Literal["own", "other", "none"]


@checked
class TaskConfig:
    """What is learned: retrieval, or answers to questions."""

    name: Annotated[TaskName, Named("task")] = "retrieval"
    """What is learned: which text is of which clip (retrieval); or questions about clips, whose
    answer is one of a vocabulary (qa-open) or of the options given (qa-choice)."""
    contrast: Annotated[float, Ge(0), Named("qa_contrast")] = 0.25
    """Weight β of the contrastive loss beside that of the answer, per question."""
    captions: Annotated[bool, Named("qa_captions")] = True
    """Take a clip's caption as the text of the contrastive loss, a generated one where there is
    one; without this, or without a caption, question and answer are the text."""
    answers: Annotated[int, Gt(1), Named("qa_answers")] = 1000
    """The vocabulary of qa-open: as many of the most frequent training answers. Training questions
    with another one are left out; in val and test, they count as wrong."""
    types: Annotated[str, Named("qa_types")] = ""
    """Types of questions that are asked, separated by commas, in training and in evaluation; one
    that ends in a colon stands for all that begin so. By default, all."""
    hidden: Annotated[int, Gt(0), Named("qa_hidden")] = 256
    """Hidden units of the head that answers."""
    video: Annotated[VideoChoice, Named("qa_video")] = "own"
    """What the model sees, in training and in evaluation: the clip that is asked about (own); or,
    to learn what questions give away by themselves, another clip (other) or nothing (none)."""
