"""Puts requests to a transport and writes down what becomes of each. As a program, to vLLM in this process.

It reads from standard input what `main` says and writes to standard output what `asked` found, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Any

from llmtriage.backends.transport import Endpoint, Reply, Transport
from llmtriage.backends.vllm_offline import OfflineTransport
from llmtriage.errors import BackendError, RefusedFieldError

Request = tuple[str, dict[str, Any]]


async def asked(transport: Transport, groups: list[list[Request]]) -> list[list[dict[str, Any]]]:
    """What becomes of requests: `body`, or `failure`, or `error`, with the `field` that was refused.

    Those of a group are sent at once, one group after the other: vLLM 0.32 empties a list of `top_logprobs` in a step that it shares
    with `logprob_token_ids`.
    """
    found = []
    for group in groups:
        answers = await asyncio.gather(*(transport.post(path, body) for path, body in group), return_exceptions=True)
        found.append([_told(answer) for answer in answers])
    await transport.aclose()
    return found


def _told(found: object) -> dict[str, Any]:
    if isinstance(found, Reply):
        return {"body": found.body}
    if isinstance(found, BackendError):
        field = {"field": found.field} if isinstance(found, RefusedFieldError) else {}
        return {"error": type(found).__name__, **field}
    if isinstance(found, BaseException):
        raise found
    return {"failure": asdict(found)["reason"]}  # type: ignore[call-overload]


def main() -> None:
    """`model`: a folder; `options`: arguments of vllm.LLM; `groups`: of requests, each a path and a body."""
    given = json.load(sys.stdin)
    endpoint = Endpoint(name="vllm-offline", url="vllm-offline:tiny", concurrency=64)
    transport = OfflineTransport(endpoint, given["model"], given["options"])
    json.dump(asyncio.run(asked(transport, given["groups"])), sys.stdout)


if __name__ == "__main__":
    main()
