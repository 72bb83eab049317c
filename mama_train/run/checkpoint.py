"""Checkpoints: a folder with the model in Hugging Face layout and what resuming needs.

    RUN/checkpoints/step-00000120/   model.safetensors config.json tokenizer*.json
                                     weight_net.safetensors training_state.safetensors run.json
    RUN/checkpoints/last, best       links to one of them

A checkpoint is written under a hidden name and renamed, to a name that is free, when complete; then
the links are replaced, and only then is what they pointed to hidden and deleted. So a folder
`step-*` is complete, and a kill at any moment leaves `last` at one.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mama_augment.core.errors import InputError
from mama_augment.core.safe.own_files import check_folder
from mama_augment.core.store.files import whole
from mama_train.config import TrainConfig
from mama_train.data.loader import Position
from mama_train.models.answers import answers_json, answers_of
from mama_train.models.base import DualEncoder
from mama_train.models.tokenizer import TextTokenizer
from mama_train.models.weights import load_weights, read_config, read_object
from mama_train.objective.weighting import WeightNet
from mama_train.run.disk import disk_errors, load_tree, save_tree
from mama_train.run.state import Progress, Trainee
from mama_train.start import lora
from mama_train.start.build import build_from_checkpoint, build_to_measure
from mama_train.start.own import OWN, OwnModel

NET_NAME = "weight_net.safetensors"
STATE_NAME = "training_state.safetensors"
NEEDED = ("run.json", STATE_NAME, "model.safetensors", NET_NAME)
"""What a checkpoint must hold to be resumed from."""


def save_model(folder: Path, model: DualEncoder, tokenizer: TextTokenizer) -> None:
    """Weights (adapters added), config and tokenizer, as `start.build.build_from_checkpoint` reads
    them."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = lora.merged_tensors(model)
    weights = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    with disk_errors(folder):
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        tokenizer.save(folder)
    config = {
        **model.config_json(),
        **answers_json(model.answer_head),
        "mama_train_frames": model.frame_spec.to_json(),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1, default=str))


def save(
    run: Path, trainee: Trainee, progress: Progress, config: TrainConfig, *, best: bool
) -> Path:
    """Write a checkpoint and point `last` (and `best`) to it. What is left of the others are the
    newest ones of the steps until here, as many as `keep` says."""
    folder = run / "checkpoints"
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"step-{progress.step:08d}"
    target = folder / name
    while target.exists():  # of a run that was killed, or that goes on from an older checkpoint
        target = folder / f"{name}-{uuid.uuid4().hex[:8]}"
    with whole(target) as temporary:
        _write(temporary, trainee, progress, config)
    _link(folder / "last", target.name)
    if best or not (folder / "best").exists():
        _link(folder / "best", target.name)
    newest = {_step_of(p): p for p in _by_step(folder) if _step_of(p) <= progress.step}
    kept = list((newest | {progress.step: target}).values())[-config.save.keep :]
    used = {path.resolve() for path in (folder / "last", folder / "best", *kept)}
    for other in folder.glob("*step-*"):
        if other.resolve() not in used:
            _delete(other)
    return target


def _by_step(folder: Path) -> list[Path]:
    """Checkpoints by step; of one step, the last written one comes last."""
    return sorted(folder.glob("step-*"), key=lambda p: (_step_of(p), p.stat().st_mtime_ns))


def _step_of(path: Path) -> int:
    return int(path.name.split("-")[1])


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")


def _delete(checkpoint: Path) -> None:
    """Hide it first: what a kill leaves half deleted must not look like a checkpoint."""
    if not checkpoint.name.startswith("."):
        hidden = _hidden(checkpoint)
        os.replace(checkpoint, hidden)
        checkpoint = hidden
    shutil.rmtree(checkpoint, ignore_errors=True)


def _write(folder: Path, trainee: Trainee, progress: Progress, config: TrainConfig) -> None:
    state: dict[str, Any] = {
        "optimizer": trainee.optimizer.state_dict(),
        "net_optimizer": trainee.net_optimizer.state_dict(),
    }
    if trainee.average is not None or lora.has_adapters(trainee.model):
        # People use the average, and adapters added to their weights; these are for resuming.
        live = trainee.model.named_parameters()
        state["live"] = {n: p.detach().clone() for n, p in live}
    if trainee.average is not None and lora.has_adapters(trainee.model):
        state["average"] = trainee.average.values
    trainee.with_average(lambda: save_model(folder, trainee.model, trainee.tokenizer))
    net = {k: v.detach().cpu() for k, v in trainee.net.state_dict().items()}
    with disk_errors(folder):
        save_file(net, folder / NET_NAME, metadata={"output": trainee.net.output})
        save_tree(state, folder / STATE_NAME)
    content = {"progress": asdict(progress), "config": config.to_json()}
    (folder / "run.json").write_text(json.dumps(content, indent=1))


