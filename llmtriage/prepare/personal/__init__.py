"""Finding personal data, kind by kind: each detector is a function from text to the places of its kind.

A detector takes time linear in the text. It may find a place twice, and places that overlap those of another kind: `llmtriage.prepare.redaction`
decides. Text comes with full-width letters, digits and signs as plain ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llmtriage.prepare.personal.numbers import bank_cards, cn_ids, ibans, phones, plates
from llmtriage.prepare.personal.people import names
from llmtriage.prepare.personal.postal import addresses
from llmtriage.prepare.personal.web import emails, urls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["CUED", "FORMATTED", "Detector", "Found"]

Found = tuple[int, int]
"""Begin and end of a place in the text."""

if TYPE_CHECKING:
    Detector = Callable[[str], Iterator[Found]]

FORMATTED: Final[Mapping[str, Detector]] = {
    "email": emails,
    "url": urls,
    "cn_id": cn_ids,
    "iban": ibans,
    "bank_card": bank_cards,
    "phone": phones,
    "plate": plates,
}
"""Kinds with a format, the surest first."""
CUED: Final[Mapping[str, Detector]] = {"address": addresses, "name": names}
"""Kinds that cue words give away. They are looked for where nothing with a format is."""
