"""What was decided, what waits, and what people answered."""

from llmtriage.store.queue import Queue
from llmtriage.store.store import SqlStore

__all__ = ["Queue", "SqlStore"]