def _link(link: Path, target: str) -> None:
    temporary = _hidden(link)
    temporary.symlink_to(target)
    os.replace(temporary, link)


def load_progress(folder: Path) -> tuple[Progress, TrainConfig]:
    """What `run.json` of a checkpoint says.

    Raises:
        InputError: `folder` is not a training checkpoint.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise InputError(f"{str(folder)!r} is not a checkpoint of a run: it has no run.json")
    content = read_object(path)
    fields = content["progress"]
    for name in ("data", "meta"):
        fields[name] = Position.of_json(fields[name])
    return Progress(**fields), TrainConfig.of(**content["config"])


def restore(folder: Path, trainee: Trainee) -> None:
    """Put a checkpoint's tensors into place."""
    device = trainee.model.logit_scale.device
    state = load_tree(folder / STATE_NAME, str(device))
    saved = load_file(folder / "model.safetensors", device=str(device))
    lora.load_merged(trainee.model, saved)
    if trainee.average is not None:
        values = state.get("average", saved)
        trainee.average.values = {n: values[n].clone() for n in trainee.average.values}
    trainee.model.load_state_dict(state.get("live", {}), strict=False)
    trainee.optimizer.load_state_dict(state["optimizer"])
    trainee.net_optimizer.load_state_dict(state["net_optimizer"])
    trainee.net.load_state_dict(load_file(folder / NET_NAME, device=str(device)))


def load_model(
    path: str,
    *,
    num_frames: int | None = None,
    notes: list[str] | None = None,
    model: OwnModel | None = None,
) -> tuple[DualEncoder, TextTokenizer]:
    """The model and tokenizer of a checkpoint, of a run's best one, of an exported folder, or of
    any other model that `--model` takes, which nobody has trained here.

    `num_frames`: frames per clip; as in training when None. `notes` gets what is to be told.
    `model`: the model of one's own that the checkpoint is of; its weights are put into place.

    Raises:
        InputError: there is no such model, or its files do not fit each other.
    """
    found = checkpoint_of(path)
    if found is None:
        loaded, tokenizer, told = build_to_measure(path, num_frames=num_frames)
        if notes is not None:
            notes += told
        return loaded, tokenizer
    if read_config(found).get("mama_train") != OWN:
        return build_from_checkpoint(found, num_frames=num_frames)
    if model is None:
        raise InputError(
            f"{path!r} holds {read_config(found)['class']}, a model of somebody's own: load it "
            "from Python, by mama_train.load_model(path, model=OwnModel(...))"
        )
    encoder = model.encoder()
    if (answers := answers_of(read_config(found))) is not None:
        encoder.answer_with(answers, model.text_tokenizer())
    load_weights(encoder, load_file(found / "model.safetensors"), source=str(found))
    return encoder, model.text_tokenizer()


def checkpoint_of(path: str) -> Path | None:
    """The folder that this program wrote, if `path` is one or a run that holds one; None where it
    is another model, or a name.

    Raises:
        InputError: it is a folder without any model.
    """
    folder = Path(path)
    known = folder / "config.json"
    if not folder.is_dir() or (known.is_file() and _is_published(read_object(known))):
        return None
    return find_checkpoint(path)


def _is_published(config: dict[str, Any]) -> bool:
    """Whether a `config.json` is one of transformers, and not a run's or a checkpoint's."""
    return "model_type" in config and "mama_train_frames" not in config


def load_model_into(folder: Path, model: DualEncoder) -> None:
    """Only the model's tensors (the average where the run keeps one)."""
    device = model.logit_scale.device
    lora.load_merged(model, load_file(folder / "model.safetensors", device=str(device)))


def find_checkpoint(path: str, *, which: str = "best") -> Path:
    """A checkpoint folder, given itself or the run that holds it.

    Raises:
        InputError: there is none.
    """
    folder = Path(path)
    for candidate in (folder, folder / "checkpoints" / which, folder / which):
        if (candidate / "model.safetensors").exists():
            return candidate.resolve()
    raise InputError(
        f"{path!r} is neither a checkpoint nor a run with one (looked for model.safetensors "
        f"there and in checkpoints/{which})"
    )


def newest_complete(run: Path) -> Path | None:
    """What `last` points to or, where that is gone, the checkpoint of the latest step."""
    folder = run / "checkpoints"
    for candidate in (folder / "last", *reversed(_by_step(folder))):
        if all((candidate / name).is_file() for name in NEEDED):
            return candidate.resolve()
    return None


def load_net(folder: Path) -> WeightNet | None:
    """The weight net of a checkpoint, if it has one."""
    path = folder / NET_NAME
    if not path.is_file():
        return None
    weights = load_file(path)
    with safe_open(path, "pt") as file:
        # Before nets said what they are, all were sigmoids.
        output = (file.metadata() or {}).get("output", "sigmoid")
    net = WeightNet(len(weights["hidden.bias"]), output)
    net.load_state_dict(weights)
    return net
