"""Settings of engines, from the environment and from `llmtriage.toml`. Flags of the command line are read in `llmtriage.cli`."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from llmtriage.errors import InputError, nearest, short

SETTINGS_FILE = "llmtriage.toml"


class BackendSettings(BaseModel):
    """One named engine: a `[backends.NAME]` table of the settings file.

    Attributes:
        kind: "openai" or "vllm" (chat), or "decisions".
        model: The model's name as the server knows it.
        url: The server; None: the kind's own default.
        key_env: The environment variable that holds the key. The key itself never stands in a file.
        headers: Extra HTTP headers.
        extra_body: Extra fields of the request, for switches that a server has of its own.
        omit: Fields of the request to leave out, for servers that do not take them.
        temperature: 0 asks for the most probable answer.
        max_tokens: The longest answer, in tokens; None: enough for the answer asked for.
        concurrency: Requests in flight; None: `Settings.concurrency`.
        timeout: Seconds for one attempt, by the clock on the wall; None: `Settings.timeout`.
        dialect: Of a decision endpoint: "openai" (`/decisions`) or "systemone"; None: the first that answers.
        floor: Of a decision endpoint: the most probability for an option that the server gave 0 or none.
        max_options: Of a decision endpoint: the most options of one question; None: what its dialect and host take.
        max_questions: Of a decision endpoint: the most questions of one request; None: what its dialect and host take.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["openai", "vllm", "decisions"]
    model: Annotated[str, Field(min_length=1)]
    url: str | None = None
    key_env: str | None = None
    headers: Annotated[dict[str, str], Field(repr=False)] = {}
    extra_body: Annotated[dict[str, Any], Field(repr=False)] = {}
    omit: tuple[str, ...] = ()
    temperature: Annotated[float, Field(ge=0, le=2)] = 0
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    concurrency: Annotated[int, Field(ge=1, le=1024)] | None = None
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    dialect: Literal["openai", "systemone"] | None = None
    floor: Annotated[float, Field(gt=0, le=0.1)] = 0.005
    max_options: Annotated[int, Field(ge=2)] | None = None
    max_questions: Annotated[int, Field(ge=1)] | None = None


class Settings(BaseSettings):
    """What engines need to know beyond their name. Environment variables are `LLMTRIAGE_` and the name in capitals.

    Attributes:
        openai_api_key: `OPENAI_API_KEY`; sent to OpenAI's own host and to no other.
        api_key: `LLMTRIAGE_API_KEY`; sent to a host that is not OpenAI's, when the backend has no `key_env`.
        attempts: The most requests for one ticket.
        timeout: Seconds for one attempt, by the clock on the wall.
        concurrency: Requests in flight.
        backends: Named engines.
    """

    model_config = SettingsConfigDict(env_prefix="LLMTRIAGE_", extra="forbid", frozen=True, populate_by_name=True)

    openai_api_key: Annotated[SecretStr | None, Field(validation_alias="OPENAI_API_KEY")] = None
    api_key: SecretStr | None = None
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 16
    backends: dict[str, BackendSettings] = {}

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
        own = {key: value for key, value in flags.items() if key in BackendSettings.model_fields}
        backends = {name: backend.model_copy(update=own) for name, backend in self.backends.items()}
        return self.model_copy(update={**flags, "backends": backends})

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


ENGINE_KEYS = frozenset({"attempts", "timeout", "concurrency", "backends"})


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
        return Settings(**{**from_file, **from_environment})
    except SettingsError as error:
        raise InputError(str(error), remedy="mend or unset that environment variable") from None
    except ValidationError as error:
        raise _located(error, from_file, file) from None


def _located(error: ValidationError, from_file: dict[str, Any], file: Path | None) -> InputError:
    """The most telling of pydantic's errors as one line: a mistyped key before a missing one."""
    errors = error.errors(include_input=False, include_url=False)
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    path = [str(part) for part in first["loc"]]
    if path[0] not in from_file:
        name = path[0].upper()
        return InputError(
            str(first["msg"]), field=name if name in os.environ else f"LLMTRIAGE_{name}", remedy="see docs/settings.md"
        )
    if first["type"] == "extra_forbidden":
        remedy = nearest(path[-1], BackendSettings.model_fields)
        return InputError("unknown key", field=".".join(path), file=file, remedy=remedy)
    return InputError(str(first["msg"]), field=".".join(path), file=file, remedy="see docs/settings.md")


def default_cache_dir() -> Path:
    """Where llmtriage keeps what it can make again: LLMTRIAGE_CACHE_DIR, else below XDG_CACHE_HOME, else ~/.cache/llmtriage."""
    own = os.environ.get("LLMTRIAGE_CACHE_DIR")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "llmtriage"
