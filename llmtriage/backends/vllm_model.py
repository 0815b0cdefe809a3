"""Everything that is asked of the package vLLM: loading a model in this process, and its answers to the bodies of requests."""

from __future__ import annotations

import importlib
import os
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from llmtriage.backends.vllm_bodies import NotTakenError, completion, constraint, most, sampling, template_arguments
from llmtriage.errors import BackendError, MissingExtraError, short

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",  # at WARNING a start writes a dozen lines about what runs well
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # by itself it writes to where our rows go
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # we have threads, and a fork may copy a lock that one of them holds
    "PYTHONWARNINGS": "ignore",  # other packages' notices to each other
}
_OPTIONS = {"use_tqdm_on_load": False}
_OF_ONE_REQUEST = (ValueError, TypeError, OverflowError, NotImplementedError, TemplateError)


class Model:
    """A `vllm.LLM`. It belongs to the thread that made it."""

    def __init__(self, name: str, llm: Any) -> None:
        """Take over what is loaded.

        Args:
            name: Of the model, in requests and replies.
            llm: The `vllm.LLM`.
        """
        self._name, self._llm = name, llm
        self._context: int = llm.model_config.max_model_len
        self._defaults: dict[str, Any] = llm.model_config.get_diff_sampling_param()  # read from a file each time

    def begin(self, body: Mapping[str, Any]) -> str:
        """Start a chat completion; the id under which it ends. Raises what `is_of_one_request` knows."""
        params = importlib.import_module("vllm.sampling_params")
        if (most(body) or 0) > self._context:
            raise NotTakenError("max_tokens")
        arguments, form = sampling(body, self._defaults), constraint(body)
        if form is not None:
            arguments["structured_outputs"] = params.StructuredOutputsParams(**form)
        begun = self._llm.enqueue_chat(
            body["messages"],
            params.SamplingParams.from_optional(**arguments),
            use_tqdm=False,
            chat_template_kwargs=template_arguments(body),
        )
        return str(begun[0]).partition("-")[0]  # vLLM adds a random part within, and takes it off its outputs

    def ended(self) -> Iterator[tuple[str, Any]]:
        """Go one token further with all that have begun: the ids of those that end with it, and their outputs."""
        for output in self._llm.llm_engine.step():
            if output.finished:
                yield output.request_id, output

    def abort(self, ids: Collection[str]) -> None:
        """Nobody waits for these any more."""
        self._llm.llm_engine.abort_request(list(ids))

    def reply(self, output: Any, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of the reply to a chat completion that has ended."""
        return completion(self._name, output, body, lambda token: str(self._llm.get_tokenizer().decode([token])))

    def tokens(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What a server says at `/tokenize`."""
        tokenizer = self._llm.get_tokenizer()
        text, special = body.get("prompt"), body.get("add_special_tokens", "messages" not in body)
        if text is None:
            start = body.get("add_generation_prompt", True)
            options = {"tokenize": False, "add_generation_prompt": start, **template_arguments(body)}
            text = tokenizer.apply_chat_template(body["messages"], **options)
        tokens = list(tokenizer.encode(text, add_special_tokens=special))
        strings = {"token_strs": tokenizer.convert_ids_to_tokens(tokens)} if body.get("return_token_strs") else {}
        return {"count": len(tokens), "max_model_len": self._context, "tokens": tokens, **strings}

    def listed(self) -> dict[str, Any]:
        """What a server says at `/models`."""
        entry = {"id": self._name, "owned_by": "vllm", "root": self._name, "max_model_len": self._context}
        return {"object": "list", "data": [entry]}

    def version(self) -> dict[str, Any]:
        """What a server says at `/version`."""
        return {"version": importlib.import_module("vllm").__version__}

    def close(self) -> None:
        """End its processes."""
        with suppress(Exception):  # they may be dead already
            self._llm.llm_engine.engine_core.shutdown()


def is_of_one_request(error: Exception) -> bool:
    """Whether an error of `Model` concerns one request; any other is the end of the engine."""
    return isinstance(error, _OF_ONE_REQUEST) or hasattr(error, "parameter")


def load(model: str, options: Mapping[str, Any], name: str) -> Model:
    """Load a model: half a minute for a small one, minutes for a large one.

    Args:
        model: A folder, or a name that vLLM knows where to find.
        options: Further arguments of `vllm.LLM`.
        name: Of the backend, for messages.

    Raises:
        MissingExtraError: vLLM is not installed.
        BackendError: It cannot be imported, or it cannot load the model.
    """
    path = Path(model).expanduser()
    if not path.exists() and (path.is_absolute() or model.startswith(".")):
        raise BackendError(f"there is no {short(model, 120)!r}", remedy="check the path of the model's folder", backend=name)
    with _environment(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make = _imported(name)
        try:
            return Model(model, make(str(path) if path.exists() else model, **{**_OPTIONS, **options}))
        except Exception as error:
            raise _not_loaded(error, name) from error


@contextmanager
def _environment() -> Iterator[None]:
    """What vLLM and its processes find in the environment when they start, where the user has not said otherwise."""
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _imported(name: str) -> Any:
    """`vllm.LLM`."""
    vllm: Any = None
    try:
        vllm = importlib.import_module("vllm")
        make = vllm.LLM
    except Exception as error:
        # A folder of that name on the path counts as a package, one without a file.
        if (isinstance(error, ModuleNotFoundError) and error.name == "vllm") or (vllm and not getattr(vllm, "__file__", None)):
            raise MissingExtraError.of("vllm", name) from None
        problem = f"vLLM cannot be imported ({type(error).__name__}: {short(str(error), 160)})"
        raise BackendError(problem, remedy="install it anew, in an environment of its own", backend=name) from error
    return make


def _not_loaded(error: Exception, name: str) -> BackendError:
    said = str(error)
    remedy = "check the model's name or folder, and the table engine"
    if "memory" in said.lower() or "Engine core" in said:
        remedy = "vLLM says why above; if memory is short, lower gpu_memory_utilization or max_model_len in the table engine"
    return BackendError(f"vLLM cannot load the model ({type(error).__name__}: {short(said, 200)})", remedy=remedy, backend=name)
