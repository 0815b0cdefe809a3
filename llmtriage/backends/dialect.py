"""What a server takes, as far as it differs from others: how JSON is asked for, how thinking is switched off, names of fields.

A dialect is settled with the first request of a run and stays: an answer must not depend on when it was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmtriage.settings import BackendSettings

Switch = Literal["chat_template", "reasoning_effort", "minimal", "enable_thinking", "thinking", "leave"]
Json = Literal["schema", "object", "prompt"]

_SWITCHES: dict[Switch, dict[str, Any]] = {
    "chat_template": {"chat_template_kwargs": {"enable_thinking": False}},
    "reasoning_effort": {"reasoning_effort": "none"},
    "minimal": {"reasoning_effort": "minimal"},
    "enable_thinking": {"enable_thinking": False},
    "thinking": {"thinking": {"type": "disabled"}},
    "leave": {},
}
# Hosts by the end of their names; docs/servers.md has the sources. `llmtriage doctor` shows whether the switch works.
_HOSTS: dict[str, Switch] = {
    "api.openai.com": "reasoning_effort",
    "openai.azure.com": "reasoning_effort",
    "generativelanguage.googleapis.com": "reasoning_effort",
    "api.fireworks.ai": "reasoning_effort",
    "aliyuncs.com": "enable_thinking",
    "api.deepseek.com": "thinking",
    "moonshot.cn": "thinking",
    "moonshot.ai": "thinking",
    "volces.com": "thinking",
    "bigmodel.cn": "thinking",
    "api.z.ai": "thinking",
}
# Schemas are refused, or taken and not kept to.
_OBJECT_ONLY = ("api.deepseek.com", "bigmodel.cn", "api.z.ai")
# These know `max_completion_tokens`; elsewhere `max_tokens` is the better guess. What is refused is swapped for the other.
_COMPLETION_LIMIT = ("api.openai.com", "openai.azure.com", "moonshot.cn", "moonshot.ai")
_OLLAMA_PORT = 11434
_FORMATS = ("response_format", "json_schema", "json_object")
_NO_SYSTEM = ("ystem role", "ystem message", "roles must alternate")  # "System role not supported", in what templates raise
_LIMITS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a request is put.

    Attributes:
        json: By a schema, as any JSON object, or in the prompt alone.
        limit: The field that limits the answer.
        switch: What turns thinking off.
        temperature: Whether the server takes one.
        system: Whether the model's template has a system message; else the user's begins with it.
        thinks: The model thinks before it answers, whatever we ask: its answers need room.
        swapped: The other of the two fields that limit an answer was refused.
    """

    json: Json = "schema"
    limit: str = "max_tokens"
    switch: Switch = "leave"
    temperature: bool = True
    system: bool = True
    thinks: bool = False
    swapped: bool = False

    @classmethod
    def of(cls, settings: BackendSettings, url: str) -> Dialect:
        """Where to begin with this engine at this URL."""
        return cls(
            json=_json(url) if settings.json_mode == "auto" else settings.json_mode,
            limit=_LIMITS[any(_is_at(url, end) for end in _COMPLETION_LIMIT)],
            switch=_switch(settings.kind, url) if settings.thinking == "auto" else settings.thinking,
        )

    def fields(self, schema: Mapping[str, Any] | None, *, most: int, temperature: float) -> dict[str, Any]:
        """The fields of a request apart from model and messages; `schema` is the JSON schema of the answer, None: it is no JSON."""
        formats: dict[Json, dict[str, Any]] = {
            "schema": {"type": "json_schema", "json_schema": {"name": "classification", "strict": True, "schema": schema}},
            "object": {"type": "json_object"},
            "prompt": {},
        }
        fields = {"response_format": {} if schema is None else formats[self.json], self.limit: most, **_SWITCHES[self.switch]}
        if self.temperature:
            fields["temperature"] = temperature
        return {name: value for name, value in fields.items() if value != {}}

    @property
    def optional(self) -> tuple[str, ...]:
        """Names in an error message that mean a field we can do without or put otherwise."""
        nested = ("enable_thinking",) if self.switch == "chat_template" else ()
        return (*_FORMATS, *_SWITCHES[self.switch], *nested, "temperature", *(_NO_SYSTEM if self.system else ()))

    def messages(self, chat: list[dict[str, str]]) -> list[dict[str, str]]:
        """Messages as the model's template takes them."""
        if self.system:
            return chat
        first, second, *others = chat
        return [{"role": "user", "content": f"{first['content']}\n{second['content']}"}, *others]

    def without(self, field: str) -> Dialect | None:
        """How to go on when the server refuses `field`; None: there is no other way."""
        if field.startswith(_FORMATS) and self.json != "prompt":
            return replace(self, json="object" if self.json == "schema" else "prompt")
        if field in _NO_SYSTEM and self.system:
            return replace(self, system=False)
        if field == "temperature" and self.temperature:
            return replace(self, temperature=False)
        if field == self.limit and not self.swapped:
            return replace(self, limit=_LIMITS[field == _LIMITS[0]], swapped=True)
        if field.partition(".")[0] in self.optional and self.switch != "leave":
            return replace(self, switch="minimal" if self.switch == "reasoning_effort" else "leave")
        return None


def _json(url: str) -> Json:
    return "object" if any(_is_at(url, end) for end in _OBJECT_ONLY) else "schema"


def _switch(kind: str, url: str) -> Switch:
    if kind in ("vllm", "vllm-offline"):
        return "chat_template"
    if urlsplit(url).port == _OLLAMA_PORT:
        return "reasoning_effort"
    return next((switch for end, switch in _HOSTS.items() if _is_at(url, end)), "leave")


def _is_at(url: str, domain: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == domain or host.endswith(f".{domain}")
