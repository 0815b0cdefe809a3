"""What `llmtriage taxonomy diff` says, line by line and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import yaml

from llmtriage.cli.display import cut, plain
from llmtriage.errors import short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llmtriage.taxonomy_diff import Change, Changes, Guess

_HEAD = 10  # terminal cells of what stands before each line
_MOST = 100  # characters of a list of ids
_LINES = {  # of each kind of change: the word before it, and what it says
    "en": {
        "renamed": ("renamed", "{old} -> {new}"),
        "merged": ("merged", "{old} -> {new}"),
        "split": ("split", "{old} -> {new}"),
        "became_group": ("group", "{old} now has the sub-categories {new}"),
        "became_leaf": ("leaf", "{node} has no sub-categories any more"),
        "moved": ("moved", "{node} from {before} to {now}"),
        "added": ("added", "{new}"),
        "removed": ("removed", "{old}"),
        "reworded": ("reworded", "{node}: {details}"),
        "rerouted": ("routing", "{node}: {details}"),
        "reordered": ("order", "categories stand in another order"),
    },
    "zh": {
        "renamed": ("改名", "{old} -> {new}"),
        "merged": ("合并", "{old} -> {new}"),
        "split": ("拆分", "{old} -> {new}"),
        "became_group": ("变为上级", "{old} 现有子类别：{new}"),
        "became_leaf": ("变为末级", "{node} 不再有子类别"),
        "moved": ("移动", "{node} 从 {before} 到 {now}"),
        "added": ("新增", "{new}"),
        "removed": ("删除", "{old}"),
        "reworded": ("改写", "{node}：{details}"),
        "rerouted": ("路由", "{node}：{details}"),
        "reordered": ("顺序", "类别的顺序不同"),
    },
}
_WORDS = {
    "en": {
        ", ": ", ",
        "top": "the top level",
        "whole": "the taxonomy",
        "waits": "waits",
        "split": "{label} was split: one of {candidates}",
        "became_group": "{label} has sub-categories now: one of {candidates}",
        "removed": "{label} was removed",
        "turned": "turned",
        "meant": "{label} meant {before} and means {now} now",
        "maybe": "maybe",
        "guess": "{label} -> {heir}{alike}: if so, write was: {entry} at {heir}",
        "alike": ", {likeness:.0%} alike",
        "unknown": "unknown",
        "never": "{heir} names {label} in was, which the old file never had",
        "same": "no difference",
        "sum": "{changes} changes; {waiting} of {labels} labels wait for a person",
        "refused": "; a calibration made with the old file is refused: calibrate anew",
    },
    "zh": {
        ", ": "、",
        "top": "顶层",
        "whole": "整个体系",
        "waits": "待人工",
        "split": "{label} 已拆分，应为其一：{candidates}",
        "became_group": "{label} 现有子类别，应为其一：{candidates}",
        "removed": "{label} 已删除",
        "turned": "改义",
        "meant": "{label} 原指 {before}，现指 {now}",
        "maybe": "可能",
        "guess": "{label} -> {heir}{alike}：若是，请在 {heir} 处写 was: {entry}",
        "alike": "，相似度 {likeness:.0%}",
        "unknown": "未知",
        "never": "{heir} 的 was 写有 {label}，而旧文件从未有过该类别",
        "same": "没有差别",
        "sum": "{changes} 处变化；{labels} 个标签中 {waiting} 个待人工确认",
        "refused": "；用旧文件制作的校准不再适用，请重新校准",
    },
}


def lines(found: Changes, language: str) -> Iterator[str]:
    """Each difference, each label that waits, and each suggestion on a line of its own."""
    words = _WORDS[language]
    for change in found.changes:
        head, said = _LINES[language][change.kind]
        yield _line(head, said, _facts(change, words))
    for label, waiting in found.waiting.items():
        candidates = _listed(waiting.candidates, words)
        yield _line(words["waits"], words[waiting.reason], {"label": short(label), "candidates": candidates})
    for label, (before, now) in found.turned.items():
        yield _line(words["turned"], words["meant"], {"label": short(label), "before": short(before), "now": short(now)})
    for guess in found.guesses:
        yield _line(words["maybe"], words["guess"], _guessed(guess, words))
    for label, heir in found.unknown:
        yield _line(words["unknown"], words["never"], {"label": short(label), "heir": short(heir)})


def summary(found: Changes, language: str) -> str:
    """How much differs, what becomes of the labels, and of a calibration."""
    words = _WORDS[language]
    if not found.changes and not found.waiting and not found.turned:
        return words["same"]
    labels = len(found.carried) + len(found.waiting)
    said = words["sum"].format(changes=len(found.changes), labels=labels, waiting=len(found.waiting))
    return said + (words["refused"] if found.changes else "")


def as_json(found: Changes) -> dict[str, Any]:
    """All that was found."""
    return {
        "changes": [asdict(change) for change in found.changes],
        "carried": dict(found.carried),
        "waiting": {label: asdict(waiting) for label, waiting in found.waiting.items()},
        "turned": {label: {"before": before, "now": now} for label, (before, now) in found.turned.items()},
        "guesses": [asdict(guess) for guess in found.guesses],
        "unknown": [{"label": label, "heir": heir} for label, heir in found.unknown],
    }


def _line(head: str, said: str, facts: dict[str, str]) -> str:
    return f"{cut(head, _HEAD)}{plain(said.format(**facts))}"


def _facts(change: Change, words: dict[str, str]) -> dict[str, str]:
    """What a line may name. `node` is the id, or the old one and the new one; where a change is about the whole, that."""
    before, now = change.details if change.kind == "moved" else ("", "")
    return {
        "old": _listed(change.old, words),
        "new": _listed(change.new, words),
        "node": " -> ".join(dict.fromkeys(short(name) for name in (*change.old, *change.new))) or words["whole"],
        "details": _listed(change.details, words),
        "before": short(before) or words["top"],
        "now": short(now) or words["top"],
    }


def _guessed(guess: Guess, words: dict[str, str]) -> dict[str, str]:
    entry = yaml.safe_dump([guess.label], default_flow_style=True, allow_unicode=True, width=1000).strip()
    alike = "" if guess.likeness is None else words["alike"].format(likeness=guess.likeness)
    return {"label": short(guess.label), "heir": short(guess.heir), "alike": alike, "entry": entry}


def _listed(ids: Sequence[str], words: dict[str, str]) -> str:
    return short(words[", "].join(short(name) for name in ids), _MOST)
