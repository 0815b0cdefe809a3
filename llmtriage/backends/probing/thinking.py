"""Does the model think before it answers, and what keeps it from that?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llmtriage.backends.probing.capabilities import Thinking
from llmtriage.backends.replies import thought

if TYPE_CHECKING:
    from llmtriage.backends.dialect import Switch
    from llmtriage.backends.probing.asking import Answer, Prober

_QUESTION = "A shop has 17 lamps, sells 9 and gets 4. How many lamps are there? Answer with the number alone. 只回答数字。"
_ROOM = 300  # tokens: enough to see that it thinks, too few to pay for the end of it
_TOKENS_A_CHARACTER = 3  # more than any tokenizer makes of a text
_SLACK = 40  # tokens that a chat template may count beside the text
_SWITCHES: tuple[Switch, ...] = ("chat_template", "reasoning_effort", "enable_thinking", "thinking", "minimal")


async def thinking(prober: Prober) -> Thinking:
    """Ask with and without the switch; where neither keeps it from thinking, with the other switches: two to six requests."""
    switch = prober.dialect.switch
    plain = _thinks(await prober.chat(_QUESTION, most=_ROOM, plain=True))
    switched = plain if switch == "leave" else await _with(prober, switch)
    if switched is False:
        return Thinking(switch=switch, plain=plain, switched=switched, works=switch)
    if plain is False:
        return Thinking(switch=switch, plain=plain, switched=switched, works="leave")
    works = await _other(prober) if plain else None
    return Thinking(switch=switch, plain=plain, switched=switched, works=works)


async def _other(prober: Prober) -> Switch | None:
    for switch in _SWITCHES:
        if switch != prober.dialect.switch and await _with(prober, switch) is False:
            return switch
    return None


async def _with(prober: Prober, switch: Switch) -> bool | None:
    other = replace(prober, dialect=replace(prober.dialect, switch=switch))
    return _thinks(await other.chat(_QUESTION, most=_ROOM))


def _thinks(answer: Answer) -> bool | None:
    """Whether it is seen, or paid for without being seen."""
    if not answer.came:
        return None
    hidden = (answer.output_tokens or 0) > _TOKENS_A_CHARACTER * len(answer.text) + _SLACK
    return thought(answer.body) or hidden
