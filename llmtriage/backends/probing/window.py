"""Is a long prompt read from its beginning, refused, or cut without a word?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from llmtriage.backends.probing.capabilities import Window
from llmtriage.prompting import estimated_tokens

if TYPE_CHECKING:
    from llmtriage.backends.probing.asking import Answer, Prober

_WORD = "quixel"
_FIRST = "{}: the word at the beginning is {}. 开头的单词是 {}。\n"
_LAST = "\nWhich word stands at the beginning? Answer with that word alone. 只回答开头的那个单词。"
_SHORT, _LONGER = 200, 600  # tokens, by our estimate: two texts that show the server's measure and what its chat template adds
_STEPS = (1.0, 0.5, 0.25)  # of the longest prompt
_LOST = 0.9  # a count below this share of what is expected is a prompt that was cut
_MOST = 16  # tokens of the answer


async def window(prober: Prober, longest: int) -> Window:
    """Send two short prompts and a long one; where the long one fails, shorter ones: three to five requests.

    Args:
        prober: Who is asked.
        longest: Tokens of the longest prompt, by our estimate.
    """
    counts = [(await prober.chat(_text(length), most=_MOST)).prompt_tokens for length in (_SHORT, _LONGER)]
    measure = _Measure.of(*counts)
    found = Window()
    for step in _STEPS:
        text = _text(max(_LONGER, int(longest * step)))
        answer = await prober.chat(text, most=_MOST)
        found = _noted(found, answer, measure.tokens(text))
        if found.longest_whole is not None or not _goes_on(answer):
            break
    return found


class _Measure(NamedTuple):
    """The server's count of a text: so many tokens for one of ours, and what its chat template adds."""

    slope: float = 1.0
    added: float = 0.0

    @classmethod
    def of(cls, short: int | None, longer: int | None) -> _Measure:
        """From its counts of the two short texts; ours where it does not count."""
        ours = estimated_tokens(_text(_SHORT)), estimated_tokens(_text(_LONGER))
        if short is None or longer is None or longer <= short:
            return cls()
        slope = (longer - short) / (ours[1] - ours[0])
        return cls(slope, short - slope * ours[0])

    def tokens(self, text: str) -> int:
        """What the server should count."""
        return round(self.slope * estimated_tokens(text) + self.added)


def _goes_on(answer: Answer) -> bool:
    return answer.came or answer.refused or (answer.failure is not None and answer.failure.reason == "too_long")


def _noted(before: Window, answer: Answer, sent: int) -> Window:
    """What is known after one more answer, to a prompt of `sent` tokens."""
    tested = max(before.tested, sent)
    if not answer.came:
        too_long = answer.refused or (answer.failure is not None and answer.failure.reason == "too_long")
        return Window(
            tested=tested,
            read=before.read,
            cut=before.cut,
            recalled=before.recalled,
            refused_at=sent if too_long else before.refused_at,
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
    # The length stands first, so that no text begins like another and nothing is counted as known.
    first, lines = _FIRST.format(tokens, _WORD, _WORD), list[str]()
    left = tokens - estimated_tokens(first) - estimated_tokens(_LAST)
    while left > 0:
        number = len(lines) + 1
        lines.append(f"{number}. The parcel is on its way. 包裹已经在路上了。")
        left -= estimated_tokens(lines[-1])
    return first + "\n".join(lines) + _LAST
