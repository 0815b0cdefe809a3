"""The fixtures give what they promise: a real vLLM, shared or of a test's own."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from local_vllm import Served, Server


def asked(server: Served, **fields: Any) -> httpx2.Response:
    """One chat request."""
    body = {"model": server.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1, **fields}
    return httpx2.post(f"{server.url}/chat/completions", json=body, timeout=60)


def test_it_answers_with_the_probability_of_every_token_asked_for(vllm_server: Served) -> None:
    """What one-token reading stands on."""
    fields = {"logprobs": True, "logprob_token_ids": [40, 41], "return_tokens_as_token_ids": True}
    first = asked(vllm_server, **fields).raise_for_status().json()["choices"][0]["logprobs"]["content"][0]
    listed = {entry["token"]: entry["logprob"] for entry in first["top_logprobs"]}
    assert {"token_id:40", "token_id:41"} <= listed.keys()
    assert all(value <= 0 for value in listed.values())


def test_a_server_of_its_own_has_its_flags_and_comes_back_after_a_kill(start_vllm: Callable[..., Server]) -> None:
    """At the same URL."""
    server = start_vllm("--served-model-name", "small", "--max-model-len", "256")
    assert server.backend == f"vllm:small@{server.url}"
    assert asked(server, max_tokens=300).status_code == 400
    server.stop(signal.SIGKILL)
    with pytest.raises(httpx2.ConnectError):
        asked(server)
    server.start()
    assert asked(server).status_code == 200
