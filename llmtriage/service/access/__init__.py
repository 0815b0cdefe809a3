"""Who may do what."""

from llmtriage.service.access.callers import Caller, caller_of, known_caller, may
from llmtriage.service.access.state import install
from llmtriage.store.keys import SCOPES, Scope

__all__ = ["SCOPES", "Caller", "Scope", "caller_of", "install", "known_caller", "may"]
