"""Published data sets by name: what their annotation files say, as a manifest. One file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mama_augment.core.registry import Registry

if TYPE_CHECKING:
    from mama_augment.inputs.datasets.base import DatasetReader

HERE = "mama_augment.inputs.datasets"
DATASETS: Registry[type[DatasetReader]] = Registry(
    "NAME",
    {
        "msrvtt": f"{HERE}.msrvtt:Msrvtt",
        "didemo": f"{HERE}.didemo:Didemo",
        "activitynet": f"{HERE}.activitynet:ActivityNet",
        "lsmdc": f"{HERE}.lsmdc:Lsmdc",
        "msvd": f"{HERE}.msvd:Msvd",
        "msvd-qa": f"{HERE}.msvd_qa:MsvdQa",
        "msrvtt-qa": f"{HERE}.msrvtt_qa:MsrvttQa",
        "next-qa": f"{HERE}.next_qa:NextQa",
        "tgif-qa": f"{HERE}.tgif_qa:TgifQa",
        "tgif-qa-r": f"{HERE}.tgif_qa_r:TgifQaR",
        "causal-vidqa": f"{HERE}.causal_vidqa:CausalVidQa",
    },
)
