"""Which way is a model read? Found out once, before the first ticket, and the same for all.

The order is: one token, the code's token inside JSON, votes, one answer in JSON. A trial with the prompt itself decides: what a server
says it can do counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llmtriage.backends.chat import ChatBackend
from llmtriage.backends.comparing_codes import with_best_codes
from llmtriage.backends.dialect import Dialect
from llmtriage.backends.lead import Lead
from llmtriage.backends.logprobs import LogprobBackend, Place
from llmtriage.backends.prompted import AHEAD, PromptedBackend
from llmtriage.backends.readings.known import Known, recall, remember
from llmtriage.backends.readings.one_token import Lists
from llmtriage.backends.tokenizing import Tokenizer
from llmtriage.backends.trials import FIELDS, TOPS, Trial, Try, forms, most_telling, tried
from llmtriage.backends.votes import VotesBackend
from llmtriage.backends.ways import Options, Ways
from llmtriage.errors import BackendRefusedError, InputError
from llmtriage.predictions import Question

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping

    from llmtriage.backends.planning import Planned
    from llmtriage.backends.readings.codes import CodeKind
    from llmtriage.backends.transport import Transport
    from llmtriage.predictions import Failure, Prediction
    from llmtriage.prompting import Prompt
    from llmtriage.settings import BackendSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The way that was chosen, to be shown.

    Attributes:
        reading: "token", "json-token", "5 votes" (or another number of them) or "json".
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
    log_losses: Mapping[CodeKind, float] = field(default_factory=dict)
    server: str = ""
    left_out: float | None = None


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
        self._ways = Ways(name, settings, prompt, transport, options)
        self._lead = Lead()
        self._engine: PromptedBackend | None = None
        self._guess: PromptedBackend | None = None
        self.chosen: Chosen | None = None
        _refuse(settings, prompt, options)

    # -- as the engine that was chosen ---------------------------------------------------------

    @property
    def engine(self) -> PromptedBackend:
        """What was chosen; before that, what would be by what is known."""
        if self._engine is not None:
            return self._engine
        self._guess = self._guess or self._assumed()
        return self._guess

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
        if self._ways.options.per_ticket:
            engine.ahead = AHEAD
        if self._engine is None:  # else another event loop was faster
            self.chosen, self._engine = chosen, engine
        return True

    async def _found(self, *, online: bool) -> tuple[PromptedBackend, Chosen]:
        places, passed, thinks = self._by_logprobs(), dict[str, str](), False
        if places and len(self.prompt.taxonomy.leaves) == 1:
            return await self._certain()
        for place in places:
            tokenizer, trial = await self._first_that_works(Try(place, self._must(), online))
            if trial.engine is not None:
                return await self._read_by(trial.engine, tokenizer, mass=trial.mass, passed=passed)
            passed[place], thinks = trial.problem, trial.thinks
            if thinks:
                break
        self._refuse_others(passed)
        return self._read_otherwise(passed, thinks=thinks)

    async def _certain(self) -> tuple[PromptedBackend, Chosen]:
        """Of one category: nothing is ever asked."""
        way = self._ways.way("token", Lists(form="openai", most=TOPS[0]), "letters", None)
        return await self._ways.engine_of(self._ways.speaker(), way), Chosen(reading="token", facts=way.facts())

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
        wanted = self.settings.reading
        by_json = wanted == "json" or (wanted != "votes" and self.prompt.rationale)
        engine: ChatBackend = self._json() if by_json else self._votes()
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
        engine, losses = await with_best_codes(self._ways, engine, tokenizer)
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

    async def _first_that_works(self, wanted: Try) -> tuple[Tokenizer, Trial]:
        """The first form of list that a trial confirms: what worked before, else any."""
        kept = self._kept()
        if kept is not None and kept.lists is not None and wanted.place == "token":
            tokenizer = Tokenizer(self.transport, self.settings, kept)
            if kept.lists.form != "ids" or await tokenizer.works():
                trial = await tried(self._ways, wanted, self._ways.speaker(kept.dialect), kept.lists, tokenizer)
                if trial.engine is not None and trial.engine.way.model == kept.model:
                    return tokenizer, trial
            self._remember(Known(dialect=kept.dialect))  # it does not hold any more
        tokenizer = Tokenizer(self.transport, self.settings)
        trials: dict[Lists, Trial] = {}
        for lists in await forms(self._ways, wanted.place, tokenizer):
            speaker = self._ways.speaker()
            trial = trials[lists] = await tried(self._ways, wanted, speaker, lists, tokenizer)
            if trial.engine is not None:
                return tokenizer, trial
            if speaker.dialect.thinks:
                return tokenizer, Trial(None, "the model thinks before it answers and cannot be kept from it", thinks=True)
        return tokenizer, most_telling(trials)

    def _finds_out(self) -> bool:
        """Whether it is left to us how the server lists log-probabilities, so that what is found holds for others too."""
        settings = self.settings
        by_hand = {*settings.omit, *settings.extra_body}.intersection(FIELDS)
        return not by_hand and settings.tokenizer is None and settings.token_ids is None and settings.top_logprobs is None

    def _kept(self) -> Known | None:
        """What an earlier run found out that began as this one does."""
        url = self.transport.endpoint.url
        known = recall(url, self.settings.model) if self._finds_out() else None
        return known if known is not None and known.began == Dialect.of(self.settings, url) else None

    def _remember(self, known: Known) -> None:
        if known != self._kept():
            remember(self.transport.endpoint.url, self.settings.model, known)

    # -- others --------------------------------------------------------------------------------

    def _json(self) -> ChatBackend:
        options = self._ways.options
        return ChatBackend(self.name, self.settings, self.prompt, self.transport, repair=options.repair, shorten=options.shorten)

    def _votes(self) -> VotesBackend:
        options = self._ways.options
        engine = VotesBackend(self.name, self.settings, self.prompt, self.transport, repair=False, shorten=options.shorten)
        engine.votes = self.settings.votes or engine.votes
        return engine

    def _assumed(self) -> PromptedBackend:
        """What would be chosen by what is known without asking: for estimates, and to show."""
        wanted, known = self.settings.reading, self._kept()
        if wanted == "votes":
            return self._votes()
        by_token = wanted in ("token", "json-token") or (known and known.lists) or self.settings.kind.startswith("vllm")
        if wanted == "json" or self.prompt.rationale or not by_token:
            return self._json()
        engine = self._by_token(known)
        try:
            engine.request(Question(text="…", categories=self.prompt.taxonomy.leaves))
        except InputError:  # say, templates that show no codes
            if self._must():
                raise
            return self._votes()
        return engine

    def _by_token(self, known: Known | None) -> LogprobBackend:
        ways, lists = self._ways, (known and known.lists) or Lists(form="openai", most=TOPS[0])
        place: Place = "json-token" if self.settings.reading == "json-token" else "token"
        try:
            way = ways.way(place, lists, ways.first_kind, known.tokens if known and known.tokens else None)
        except InputError:
            way = ways.way(place, lists, ways.first_kind, None)
        speaker = ways.speaker(known.dialect if known else None)
        return LogprobBackend(
            speaker, self.prompt, way, shortlist=ways.shortlist(way, measure=False), shorten=ways.options.shorten
        )


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
    )


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
