"""Sorts support tickets with an LLM: by itself only where its error rate is held, everything else waits for a person.

The names are loaded when they are first used, so that importing the package stays quick.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmtriage.errors import (
        BackendError,
        BackendRefusedError,
        BackendUnavailableError,
        InputError,
        LlmtriageError,
        MissingExtraError,
        StoppedError,
        UnknownNameError,
    )
    from llmtriage.outcomes import Accepted, Candidate, Outcome, Pending, Reason
    from llmtriage.predictions import Example, Failure, Prediction, Question, Scores, SingleLabel, Usage
    from llmtriage.prepare import Preparation, Redaction
    from llmtriage.protocols import Backend, Selector
    from llmtriage.routing import Policy
    from llmtriage.settings import BackendSettings, Patience, Price, Settings
    from llmtriage.taxonomy import Category, Taxonomy
    from llmtriage.tickets import Ticket
    from llmtriage.triage import Triage, classify

__version__ = "0.1.0"

_HOMES = {
    "errors": (
        "BackendError",
        "BackendRefusedError",
        "BackendUnavailableError",
        "InputError",
        "LlmtriageError",
        "MissingExtraError",
        "StoppedError",
        "UnknownNameError",
    ),
    "outcomes": ("Accepted", "Candidate", "Outcome", "Pending", "Reason"),
    "predictions": ("Example", "Failure", "Prediction", "Question", "Scores", "SingleLabel", "Usage"),
    "prepare": ("Preparation", "Redaction"),
    "protocols": ("Backend", "Selector"),
    "routing": ("Policy",),
    "settings": ("BackendSettings", "Patience", "Price", "Settings"),
    "taxonomy": ("Category", "Taxonomy"),
    "tickets": ("Ticket",),
    "triage": ("Triage", "classify"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Accepted",
    "Backend",
    "BackendError",
    "BackendRefusedError",
    "BackendSettings",
    "BackendUnavailableError",
    "Candidate",
    "Category",
    "Example",
    "Failure",
    "InputError",
    "LlmtriageError",
    "MissingExtraError",
    "Outcome",
    "Patience",
    "Pending",
    "Policy",
    "Prediction",
    "Preparation",
    "Price",
    "Question",
    "Reason",
    "Redaction",
    "Scores",
    "Selector",
    "Settings",
    "SingleLabel",
    "StoppedError",
    "Taxonomy",
    "Ticket",
    "Triage",
    "UnknownNameError",
    "Usage",
    "__version__",
    "classify",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
