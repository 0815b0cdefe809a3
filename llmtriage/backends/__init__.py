"""Engines by name: `lexical`, `openai:`, `vllm:` or `decisions:` with MODEL[@URL], `vllm-offline:MODEL`, or a name of `llmtriage.toml`.

Or a third party's kind: they register a `Factory` under the entry-point group `llmtriage.backends`; the entry point's name is the kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from llmtriage.errors import BackendError, InputError, LlmtriageError, UnknownNameError, short
from llmtriage.settings import BackendSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from llmtriage.backends.reply_cache import ReplyCache
    from llmtriage.backends.transport import Transport
    from llmtriage.predictions import Example
    from llmtriage.prompting import Prompt
    from llmtriage.protocols import Backend
    from llmtriage.taxonomy import Taxonomy

GROUP = "llmtriage.backends"
_URLS = {"openai": "https://api.openai.com/v1", "vllm": "http://localhost:8000/v1", "decisions": "https://api.openai.com/v1"}
_OFFLINE = "vllm-offline"
_KINDS = ("lexical", *_URLS, _OFFLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What an engine may need to be made.

    Attributes:
        taxonomy: What it chooses among.
        examples: Labelled texts for engines that learn.
        prompt: Renders questions for engines that read prompts; called only by those.
        settings: Keys, time-outs, concurrency.
        per_ticket: Whether tickets have examples of their own in their prompts.
        cache_dir: Where an engine may keep what it fitted; None: nowhere.
    """

    taxonomy: Taxonomy
    examples: Sequence[Example] = field(default=(), repr=False)
    prompt: Callable[[], Prompt]
    settings: Settings
    per_ticket: bool = False
    cache_dir: Path | None = None


Factory = Callable[[str, Setup], "Backend"]
"""Makes an engine from what stands behind the colon of its name."""


def create(name: str, setup: Setup) -> Backend:
    """Make the engine `name`.

    Raises:
        InputError: The name is unknown, or what stands behind its colon cannot be used.
    """
    if name in setup.settings.backends:
        return _chat(name, setup.settings.backends[name], setup)
    kind, _, argument = name.partition(":")
    if kind == "lexical" and not argument:
        return _lexical(setup)
    if kind in (*_URLS, _OFFLINE):
        return _chat(name, _parsed(kind, argument), setup)
    for entry in entry_points(group=GROUP, name=kind):
        return _plugged_in(name, entry, argument, setup)
    raise UnknownNameError.among("backend", name, [*_KINDS, *setup.settings.backends], field="backend")


def settings_of(name: str, settings: Settings) -> BackendSettings | None:
    """The settings of an engine that speaks to a server; None where `name` is another kind of engine. Raises as `create` does."""
    if name in settings.backends:
        return settings.backends[name]
    kind, _, argument = name.partition(":")
    return _parsed(kind, argument) if kind in (*_URLS, _OFFLINE) else None


def _plugged_in(name: str, entry: EntryPoint, argument: str, setup: Setup) -> Backend:
    """A third party's engine; whatever it raises is said to be its own."""
    try:
        factory: Factory = entry.load()
        backend = factory(argument, setup)
    except LlmtriageError:
        raise
    except Exception as error:
        raise BackendError(f"it cannot be made ({type(error).__name__}: {error})", backend=name) from error
    if not callable(getattr(backend, "predict", None)):
        raise BackendError(f"{entry.value} made no backend", remedy="see llmtriage.protocols.Backend", backend=name)
    return backend


