"""A server that answers every chat request at once with the same completion: HTTP/1.1, connections kept, nothing else.

    python benchmarks/contestants/server.py CATEGORY [CORE]

Prints its port; ends when its standard input does. Below /label the answer is {"label": ...}, as scikit-llm asks for it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys


def response(content: dict[str, object]) -> bytes:
    """A chat completion that holds `content`, as it goes over the wire."""
    message = {"role": "assistant", "content": json.dumps(content), "refusal": None}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "bench",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        # 0: not told. One count for all prompts would mean that the long ones were cut.
        "usage": {"prompt_tokens": 0, "completion_tokens": 20, "total_tokens": 20},
    }
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def expected(head: bytes) -> int:
    """The bytes of the body that `head` announces."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


class Answering(asyncio.Protocol):
    """One connection."""

    def __init__(self, category: str) -> None:
        """Make both answers once."""
        self._json = response({"category": category, "confidence": 0.93})
        self._label = response({"label": category})
        self._received = bytearray()
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - for the type checker: TCP can be written to
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end])
            whole = end + 4 + expected(head)
            if len(self._received) < whole:
                return
            del self._received[:whole]
            self._transport.write(self._label if head.startswith(b"POST /label/") else self._json)


async def serve(category: str) -> None:
    """Answer until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(category), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> None:
    """Serve on the core that was named, if one was."""
    if len(sys.argv) > 2:
        os.sched_setaffinity(0, {int(sys.argv[2])})
    asyncio.run(serve(sys.argv[1]))


if __name__ == "__main__":
    main()
