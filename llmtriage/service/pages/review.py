"""The queue, one ticket a page, and a person's own answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Path, Request, Response
from fastapi.responses import RedirectResponse

from llmtriage.errors import InputError, OutdatedError, UnknownNameError
from llmtriage.outcomes import REASON_CODES
from llmtriage.review_screen import choosing
from llmtriage.review_screen.state import suggests
from llmtriage.service.access.people import Person, check, person_of
from llmtriage.service.pages import showing
from llmtriage.service.pages.faults import PageRoute
from llmtriage.service.pages.filtering import AGES, LANES, Wanted, wanted_of
from llmtriage.service.pages.rendering import page
from llmtriage.service.pages.words import WORDS, Words, words_of
from llmtriage.service.problems import Problem
from llmtriage.service.serving import Service, service_of

if TYPE_CHECKING:
    from llmtriage.reviewing import Item
    from llmtriage.store import Queue

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_LARGEST = 2**31 - 1  # milliseconds that a database takes
Entry = Annotated[int, Path(ge=1, le=2**63 - 1)]
Token = Annotated[int, Form(ge=0, le=_LARGEST)]
_FOUND = 30  # categories that a search shows
_LISTED = 15  # tickets that the queue shows
_LOOKING = ("find", "similar")  # what a person without script does before they answer

Who = Annotated[Person, Depends(person_of)]
Which = Annotated[Wanted, Depends(wanted_of)]


@dataclass(frozen=True, slots=True)
class Said:
    """A line about what was done: its key in the words, and the category it is about."""

    key: str = ""
    category: str = ""

    def line(self, words: Words, service: Service) -> str:
        """In the language of the page; empty for a key that is none."""
        key = f"said {self.key}"
        if key not in WORDS:
            return ""
        return words(key, showing.named(service.taxonomy, self.category, words.language))


@dataclass(slots=True)
class Desk:
    """A person at the queue: what each of the routes below needs.

    Attributes:
        request: What was asked.
        person: Who.
        wanted: Which tickets.
    """

    request: Request
    person: Person
    wanted: Wanted

    @property
    def service(self) -> Service:
        """What runs."""
        return service_of(self.request)

    @property
    def queue(self) -> Queue:
        """What waits."""
        return self.service.store.queue

    @property
    def words(self) -> Words:
        """In the language of the page."""
        return words_of(self.request)

    @property
    def has_script(self) -> bool:
        """Whether a script asks, which puts the page in place of the one before."""
        return "HX-Request" in self.request.headers

    def show(self, template: str, path: str, said: Said, **facts: Any) -> Response:
        """A page."""
        line = said.line(self.words, self.service)
        return page(
            self.request,
            template,
            person=self.person,
            path=path,
            pushed=self.has_script and self.request.method == "POST",
            wanted=self.wanted,
            said=line,
            **facts,
        )

    def go(self, path: str, said: Said) -> Response:
        """To another page, for who has no script."""
        told = {"said": said.key, **({"of": said.category} if said.category else {})} if said.key else {}
        query = urlencode({**self.wanted.asked, **told})
        return RedirectResponse(f"{path}?{query}" if query else path, 303)


def desk_of(request: Request, person: Who, wanted: Which) -> Desk:
    """Who works on what. Raises Problem."""
    return Desk(request, person, wanted)


At = Annotated[Desk, Depends(desk_of)]


@router.get("/")
def home() -> Response:
    """The pages begin with the queue."""
    return RedirectResponse("/review", 303)


@router.get("/review")
def queue(desk: At, said: str = "", of: str = "") -> Response:
    """What waits."""
    return _queue(desk, Said(said, of))


@router.get("/review/next")
def claim(desk: At, said: str = "", of: str = "") -> Response:
    """The next ticket, for ten minutes; the same one till it is answered or skipped."""
    lent = desk.queue.claim(desk.person.name, desk.wanted.filters)
    return desk.go(f"/review/{lent[0].entry}" if lent else "/review", Said(said, of))


@router.get("/review/history")
def history(desk: At, said: str = "", of: str = "") -> Response:
    """A person's own last answers."""
    language = desk.words.language
    given = [
        (one, showing.named(desk.service.taxonomy, one.category or "", language)) for one in desk.queue.history(desk.person.name)
    ]
    return desk.show("history.html.j2", "/review/history", Said(said, of), given=given)


