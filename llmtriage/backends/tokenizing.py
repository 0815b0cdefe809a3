"""Which tokens is a text for this model? The server says it, or a tokenizer in a file; else nobody does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from llmtriage.backends.dialect import Dialect
from llmtriage.backends.http import is_openai
from llmtriage.backends.probing.asking import Prober
from llmtriage.backends.probing.capabilities import Identity
from llmtriage.backends.probing.identity import identity, token_ids
from llmtriage.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from llmtriage.backends.transport import Transport
    from llmtriage.settings import BackendSettings

_AT_ONCE = 32
_FILE = "tokenizer.json"


class Tokenizer:
    """Tells the numbers of tokens, and remembers them."""

    def __init__(self, transport: Transport, settings: BackendSettings, known: Mapping[str, tuple[int, ...]]) -> None:
        """Nothing is asked yet.

        Args:
            transport: To the server.
            settings: Of the engine; `tokenizer` names a file.
            known: Texts whose tokens are known.
        """
        self.known = dict(known)
        self.identity = Identity()
        self._prober = Prober(transport, settings, Dialect.of(settings, transport.endpoint.url))
        self._file = settings.tokenizer
        self._local: Any = None
        self._server: bool | None = None

    async def by_server(self) -> bool:
        """Whether the server tells tokens; it is asked who it is, too."""
        if self._server is None:
            if is_openai(self._prober.transport.endpoint.url):
                self._server = False  # it has no such routes, and none of them is asked for in vain
            else:
                telling = max(self.known, key=self.known.__getitem__, default="A")  # where two tokenizers differ most likely
                self.identity, found = await asyncio.gather(identity(self._prober), token_ids(self._prober, telling))
                if self.known.get(telling, found) != found:
                    self.known = {}  # another model stands behind the name now
                self._server = bool(found)
        return self._server

    async def works(self) -> bool:
        """Whether anybody tells tokens."""
        return self._file is not None or await self.by_server()

    async def learn(self, texts: Iterable[str]) -> None:
        """Find the tokens of `texts`, as far as they are not known. A text that nobody splits has none.

        Raises:
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
            found = await asyncio.gather(*(token_ids(self._prober, text) for text in part))
            self.known |= dict(zip(part, found, strict=True))

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
