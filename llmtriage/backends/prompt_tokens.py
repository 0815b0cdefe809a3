"""Did the server read the whole prompt? Some cut it from the front without a word; only their count of tokens tells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmtriage.prompting import Messages

_RUN = re.compile(r"(.)\1{3,}", re.DOTALL)  # tokenizers pack long runs of one character
_SHORT = 100  # tokens, at least: a ticket that no server cuts because of its own length
_SLACK = 16  # tokens
_SHARED = 256  # shared parts that are kept
_BLOCK = 160  # tokens of the shared part that a prefix cache may leave out: one block, and some


def least_tokens(text: str) -> int:
    """Fewer tokens than this no tokenizer in use makes of a text in words: a token for two ideographs and for six other bytes.

    Measured ones need about 0.6 a Chinese character and one for 4 to 5 bytes of English; long runs of one character are packed by some
    and count as four.
    """
    text = _RUN.sub(r"\1\1\1\1", text)
    wide = sum("\u2e80" <= character <= "\uffef" for character in text)
    narrow = len(text.encode("utf-8", "replace")) - 3 * wide
    return wide // 2 + max(narrow, 0) // 6


class PromptCheck:
    """Compares what servers say they read with the least there was to read."""

    def __init__(self) -> None:
        """Nothing is known of this server's tokens yet."""
        self._prefixes: dict[str, int] = {}
        self._surpluses: dict[str, int] = {}
        self._counts_all = True

    def is_cut(self, messages: Messages, prompt_tokens: int | None) -> bool:
        """Whether the server read less than there was.

        Certain if its count is below the least for the whole prompt. Else short tickets tell how many tokens more than the least the
        shared part takes, and a long one that shows fewer was cut. A server that read a short one whole and later counts little
        more than the ticket for another leaves out what it had cached, and its counts say nothing.

        Args:
            messages: What was sent.
            prompt_tokens: The server's count; None or 0 where it does not tell.
        """
        if not prompt_tokens or not self._counts_all:
            return False
        ticket = least_tokens(messages.user)
        least = self._prefix(messages.system) + ticket
        surplus, known = prompt_tokens - least, self._surpluses.get(messages.system)
        short = ticket <= _SHORT
        if surplus < 0 and short and known is not None and prompt_tokens <= 3 * ticket + _BLOCK:
            self._counts_all = False  # a window would not be as small as the ticket
            return False
        if surplus < 0:
            return True
        if short:
            self._surpluses[messages.system] = surplus if known is None else min(surplus, known)
            return False
        return known is not None and surplus < known - _SLACK

    def least(self, messages: Messages) -> int:
        """Fewer tokens than this no tokenizer makes of the whole prompt."""
        return self._prefix(messages.system) + least_tokens(messages.user)

    def _prefix(self, system: str) -> int:
        if system not in self._prefixes:
            if len(self._prefixes) >= _SHARED:  # where every ticket has a list of its own
                self._prefixes.clear()
                self._surpluses.clear()
            self._prefixes[system] = least_tokens(system)
        return self._prefixes[system]
