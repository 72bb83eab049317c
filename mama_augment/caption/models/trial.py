"""A model's chat template, tried once where it can do no harm: does it end, and in little memory?

Templates are programs, and those of a stranger's model may loop for ever. transformers renders them
in a sandbox, which keeps them from code and files, but not from time. So each is rendered once in a
process with limits, before the model is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox

from mama_augment.caption.models.safe import read_json
from mama_augment.core.errors import InputError
from mama_augment.runtime.isolate import IsolatedFunction, IsolationConfig, IsolationError

TARGET = "mama_augment.caption.models.trial:render"
LIMITS = IsolationConfig(time_limit_seconds=10.0, memory_limit_mb=512)
IN_JSON = ("chat_template.json", "processor_config.json", "tokenizer_config.json")
MOST_BYTES = 2**20
"""Of a template; published ones have some thousands."""
SAMPLE = [
    {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
    {
        "role": "user",
        "content": [
            *({"type": "image"} for _ in range(12)),
            {"type": "video"},
            {"type": "text", "text": "In a sentence, describe the process in the video."},
        ],
    },
]


def check_templates(directory: str) -> None:
    """Refuse a model whose chat template does not end.

    Raises:
        InputError: naming the folder.
    """
    found = templates_of(Path(directory))
    if not found:
        return
    trial = IsolatedFunction(TARGET, LIMITS, answer=list[int])
    try:
        trial(found)
    except IsolationError as error:
        raise InputError(
            f"the chat template of the model in {directory!r} does not come to an end: "
            f"{error.message}. Take another model, or mend its template"
        ) from error
    finally:
        trial.close()


def templates_of(directory: Path) -> list[str]:
    """The chat templates in a model's folder, wherever transformers looks for them.

    Raises:
        InputError: one is far too long, or a file is damaged.
    """
    files = [*directory.glob("*.jinja"), *directory.glob("additional_chat_templates/*.jinja")]
    found = []
    for path in sorted(files):
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{str(path)!r} is longer than any chat template: over {MOST_BYTES:,}")
        found.append(path.read_text(encoding="utf-8", errors="replace"))
    for name in IN_JSON:
        found += _texts((read_json(directory / name) or {}).get("chat_template"))
    return found


def _texts(given: object) -> list[str]:
    """One template, or several by name: a dict, or a list of dicts (whose names do no harm)."""
    if isinstance(given, dict):
        given = list(given.values())
    if isinstance(given, list):
        return [text for item in given for text in _texts(item)]
    return [given] if isinstance(given, str) else []


def render(templates: list[str]) -> list[int]:
    """In the child: how many characters each gives; 0 where it is refused, as others will say."""
    return [len(_rendered(text)) for text in templates]


def _rendered(text: str) -> str:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, jinja2.ext.loopcontrols],
    )
    environment.globals |= {"raise_exception": _refuse, "strftime_now": lambda form: form}
    names = {"messages": SAMPLE, "add_generation_prompt": True, "tools": None, "documents": None}
    try:
        template = environment.from_string(text)
        return str(template.render(**names, bos_token="<s>", eos_token="</s>"))
    except MemoryError:
        raise
    except Exception:  # transformers says so, in its own words
        return ""


def _refuse(message: Any) -> None:
    raise ValueError(str(message))


class _Generation(jinja2.ext.Extension):
    """transformers' own tag, which marks what a model has said; here it only holds its content."""

    tags = {"generation"}  # noqa: RUF012 (as jinja2 has it)

    def parse(self, parser: Any) -> Any:
        """The content of the tag."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
