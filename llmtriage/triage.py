"""`Triage` wires the steps: prepare, ask, route."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from llmtriage import backends
from llmtriage.backends.batching import batches
from llmtriage.errors import BackendError, InputError
from llmtriage.examples import STORED, balanced, read_examples, stored_examples
from llmtriage.outcomes import blind
from llmtriage.predictions import Example, Question
from llmtriage.prepare import Preparation, prepare, without_personal_data
from llmtriage.prompting import Prompt
from llmtriage.remembering import Decision, Memory, Run
from llmtriage.routing import Policy, Router
from llmtriage.selecting import NEAREST, Selection
from llmtriage.settings import Settings, load_settings
from llmtriage.streams import PrivateLoop, Puts, as_async
from llmtriage.taxonomy import Taxonomy, digest
from llmtriage.tickets import Ticket

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence

    from llmtriage.calibration import Calibration
    from llmtriage.outcomes import Outcome
    from llmtriage.predictions import Failure, Prediction
    from llmtriage.protocols import Backend, Selector, Store
    from llmtriage.selecting import SelectorName

_log = logging.getLogger(__name__)

_TOGETHER = 256  # tickets that are looked up, or kept, together
_HELD = 1024  # tickets between preparation and routing, at most
PROMPT_EXAMPLES = 20


@dataclass(slots=True)
class _Slot:
    """A ticket on its way, in its place in the order.

    Attributes:
        decided: The outcome, where no engine need be asked.
        run_key: `Triage.run_of`, where there is a store.
        kept: Whether the store holds this outcome of this ticket already.
    """

    ticket: Ticket
    text: str = field(repr=False)
    decided: Outcome | None
    run_key: str = ""
    kept: bool = False
    answer: asyncio.Future[Prediction | Failure] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Triage:
    """Sorts tickets into a taxonomy with one engine under one policy.

    A `Triage` may be used from any thread and inside a running event loop; sync methods work in a loop of their own.
    """

    def __init__(
        self,
        *,
        taxonomy: Taxonomy | str | Path | None = None,
        backend: Backend | str = "lexical",
        examples: Sequence[Example] | str | Path | None = None,
        shots: int | None = None,
        prompt_examples: int = PROMPT_EXAMPLES,
        selector: SelectorName | Selector = "static",
        nearest: int = NEAREST,
        example_tokens: int | None = None,
        seed: int = 0,
        threshold: float | None = None,
        calibration: Calibration | str | Path | None = None,
        policy: Policy | None = None,
        preparation: Preparation | None = None,
        prompts: str | Path | None = None,
        language: str = "en",
        rationale: bool = False,
        settings: Settings | None = None,
        cache_dir: str | Path | None = None,
        store: Store | str | Path | None = None,
        probe: float | None = None,
    ) -> None:
        """Put the parts together; nothing is sent and nothing is fitted yet.

        Args:
            taxonomy: A taxonomy or the path of its YAML file; None: `./taxonomy.yaml`, else the sample.
            backend: An engine, or its name (see `llmtriage.backends`).
            examples: Labelled examples, in which personal data are hidden, the path of a labelled file with the default columns, or "store@NAME": a
                frozen set in the store.
            shots: Use at most so many of the examples a category; None: all.
            prompt_examples: The most examples in the block that every prompt shows.
            selector: What shows each ticket examples of its own besides: "static" nothing, "nearest" those most like it; or an object.
            nearest: The most examples that "nearest" shows a ticket.
            example_tokens: The most tokens (estimated) of all examples of a prompt, the shared ones first; None: no limit.
            seed: Of the draw of examples.
            threshold: Accept from this score on; short for `Policy(threshold=...)`.
            calibration: A calibration, or the path of its file: scores become probabilities, and what it promises is accepted.
            policy: All of the policy.
            preparation: The steps of cleaning; None: all of them.
            prompts: A folder of templates; None: the shipped ones.
            language: "en" or "zh": of the prompt.
            rationale: Ask a chat model why, before it chooses.
            settings: Of engines; None: from the environment.
            cache_dir: Where an engine may keep what it fitted; None: nowhere.
            store: Where outcomes are kept and recalled, or its path or address (see `llmtriage.store.SqlStore`); None: nowhere.
            probe: The share of all tickets that a person decides blind, in (0, 1]; needs a store.

        Raises:
            InputError: A file, a name or a value cannot be used.
            StoreError: The store cannot be read or written now.
        """
        if policy is not None and threshold is not None:
            raise InputError("given twice", field="threshold", remedy="give it in the policy or by itself")
        self.taxonomy = _taxonomy(taxonomy)
        self.preparation = preparation or Preparation.default()
        self.policy = policy or Policy(threshold=_share(threshold))
        self.calibration = _calibration(calibration)
        self.router = Router(self.taxonomy, self.policy, self.calibration)
        self.language = language
        self._memory = _memory(store, probe)
        known = self._known(examples)
        self.examples = known if shots is None else balanced(known, shots, seed=seed)
        self.selection = Selection(
            self.examples, selector, most=prompt_examples, nearest=nearest, tokens=example_tokens, seed=seed
        )
        self._prompts = Path(prompts) if prompts is not None else None
        self._rationale = rationale
        self._settings = settings
        self.backend = self._backend(backend, cache_dir)
        self._loop = PrivateLoop()
        self._fits = False  # the calibration was found to fit
        self._run: Run | None = None

    # -- one ticket ----------------------------------------------------------------------------

    def classify(self, ticket: Ticket | str) -> Outcome:
        """Decide on one ticket, now. Raises BackendError if the engine cannot work."""
        return self._loop.run(self.aclassify(ticket))

    async def aclassify(self, ticket: Ticket | str) -> Outcome:
        """`classify` for async code."""
        async for outcome in self._stream(as_async([_ticket(ticket)]), online=True):
            return outcome
        raise AssertionError  # one ticket in, one outcome out

    # -- many ----------------------------------------------------------------------------------

    def classify_many(self, tickets: Iterable[Ticket | str]) -> Iterator[Outcome]:
        """Decide on tickets as they come: outcomes in their order, a bounded number under way, so memory stays flat.

        Tickets are drawn in this thread: while `tickets` keeps the caller waiting for the next one, finished outcomes wait too. For a
        live feed use `aclassify_many`.

        Raises:
            BackendError: The engine cannot work; outcomes before that have been yielded.
        """
        return self._loop.stream(self.aclassify_many, tickets)

    def aclassify_many(
        self, tickets: AsyncIterable[Ticket | str] | Iterable[Ticket | str], *, online: bool = False
    ) -> AsyncIterator[Outcome]:
        """`classify_many` for async code; `online` where somebody waits for the outcomes."""
        return self._stream(as_async(tickets), online=online)

    async def adefer(self, tickets: Sequence[Ticket | str], failure: Failure) -> list[Outcome]:
        """Let tickets wait for a person because no engine can be asked: kept in the store, asked again when they come again.

        Args:
            tickets: Any number.
            failure: Why.

        Raises:
            StoreError: They cannot be kept.
        """
        slots = [self._slot(_ticket(ticket)) for ticket in tickets]
        outcomes = [slot.decided or self.router.route(slot.ticket, slot.text, failure) for slot in slots]
        if self._memory is None:
            return outcomes
        run = await self._asettled_run()
        for slot in slots:
            slot.run_key = self._run_of(slot.ticket, run)
        return await self._told(self._memory, list(zip(slots, outcomes, strict=True)), run)

    async def _stream(self, tickets: AsyncIterator[Ticket | str], *, online: bool) -> AsyncIterator[Outcome]:
        if self._memory is None:
            async for _, outcome in self._decided(tickets, online=online):
                yield outcome
            return
        run = await self._asettled_run()
        async with aclosing(batches(self._decided(tickets, online=online), _TOGETHER)) as groups:
            async for group in groups:
                for outcome in await self._told(self._memory, group, run):
                    yield outcome

    async def _told(self, memory: Memory, group: Sequence[tuple[_Slot, Outcome]], run: Run) -> list[Outcome]:
        """Keep what was decided, and what is told of it then."""
        drawn = [memory.drawn(slot.ticket) for slot, _ in group]
        new = [
            Decision(slot.ticket, outcome, run, slot.run_key, probe)
            for (slot, outcome), probe in zip(group, drawn, strict=True)
            if not slot.kept
        ]
        standing = iter(await memory.record(new))
        stand = [outcome if slot.kept else next(standing) for slot, outcome in group]
        return [one if probe is None else blind(one) for one, probe in zip(stand, drawn, strict=True)]

    async def _decided(self, tickets: AsyncIterator[Ticket | str], *, online: bool) -> AsyncIterator[tuple[_Slot, Outcome]]:
        """What routing says of each ticket."""
        if self.calibration is not None and not self._fits:
            await self.asettle()
        slots: Puts[_Slot] = Puts(_HELD)
        slots.fill(self._ask(tickets, slots, online=online))
        try:
            while (slot := await slots.get()) is not None:
                yield slot, slot.decided or self.router.route(slot.ticket, slot.text, await slot.answer)
        finally:
            await slots.close()

    async def _ask(self, tickets: AsyncIterator[Ticket | str], slots: Puts[_Slot], *, online: bool) -> None:
        """Put a slot for each ticket and fill it when the engine has answered; a gated or known ticket is not asked about."""
        asked: deque[_Slot] = deque()
        all_asked = False

        async def questions() -> AsyncIterator[Question]:
            nonlocal all_asked
            async with aclosing(self._slots(tickets)) as waiting:
                async for slot in waiting:
                    if slot.decided is None:
                        asked.append(slot)
                    await slots.put(slot)
                    if slot.decided is None:
                        yield await self._question(slot.text)
            all_asked = True

        try:
            async for answer in self.backend.predict(questions(), online=online):
                if not asked:
                    raise self._broken("it answered more questions than it was asked")  # noqa: TRY301
                asked.popleft().answer.set_result(answer)
        except (SystemExit, KeyboardInterrupt) as error:
            # An engine that ends the program would end the thread of the loop, and every later call would wait for ever.
            broken = self._broken(f"it wanted to end the program ({type(error).__name__})")
            _fail(asked, broken)
            raise broken from error
        except BaseException as error:
            _fail(asked, error)
            raise
        if asked or not all_asked:
            broken = self._broken("it answered fewer questions than it was asked")
            _fail(asked, broken)
            raise broken

    async def _slots(self, tickets: AsyncIterator[Ticket | str]) -> AsyncGenerator[_Slot, None]:
        """A slot for each ticket, with what is known of it."""
        if self._memory is None:
            async for ticket in tickets:
                yield self._slot(_ticket(ticket))
            return
        run = await self._asettled_run()
        async with aclosing(batches(tickets, _TOGETHER)) as groups:
            async for group in groups:
                slots = [self._slot(_ticket(ticket)) for ticket in group]
                for slot in slots:
                    slot.run_key = self._run_of(slot.ticket, run)
                keys = [slot.run_key for slot in slots]
                known, as_of = await self._memory.recall([slot.ticket for slot in slots], [slot.text for slot in slots], keys)
                for slot, found in zip(slots, known, strict=True):
                    if slot.ticket.as_of is None:
                        slot.ticket = replace(slot.ticket, as_of=as_of)
                    if found is not None:
                        slot.decided, slot.kept = found.told if found.own else found.outcome, found.own
                    yield slot

    async def _question(self, text: str) -> Question:
        """What the engine is asked. Choosing takes milliseconds, the first time seconds, so it is done beside the loop."""
        if self._reads_prompts and self.selection.per_ticket:
            return await asyncio.to_thread(self.question, text)
        return Question(text=text, categories=self.taxonomy.leaves)

    def _broken(self, problem: str) -> BackendError:
        return BackendError(problem, backend=self.backend.name)

    def _slot(self, ticket: Ticket) -> _Slot:
        text = prepare(ticket, self.preparation).text
        return _Slot(ticket, text, self.router.gate(ticket, text))

    # -- what it is made of --------------------------------------------------------------------

    @cached_property
    def settings(self) -> Settings:
        """Of engines and prices; read from the environment when somebody needs them."""
        return self._settings or load_settings()

    @cached_property
    def prompt(self) -> Prompt:
        """What a chat model reads; also there to look at when the engine is another."""
        examples = self.selection.shared
        return Prompt(self.taxonomy, folder=self._prompts, language=self.language, examples=examples, rationale=self._rationale)

    def question(self, text: str) -> Question:
        """What an engine that reads prompts is asked about a prepared text: the categories, and the examples of this ticket."""
        return Question(text=text, categories=self.taxonomy.leaves, examples=self.selection.for_ticket(text))

    def planned(self, ticket: Ticket) -> Question | None:
        """What the engine would be asked about a ticket; None where it is not asked."""
        text = prepare(ticket, self.preparation).text
        if self.router.gate(ticket, text) is not None:
            return None
        return self.question(text) if self._reads_prompts else Question(text=text, categories=self.taxonomy.leaves)

    @property
    def _reads_prompts(self) -> bool:
        return bool(getattr(self.backend, "reads_prompts", False))

    def settle(self) -> None:
        """Find out what must be known before the first ticket: how a chat model is read, and whether the calibration fits. Asks the server, once.

        Raises:
            BackendError: The engine cannot work.
            CalibrationError: The calibration was made under something else.
        """
        self._loop.run(self.asettle())

    async def asettle(self) -> None:
        """`settle` for async code."""
        await self._know_the_engine()
        if self.calibration is not None and not self._fits:
            self.calibration.check(self._contract())
            self._fits = True

    async def _know_the_engine(self) -> None:
        if hasattr(self.backend, "settle"):
            await self.backend.settle()

    def contract(self) -> Mapping[str, str]:
        """What a calibration holds under: all that outcomes depend on besides the calibration itself.

        Raises:
            BackendError: The engine cannot work, where that was not known yet.
        """
        self._loop.run(self._know_the_engine())
        return self._contract()

    def fingerprint(self) -> Mapping[str, str]:
        """All that outcomes depend on: the same here means the same outcomes, as far as the engine is deterministic.

        Raises:
            BackendError: The engine cannot work, where that was not known yet.
        """
        return self._fingerprint(self.contract())

    def _fingerprint(self, contract: Mapping[str, str]) -> Mapping[str, str]:
        own = {"calibration": self.calibration.hash} if self.calibration else {}
        return {**contract, **own, **(self._memory.fingerprint() if self._memory else {})}

    def _contract(self) -> Mapping[str, str]:
        chosen = self.selection.fingerprint() if self._reads_prompts else {}
        return {
            **self.backend.fingerprint(),
            **{f"select.{key}": value for key, value in chosen.items()},
            **{f"prepare.{key}": value for key, value in self.preparation.fingerprint().items()},
            "taxonomy": self.taxonomy.hash,
            "policy": self.router.fingerprint,
        }

    @property
    def run(self) -> Run:
        """All that outcomes depend on, under a short name. Raises BackendError if the engine cannot work."""
        return self._run or self._loop.run(self._asettled_run())

    async def arun(self) -> Run:
        """`run` for async code."""
        return await self._asettled_run()

    @property
    def run_id(self) -> str:
        """The fingerprint in 16 hex digits."""
        return self.run.id

    async def _asettled_run(self) -> Run:
        if self._run is None:
            await self._know_the_engine()
            fingerprint = self._fingerprint(self._contract())
            self._run = Run(digest(dict(fingerprint)), self.backend.name, fingerprint)
        return self._run

    def run_of(self, ticket: Ticket) -> str:
        """What the outcome of this ticket depends on besides its text: the run, and the fields that rules look at."""
        return self._run_of(ticket, self.run)

    def _run_of(self, ticket: Ticket, run: Run) -> str:
        values = self.router.looked_at(ticket)
        return f"{run.id}-{digest(values)[:8]}" if values else run.id

    def unknown(self, tickets: Sequence[Ticket]) -> int:
        """How many of these tickets the store knows no outcome of in this run; 0 without a store. Raises BackendError, StoreError."""
        if self._memory is None or not tickets:
            return 0
        return self._memory.store.recall([(ticket, self.run_of(ticket)) for ticket in tickets]).known.count(None)

    def close(self) -> None:
        """Close the connections that sync calls opened, and the store if it was given by its name."""
        self._loop.run(self.aclose())

    async def aclose(self) -> None:
        """Close the connections that async calls opened in the running loop, and the store if it was given by its name."""
        aclose = getattr(self.backend, "aclose", None)
        if aclose is not None:
            await aclose()
        if self._memory is not None:
            await self._memory.aclose()

    def __enter__(self) -> Self:
        """Use as a context manager to close connections at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections that sync calls opened."""
        self.close()

    async def __aenter__(self) -> Self:
        """Use as an async context manager to close connections at the end."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections that async calls opened."""
        await self.aclose()

    def _known(self, examples: Sequence[Example] | str | Path | None) -> tuple[Example, ...]:
        if examples is None:
            return ()
        if isinstance(examples, str | Path) and str(examples).startswith(STORED):
            return self._stored(str(examples).removeprefix(STORED))
        if isinstance(examples, str | Path):
            return read_examples(examples, self.taxonomy, self.preparation)
        return tuple(replace(each, text=without_personal_data(each.text, self.preparation)) for each in examples)

    def _stored(self, name: str) -> tuple[Example, ...]:
        if self._memory is None:
            raise InputError("a set of examples in a store needs the store", field="examples", remedy="name it: store=...")
        store = self._memory.store
        return stored_examples(store.examples(name), self.taxonomy, self.preparation, place=store.name)

    def _backend(self, backend: Backend | str, cache_dir: str | Path | None) -> Backend:
        if not isinstance(backend, str):
            return backend
        setup = backends.Setup(
            taxonomy=self.taxonomy,
            examples=self.examples,
            prompt=lambda: self.prompt,
            settings=self.settings,
            per_ticket=self.selection.per_ticket,
            cache_dir=Path(cache_dir) if cache_dir is not None else None,
        )
        return backends.create(backend, setup)


