"""Settings of engines, from the environment and from `llmtriage.toml`. Flags of the command line are read in `llmtriage.cli`."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from llmtriage.errors import InputError, nearest, short

SETTINGS_FILE = "llmtriage.toml"


_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Patience(BaseModel):
    """How patient we are with a server: the `[patience]` table. Times are seconds.

    Attributes:
        connect_timeout: To make a connection.
        online: The longest for one ticket that somebody waits for, with all its attempts and waits.
        batch: The same in a batch, where pauses of the whole endpoint do not count.
        outage: A batch waits so long for a server that is gone, or asks to wait, before the run stops.
        attempts_after_wait: The most requests for one ticket while the server says how long to wait.
        attempts_unclear: The most after time-outs and after answers that are none of an API.
        first_wait: Before the second attempt, at most; doubled with each (full jitter),
        longest_wait: up to this.
        longest_pause: Somebody who waits does not wait longer than this for a server that asks us to.
        retry_budget: Retries at hand; each takes one,
        retry_refund: each answer gives this much of one back,
        retry_rate: each second this much.
        breaker_failures: The breaker opens at so many failures in a row,
        breaker_share: or at this share
        breaker_window: of so many.
        breaker_wait: Until one request is let through to see whether the server lives; doubled up to
        breaker_longest: this.
        start: Requests in flight at the beginning.
        growth: Good answers for one more in flight; a refusal halves them.
        slow: An answer that takes longer is no reason for more in flight.
        unusable: So many answers in a row that are none of an API stop the run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    connect_timeout: _Seconds = 5.0
    online: _Seconds = 60.0
    batch: _Seconds = 300.0
    outage: _Seconds = 600.0
    attempts_after_wait: _Count = 5
    attempts_unclear: _Count = 2
    first_wait: _Seconds = 0.5
    longest_wait: _Seconds = 8.0
    longest_pause: _Seconds = 120.0
    retry_budget: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 20.0
    retry_refund: Annotated[float, Field(ge=0, le=1)] = 0.1
    retry_rate: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    breaker_failures: _Count = 10
    breaker_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    breaker_window: _Count = 50
    breaker_wait: _Seconds = 15.0
    breaker_longest: _Seconds = 120.0
    start: _Count = 8
    growth: _Count = 20
    slow: _Seconds = 30.0
    unusable: _Count = 5


class Price(BaseModel):
    """What a model costs: a `[prices."MODEL"]` table.

    Attributes:
        input: For a million prompt tokens.
        output: For a million output tokens.
        cached_input: For a million prompt tokens that the server had in its prefix cache; None: as others.
        currency: Of these numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: _Price
    output: _Price
    cached_input: _Price | None = None
    currency: str = "USD"

    def of(self, prompt: int, output: int, cached: int = 0) -> float:
        """The cost of so many tokens; `cached` of the prompt's were cached."""
        cheaper = self.input if self.cached_input is None else self.cached_input
        return ((prompt - cached) * self.input + cached * cheaper + output * self.output) / 1e6


_OF_A_SERVER = ("url", "key_env", "headers", "proxy", "ca_file")

Thinking = Literal["auto", "chat_template", "reasoning_effort", "enable_thinking", "thinking", "leave"]
JsonMode = Literal["auto", "schema", "object", "prompt"]
Reading = Literal["auto", "token", "json-token", "votes", "json"]
Codes = Literal["auto", "letters", "words", "random", "best"]
Debias = Literal["none", "content-free", "permute"]
Many = Literal["auto", "tree", "shortlist", "all"]


