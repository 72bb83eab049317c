"""The model that a server runs, and whether there is such a server at all."""

from __future__ import annotations

from mama_augment.caption.engines.server.chat import UnfinishedAnswerError, model_names
from mama_augment.caption.engines.server.client import KEY
from mama_augment.caption.engines.server.refusals import ServerRefusalError
from mama_augment.caption.engines.server.shared import Server
from mama_augment.caption.models import Model, served
from mama_augment.core.address import shown
from mama_augment.core.errors import InputError

LIST_SECONDS = 10.0


def find_served(model: str, base_url: str) -> Model:
    """The model that a server knows by this name.

    Raises:
        InputError: see `check_server`.
    """
    found = served(model)
    check_server(base_url, found.name)
    return found


def check_server(base_url: str, model: str) -> None:
    """Ask for the list of models, so that a wrong address, key or name ends at once.

    Raises:
        InputError: no server, a refusal, or a list without this model.
    """
    server, url = Server(base_url), shown(base_url).rstrip("/")
    try:
        listed = model_names(server.run(server.client.call("models", None, LIST_SECONDS)).result())
    except (ServerRefusalError, UnfinishedAnswerError, OSError) as error:
        is_key = isinstance(error, ServerRefusalError) and error.status in (401, 403)
        way_out = (
            f"Set the environment variable {KEY} to a key of that server"
            if is_key
            else "Start one with, say, `vllm serve MODEL`, or correct --base-url"
        )
        raise InputError(
            f"--engine openai: {url}/models does not answer as such a server does ({error}). "
            f"{way_out}"
        ) from error
    finally:
        server.close()
    if listed and model not in listed:
        raise InputError(f"--model is {model!r}; the server at {url} has {', '.join(listed)}")
