"""Every exception this library raises on purpose, as one tree.

* LlmtriageError
  * InputError              a file, a setting or an argument that cannot be used
    * UnknownNameError      a name (category, backend, column, key) that does not exist
    * MissingExtraError     an optional package is not installed
    * OutdatedError         an entry of the queue is no longer what was shown
  * CalibrationError        a calibration was made under something else
  * StoreError              the store cannot be read or written; what was committed is kept
  * BackendError            the engine as a whole cannot work; the run stops
    * BackendUnavailableError
    * BackendRefusedError   wrong key, no permission, unknown model, no money
      * RefusedFieldError   a field of the request that the server does not take
      * UnknownModelError   the server does not know the model
      * UnknownRouteError   nothing answers at this path of the server
    * StoppedError          the run was stopped before its end and can go on later: budget or quota spent, server gone

A failure that concerns one ticket is never an exception: it is a `Failure` (see `llmtriage.predictions`).
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike


class LlmtriageError(Exception):
    """Base of all errors of this library; `str()` is one line fit for a user."""

    exit_code: ClassVar[int] = 1


class InputError(LlmtriageError):
    """A file, a setting or an argument cannot be used. The message says what, where and how to mend it.

    Args:
        problem: What is wrong, without a full stop.
        remedy: How to mend it, without a full stop.
        file: The file it stands in, if any.
        line: The line in that file, counted from 1.
        field: The field, column, key or argument it is about.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        remedy: str | None = None,
        file: str | PathLike[str] | None = None,
        line: int | None = None,
        field: str | None = None,
    ) -> None:
        self.problem = problem
        self.remedy = remedy
        self.file = None if file is None else str(file)
        self.line = line
        self.field = field
        super().__init__(_one_line(self))

    def at(self, *, file: str | PathLike[str], line: int | None = None) -> InputError:
        """The same error with the place filled in by a caller who knows it."""
        cls = type(self)
        return cls(self.problem, remedy=self.remedy, file=self.file or file, line=self.line or line, field=self.field)


class UnknownNameError(InputError):
    """A name that does not exist, with the nearest one that does. The nearest name is a hint to a person, never used as an answer."""

    @classmethod
    def among(
        cls,
        kind: str,
        name: str,
        known: Iterable[str],
        *,
        file: str | PathLike[str] | None = None,
        line: int | None = None,
        field: str | None = None,
    ) -> UnknownNameError:
        """Build the error for `name`, which is not one of `known`."""
        return cls(f"unknown {kind} {short(name)!r}", remedy=nearest(name, known), file=file, line=line, field=field)


class MissingExtraError(InputError):
    """An optional package is not installed."""

    @classmethod
    def of(cls, extra: str, purpose: str) -> MissingExtraError:
        """Build the error for `extra`, which `purpose` needs."""
        return cls(f"{purpose} needs an optional package", remedy=f"pip install 'llmtriage[{extra}]'")


class OutdatedError(InputError):
    """An entry of the queue is no longer what a person was shown: answered, withdrawn, of a newer text, or with somebody else."""


class CalibrationError(LlmtriageError):
    """A calibration was made under something else than it is used under, so its promise says nothing here.

    Args:
        differs: What differs, in words.
    """

    exit_code = 3

    def __init__(self, differs: tuple[str, ...]) -> None:
        self.differs = differs
        problem = f"the calibration does not fit: it was made with another {', another '.join(differs)}"
        super().__init__(_joined(problem, "calibrate anew, or use what it was made with"))

    def __reduce__(self) -> tuple[object, ...]:
        """So that it crosses a process boundary."""
        return (type(self), (self.differs,))


class StoreError(LlmtriageError):
    """The store cannot be read or written now: disk full, locked, gone. What was committed before is kept, and a run can go on later.

    Args:
        problem: What is wrong, without a full stop.
        store: Its file, or its address without the password.
        remedy: How to mend it, without a full stop.
        is_away: Whether that is so whatever is to be kept; else it may be the fault of what was.
    """

    exit_code = 5

    def __init__(self, problem: str, *, store: str, remedy: str | None = None, is_away: bool = False) -> None:
        self.problem = problem
        self.store = store
        self.remedy = remedy
        self.is_away = is_away
        super().__init__(_joined(f"{store}: {problem}", remedy))

    def __reduce__(self) -> tuple[object, ...]:
        """So that it crosses a process boundary."""
        return (_store_error, (self.problem, self.store, self.remedy, self.is_away))


def is_everybodys(error: BaseException) -> bool:
    """Whether what failed for several would fail for each of them alone, and each would wait as long to learn it."""
    return not isinstance(error, Exception) or (isinstance(error, StoreError) and error.is_away)


class BackendError(LlmtriageError):
    """The engine as a whole cannot work, so the run stops; tickets that were decided stay decided.

    Args:
        problem: What is wrong, without a full stop and without keys or ticket text.
        remedy: How to mend it, without a full stop.
        backend: The engine's name.
    """

    exit_code = 4

    def __init__(self, problem: str, *, remedy: str | None = None, backend: str | None = None) -> None:
        self.problem = problem
        self.remedy = remedy
        self.backend = backend
        super().__init__(_joined(f"{backend}: {problem}" if backend else problem, remedy))


class BackendUnavailableError(BackendError):
    """No connection to the server can be made."""


class BackendRefusedError(BackendError):
    """The server refuses to work for this caller: wrong key, no permission, unknown model, no money."""


class RefusedFieldError(BackendRefusedError):
    """The server does not take the field `field` of the request."""

    def __init__(self, field: str, problem: str, *, remedy: str | None = None, backend: str | None = None) -> None:
        super().__init__(problem, remedy=remedy, backend=backend)
        self.field = field

    def __reduce__(self) -> tuple[object, ...]:
        """So that it crosses a process boundary."""
        return (type(self), (self.field, self.problem))


class UnknownModelError(BackendRefusedError):
    """The server does not know the model."""


class UnknownRouteError(BackendRefusedError):
    """Nothing answers at this path of the server."""


class StoppedError(BackendError):
    """The run stops before its end, on purpose, and can go on later: a budget or a quota is spent, or the server stayed away."""

    exit_code = 5


def _store_error(problem: str, store: str, remedy: str | None, is_away: bool) -> StoreError:  # noqa: FBT001 - as `__reduce__` has it
    return StoreError(problem, store=store, remedy=remedy, is_away=is_away)


def short(text: str, limit: int = 60) -> str:
    """`text` cut to `limit` characters for a message."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def nearest(name: str, known: Iterable[str], *, show: int = 8) -> str:
    """A remedy for a mistyped name: the nearest known one, else the first few that exist."""
    names = list(known)
    folded = {n.casefold(): n for n in names}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    listed = ", ".join(short(n) for n in names[:show])
    return f"known: {listed}{', …' if len(names) > show else ''}" if names else "none is defined"


def _one_line(error: InputError) -> str:
    place = ":".join(str(part) for part in (error.file, error.line) if part is not None)
    what = f"{error.field}: {error.problem}" if error.field else error.problem
    return _joined(f"{place}: {what}" if place else what, error.remedy)


def _joined(problem: str, remedy: str | None) -> str:
    text = f"{problem}; {remedy}" if remedy else problem
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
