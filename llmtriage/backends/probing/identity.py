"""Who answers: the list of models, and the routes that servers have of their own."""

from __future__ import annotations

import asyncio
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from llmtriage.backends.fields import count, mapping
from llmtriage.backends.probing.asking import Answer, looked_up, read
from llmtriage.backends.probing.capabilities import Identity
from llmtriage.errors import BackendError, BackendUnavailableError
from llmtriage.predictions import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmtriage.backends.probing.asking import Prober

_PATIENCE = 5.0  # seconds for a route that need not exist
_NUM_CTX = re.compile(r"^num_ctx\s+(\d+)\s*$", re.MULTILINE)


async def identity(prober: Prober) -> Identity:
    """What the server says of itself; the chat route is not asked."""
    model = prober.settings.model
    paths = ("/models", prober.root("/version"), prober.root("/props"), prober.root("/api/version"))
    models, version, props, ollama = await asyncio.gather(*(_soon(prober, path) for path in paths))
    listed, entry = _listed(models), _entry(models, model)
    if props.get("default_generation_settings") or props.get("model_path"):
        return _llama_cpp(props, listed)
    if isinstance(ollama.get("version"), str):
        shown = await _soon(prober, prober.root("/api/show"), {"model": model})
        return Identity(server="Ollama", version=_name(ollama["version"]), listed=listed, context=_window_of_ollama(shown))
    is_vllm = entry.get("owned_by") == "vllm" or "max_model_len" in entry
    return Identity(
        server="vLLM" if is_vllm else None,
        version=_name(version.get("version")),
        listed=listed,
        model_true=_name(entry.get("root")),
        context=count(entry.get("max_model_len")) or None,
    )


async def tokenizer(prober: Prober) -> str | None:
    """The route that turns text into token ids; vLLM reads `prompt`, llama.cpp `content`."""
    return "/tokenize" if await token_ids(prober, "A") else None


async def token_ids(prober: Prober, text: str) -> tuple[int, ...]:
    """The tokens of `text`; empty where the server does not tell, for whatever reason."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return ids_of(await tokenized(prober, text))
    except TimeoutError:
        return ()


async def tokenized(prober: Prober, text: str) -> Answer:
    """What the server says of the tokens of `text`."""
    body = {"model": prober.settings.model, "prompt": text, "content": text, "add_special_tokens": False, "add_special": False}
    try:
        return read(await prober.transport.post(prober.root("/tokenize"), body, online=True, fresh=True))
    except BackendUnavailableError as error:
        return Answer(failure=Failure(reason="backend_unavailable", detail=error.problem))
    except BackendError:
        return Answer(refused=True)


def ids_of(answer: Answer) -> tuple[int, ...]:
    """The tokens in an answer; empty where it tells none."""
    tokens = answer.body.get("tokens")
    return tuple(tokens) if isinstance(tokens, list) and tokens and all(isinstance(token, int) for token in tokens) else ()


async def _soon(prober: Prober, path: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    await prober.transport.ready()
    try:
        async with asyncio.timeout(_PATIENCE):
            return await looked_up(prober.transport, path, body)
    except TimeoutError:
        return {}


def _llama_cpp(props: Mapping[str, Any], listed: tuple[str, ...] | None) -> Identity:
    path = _name(props.get("model_path"))
    return Identity(
        server="llama.cpp",
        version=_name(props.get("build_info")),
        listed=listed,
        model_true=_name(props.get("model_alias")) or (PurePosixPath(path.replace("\\", "/")).name if path else None),
        context=count(mapping(props.get("default_generation_settings")).get("n_ctx")) or count(props.get("n_ctx")) or None,
    )


def _window_of_ollama(shown: Mapping[str, Any]) -> int | None:
    """`num_ctx` of the model, where it is set; what the model could do is not what the server gives it."""
    found = _NUM_CTX.search(shown["parameters"]) if isinstance(shown.get("parameters"), str) else None
    return int(found[1]) if found else None


def _listed(models: Mapping[str, Any]) -> tuple[str, ...] | None:
    data = models.get("data")
    if not isinstance(data, list):
        return None
    return tuple(name for entry in data if (name := _name(mapping(entry).get("id"))))


def _entry(models: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    data = models.get("data")
    entries = [mapping(entry) for entry in data] if isinstance(data, list) else []
    return next((entry for entry in entries if entry.get("id") == model), {})


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