@router.get("/review/categories")
def categories(request: Request, person: Who, find: str = "") -> Response:
    """What a few typed letters find, as a part of a page."""
    return page(request, "found.html.j2", person=person, found=_found(service_of(request), words_of(request), find), find=find)


@router.get("/review/{entry}")
def ticket(desk: At, entry: Entry, said: str = "", of: str = "") -> Response:
    """One ticket. It is lent for ten more minutes to the person who has it; to others it is not shown."""
    try:
        item = desk.queue.item(entry)
    except UnknownNameError:
        raise Problem(404, desk.words("no entry")) from None
    if desk.queue.extend(item, desk.person.name):
        return _ticket(desk, item, Said(said, of))
    why = {"done": "answered", "withdrawn": "withdrawn"}.get(item.state, "not yours")
    return desk.show("away.html.j2", f"/review/{entry}", Said(said, of), why=why)


@router.get("/review/{entry}/similar")
def similar(desk: At, entry: Entry) -> Response:
    """Similar tickets that people decided, as a part of a page; asked for when somebody wants to see them."""
    return page(desk.request, "similar.html.j2", person=desk.person, similar=_similar(desk, desk.queue.item(entry)))


@dataclass(frozen=True, slots=True)
class Given:
    """What a form says of a ticket, as it was shown."""

    token: int
    text: int
    answer: str
    action: str
    note: str
    find: str
    active_ms: str

    @property
    def milliseconds(self) -> int | None:
        """How long the ticket was before the person; None without a script that measured it."""
        said = self.active_ms
        return min(int(said), _LARGEST) if said.isascii() and said.isdecimal() and len(said) < 19 else None


def given_of(
    *,
    token: Token,
    text: Annotated[int, Form(ge=1, le=2**63 - 1)],
    answer: Annotated[str, Form()] = "",
    action: Annotated[str, Form()] = "",
    note: Annotated[str, Form(max_length=4_000)] = "",
    find: Annotated[str, Form(max_length=1_000)] = "",
    active_ms: Annotated[str, Form()] = "",
) -> Given:
    """What was sent."""
    return Given(token, text, answer, action, note.strip(), find, active_ms)


@router.post("/review/undo", dependencies=[Depends(check)])
def take_back_last(desk: At) -> Response:
    """Take the last answer back where no ticket is shown; its ticket is next."""
    return _taken_back(desk, None, "/review")


@router.post("/review/{entry}", dependencies=[Depends(check)])
def act(desk: At, entry: Entry, given: Annotated[Given, Depends(given_of)]) -> Response:
    """Answer or skip, or take the last answer back; then comes the next ticket, in the same response where there is a script.

    Who has no script also searches here: what is written of a note is still there on the page that comes.
    """
    item = replace(desk.queue.item(entry), token=given.token, text_id=given.text)
    if given.action == "undo":
        return _undo(desk, item)
    if given.action in _LOOKING and desk.queue.extend(item, desk.person.name):
        return _ticket(desk, item, Said(), given)
    try:
        said = _done(desk, item, given)
    except OutdatedError:
        said = Said("outdated")
    except InputError:
        if desk.queue.extend(item, desk.person.name):
            return _ticket(desk, item, Said("unknown category"), given)
        said = Said("outdated")
    return _following(desk, said)


@router.post("/review/{entry}/extend", dependencies=[Depends(check)])
def extend(desk: At, entry: Entry, token: Token) -> Response:
    """Lend a ticket that is before a person's eyes for ten more minutes: 204, or 409 where somebody else has it."""
    item = replace(desk.queue.item(entry), token=token)
    return Response(status_code=204 if desk.queue.extend(item, desk.person.name) else 409)


@router.post("/review/{entry}/undo", dependencies=[Depends(check)])
def take_back(desk: At, entry: Entry) -> Response:
    """Take an own answer back, from the list of them; its ticket is next."""
    return _taken_back(desk, entry, "/review/history")


def _taken_back(desk: Desk, entry: int | None, otherwise: str) -> Response:
    try:
        taken, item = desk.queue.undo(desk.person.name, entry)
    except InputError:
        return desk.go(otherwise, Said("nothing to undo"))
    return desk.go(f"/review/{item.entry}", Said("undone", taken.category or ""))