class BackendSettings(BaseModel):
    """One named engine: a `[backends.NAME]` table of the settings file.

    Attributes:
        kind: "openai" or "vllm" (chat), "vllm-offline" (vLLM in this process), or "decisions".
        model: The model's name as the server knows it; of vLLM in this process, its folder or the name under which vLLM finds it.
        url: The server; None: the kind's own default.
        key_env: The environment variable that holds the key. The key itself never stands in a file.
        headers: Extra HTTP headers.
        extra_body: Extra fields of the request, for switches that a server has of its own.
        omit: Fields of the request to leave out, for servers that do not take them.
        temperature: 0 asks for the most probable answer.
        answer_tokens: The longest answer, in tokens; None: enough for the answer asked for.
        context: Tokens that fit the model, prompt and answer together; None: the server decides, which refuses longer ones.
        thinking: The switch that turns thinking off; "auto": by kind and host; "leave": none is sent.
        json_mode: How an answer in JSON is asked for (key `json`); "auto": the strictest that the server takes.
        proxy: URL of an HTTP proxy; None: the variables HTTPS_PROXY and so on.
        ca_file: Certificates (PEM) to trust besides those of the system.
        patience: What differs from the `[patience]` table.
        concurrency: Requests in flight; None: `Settings.concurrency`.
        timeout: Seconds for one attempt, by the clock on the wall; None: `Settings.timeout`.
        dialect: Of a decision endpoint: "openai" (`/decisions`) or "systemone"; None: the first that answers.
        floor: Of a decision endpoint: the most probability for an option that the server gave 0 or none.
        max_options: The most options of one question; None: what the server takes.
        max_questions: Of a decision endpoint: the most questions of one request; None: what its dialect and host take.
        reading: How an answer of a chat model is read; None: `Settings.reading`.
        codes: What stands for a category where one token is read; None: `Settings.codes`.
        many: How more categories are asked about than one question takes; None: `Settings.many`.
        debias: Correction for the codes' own pull; None: `Settings.debias`.
        votes: Answers that are sampled, where they are counted; None: `Settings.votes`.
        turns: Assignments of codes that "permute" averages.
        permute_between: "permute" only tickets whose largest probability lies within these two; None: all.
        tokenizer: A `tokenizer.json`, or a folder with one, for servers that tell no tokens.
        token_ids: The most tokens that one request may ask for by number; 0: none; None: found out.
        top_logprobs: The most tokens that the server lists at one place; 0: it lists none; None: found out.
        engine: Of vLLM in this process: further arguments of `vllm.LLM`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    kind: Literal["openai", "vllm", "vllm-offline", "decisions"]
    model: Annotated[str, Field(min_length=1)]
    url: str | None = None
    key_env: str | None = None
    headers: Annotated[dict[str, str], Field(repr=False)] = {}
    extra_body: Annotated[dict[str, Any], Field(repr=False)] = {}
    omit: tuple[str, ...] = ()
    temperature: Annotated[float, Field(ge=0, le=2)] = 0
    answer_tokens: _Count | None = None
    context: _Count | None = None
    thinking: Thinking = "auto"
    json_mode: Annotated[JsonMode, Field(alias="json")] = "auto"
    proxy: Annotated[str | None, Field(repr=False)] = None
    ca_file: Path | None = None
    patience: Patience | None = None
    concurrency: Annotated[int, Field(ge=1, le=1024)] | None = None
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    dialect: Literal["openai", "systemone"] | None = None
    floor: Annotated[float, Field(gt=0, le=0.1)] = 0.005
    max_options: Annotated[int, Field(ge=2)] | None = None
    max_questions: Annotated[int, Field(ge=1)] | None = None
    reading: Reading | None = None
    codes: Codes | None = None
    many: Many | None = None
    debias: Debias | None = None
    votes: Annotated[int, Field(ge=2, le=100)] | None = None
    turns: Annotated[int, Field(ge=2, le=24)] = 2
    permute_between: tuple[_Share, _Share] | None = None
    tokenizer: Path | None = None
    token_ids: Annotated[int, Field(ge=0)] | None = None
    top_logprobs: Annotated[int, Field(ge=0)] | None = None
    engine: dict[str, Any] = {}

    @field_validator("extra_body", "omit")
    @classmethod
    def _keep_the_core(cls, names: Any) -> Any:
        """A request without these is none."""
        if core := {"messages", "input", "state", "questions"}.intersection(names):
            message = f"{min(core)} is what a request is made of"
            raise ValueError(message)
        return names

    @field_validator("permute_between")
    @classmethod
    def _smaller_first(cls, between: tuple[float, float] | None) -> tuple[float, float] | None:
        """Between 0.9 and 0.4 lies nothing, and no ticket would be permuted."""
        if between is not None and between[0] > between[1]:
            message = "the smaller number comes first"
            raise ValueError(message)
        return between

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        """What speaks of a server says nothing of an engine in this process, and the other way round."""
        offline = self.kind == "vllm-offline"
        for name in _OF_A_SERVER if offline else ("engine",):
            if getattr(self, name):
                message = f"{name} cannot be set for {self.kind}, which {'asks no server' if offline else 'starts no engine'}"
                raise ValueError(message)
        return self


class HookSettings(BaseModel):
    """Tickets that another system sends: a `[hooks.NAME]` table of the settings file. They come to `/hooks/NAME`.

    Attributes:
        kind: How messages are signed: "standard" (Standard Webhooks) or "zendesk", which also brings its map of fields.
        secret_env: The environment variable that holds the secret. The secret itself never stands in a file.
        fields: Where in the message a field of the ticket stands, as names with dots: `id = "ticket.id"`; what is not named is the kind's.
        id_prefix: Stands before the ids of its tickets, so that those of two systems which count in the same way are two tickets.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["standard", "zendesk"] = "standard"
    secret_env: Annotated[str, Field(min_length=1)]
    fields: dict[str, str] = {}
    id_prefix: Annotated[str, Field(pattern=r"^[!-~]{0,40}$")] = ""


