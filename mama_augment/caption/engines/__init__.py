"""Caption engines: one protocol (`base`), and one module for each way to run a model."""

from __future__ import annotations

import importlib.util
import os
import threading
from dataclasses import dataclass, field

from mama_augment.caption.engines.base import CaptionEngine
from mama_augment.core.errors import InputError
from mama_augment.core.fields import option
from mama_augment.runtime.gpus import GpuShare

VLLM_LOGGING_LEVEL = "ERROR"
"""Read when vLLM is imported; without it, hundreds of lines per start."""
_starting = threading.Lock()
"""transformers' lazy imports, and what it switches while it loads, are not for two threads."""
ENGINES = ("auto", "vllm", "transformers", "openai")


@dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """How a model is run. None of it is meant to change what a caption says."""

    batch_size: int = 16
    """transformers: captions generated together; halved when memory runs out."""
    max_in_flight: int = 256
    """vllm and openai: captions being generated at once."""
    tensor_parallel: int = 1
    """vllm: GPUs that share one model."""
    gpu_memory_share: float = field(default=0.9, metadata=option(hidden=True))
    """vllm: share of a GPU's memory for weights and cache; lower it for several engines a GPU."""
    base_url: str = "http://localhost:8000/v1"
    """openai: the server's address."""
    timeout_seconds: float = field(default=300.0, metadata=option(hidden=True))
    """openai: how long one request may take."""

    def __post_init__(self) -> None:
        for flag, value in (
            ("--batch-size", self.batch_size),
            ("--max-in-flight", self.max_in_flight),
            ("--tensor-parallel", self.tensor_parallel),
        ):
            if value < 1:
                raise InputError(f"{flag} is {value}; at least 1 is needed")
        if not 0 < self.gpu_memory_share <= 1:
            raise InputError(
                f"--gpu-memory-share is {self.gpu_memory_share}; allowed: above 0, up to 1"
            )


@dataclass(frozen=True, kw_only=True)
class EngineConfig(ServingConfig):
    """A model, and what runs it how."""

    name: str
    """`vllm`, `transformers` or `openai`; `auto` has been settled."""
    model: str
    """A local directory; for `openai` the name that the server knows the model by."""


def settle(name: str) -> str:
    """The engine that `--engine` means here: vLLM where it is installed, else transformers.

    Raises:
        InputError: there is no such engine, or vLLM was asked for and is not installed.
    """
    if name not in ENGINES:
        raise InputError(f"--engine is {name!r}; allowed: {', '.join(ENGINES)}")
    has_vllm = importlib.util.find_spec("vllm") is not None
    if name == "auto":
        return "vllm" if has_vllm else "transformers"
    if name == "vllm" and not has_vllm:
        raise InputError(
            "--engine vllm: vLLM is not installed here. `pip install 'mama-video[vllm]'`, or use "
            "--engine transformers"
        )
    return name


def gpus_of(name: str, tensor_parallel: int, asked: float | None) -> GpuShare | None:
    """The GPUs of each replica: what is asked, else those that share one model, if there are any.

    None for a server, whose GPUs are its own.

    Raises:
        InputError: GPUs are asked for a server, or fewer than share one model.
    """
    if name == "openai":
        if asked is not None:
            raise InputError(
                f"--gpus-per-replica {asked:g} with --engine openai: a server has its own GPUs; "
                "leave it out"
            )
        return None
    if asked is None:
        return GpuShare(per_worker=tensor_parallel)
    share = GpuShare(per_worker=asked, is_required=True)
    if tensor_parallel > 1 and asked < tensor_parallel:
        raise InputError(
            f"--gpus-per-replica is {asked:g}, but --tensor-parallel {tensor_parallel} needs at "
            f"least {tensor_parallel}; leave one of them out"
        )
    return share


def memory_share(given: float | None, gpus: GpuShare | None) -> float:
    """The part of a GPU's memory that one engine may fill: less where replicas share it."""
    if given is not None:
        return given
    return EngineConfig.gpu_memory_share * min(1.0, gpus.per_worker if gpus else 1.0)


def check_model(config: EngineConfig) -> None:
    """Refuse a model that its engine cannot serve, before anything is written or loaded.

    Raises:
        InputError: naming the architecture and the way out.
    """
    if config.name != "vllm":
        return  # transformers serves what `models.find` lets through
    os.environ.setdefault("VLLM_LOGGING_LEVEL", VLLM_LOGGING_LEVEL)
    try:
        from mama_augment.caption.engines.vllm import check_architecture
    except (ImportError, OSError):
        return  # it runs elsewhere, perhaps, as on the head of a cluster
    check_architecture(config.model)


def make_engine(config: EngineConfig) -> CaptionEngine:
    """Start the engine that `config` names; heavy imports happen here, one thread at a time."""
    with _starting:
        return _make_engine(config)


def _make_engine(config: EngineConfig) -> CaptionEngine:
    if config.name == "vllm":
        os.environ.setdefault("VLLM_LOGGING_LEVEL", VLLM_LOGGING_LEVEL)
        from mama_augment.caption.engines.vllm import VllmEngine

        return VllmEngine(config)
    if config.name == "openai":
        from mama_augment.caption.engines.openai import OpenAIEngine

        return OpenAIEngine(config)
    assert config.name == "transformers", config.name
    from mama_augment.caption.engines.transformers import TransformersEngine

    return TransformersEngine(config)