def classify(ticket: Ticket | str, **options: Any) -> Outcome:
    """Decide on one ticket with a `Triage` that is built once for the same options and kept.

    Args:
        ticket: The ticket, or its text.
        options: Those of `Triage`; all must be hashable.
    """
    try:
        return _kept(str(Path.cwd()), tuple(sorted(options.items()))).classify(ticket)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        raise InputError(
            "an option is an object that cannot be remembered", remedy="make a Triage of your own and keep it"
        ) from None


@lru_cache(maxsize=8)
def _kept(folder: str, options: tuple[tuple[str, Any], ...]) -> Triage:  # noqa: ARG001 - paths among the options are relative to it
    return Triage(**dict(options))


def _taxonomy(taxonomy: Taxonomy | str | Path | None) -> Taxonomy:
    if isinstance(taxonomy, Taxonomy):
        return taxonomy
    if taxonomy is not None:
        return Taxonomy.load(taxonomy)
    nearby = Taxonomy.nearby()
    if nearby is not None:
        return nearby
    _log.info("no taxonomy given and no ./taxonomy.yaml: the sample taxonomy is used")
    return Taxonomy.sample()


def _calibration(calibration: Calibration | str | Path | None) -> Calibration | None:
    if isinstance(calibration, str | Path):
        from llmtriage.calibration import Calibration

        return Calibration.load(calibration)
    if calibration is not None and not calibration.promises:
        raise InputError("promises nothing: a plan, not a calibration", field="calibration", remedy="calibrate first")
    return calibration


def _memory(store: Store | str | Path | None, probe: float | None) -> Memory | None:
    if store is None:
        if probe is not None:
            raise InputError("a blind review needs a store", field="probe", remedy="name one")
        return None
    if isinstance(store, str | Path):
        from llmtriage.store import SqlStore

        opened = SqlStore(store)
        return Memory(opened, probe, close=opened.close)
    return Memory(store, probe)


def _share(threshold: float | None) -> float | None:
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"{threshold} is not between 0 and 1", field="threshold", remedy="give a share like 0.8")
    return threshold


def _ticket(ticket: Ticket | str) -> Ticket:
    return Ticket(content=ticket) if isinstance(ticket, str) else ticket


def _fail(asked: Iterable[_Slot], error: BaseException) -> None:
    for slot in asked:
        if isinstance(error, asyncio.CancelledError):
            slot.answer.cancel()
        else:
            slot.answer.set_exception(error)
            slot.answer.exception()  # looked at, so that the loop does not warn when nobody comes for it
