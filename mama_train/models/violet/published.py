"""Which published weights are which of ours: VIOLET's (v1) and VIOLETv2's files.

Names are the same in both. A file of pretraining has a head for words and one for pairs; a file of
a task has that task's. Heads that the form at hand has no use for are left out by name.
"""

from __future__ import annotations

from mama_train.models.crossmodal.published import KeyMap
from mama_train.models.violet.config import CLASS_FORMS, VioletConfig

_LEFT_OUT = {
    "enc_img.emb_odr": "order of frames, for pretraining alone",
    "fc_mvm.": "masked visual tokens, for pretraining alone",
    "dummy_param": "holds no number",
}
_OWN = ("video_projection.", "text_projection.", "logit_scale")


def violet_keys(config: VioletConfig, *, new_head: bool = False) -> KeyMap:
    """For a model of this config.

    new_head: the file's class head is of another task (other answers, or pretraining's pairs):
        leave it out, and start the class head anew.
    """
    by_class = config.form in CLASS_FORMS
    left_out = dict(_LEFT_OUT)
    if by_class:
        left_out["fc_mtm."] = "words, which this form does not give"
    if not by_class or new_head:
        left_out["fc."] = "classes of another form or task"
    if config.task_token is None:
        left_out["emb_task"] = "no task token is in use"
    return KeyMap(
        prefix="module.",
        left_out=left_out,
        new=(*_OWN, "fc.") if by_class and new_head else _OWN,
    )
