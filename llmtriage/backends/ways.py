"""Makes engines that read one model by log-probabilities, each in another way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from llmtriage.backends.logprobs import LogprobBackend, Place, Way
from llmtriage.backends.readings.codes import CodeKind, codebook, texts_for
from llmtriage.backends.readings.many import divided
from llmtriage.backends.shortlisting import shortlist_for
from llmtriage.backends.speaking import Speaker
from llmtriage.errors import InputError
from llmtriage.predictions import Example

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from llmtriage.backends.dialect import Dialect
    from llmtriage.backends.readings.many import Shortlist
    from llmtriage.backends.readings.one_token import Lists
    from llmtriage.backends.tokenizing import Tokenizer
    from llmtriage.backends.transport import Transport
    from llmtriage.prompting import Prompt
    from llmtriage.settings import BackendSettings

_SPARE = 4  # candidates that may turn out to be several tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen among.

    Attributes:
        repair: Of JSON answers.
        shorten: Tickets may lose their middle.
        examples: Labelled texts: for the shortlist, and where no prompt shows them to compare codes.
        per_ticket: Whether tickets have examples of their own.
        cache_dir: Where what was fitted is kept; None: nowhere.
    """

    repair: bool = True
    shorten: bool = False
    examples: Sequence[Example] = field(default=(), repr=False)
    per_ticket: bool = False
    cache_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class Ways:
    """All that engines of one model have in common.

    Attributes:
        name: What people read.
        settings: With reading, codes, many, debias and votes set.
        prompt: Renders the questions.
        transport: Sends the requests.
        options: What may be chosen among.
    """

    name: str
    settings: BackendSettings
    prompt: Prompt
    transport: Transport
    options: Options
    _shortlists: dict[int, Shortlist | None] = field(default_factory=dict, repr=False)

    def speaker(self, dialect: Dialect | None = None) -> Speaker:
        """Speaks to the server; `dialect`: what is known of it already."""
        return Speaker(self.name, self.settings, self.transport, dialect)

    @property
    def first_kind(self) -> CodeKind:
        """The codes that are tried first; where codes are compared, the others come after."""
        codes = self.settings.codes
        return codes if codes in ("letters", "words", "random") else "letters"

    async def made(self, speaker: Speaker, place: Place, lists: Lists, tokenizer: Tokenizer, kind: CodeKind) -> LogprobBackend:
        """An engine with codes of this kind, as far as their tokens are told. Raises InputError where there are not enough."""
        tokens = None
        if await tokenizer.works():
            tokens = await self._learnt(tokenizer, kind, self._needed(lists)[1])
        return await self.engine_of(speaker, self.way(place, lists, kind, tokens))

    def way(self, place: Place, lists: Lists, kind: CodeKind, tokens: Mapping[str, tuple[int, ...]] | None) -> Way:
        """A way to read the model. `tokens`: those that are known; None: nobody tells them."""
        settings = self.settings
        most, needed = self._needed(lists)
        if tokens is not None:  # no others, lest codes depend on what was asked about earlier
            tokens = {text: tokens[text] for text in texts_for(kind, self.prompt.taxonomy, needed) if text in tokens}
        book = codebook(kind, self.prompt.taxonomy, most=needed, tokens=tokens)
        if kind != "words" and settings.many != "all" and len(book.pool) < needed:
            most = len(book.pool)
        return Way(
            place=place,
            lists=lists,
            book=book,
            most=most,
            many=settings.many or "auto",
            turns=settings.turns if settings.debias == "permute" else 1,
            between=settings.permute_between if settings.debias == "permute" else None,
            content_free=settings.debias == "content-free",
        )

    async def with_way(self, engine: LogprobBackend, way: Way) -> LogprobBackend:
        """The engine itself if it goes that way, else another one that does."""
        return engine if way == engine.way else await self.engine_of(engine.speaker, way)

    async def engine_of(self, speaker: Speaker, way: Way) -> LogprobBackend:
        """An engine that goes that way. A shortlist is measured for it where it needs one, which takes seconds."""
        shortlist = await asyncio.to_thread(self.shortlist, way)
        return LogprobBackend(speaker, self.prompt, way, shortlist=shortlist, shorten=self.options.shorten)

    def shortlist(self, way: Way, *, measure: bool = True) -> Shortlist | None:
        """What narrows questions that are too wide; None where nothing needs to.

        Args:
            way: How the model is read.
            measure: Find how often it misses the right one, which takes seconds; once for all engines.
        """
        if way.many in ("all", "tree"):
            return None
        taxonomy, options = self.prompt.taxonomy, self.options
        how: dict[str, Any] = {"cache_dir": options.cache_dir, "measure": measure}
        make = partial(
            shortlist_for, taxonomy, options.examples, divided(taxonomy, taxonomy.leaves, way.most, way.many), way.most
        )
        if not measure:
            return make(**how)
        if way.most not in self._shortlists:
            self._shortlists[way.most] = make(**how)
        return self._shortlists[way.most]

    def _needed(self, lists: Lists) -> tuple[int, int]:
        """Options of one question at most, and codes that are needed for that."""
        settings, taxonomy = self.settings, self.prompt.taxonomy
        most = min(lists.most, settings.max_options or lists.most)
        widest = max(len(node.options) for node in divided(taxonomy, taxonomy.leaves, most, settings.many or "auto").walk())
        return most, widest if settings.many == "all" else min(most, widest)

    async def _learnt(self, tokenizer: Tokenizer, kind: CodeKind, needed: int) -> Mapping[str, tuple[int, ...]]:
        """The tokens of texts, so many that there are enough codes among them. Mostly the first ones will do, and are asked for first."""
        taxonomy = self.prompt.taxonomy
        texts = texts_for(kind, taxonomy, needed)
        if kind != "words":
            await tokenizer.learn(texts[: 2 * (needed + _SPARE)])
            with suppress(InputError):
                if len(codebook(kind, taxonomy, most=needed, tokens=tokenizer.known).pool) == needed:
                    return tokenizer.known
        await tokenizer.learn(texts)
        return tokenizer.known
