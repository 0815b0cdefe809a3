"""The ways of asking one model that `engines.py` compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to have tickets classified.

    Attributes:
        title: What people read.
        by: Who asks: llmtriage, llmtriage with vLLM in its own process, or the `openai` package alone.
        settings: What llmtriage's engine is told: fields of `BackendSettings`.
        rationale: Whether the model says why, before it chooses.
        prompts: That the server works on for a ticket.
        is_one_token: Whether it is a way to read one token, so not one that one token is compared with.
        ticket_last: Whether the prompt ends with the ticket; else no two prompts begin alike.
    """

    title: str
    by: Literal["llmtriage", "in process", "openai"] = "llmtriage"
    settings: Mapping[str, Any] = field(default_factory=dict)
    rationale: bool = False
    prompts: int = 1
    is_one_token: bool = False
    ticket_last: bool = True


_TOKEN = {"kind": "vllm", "reading": "token", "codes": "letters"}
_VOTES = 5

WAYS = {
    "token": Way(title="one token, by its number", settings=_TOKEN, is_one_token=True),
    "top": Way(title="one token, by `top_logprobs`", settings={**_TOKEN, "token_ids": 0}, is_one_token=True),
    "offline": Way(
        title="one token, vLLM in process", by="in process", settings={**_TOKEN, "kind": "vllm-offline"}, is_one_token=True
    ),
    "json": Way(title="JSON", settings={"kind": "vllm", "reading": "json"}),
    "rationale": Way(title="JSON with a rationale", settings={"kind": "vllm", "reading": "json"}, rationale=True),
    "votes": Way(title=f"{_VOTES} votes, JSON", settings={"kind": "vllm", "reading": "votes", "votes": _VOTES}, prompts=_VOTES),
    "decisions": Way(
        title="`decisions:` (`/v1/systemone`)", settings={"kind": "decisions", "dialect": "systemone"}, ticket_last=False
    ),
    "openai": Way(title="`openai` + pydantic, JSON", by="openai"),
}
BASIS = "token"