class CallbackSettings(BaseModel):
    """Where we tell what was decided: a `[callbacks.NAME]` table of the settings file.

    Attributes:
        url: Where to.
        secret_env: The environment variable that holds the secret the messages are signed with.
        events: What is told: "accepted" by the model, "reviewed" by a person.
        private: Whether the address may lie in a private network.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(pattern="^https?://")]
    secret_env: Annotated[str, Field(min_length=1)]
    events: tuple[Literal["accepted", "reviewed"], ...] = ("accepted", "reviewed")
    private: bool = False


class Settings(BaseSettings):
    """What engines need to know beyond their name. Environment variables are `LLMTRIAGE_` and the name in capitals.

    Attributes:
        openai_api_key: `OPENAI_API_KEY`; sent to OpenAI's own host and to no other.
        api_key: `LLMTRIAGE_API_KEY`; sent to a host that is not OpenAI's, when the backend has no `key_env`.
        attempts: The most requests for one ticket.
        timeout: Seconds for one attempt, by the clock on the wall.
        concurrency: Requests in flight, at most; how many there are depends on how the server copes.
        repair: Whether an answer that cannot be read is shown to the model once, with what is wrong.
        shorten: Whether a ticket that does not fit the model's context may lose its middle; it then waits for a person all the same.
        reading: How an answer of a chat model is read; "auto": the best way that the server allows.
        codes: What stands for a category where one token is read; "auto": letters, or on a server of your own the best by held-out
            examples; "best": that, on any server.
        many: How more categories are asked about than one question takes; "auto": down the tree, from a shortlist where it is too wide.
        debias: Correction for the codes' own pull.
        votes: Answers that are sampled, where they are counted.
        max_cost: A run stops before it costs more, in the currency of the model's price.
        max_tokens: A run stops before it takes more tokens, prompts and answers together.
        reply_cache: A file that keeps every reply, so that the same request is not sent again; None: none.
        patience: How patient we are.
        prices: What models cost, by their names.
        backends: Named engines.
        hooks: Where other systems send tickets to the service.
        callbacks: Where the service tells what was decided.
    """

    model_config = SettingsConfigDict(
        env_prefix="LLMTRIAGE_", env_nested_delimiter="__", extra="forbid", frozen=True, populate_by_name=True
    )

    openai_api_key: Annotated[SecretStr | None, Field(validation_alias="OPENAI_API_KEY")] = None
    api_key: SecretStr | None = None
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 64
    repair: bool = True
    shorten: bool = False
    reading: Reading = "auto"
    codes: Codes = "auto"
    many: Many = "auto"
    debias: Debias = "none"
    votes: Annotated[int, Field(ge=2, le=100)] = 5
    max_cost: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_tokens: _Count | None = None
    reply_cache: Path | None = None
    patience: Patience = Patience()
    prices: dict[str, Price] = {}
    backends: dict[str, BackendSettings] = {}
    hooks: dict[str, HookSettings] = {}
    callbacks: dict[str, CallbackSettings] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given in code wins over the environment."""
        return init_settings, env_settings

    def with_flags(self, **flags: Any) -> Settings:
        """A copy in which flags win over everything, also over what a named engine says for itself."""
        own = {key: value for key, value in flags.items() if key in _OVER_ENGINES}
        backends = {name: backend.model_copy(update=own) for name, backend in self.backends.items()}
        return self.model_copy(update={**flags, "backends": backends})

    def engine(self, backend: BackendSettings) -> BackendSettings:
        """The engine with what it leaves to the settings of all."""
        own = {key: getattr(self, key) for key in _OVER_ENGINES if getattr(backend, key) is None}
        return backend.model_copy(update=own)

    def patience_of(self, backend: BackendSettings) -> Patience:
        """The `[patience]` table with what the engine says for itself."""
        own = backend.patience.model_dump(exclude_unset=True) if backend.patience else {}
        return self.patience.model_copy(update=own)

    def key_for(self, backend: BackendSettings, *, own_host: bool) -> SecretStr | None:
        """The key to send, if there is one.

        Args:
            backend: The engine.
            own_host: Whether its host is OpenAI's own.
        """
        if backend.key_env:
            value = os.environ.get(backend.key_env)
            return SecretStr(value) if value else None
        return self.openai_api_key if own_host else self.api_key