def base_url(url: str) -> str:
    """`url` as requests use it: with its scheme, without a slash at the end, with /v1 where it has no path.

    Raises:
        InputError: It is no HTTP address, or it holds a password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(
            f"not an HTTP address: {short(url.rpartition('@')[2])!r}", field="backend", remedy="write http://HOST:PORT/v1"
        )
    if "@" in parts.netloc:
        raise InputError("a password does not belong in a URL", field="backend", remedy="set LLMTRIAGE_API_KEY instead")
    if parts.query or parts.fragment:
        raise InputError("a query does not belong in a URL", field="backend", remedy="leave out what begins with ? or #")
    path = parts.path.rstrip("/") or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}"


def _parsed(kind: str, argument: str) -> BackendSettings:
    match = re.fullmatch(r"(?P<model>.+?)(@(?P<url>[a-z]+://.*))?", argument)
    forms = f"{kind}:MODEL" if kind == _OFFLINE else f"{kind}:MODEL or {kind}:MODEL@URL"
    if match is None:
        raise InputError(f"{kind}: names no model", field="backend", remedy=f"write {forms}")
    if kind == _OFFLINE and match["url"] is None:
        return BackendSettings(kind=_OFFLINE, model=argument)
    host = match["model"].rpartition("@")[2] if "@" in match["model"] else ""
    if re.match(r"localhost\b|\d+\.\d+\.\d+\.\d+|[^@]*[:/]", host):
        remedy = f"write {kind}:MODEL@http://{host}; a model whose name holds an @ goes under [backends.NAME] in llmtriage.toml"
        raise InputError(f"the URL {host!r} has no scheme", field="backend", remedy=remedy)
    try:
        return BackendSettings(kind=kind, model=match["model"], url=match["url"])
    except ValidationError as error:
        raise InputError(str(error.errors()[0]["msg"]), field="backend", remedy=f"write {forms}") from None


def _lexical(setup: Setup) -> Backend:
    from llmtriage.backends.lexical import LexicalBackend

    return LexicalBackend(setup.taxonomy, setup.examples, cache_dir=setup.cache_dir)


def _chat(name: str, backend: BackendSettings, setup: Setup) -> Backend:
    from llmtriage.backends.choosing import ChosenBackend
    from llmtriage.backends.ways import Options

    transport = _transport(name, backend, setup.settings)
    if backend.kind == "decisions":
        from llmtriage.backends.decisions import DecisionBackend

        engine = setup.settings.engine(backend)
        return DecisionBackend(name, engine, setup.prompt(), transport, setup.taxonomy, examples=setup.examples)
    settings = setup.settings
    options = Options(
        repair=settings.repair,
        shorten=settings.shorten,
        examples=setup.examples,
        per_ticket=setup.per_ticket,
        cache_dir=setup.cache_dir,
    )
    return ChosenBackend(name, settings.engine(backend), setup.prompt(), transport, options)


def _transport(name: str, backend: BackendSettings, settings: Settings) -> Transport:
    from llmtriage.backends.http import is_openai
    from llmtriage.backends.transport import Endpoint, Transport
    from llmtriage.backends.vllm_offline import OfflineTransport

    if backend.kind == _OFFLINE:
        return OfflineTransport.of(name, backend, settings, **_limits(backend, settings))
    url = base_url(backend.url or _URLS[backend.kind])
    own_host = is_openai(url)
    hint = backend.key_env or ("OPENAI_API_KEY" if own_host else "LLMTRIAGE_API_KEY")
    endpoint = Endpoint(
        name=name,
        url=url,
        key=_sendable(settings.key_for(backend, own_host=own_host), hint),
        key_hint=hint,
        headers=backend.headers,
        proxy=_proxy(backend.proxy),
        ca_file=backend.ca_file,
        attempts=settings.attempts,
        timeout=backend.timeout or settings.timeout,
        concurrency=backend.concurrency or settings.concurrency,
        patience=settings.patience_of(backend),
    )
    return Transport(endpoint, **_limits(backend, settings))


def _limits(backend: BackendSettings, settings: Settings) -> dict[str, Any]:
    """What may be spent, and what is known already."""
    from llmtriage.backends.budget import Budget

    price = settings.prices.get(backend.model)
    if settings.max_cost is not None and price is None:
        remedy = f'add a table [prices."{backend.model}"] with input and output to llmtriage.toml'
        raise InputError(f"no price is known for the model {backend.model!r}", field="--max-cost", remedy=remedy)
    budget = None
    if settings.max_tokens is not None or settings.max_cost is not None:
        budget = Budget(tokens=settings.max_tokens, cost=settings.max_cost, currency=price.currency if price else "")
    return {"budget": budget, "price": price, "cache": _reply_cache(settings.reply_cache)}


def _reply_cache(path: Path | None) -> ReplyCache | None:
    from llmtriage.backends.reply_cache import ReplyCache

    return ReplyCache(path) if path else None


def _proxy(url: str | None) -> str | None:
    if url is None or urlsplit(url).scheme in ("http", "https", "socks5", "socks5h"):
        return url
    raise InputError("not the URL of a proxy", field="proxy", remedy="write http://HOST:PORT")


def _sendable(key: SecretStr | None, hint: str) -> SecretStr | None:
    """The key without the line end of the file it was pasted from; None where nothing is left."""
    text = key.get_secret_value().strip() if key else ""
    if not (text.isascii() and text.isprintable()):
        raise InputError("the key holds a character that no HTTP header can carry", field=hint, remedy="set it anew")
    return SecretStr(text) if text else None
