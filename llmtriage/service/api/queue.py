"""What waits for a person: looked at, lent, answered, given back, taken back."""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import replace
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from llmtriage.errors import InputError, OutdatedError
from llmtriage.outcomes import ReasonCode
from llmtriage.reviewing import Cursor, Item, Lane, Order
from llmtriage.service.access import Caller, may
from llmtriage.service.api.queue_models import (
    ClaimIn,
    ConfirmIn,
    CorrectIn,
    CountsOut,
    EntryOut,
    FiltersIn,
    HoldIn,
    ItemsOut,
    Name,
    Number,
    PageOut,
    ReviewOut,
    Seconds,
    UndoIn,
    UndoneOut,
)
from llmtriage.service.api.reviewers import ReviewerIn, answering
from llmtriage.service.edge.idempotency import once
from llmtriage.service.language import Language, language_of
from llmtriage.service.problems import Problem
from llmtriage.service.serving import service_of

router = APIRouter(
    prefix="/queue",
    tags=["queue"],
    responses={
        409: {
            "description": "The entry is no longer what was shown: answered, changed, or with somebody else. The title says what."
        }
    },
)
_Reviews = Annotated[Caller, Depends(may("review"))]
_ReviewsOnce = Annotated[Caller, Depends(once("review"))]
_InLanguage = Annotated[Language, Depends(language_of)]
_Entry = Annotated[Number, Path(description="The number of an entry.")]


@router.get("")
def page(
    request: Request,
    *,
    caller: _Reviews,
    language: _InLanguage,
    reviewer: Annotated[ReviewerIn, Query()] = None,
    reason: ReasonCode | None = None,
    category: Annotated[Name | None, Query(description="Those with this suggestion, or one below it.")] = None,
    ticket_language: Name | None = None,
    lane: Lane | None = None,
    sample: Name | None = None,
    older_than: Annotated[Seconds | None, Query(description="Seconds.")] = None,
    newer_than: Annotated[Seconds | None, Query(description="Seconds.")] = None,
    order: Order = "oldest",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200, description="`next` of the page before.")] = None,
) -> PageOut:
    """What waits for a person, whoever has it before them: not what the person skipped, nor second opinions on own answers. Nothing is lent."""
    service = service_of(request)
    given = FiltersIn(
        reason=reason,
        category=category,
        ticket_language=ticket_language,
        lane=lane,
        sample=sample,
        older_than=older_than,
        newer_than=newer_than,
    )
    filters = replace(_checked(lambda: given.to_filters(service.taxonomy)), open_to=answering(caller, reviewer))
    after = None if cursor is None else _read(cursor, order)
    found = service.store.queue.page(filters, order, after=after, limit=limit)
    counts = None if after else CountsOut.of(service.store.queue.counts(filters))
    following = None if found.after is None else _written(order, found.after)
    return PageOut(items=[EntryOut.of(item, language) for item in found.items], next=following, counts=counts)


@router.post("/claim")
def claim(request: Request, wanted: ClaimIn, caller: _Reviews, language: _InLanguage) -> ItemsOut:
    """The first entries that this person has or that nobody has, lent to the person for ten minutes. Asked again it gives the same ones."""
    service = service_of(request)
    filters = _checked(lambda: wanted.filters.to_filters(service.taxonomy))
    items = service.store.queue.claim(answering(caller, wanted.reviewer), filters, wanted.order, wanted.n)
    return ItemsOut(items=[EntryOut.of(item, language) for item in items])


@router.post("/undo")
def undo(request: Request, wanted: UndoIn, caller: _ReviewsOnce) -> UndoneOut:
    """Take the person's last answer back, or that to one entry. It waits again, lent to the same person."""
    taken, item = service_of(request).store.queue.undo(answering(caller, wanted.reviewer), wanted.entry)
    return UndoneOut(taken_back=ReviewOut.of(taken), entry=item.entry, token=item.token, held_until=item.held_until)


