"""Says how a chat model is read, once that is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtriage.cli.display import notice

if TYPE_CHECKING:
    from llmtriage.backends.choosing import Chosen
    from llmtriage.triage import Triage

_WORDS = {
    "en": {
        "token": "read by one token: a probability for every category",
        "json-token": "read by the code's token inside JSON: a probability for every category",
        "votes": "read by {reading}: as many answers a ticket; --reading json asks for one, without probabilities",
        "json": "read by one answer in JSON: there are no probabilities",
        "codes": "codes: {codes}",
        "losses": "log loss on held-out examples {losses}",
        "mass": "{mass:.1%} of the probability lies on them",
        "most": "at most {most} categories a question, more by {many}",
        "left_out": "the shortlist misses {left_out:.1%}",
        "passed": "not by {way} ({why})",
        "; ": "; ",
    },
    "zh": {
        "token": "读取方式：一个 token，得到每个类别的概率",
        "json-token": "读取方式：JSON 中代码所在的 token，得到每个类别的概率",
        "votes": "读取方式：{reading}，每张工单问这么多次；--reading json 只问一次，但没有概率",
        "json": "读取方式：一个 JSON 回答，没有概率",
        "codes": "代码：{codes}",
        "losses": "留出样例上的对数损失 {losses}",
        "mass": "{mass:.1%} 的概率落在代码上",
        "most": "每次最多问 {most} 个类别，更多时用 {many}",
        "left_out": "候选名单漏掉 {left_out:.1%}",
        "passed": "不能用 {way}（{why}）",
        "; ": "；",
    },
}


def tell_reading(triage: Triage, *, quiet: bool, language: str) -> None:
    """Settle how the engine is read, and say it in one line. Raises BackendError if the engine cannot work."""
    triage.settle()
    chosen = getattr(triage.backend, "chosen", None)
    if chosen is not None:
        line = _line(chosen, language, wide=_is_wide(triage, chosen))
        notice(f"{triage.backend.name}: {line}", quiet=quiet, language=language)


def _line(chosen: Chosen, language: str, *, wide: bool) -> str:
    words, facts = _WORDS[language], chosen.facts
    way = "votes" if "votes" in chosen.reading else chosen.reading
    parts = [words[way].format(reading=chosen.reading)]
    if "codes" in facts:
        parts.append(words["codes"].format(codes=facts["codes"]))
    if chosen.log_losses:
        losses = ", ".join(f"{kind} {loss:.3f}" for kind, loss in sorted(chosen.log_losses.items(), key=lambda pair: pair[1]))
        parts.append(words["losses"].format(losses=losses))
    if chosen.mass is not None:
        parts.append(words["mass"].format(mass=chosen.mass))
    if wide:
        parts.append(words["most"].format(most=facts["most"], many=facts["many"]))
    if chosen.left_out is not None:
        parts.append(words["left_out"].format(left_out=chosen.left_out))
    parts += [words["passed"].format(way=name, why=why) for name, why in chosen.passed.items()]
    return words["; "].join(parts)


def _is_wide(triage: Triage, chosen: Chosen) -> bool:
    return len(triage.taxonomy.leaves) > int(chosen.facts.get("most", 10**9))
