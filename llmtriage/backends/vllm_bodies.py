"""The body of a chat completion as arguments of `vllm.LLM`, and what that returns as the body of a reply. Pure functions on plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmtriage.backends.fields import mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# These have the same name and meaning in a request and in `vllm.SamplingParams`.
_SAMPLING = frozenset(
    {
        "n",
        "seed",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "logit_bias",
        "stop",
        "stop_token_ids",
        "bad_words",
        "ignore_eos",
        "min_tokens",
        "allowed_token_ids",
        "logprob_token_ids",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "include_stop_str_in_output",
    }
)
_MOST = ("max_completion_tokens", "max_tokens")  # the first that stands there counts
_FORMATS = ("structured_outputs", "response_format")
_TEMPLATE = ("chat_template_kwargs", "reasoning_effort")
_LISTS = ("logprobs", "top_logprobs", "return_tokens_as_token_ids")
_KNOWN = _SAMPLING.union(("model", "messages"), _MOST, _FORMATS, _TEMPLATE, _LISTS)
_LEAST = -9999.0  # what the server writes for a masked token: JSON knows no infinity


class NotTakenError(ValueError):
    """A field of the request that an engine in this process does not take.

    Attributes:
        parameter: Its name, where vLLM's own errors have it.
    """

    def __init__(self, parameter: str) -> None:
        super().__init__(parameter)
        self.parameter = parameter


def sampling(body: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `vllm.SamplingParams.from_optional`, without the constraint on the text.

    Args:
        body: Of the request. A server passes over a field that it does not know; here it is refused.
        defaults: What the model's own folder sets, for what the request leaves open.

    Raises:
        NotTakenError: For a field that is not known, or makes no sense beside the others.
    """
    _check(body)
    arguments = {**defaults, **{name: body[name] for name in _SAMPLING if body.get(name) is not None}}
    arguments["max_tokens"] = most(body) or defaults.get("max_tokens")
    if body.get("logprobs") and not body.get("logprob_token_ids"):
        arguments["logprobs"] = body.get("top_logprobs") or 0
    return arguments


def most(body: Mapping[str, Any]) -> int | None:
    """Tokens an answer may have; None: what the context leaves."""
    return next((body[name] for name in _MOST if body.get(name) is not None), None)


def constraint(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Arguments of `vllm.sampling_params.StructuredOutputsParams`; None: any text will do. Raises NotTakenError."""
    own, wanted = dict(mapping(body.get("structured_outputs"))), mapping(body.get("response_format"))
    kind = wanted.get("type", "text")
    if kind == "json_schema":
        own["json"] = mapping(wanted.get("json_schema")).get("schema")
    elif kind == "json_object":
        own["json_object"] = True
    elif kind != "text":
        raise NotTakenError("response_format")
    return own or None


def template_arguments(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the chat template is told besides the messages."""
    effort = body.get("reasoning_effort")
    told = {} if effort is None else {"reasoning_effort": effort, "enable_thinking": effort != "none"}
    return {**told, **mapping(body.get("chat_template_kwargs"))}


def completion(model: str, output: Any, body: Mapping[str, Any], decode: Callable[[int], str]) -> dict[str, Any]:
    """The body of the reply.

    Args:
        model: Its name in the request.
        output: A `vllm.RequestOutput`.
        body: The request.
        decode: The text of one token.
    """
    prompt, written = len(output.prompt_token_ids or ()), sum(len(found.token_ids) for found in output.outputs)
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
    if output.num_cached_tokens is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": output.num_cached_tokens}
    choices = [_choice(found, body, decode) for found in output.outputs]
    return {"object": "chat.completion", "model": model, "choices": choices, "usage": usage}


def _check(body: Mapping[str, Any]) -> None:
    if unknown := sorted(body.keys() - _KNOWN):
        raise NotTakenError(unknown[0])
    if not isinstance(body.get("logprobs", False), bool | None):
        raise NotTakenError("logprobs")
    for name in ("logprob_token_ids", "top_logprobs"):
        if body.get(name) and not body.get("logprobs"):
            raise NotTakenError(name)


def _choice(found: Any, body: Mapping[str, Any], decode: Callable[[int], str]) -> dict[str, Any]:
    listed = [_position(*step, body, decode) for step in zip(found.token_ids, found.logprobs or (), strict=False)]
    return {
        "index": found.index,
        "message": {"role": "assistant", "content": found.text},
        "finish_reason": found.finish_reason,
        "logprobs": {"content": listed} if body.get("logprobs") else None,
    }


def _position(
    token: int, known: Mapping[int, Any] | None, body: Mapping[str, Any], decode: Callable[[int], str]
) -> dict[str, Any]:
    """One token that was written, with those beside it; as many as the server lists, in its order."""

    def entry(number: int, logprob: float, text: str | None) -> dict[str, Any]:
        named = f"token_id:{number}" if body.get("return_tokens_as_token_ids") else decode(number) if text is None else text
        return {"token": named, "logprob": max(logprob, _LEAST), "bytes": list(named.encode("utf-8", "replace"))}

    known = known or {}
    listed = len(known) if body.get("logprob_token_ids") else body.get("top_logprobs") or 0
    beside = [entry(number, found.logprob, found.decoded_token) for number, found in list(known.items())[:listed]]
    own = known.get(token)
    chosen = entry(token, _LEAST, None) if own is None else entry(token, own.logprob, own.decoded_token)
    return {**chosen, "top_logprobs": beside}
