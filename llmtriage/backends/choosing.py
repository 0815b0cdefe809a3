"""Which way is a model read? Found out once, before the first ticket, and the same for all.

The order is: one token, the code's token inside JSON, votes, one answer in JSON. A trial with the prompt itself decides: what a server
says it can do counts for nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from llmtriage.backends.chat import ChatBackend
from llmtriage.backends.dialect import Dialect
from llmtriage.backends.http import is_openai
from llmtriage.backends.lead import Lead
from llmtriage.backends.logprobs import LogprobBackend, Place, Way
from llmtriage.backends.prompted import AHEAD, PromptedBackend
from llmtriage.backends.readings.codes import CodeKind, codebook, texts_for
from llmtriage.backends.readings.known import Known, recall, remember
from llmtriage.backends.readings.many import divided
from llmtriage.backends.readings.one_token import MOST_IDS, Lists
from llmtriage.backends.shortlisting import shortlist_for
from llmtriage.backends.speaking import Speaker
from llmtriage.backends.tokenizing import Tokenizer
from llmtriage.backends.votes import VotesBackend
from llmtriage.errors import BackendRefusedError, BackendUnavailableError, InputError, RefusedFieldError
from llmtriage.predictions import PASSING, Example, Failure, Prediction, Question, Scores
from llmtriage.probability.readings import tempered_log_loss
from llmtriage.streams import as_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping

    from llmtriage.backends.planning import Planned
    from llmtriage.backends.readings.many import Shortlist
    from llmtriage.backends.transport import Transport
    from llmtriage.prompting import Prompt
    from llmtriage.settings import BackendSettings
    from llmtriage.taxonomy import Category

_log = logging.getLogger(__name__)

_MASS = 0.5  # of the probability in a trial must lie on codes, else the model means something else
_TOPS = (20, 5)  # what hosts list: 20 by most, 5 by some
_TRIAL = {"en": "Hello, I have a question about my order.", "zh": "你好，我想咨询一下我的订单。"}
_HELD_OUT = 60  # examples on which codes are compared
_SPARE = 4  # candidates that may turn out to be several tokens
_FEWEST = 40  # fewer say nothing about which codes are better
_FIELDS = ("logprobs", "top_logprobs", "logprob_token_ids", "return_tokens_as_token_ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen among.

    Attributes:
        repair: Of JSON answers.
        shorten: Tickets may lose their middle.
        examples: Labelled texts: for the shortlist, and where no prompt shows them to compare codes.
        per_ticket: Whether tickets have examples of their own.
    """

    repair: bool = True
    shorten: bool = False
    examples: Sequence[Example] = field(default=(), repr=False)
    per_ticket: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The way that was chosen, to be shown.

    Attributes:
        reading: "token", "json-token", "votes" or "json".
        facts: How, in words; they are also in the fingerprint.
        mass: Of the trial; None where there is none.
        passed: Ways that come before it and do not work here, with the reason.
        log_losses: Of the kinds of codes that were compared, after a temperature; nats.
        server: What answers.
        left_out: The probability that a shortlist misses the right category; None: there is none, or it was not measured.
    """

    reading: str
    facts: Mapping[str, str]
    mass: float | None = None
    passed: Mapping[str, str] = field(default_factory=dict)
    log_losses: Mapping[str, float] = field(default_factory=dict)
    server: str = ""
    left_out: float | None = None


@dataclass(frozen=True, slots=True)
class _Try:
    """What is tried: a place to read at, whether it must be that one, and whether somebody waits."""

    place: Place
    must: bool
    online: bool


@dataclass(frozen=True, slots=True)
class _Trial:
    """What a trial showed: an engine that can be used, or why not."""

    engine: LogprobBackend | None
    problem: str = ""
    mass: float | None = None
    refused: bool = False
    thinks: bool = False


class ChosenBackend:
    """A chat model, read in the best way there is for it."""

    reads_prompts = True

    def __init__(self, name: str, settings: BackendSettings, prompt: Prompt, transport: Transport, options: Options) -> None:
        """Put the parts together; nothing is sent yet.

        Args:
            name: What people read.
            settings: With reading, codes, many, debias and votes set.
            prompt: Renders the questions.
            transport: Sends the requests.
            options: What may be chosen among.

        Raises:
            InputError: Options that do not go together.
        """
        self.name = name
        self.settings, self.prompt, self.transport = settings, prompt, transport
        self._options = options
        self._lead = Lead()
        self._engine: PromptedBackend | None = None
        self.chosen: Chosen | None = None
        _refuse(settings, prompt, options)

    # -- as the engine that was chosen ---------------------------------------------------------

    @property
    def engine(self) -> PromptedBackend:
        """What was chosen; before that, what would be by what is known."""
        return self._engine or self._assumed()

    @property
    def dialect(self) -> Dialect:
        """How this server is asked, as far as that is known."""
        return self.engine.dialect

    def fingerprint(self) -> Mapping[str, str]:
        """All that an answer depends on. `settle` comes before."""
        return self.engine.fingerprint()

    async def predict(self, questions: AsyncIterable[Question], *, online: bool) -> AsyncIterator[Prediction | Failure]:
        """See `llmtriage.protocols.Backend`."""
        await self.settle(online=online)
        async for answer in self.engine.predict(questions, online=online):
            yield answer

    def request(self, question: Question) -> dict[str, Any]:
        """The body of the first request for one question."""
        return self.engine.request(question)

    def plan(self, question: Question) -> Planned:
        """What would be sent first, for an estimate."""
        return self.engine.plan(question)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.transport.aclose()

    # -- choosing ------------------------------------------------------------------------------

    async def settle(self, *, online: bool = False) -> None:
        """Find the way, once.

        Args:
            online: Somebody waits.

        Raises:
            InputError: What was set cannot be done with these categories.
            BackendError: The server cannot work, or not in the way that was set.
        """
        await self._lead.go(lambda: self._engine is not None, partial(self._settle, online=online))

    async def _settle(self, *, online: bool) -> bool:
        engine, chosen = await self._found(online=online)
        if self._options.per_ticket:
            engine.ahead = AHEAD
        if self._engine is None:  # else another event loop was faster
            self.chosen, self._engine = chosen, engine
        return True

    async def _found(self, *, online: bool) -> tuple[PromptedBackend, Chosen]:
        places, passed, thinks = self._by_logprobs(), dict[str, str](), False
        if places and len(self.prompt.taxonomy.leaves) == 1:
            return await self._certain()
        for place in places:
            tokenizer, trial = await self._first_that_works(_Try(place, self._must(), online))
            if trial.engine is not None:
                return await self._read_by(trial.engine, tokenizer, mass=trial.mass, passed=passed)
            passed[place], thinks = trial.problem, trial.thinks
            if thinks:
                break
        self._refuse_others(passed)
        return self._read_otherwise(passed, thinks=thinks)

    async def _certain(self) -> tuple[PromptedBackend, Chosen]:
        """Of one category: nothing is ever asked."""
        way = self._way("token", Lists(form="openai", most=_TOPS[0]), "letters", None)
        return await self._engine_of(self._speaker(), way), Chosen(reading="token", facts=way.facts())

    def _refuse_others(self, passed: Mapping[str, str]) -> None:
        """Raise where log-probabilities were asked for that cannot be had."""
        wanted, debias = self.settings.reading, self.settings.debias
        if wanted in passed:
            remedy = "run `llmtriage doctor`, or use --reading auto"
            problem = f"it cannot be read by --reading {wanted}: {passed[str(wanted)]}"
            raise BackendRefusedError(problem, remedy=remedy, backend=self.name)
        if passed and debias != "none":
            problem = f"--debias {debias} corrects log-probabilities, and it has none: {passed['token']}"
            raise BackendRefusedError(problem, remedy="leave out --debias", backend=self.name)

    def _read_otherwise(self, passed: Mapping[str, str], *, thinks: bool) -> tuple[PromptedBackend, Chosen]:
        engine: ChatBackend = self._json() if self.settings.reading == "json" or self.prompt.rationale else self._votes()
        if thinks:  # so that its first answer has room, too
            engine.speaker.dialect = replace(engine.dialect, thinks=True)
        facts = {key: value for key, value in engine.fingerprint().items() if key in ("reading", "temperature")}
        return engine, Chosen(reading=facts["reading"], facts=facts, passed=passed)

    def _by_logprobs(self) -> tuple[Place, ...]:
        """The ways by log-probabilities that may be tried."""
        wanted = self.settings.reading
        if wanted == "token" or wanted == "json-token":  # noqa: PLR1714 - so that the type checker sees which
            return (wanted,)
        return ("token", "json-token") if wanted == "auto" and not self.prompt.rationale else ()

    def _must(self) -> bool:
        """Whether something was set that needs log-probabilities: then what stands in their way is an error, not a reason for another way."""
        settings = self.settings
        chosen = settings.reading in ("token", "json-token") or settings.codes in ("letters", "words", "random")
        return chosen or settings.debias != "none" or settings.many != "auto" or settings.tokenizer is not None

    async def _read_by(
        self, engine: LogprobBackend, tokenizer: Tokenizer, *, mass: float | None, passed: Mapping[str, str]
    ) -> tuple[PromptedBackend, Chosen]:
        engine, losses = await self._with_best_codes(engine, tokenizer)
        await engine.learn_priors()
        if engine.way.place == "token" and self._finds_out():
            self._remember(_known(engine, tokenizer, Dialect.of(self.settings, self.transport.endpoint.url)))
        who = tokenizer.identity
        chosen = Chosen(
            reading=engine.way.place,
            facts=engine.way.facts(),
            mass=mass,
            passed=passed,
            log_losses=losses,
            server=" ".join(filter(None, (who.server, who.version))),
            left_out=engine.shortlist.left_out if engine.shortlist else None,
        )
        return engine, chosen

    async def _first_that_works(self, wanted: _Try) -> tuple[Tokenizer, _Trial]:
        """The first form of list that a trial confirms: what worked before, else any."""
        kept = self._kept()
        if kept is not None and kept.lists is not None and wanted.place == "token":
            tokenizer = Tokenizer(self.transport, self.settings, kept)
            trial = await self._tried(wanted, self._speaker(kept.dialect), kept.lists, tokenizer)
            if trial.engine is not None and trial.engine.way.model == kept.model:
                return tokenizer, trial
            self._remember(Known(dialect=kept.dialect))  # it does not hold any more
        tokenizer = Tokenizer(self.transport, self.settings)
        trials: dict[Lists, _Trial] = {}
        for lists in await self._forms(wanted.place, tokenizer):
            speaker = self._speaker()
            trial = trials[lists] = await self._tried(wanted, speaker, lists, tokenizer)
            if trial.engine is not None:
                return tokenizer, trial
            if speaker.dialect.thinks:
                return tokenizer, _Trial(None, "the model thinks before it answers and cannot be kept from it", thinks=True)
        return tokenizer, _most_telling(trials)

    def _speaker(self, dialect: Dialect | None = None) -> Speaker:
        return Speaker(self.name, self.settings, self.transport, dialect)

    def _finds_out(self) -> bool:
        """Whether it is left to us how the server lists log-probabilities, so that what is found holds for others too."""
        settings = self.settings
        by_hand = {*settings.omit, *settings.extra_body}.intersection(_FIELDS)
        return not by_hand and settings.tokenizer is None and settings.token_ids is None and settings.top_logprobs is None

    def _kept(self) -> Known | None:
        """What an earlier run found out that began as this one does."""
        url = self.transport.endpoint.url
        known = recall(url, self.settings.model) if self._finds_out() else None
        return known if known is not None and known.began == Dialect.of(self.settings, url) else None

    def _remember(self, known: Known) -> None:
        if known != self._kept():
            remember(self.transport.endpoint.url, self.settings.model, known)

    async def _forms(self, place: Place, tokenizer: Tokenizer) -> list[Lists]:
        """The forms of lists to try, the best first."""
        settings = self.settings
        tops = _TOPS if settings.top_logprobs is None else (settings.top_logprobs,)
        forms = [Lists(form="openai", most=most) for most in tops if most >= 2]
        forms += [Lists(form="integer", most=most) for most in tops[-1:] if most >= 2]
        ids = MOST_IDS if settings.token_ids is None else settings.token_ids
        if place == "token" and ids >= 2 and not is_openai(self.transport.endpoint.url) and await tokenizer.works():
            forms.insert(0, Lists(form="ids", most=ids))
        return forms

    async def _tried(self, wanted: _Try, speaker: Speaker, lists: Lists, tokenizer: Tokenizer) -> _Trial:
        """One request with the prompt itself, on a text of ours."""
        try:
            engine = await self._made(speaker, wanted.place, lists, tokenizer, _first_kind(self.settings))
            return await self._judged(wanted, engine)
        except RefusedFieldError as error:
            return _Trial(None, error.problem, refused=True)
        except InputError as error:
            if wanted.must:
                raise
            return _Trial(None, error.problem)

    async def _judged(self, wanted: _Try, engine: LogprobBackend) -> _Trial:
        text = _TRIAL["zh" if self.prompt.language.startswith("zh") else "en"]
        question = Question(text=text, categories=self.prompt.taxonomy.leaves)
        answer, listed = await engine.trial(question, naming=_FIELDS, online=wanted.online)
        if isinstance(answer, Failure) and answer.reason in PASSING:
            problem = f"a first question got no answer: {answer.detail}"
            raise BackendUnavailableError(problem, remedy="try again when the server answers", backend=self.name)
        if isinstance(answer, Failure):
            return _Trial(None, answer.detail)
        scores = answer.answer
        assert isinstance(scores, Scores)  # noqa: S101 - this engine gives nothing else
        if scores.missing is not None and np.count_nonzero(~scores.missing) < 2:
            return _Trial(None, "of all codes only the chosen one has a log-probability")
        if scores.label_mass is not None and scores.label_mass < _MASS:
            problem = f"only {scores.label_mass:.2f} of the probability lies on codes: the model wants to answer something else"
            if self.settings.reading != wanted.place:
                return _Trial(None, problem)
            _log.warning("%s: %s", self.name, problem)
        way = replace(engine.way, model=answer.model)
        if way.lists.form != "ids" and listed < min(way.lists.most, len(scores.values)):
            way = replace(way, lists=replace(way.lists, most=listed), most=min(way.most, listed))
        return _Trial(await self._with_way(engine, way), mass=scores.label_mass)

    async def _made(self, speaker: Speaker, place: Place, lists: Lists, tokenizer: Tokenizer, kind: CodeKind) -> LogprobBackend:
        tokens = None
        if await tokenizer.works():
            tokens = await self._learnt(tokenizer, kind, self._needed(lists)[1])
        return await self._engine_of(speaker, self._way(place, lists, kind, tokens))

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

    def _needed(self, lists: Lists) -> tuple[int, int]:
        """Options of one question at most, and codes that are needed for that."""
        settings, taxonomy = self.settings, self.prompt.taxonomy
        most = min(lists.most, settings.max_options or lists.most)
        widest = max(len(node.options) for node in divided(taxonomy, taxonomy.leaves, most, settings.many or "auto").walk())
        return most, widest if settings.many == "all" else min(most, widest)

    def _way(self, place: Place, lists: Lists, kind: CodeKind, tokens: Mapping[str, tuple[int, ...]] | None) -> Way:
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

    async def _with_way(self, engine: LogprobBackend, way: Way) -> LogprobBackend:
        return engine if way == engine.way else await self._engine_of(engine.speaker, way)

    async def _engine_of(self, speaker: Speaker, way: Way) -> LogprobBackend:
        shortlist = await asyncio.to_thread(self._shortlist, way)
        return LogprobBackend(speaker, self.prompt, way, shortlist=shortlist, shorten=self._options.shorten)

    def _shortlist(self, way: Way) -> Shortlist | None:
        if way.many in ("all", "tree"):
            return None
        root = divided(self.prompt.taxonomy, self.prompt.taxonomy.leaves, way.most, way.many)
        return shortlist_for(self.prompt.taxonomy, self._options.examples, root, way.most)

    # -- the best codes ------------------------------------------------------------------------

    async def _with_best_codes(self, engine: LogprobBackend, tokenizer: Tokenizer) -> tuple[LogprobBackend, Mapping[str, float]]:
        """The engine with the codes of the least log loss on held-out examples, and those of all kinds that were compared."""
        held_out = self._held_out()
        if not self._compares(engine) or len(held_out) < _FEWEST:
            return engine, {}
        engines: dict[str, LogprobBackend] = {}
        losses: dict[str, float] = {}
        kinds: tuple[CodeKind, ...] = ("letters", "random", "words")
        for kind in kinds[: 2 if engine.way.turns > 1 else 3]:  # words cannot change places
            try:
                other = await self._made(engine.speaker, engine.way.place, engine.way.lists, tokenizer, kind)
                other = await self._with_way(other, replace(other.way, model=engine.way.model))
                losses[kind] = await _log_loss(other, held_out, self.prompt.taxonomy.leaves)
            except (InputError, RefusedFieldError, _TooFewError):
                continue
            engines[kind] = other
        if not losses:
            return engine, {}
        return engines[min(losses, key=lambda kind: losses[kind])], losses

    def _compares(self, engine: LogprobBackend) -> bool:
        codes = self.settings.codes
        return codes == "best" or (codes == "auto" and self.settings.kind.startswith("vllm") and engine.way.place == "token")

    def _held_out(self) -> list[Example]:
        """Examples that no prompt shows, spread over the categories."""
        shown = {example.text for example in self.prompt.examples}
        leaves = {leaf.id for leaf in self.prompt.taxonomy.leaves}
        by_category: dict[str, list[Example]] = {}
        for example in self._options.examples:
            if example.text not in shown and example.category in leaves:
                by_category.setdefault(example.category, []).append(example)
        turns = max(map(len, by_category.values()), default=0)
        spread = [group[turn] for turn in range(turns) for group in by_category.values() if turn < len(group)]
        return spread[:_HELD_OUT]

    # -- others --------------------------------------------------------------------------------

    def _json(self) -> ChatBackend:
        options = self._options
        return ChatBackend(self.name, self.settings, self.prompt, self.transport, repair=options.repair, shorten=options.shorten)

    def _votes(self) -> VotesBackend:
        options = self._options
        engine = VotesBackend(self.name, self.settings, self.prompt, self.transport, repair=False, shorten=options.shorten)
        engine.votes = self.settings.votes or engine.votes
        return engine

    def _assumed(self) -> PromptedBackend:
        """What would be chosen by what is known without asking: for estimates, and to show."""
        wanted = self.settings.reading
        known = self._kept()
        if wanted == "votes":
            return self._votes()
        by_token = wanted in ("token", "json-token") or (known and known.lists) or self.settings.kind.startswith("vllm")
        if wanted == "json" or self.prompt.rationale or not by_token:
            return self._json()
        lists = (known and known.lists) or Lists(form="openai", most=_TOPS[0])
        speaker = self._speaker(known.dialect if known else None)
        tokens = known.tokens if known and known.tokens else None
        place: Place = "json-token" if wanted == "json-token" else "token"
        try:
            way = self._way(place, lists, _first_kind(self.settings), tokens)
        except InputError:
            way = self._way(place, lists, _first_kind(self.settings), None)
        shortlist = self._shortlist(way)
        return LogprobBackend(speaker, self.prompt, way, shortlist=shortlist, shorten=self._options.shorten)


def _most_telling(trials: Mapping[Lists, _Trial]) -> _Trial:
    """Of trials that failed: the first of the usual form that got an answer, else the first."""
    usual = [trial for lists, trial in trials.items() if lists.form == "openai"]
    answered = [trial for trial in usual if not trial.refused]
    return next(iter([*answered, *usual, *trials.values()]), _Trial(None, "the server lists no log-probabilities"))


def _known(engine: LogprobBackend, tokenizer: Tokenizer, began: Dialect) -> Known:
    who = tokenizer.identity
    return Known(
        dialect=engine.dialect,
        began=began,
        lists=engine.way.lists,
        tokens=tokenizer.known,
        model=engine.way.model,
        server=who.server,
        version=who.version,
        context=who.context,
        thinks=engine.dialect.thinks,
    )


def _first_kind(settings: BackendSettings) -> CodeKind:
    """What is tried first; where codes are compared, the others come after."""
    return settings.codes if settings.codes in ("letters", "words", "random") else "letters"


def _refuse(settings: BackendSettings, prompt: Prompt, options: Options) -> None:
    """Options that do not go together."""
    if prompt.rationale and settings.reading in ("token", "json-token"):
        raise InputError(
            "a rationale is no single token", field="--rationale", remedy="leave it out, or use --reading json or votes"
        )
    if options.per_ticket and settings.debias == "content-free":
        problem = "one fixed correction is wrong where each ticket has examples of its own"
        raise InputError(problem, field="--debias", remedy="use --debias permute, or --selector static")
    if settings.debias != "none" and (settings.reading in ("votes", "json") or prompt.rationale):
        raise InputError("only log-probabilities can be corrected", field="--debias", remedy="use --reading token")
    if settings.debias == "permute" and settings.codes == "words":
        raise InputError("words cannot change places", field="--debias", remedy="use --codes letters or random")


class _TooFewError(Exception):
    """Too few held-out examples were answered to compare anything."""


async def _log_loss(engine: LogprobBackend, examples: Sequence[Example], categories: tuple[Category, ...]) -> float:
    """The mean log loss on labelled texts, each after a temperature fitted on the other half; nats."""
    questions = [Question(text=example.text, categories=categories) for example in examples]
    answers = [answer async for answer in engine.predict(as_async(questions), online=False)]
    columns = {category.id: column for column, category in enumerate(categories)}
    pairs = [
        (answer.answer.values, columns[example.category])
        for answer, example in zip(answers, examples, strict=True)
        if isinstance(answer, Prediction) and isinstance(answer.answer, Scores)
    ]
    if len(pairs) < _FEWEST // 2:
        raise _TooFewError
    values, gold = np.stack([row for row, _ in pairs]), np.array([column for _, column in pairs])
    return float(tempered_log_loss(values, gold, np.arange(len(gold)) % 2).mean())