def _done(desk: Desk, item: Item, given: Given) -> Said:
    """Do what the form says. Raises OutdatedError, InputError, Problem."""
    if given.action == "skip":
        desk.queue.skip(item, desk.person.name)
        return Said("skipped")
    if given.action in _LOOKING:
        raise OutdatedError("somebody else has this entry")
    if not given.answer:
        raise Problem(422, "an answer names a category")
    kept = desk.queue.answer(
        item,
        desk.person.name,
        given.answer,
        taxonomy=desk.service.taxonomy,
        shown=suggests(item),
        note=given.note or None,
        active_ms=given.milliseconds,
    )
    return Said("saved", kept.category or "")


def _undo(desk: Desk, item: Item) -> Response:
    try:
        taken, again = desk.queue.undo(desk.person.name)
    except InputError:
        return _stay(desk, item, Said("nothing to undo"))
    desk.queue.release(item, desk.person.name)
    if again.state != "open" or again.held_by != desk.person.name:
        return _following(desk, Said("undone", taken.category or ""))
    return _stay(desk, again, Said("undone", taken.category or ""))


def _following(desk: Desk, said: Said) -> Response:
    lent = desk.queue.claim(desk.person.name, desk.wanted.filters)
    return _stay(desk, lent[0], said) if lent else _nothing(desk, said)


def _stay(desk: Desk, item: Item, said: Said) -> Response:
    return _ticket(desk, item, said) if desk.has_script else desk.go(f"/review/{item.entry}", said)


def _nothing(desk: Desk, said: Said) -> Response:
    return _queue(desk, said) if desk.has_script else desk.go("/review", said)


def _queue(desk: Desk, said: Said) -> Response:
    filters, now = replace(desk.wanted.filters, open_to=desk.person.name), datetime.now(UTC)
    counts, words = desk.queue.counts(filters), desk.words
    waiting = desk.queue.page(filters, limit=_LISTED).items
    return desk.show(
        "queue.html.j2",
        "/review",
        said,
        counts=counts,
        oldest=words.span(counts.oldest, now) if counts.oldest else "",
        waiting=[(item, words.span(item.enqueued_at, now)) for item in waiting],
        lanes=LANES,
        reasons=REASON_CODES,
        ages=[(code, words.span(now - span, now)) for code, span in AGES.items()],
        nodes=[
            (node.id, " > ".join(one.label(words.language) for one in desk.service.taxonomy.path(node.id)))
            for node in desk.service.taxonomy.nodes
        ],
    )


def _ticket(desk: Desk, item: Item, said: Said, given: Given | None = None) -> Response:
    service, words = desk.service, desk.words
    taxonomy, language = service.taxonomy, words.language
    offered = showing.offered(taxonomy, item, language)
    suggestion, leaf = showing.suggested(taxonomy, item, language)
    fallback = taxonomy.catch_all
    return desk.show(
        "ticket.html.j2",
        f"/review/{item.entry}",
        said,
        item=item,
        age=words.span(item.enqueued_at, datetime.now(UTC)),
        why=[reason.sentence(language) for reason in item.reasons],
        text=showing.text_of(item.ticket, service.versions.current.triage.preparation, redacted=service.store.kept == "redacted"),
        suggestion=suggestion,
        leaf=leaf,
        offered=offered,
        fallback=fallback and showing.choice(taxonomy, fallback, language),
        tree=showing.tree(taxonomy, language, keys=not offered),
        similar=_similar(desk, item) if given and given.action == "similar" else None,
        note=given.note if given else "",
        find=given.find if given else "",
        found=_found(service, words, given.find if given else ""),
    )


def _similar(desk: Desk, item: Item) -> tuple[showing.Alike, ...]:
    return showing.alike(desk.service.taxonomy, desk.queue.similar(item), desk.words.language)


def _found(service: Service, words: Words, find: str) -> list[showing.Choice]:
    if not find.strip():
        return []
    leaves = choosing.found(service.taxonomy, find[:200])[:_FOUND]
    return [showing.choice(service.taxonomy, leaf, words.language) for leaf in leaves]
