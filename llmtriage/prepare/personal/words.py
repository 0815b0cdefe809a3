"""Lists of words as parts of patterns."""

from __future__ import annotations


def either(words: str) -> str:
    """The words, which blanks separate, as alternatives of a pattern. They may be patterns themselves."""
    return f"(?:{'|'.join(words.split())})"
