"""What an audit says of a promise, in one sentence, English or Chinese."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmtriage.probability.audit import State
    from llmtriage.store.overview import Audited

_SENTENCES: Mapping[State, tuple[str, str]] = {
    "broken": (
        "the promise does not hold: {errors} of {audits} accepted probes are wrong, promised are at most {alpha}; calibrate anew",
        "保证不再成立：{audits} 张本会自动接受的抽查工单中有 {errors} 张有误，而承诺至多 {alpha}；请重新校准",
    ),
    "early": (
        "not enough probes yet: {audits} accepted ones are answered, {errors} of them wrong; {needed} are needed",
        "抽查工单还不够：本会自动接受的已回答 {audits} 张，其中 {errors} 张有误；需要 {needed} 张",
    ),
    "open": (
        "nothing speaks against the promise so far: {errors} of {audits} accepted probes are wrong, at most {limit} of all with {sure} confidence",
        "目前没有迹象表明保证不成立：{audits} 张本会自动接受的抽查工单中有 {errors} 张有误；以 {sure} 的置信度，错误率至多 {limit}",
    ),
    "holds": (
        "the promise holds: {errors} of {audits} accepted probes are wrong, at most {limit} of all with {sure} confidence",
        "保证成立：{audits} 张本会自动接受的抽查工单中有 {errors} 张有误；以 {sure} 的置信度，错误率至多 {limit}",
    ),
}
_WAITING = ("{} more wait for an answer", "另有 {} 张等待回答")
_BEHIND = ("{} answered ones behind the oldest of these do not count yet", "排在其中最早一张之后已回答的 {} 张暂不计入")


def audit_words(audited: Audited, language: str = "en", *, to_come: bool = True) -> str:
    """Whether a promise holds in the light of the probes so far, and what is still to come.

    Args:
        audited: The promise and its probes.
        language: "en" or "zh".
        to_come: Whether to tell how many probes that would have been accepted still wait. Not to who answers them: it says what a model thinks.
    """
    chinese = language.startswith("zh")
    audit = audited.audit
    facts = {
        "errors": audit.errors,
        "audits": audit.audits,
        "needed": audit.needed,
        "alpha": percent(audit.alpha),
        "sure": f"{100 * (1 - audit.delta):.3g}%",
        "limit": percent(audit.limit),
    }
    parts = [_SENTENCES[audit.state][chinese].format(**facts)]
    if to_come:
        parts += [words[chinese].format(n) for words, n in ((_WAITING, audited.waiting), (_BEHIND, audited.behind)) if n]
    return ("；" if chinese else "; ").join(parts)


def percent(bound: float) -> str:
    """A bound in percent with at most one digit behind the point, never rounded down."""
    return f"{math.ceil(round(1000 * bound, 6)) / 10:g}%"
