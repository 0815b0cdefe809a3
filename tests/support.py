"""What several test files use."""

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def completion(content: object = None, **changes: Any) -> dict[str, Any]:
    """A chat completion; `changes` replace parts of its choice, `usage` its usage."""
    usage = changes.pop("usage", {"prompt_tokens": 1000, "completion_tokens": 8})
    message = {"role": "assistant", "content": content, **changes.pop("message", {})}
    choice = {"index": 0, "finish_reason": "stop", "message": message, **changes}
    return {"model": "m-2026", "choices": [choice], "usage": usage}


def refusal(code: object = None, message: str = "no", param: object = None) -> dict[str, Any]:
    """An error body."""
    return {"error": {"message": message, "type": "t", "param": param, "code": code}}