@router.get("/{entry:int}")
def entry(request: Request, entry: _Entry, caller: _Reviews, language: _InLanguage) -> EntryOut:
    """One entry, whatever its state. While a second opinion on it waits, only a caller of the scope admin sees what was suggested."""
    return EntryOut.of(service_of(request).store.queue.item(entry, sees_all="admin" in caller.scopes), language)


@router.post("/{entry:int}/confirm")
def confirm(request: Request, entry: _Entry, said: ConfirmIn, caller: _ReviewsOnce) -> ReviewOut:
    """Say that the suggestion is right. An entry without one, as every blind one, is answered by `correct`."""
    item = _shown(request, entry, said)
    if item.suggestion is None:
        raise Problem(422, "there is no suggestion to confirm", "say which category is right")
    return _answer(request, item, item.suggestion, said, caller, shown=True)


@router.post("/{entry:int}/correct")
def correct(request: Request, entry: _Entry, said: CorrectIn, caller: _ReviewsOnce) -> ReviewOut:
    """Say which category is right; also that which was suggested."""
    return _answer(request, _shown(request, entry, said), said.category, said, caller, shown=said.shown)


@router.post("/{entry:int}/skip", status_code=204)
def skip(request: Request, entry: _Entry, held: HoldIn, caller: _ReviewsOnce) -> Response:
    """Leave an entry to others: this person does not get it again."""
    service_of(request).store.queue.skip(_shown(request, entry, held), answering(caller, held.reviewer))
    return Response(status_code=204)


@router.post("/{entry:int}/release", status_code=204)
def release(request: Request, entry: _Entry, held: HoldIn, caller: _ReviewsOnce) -> Response:
    """Give an entry back, for anybody."""
    item = _shown(request, entry, held)
    return _told(item, done=service_of(request).store.queue.release(item, answering(caller, held.reviewer)))


@router.post("/{entry:int}/extend", status_code=204)
def extend(request: Request, entry: _Entry, held: HoldIn, caller: _ReviewsOnce) -> Response:
    """Lend an entry to the same person for ten more minutes."""
    item = _shown(request, entry, held)
    return _told(item, done=service_of(request).store.queue.extend(item, answering(caller, held.reviewer)))


def _shown(request: Request, entry: int, held: HoldIn) -> Item:
    """An entry as the caller saw it: if its token moved on since, what is done with it is refused."""
    return replace(service_of(request).store.queue.item(entry), token=held.token)


def _answer(request: Request, item: Item, category: str, said: ConfirmIn, caller: Caller, *, shown: bool) -> ReviewOut:
    service = service_of(request)
    taxonomy = service.taxonomy
    leaf = _checked(lambda: taxonomy.leaf(category, field="category"))
    given = service.store.queue.answer(
        item,
        answering(caller, said.reviewer),
        leaf,
        taxonomy=taxonomy,
        shown=shown and item.suggestion is not None,
        note=said.note,
        active_ms=said.active_ms,
    )
    return ReviewOut.of(given)


def _told(item: Item, *, done: bool) -> Response:
    if not done:
        who = f"; it is with {item.held_by}" if item.held_by else ""
        raise OutdatedError(f"{item.name} is no longer what was lent to this person{who}", remedy="claim anew")
    return Response(status_code=204)


def _checked(name: Any) -> Any:
    """What a name in the request means. What it names is missing, not the page: 422, not 404."""
    try:
        return name()
    except InputError as error:
        raise Problem(422, error.problem, error.remedy or "") from None


def _written(order: Order, after: Cursor) -> str:
    return base64.urlsafe_b64encode(json.dumps([order, *after]).encode()).decode()


def _read(cursor: str, order: Order) -> Cursor:
    """Where a page ended. Raises Problem."""
    try:
        of, rank, entry = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        whole = type(rank) is float and math.isfinite(rank) and type(entry) is int and 0 <= entry < 2**63
    except (binascii.Error, ValueError, TypeError, RecursionError):
        whole = False
    if not whole or of not in get_args(Order):
        raise Problem(422, "no cursor of this service", "begin with the first page")
    if of != order:
        raise Problem(422, f"a cursor of the order {of}", "begin with the first page")
    return rank, entry
