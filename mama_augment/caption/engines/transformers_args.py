"""What of transformers' own arguments the engine takes, checked before a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mama_augment.caption.engines import EngineConfig
from mama_augment.caption.engines.base import SamplingConfig
from mama_augment.caption.engines.chat import check_chat
from mama_augment.caption.models.safe import read_json
from mama_augment.core.errors import InputError

DRAWN_BY_US = ("do_sample", "num_beams", "num_return_sequences")
"""One caption is one draw with a seed of its own; the engine makes it."""
PENALTIES = {
    "repetition_penalty": "RepetitionPenaltyLogitsProcessor",
    "no_repeat_ngram_size": "NoRepeatNGramLogitsProcessor",
}
"""Arguments whose values transformers looks at only while it generates: made once, to look now."""
WARPERS = {
    "top_k": "TopKLogitsWarper",
    "min_p": "MinPLogitsWarper",
    "typical_p": "TypicalLogitsWarper",
    "epsilon_cutoff": "EpsilonLogitsWarper",
    "eta_cutoff": "EtaLogitsWarper",
}
"""Arguments that cut the distribution before a draw. transformers applies them where it draws
itself; here they are applied to the logits that the seeded draw is made from."""


def check(config: EngineConfig, sampling: SamplingConfig) -> None:
    """Refuse arguments that transformers does not know, and a model that no class of it runs.

    Raises:
        InputError: naming them.
    """
    generation_config(sampling.more)
    check_architecture(config.model, trust_remote_code=config.trust_remote_code)
    _ = config.more  # must be readable
    check_chat(config)


def check_architecture(directory: str, *, trust_remote_code: bool) -> None:
    """Refuse a model that transformers has no class for.

    Raises:
        InputError: naming its type and the way out.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    config = read_json(Path(directory) / "config.json")
    if config is None:
        return
    if config.get("model_type") in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return
    has_code = bool(config.get("auto_map"))
    if has_code and trust_remote_code:
        return
    way = (
        "It brings Python of its own: pass --trust-remote-code if you trust that"
        if has_code
        else "Take another model, or --engine vllm or openai if they serve it"
    )
    raise InputError(
        f"transformers has no class that captions pictures for models of type "
        f"{config.get('model_type')!r} ({directory!r}). {way}"
    )


def generation_config(more: Mapping[str, Any], **own: Any) -> tuple[Any, list[Any]]:
    """(GenerationConfig, logits processors) of sampling arguments.

    own: what the engine sets. The processors are those of WARPERS that were asked for.

    Raises:
        InputError: an argument that transformers does not know, or a value that it refuses.
    """
    import transformers
    from transformers import GenerationConfig

    if taken := sorted(set(more) & set(DRAWN_BY_US)):
        raise InputError(
            f"--sampling-args gives {', '.join(taken)}, but each caption is drawn alone, with a "
            "seed of its own; use -n and --temperature"
        )
    kinds = WARPERS | PENALTIES
    try:
        made = {
            key: getattr(transformers.generation.logits_process, kinds[key])(value)
            for key, value in more.items()
            if key in kinds
        }
        # A fresh config: a model's own may ask for beams or penalties that the caller did not.
        config = GenerationConfig(do_sample=False, **own)
        unused = config.update(**{k: v for k, v in more.items() if k not in WARPERS})
    except (TypeError, ValueError) as error:
        raise InputError(f"--sampling-args: transformers says: {error}") from error
    if unused:
        raise InputError(
            f"--sampling-args gives {', '.join(sorted(unused))}, which transformers' "
            "GenerationConfig does not have"
        )
    return config, [made[key] for key in more if key in WARPERS]
