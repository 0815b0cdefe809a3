"""Is a long prompt read from its beginning, refused, or cut without a word?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtriage.backends.probing.capabilities import Window
from llmtriage.prompting import estimated_tokens

if TYPE_CHECKING:
    from llmtriage.backends.probing.asking import Answer, Prober

_WORD = "quixel"
_FIRST = f"The word at the beginning is {_WORD}. 开头的单词是 {_WORD}。\n"
_LAST = "\nWhich word stands at the beginning? Answer with that word alone. 只回答开头的那个单词。"
_SHORT = 200  # tokens, by our estimate: the server's own measure of such a text
_STEPS = (1.0, 0.5, 0.25)  # of the longest prompt
_LOST = 0.9  # a count below this share of what is expected is a prompt that was cut
_MOST = 16  # tokens of the answer


async def window(prober: Prober, longest: int) -> Window:
    """Send a short prompt and a long one; where the long one fails, shorter ones: two to four requests.

    Args:
        prober: Who is asked.
        longest: Tokens of the longest prompt, by our estimate.
    """
    short = await prober.chat(_text(_SHORT), most=_MOST)
    measure = _measure(short)
    found = Window()
    for step in _STEPS:
        length = max(_SHORT, int(longest * step))
        text = _text(length)
        answer = await prober.chat(text, most=_MOST)
        found = _noted(found, answer, round(measure * estimated_tokens(text)))
        if found.longest_whole is not None or not _goes_on(answer):
            break
    return found


def _measure(short: Answer) -> float:
    """The server's tokens for one of ours; 1 where it does not count."""
    return short.prompt_tokens / estimated_tokens(_text(_SHORT)) if short.prompt_tokens else 1.0


def _goes_on(answer: Answer) -> bool:
    return answer.came or answer.refused or (answer.failure is not None and answer.failure.reason == "too_long")


def _noted(before: Window, answer: Answer, sent: int) -> Window:
    """What is known after one more answer, to a prompt of `sent` tokens."""
    tested = max(before.tested, sent)
    if not answer.came:
        too_long = answer.refused or (answer.failure is not None and answer.failure.reason == "too_long")
        return Window(
            tested=tested, read=before.read, cut=before.cut, recalled=before.recalled, refused_at=sent if too_long else None
        )
    counted, recalled = answer.prompt_tokens, _WORD in answer.text.lower()
    whole = counted >= _LOST * sent if counted else recalled
    return Window(
        tested=tested,
        read=max(before.read or 0, counted or 0) or None,
        longest_whole=sent if whole else None,
        refused_at=before.refused_at,
        # Without counts, a word that is not repeated may be the model's fault.
        cut=before.cut or (False if whole else True if counted else None),
        recalled=recalled if before.recalled is None else before.recalled,
    )


def _text(tokens: int) -> str:
    """A text of about so many tokens with the word at its beginning and the question at its end."""
    lines: list[str] = []
    left = tokens - estimated_tokens(_FIRST) - estimated_tokens(_LAST)
    while left > 0:
        number = len(lines) + 1
        lines.append(f"{number}. The parcel is on its way. 包裹已经在路上了。")
        left -= estimated_tokens(lines[-1])
    return _FIRST + "\n".join(lines) + _LAST