# Flags win over what a named engine says for itself.
_OVER_ENGINES = ("concurrency", "timeout", "reading", "codes", "many", "debias", "votes")
ENGINE_KEYS = frozenset(Settings.model_fields) - {"openai_api_key", "api_key"}


def read_settings_file(path: Path) -> dict[str, Any]:
    """The data of a settings file. Raises InputError naming file, line and remedy."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError("not UTF-8", file=path, remedy="save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not TOML: {short(str(error), 100)}", file=path, remedy="mend that line") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path, remedy="check the path") from None


def load_settings(data: dict[str, Any] | None = None, *, file: Path | None = None) -> Settings:
    """Settings from the environment and the engine keys of `data`, which came from `file`.

    Raises:
        InputError: A value cannot be used; the message names it, never a key.
    """
    from_file = {key: value for key, value in (data or {}).items() if key in ENGINE_KEYS}
    try:
        from_environment = EnvSettingsSource(Settings)()
        return Settings(**_merged(from_file, from_environment))
    except SettingsError as error:
        raise InputError(str(error), remedy="mend or unset that environment variable") from None
    except ValidationError as error:
        raise _located(error, from_file, file) from None


def _merged(from_file: dict[str, Any], from_environment: dict[str, Any]) -> dict[str, Any]:
    """The environment wins, key by key also within a table."""
    tables = {
        key: {**table, **value}
        for key, value in from_environment.items()
        if isinstance(value, dict) and isinstance(table := from_file.get(key), dict)
    }
    return {**from_file, **from_environment, **tables}


def _located(error: ValidationError, from_file: dict[str, Any], file: Path | None) -> InputError:
    """The most telling of pydantic's errors as one line: a mistyped key before a missing one."""
    errors = error.errors(include_input=False, include_url=False)
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    path = [str(part) for part in first["loc"]]
    variable = f"LLMTRIAGE_{'__'.join(path).upper()}"
    if variable in os.environ and len(path) > 1:
        unknown = first["type"] == "extra_forbidden"
        remedy = nearest(path[-1], _known_keys(path)) if unknown else "see docs/settings.md"
        return InputError("unknown key" if unknown else str(first["msg"]), field=variable, remedy=remedy)
    if path[0] not in from_file:
        name = path[0].upper()
        return InputError(
            str(first["msg"]), field=name if name in os.environ else f"LLMTRIAGE_{name}", remedy="see docs/settings.md"
        )
    if first["type"] == "extra_forbidden":
        remedy = nearest(path[-1], _known_keys(path))
        return InputError("unknown key", field=".".join(path), file=file, remedy=remedy)
    return InputError(str(first["msg"]), field=".".join(path), file=file, remedy="see docs/settings.md")


def _known_keys(path: list[str]) -> list[str]:
    """What may stand where a key is unknown."""
    tables: dict[str, type[BaseModel]] = {"prices": Price, "hooks": HookSettings, "callbacks": CallbackSettings}
    table = Patience if "patience" in path[:-1] else tables.get(path[0], BackendSettings)
    return [field.alias or name for name, field in table.model_fields.items()]


def default_cache_dir() -> Path:
    """Where llmtriage keeps what it can make again: LLMTRIAGE_CACHE_DIR, else below XDG_CACHE_HOME, else ~/.cache/llmtriage."""
    own = os.environ.get("LLMTRIAGE_CACHE_DIR")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "llmtriage"
