"""Which tokens is a text for this model? The server says it, or a tokenizer in a file; else nobody does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from llmtriage.backends.dialect import Dialect
from llmtriage.backends.http import is_openai
from llmtriage.backends.probing.asking import Answer, Prober
from llmtriage.backends.probing.capabilities import Identity
from llmtriage.backends.probing.identity import identity, ids_of, tokenized
from llmtriage.errors import BackendUnavailableError, InputError, MissingExtraError
from llmtriage.predictions import PASSING, Failure

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from llmtriage.backends.readings.known import Known
    from llmtriage.backends.transport import Transport
    from llmtriage.settings import BackendSettings

_AT_ONCE = 32
_FILE = "tokenizer.json"
_PATIENCE = 5.0  # seconds for a route that need not exist
_TELL = ("vLLM", "llama.cpp")  # servers that have the route: where they do not answer at it, that passes


class Tokenizer:
    """Tells the numbers of tokens, and remembers them."""

    def __init__(self, transport: Transport, settings: BackendSettings, kept: Known | None = None) -> None:
        """Nothing is asked yet.

        Args:
            transport: To the server.
            settings: Of the engine; `tokenizer` names a file.
            kept: What is known of the server already; None: nothing.
        """
        self._prober = Prober(transport, settings, Dialect.of(settings, transport.endpoint.url))
        self._file = settings.tokenizer
        self._local: Any = None
        self._server: bool | None = None
        self.known = dict(kept.tokens) if kept and self._file is None else {}
        self.identity = Identity(server=kept.server, version=kept.version) if kept else Identity()

    async def works(self) -> bool:
        """Whether anybody tells tokens. Raises BackendUnavailableError if the server would, and does not answer."""
        return self._file is not None or await self._by_server()

    async def learn(self, texts: Iterable[str]) -> None:
        """Find the tokens of `texts`, as far as they are not known. A text that nobody splits has none.

        Raises:
            BackendUnavailableError: The server does not answer: nothing is known then, not that there are none.
            InputError: The tokenizer's file cannot be read.
            MissingExtraError: A package for that is missing.
        """
        wanted = [text for text in dict.fromkeys(texts) if text not in self.known]
        if self._file is not None:
            local = self._loaded(self._file)
            self.known |= {text: tuple(local.encode(text, add_special_tokens=False).ids) for text in wanted}
            return
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            answers = await asyncio.gather(*(tokenized(self._prober, text) for text in part))
            for answer in answers:
                if answer.failure is not None:
                    raise self._silent(answer.failure)
            self.known |= {text: ids_of(answer) for text, answer in zip(part, answers, strict=True)}

    async def _by_server(self) -> bool:
        """Whether the server tells tokens; it is asked who it is, too."""
        if self._server is None:
            # OpenAI's own host has no such routes, and none of them is asked for in vain.
            self._server = not is_openai(self._prober.transport.endpoint.url) and await self._asked()
        return self._server

    async def _asked(self) -> bool:
        if self.known and await self._still_holds():
            return True
        self.known = {}
        self.identity, answer = await asyncio.gather(identity(self._prober), self._first())
        has_route = self._prober.settings.kind == "vllm" or self.identity.server in _TELL
        if has_route and answer.failure is not None and answer.failure.reason in PASSING:
            raise self._silent(answer.failure)
        return bool(ids_of(answer))

    async def _still_holds(self) -> bool:
        """Whether the tokens that are known are those of the model that now stands behind the name."""
        telling = max(self.known, key=self.known.__getitem__)  # where two tokenizers differ most likely
        return ids_of(await self._first(telling)) == self.known[telling]

    async def _first(self, text: str = "A") -> Answer:
        await self._prober.transport.ready()  # loading a model takes longer than a route that need not exist may
        try:
            async with asyncio.timeout(_PATIENCE):
                return await tokenized(self._prober, text)
        except TimeoutError:
            return Answer(failure=Failure(reason="timeout", detail=f"no answer within {_PATIENCE:g} s"))

    def _silent(self, failure: Failure) -> BackendUnavailableError:
        problem = f"a question about tokens got no answer: {failure.detail}"
        name = self._prober.transport.endpoint.name
        return BackendUnavailableError(problem, remedy="try again when the server answers", backend=name)

    def _loaded(self, path: Path) -> Any:
        if self._local is None:
            try:
                from tokenizers import Tokenizer as FromFile
            except ImportError:
                raise MissingExtraError.of("tokenizer", "a tokenizer in a file") from None
            file = path / _FILE if path.is_dir() else path
            try:
                self._local = FromFile.from_file(str(file))
            except Exception as error:  # noqa: BLE001 - the package raises bare exceptions
                problem = f"no tokenizer can be read ({type(error).__name__})"
                raise InputError(problem, file=file, field="tokenizer", remedy=f"name a {_FILE}, or its folder") from None
        return self._local
