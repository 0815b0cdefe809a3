"""What came of calibrating: the file, and what is said of it."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from llmtriage.cli.display import notice, show_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from llmtriage.calibrating import Calibrated, Group, Labelled
    from llmtriage.calibration import Calibration
    from llmtriage.probability.candidates import CandidateRule

_WORDS = {
    "en": {
        "none": "no promise with these {n} labels",
        "wanted": "; a new sample of about {wanted} is needed",
        "more": "; look again when there are about {wanted}",
        "half": "; at this budget more than half of those accepted could be wrong",
        "never": "; more labels would not help: the surest tickets that no rule holds are wrong too often, or there are none",
        "shown": "candidates    {fewest} to {most} where a ticket waits; the right one among them for {share:.0%} of {n} ({low:.0%} to {high:.0%})",
        "method": "calibrator    {method}, fitted on {fitted} tickets; the promise rests on {certified}",
        "spent": "each of these promises has {delta:.3g} of delta",
        "limit": "alpha {alpha:g}: {says}",
        "nothing": "nothing can be accepted",
        "left_out": "{n} of the tickets stand among the examples and were left out",
        "unanswered": "{n} of the tickets got no answer: the promise does not speak of such, even if they get one another time",
        "outside": "none of these tickets belongs to the catch-all: the promise is about a world without tickets that belong nowhere",
        "unseen": "rules look at {fields}, which no ticket of the file has: what these rules hold back is not counted here",
        "again": "another try on these labels, with another limit or setting, is a look of its own: add --look {look}, which costs a share of delta",
        "written": "written       {path}",
    },
    "zh": {
        "none": "这 {n} 个标注不足以作出保证",
        "wanted": "；需要约 {wanted} 张新抽取的标注工单",
        "more": "；约有 {wanted} 个时再试",
        "half": "；按此人工量，自动接受的工单可能过半有误",
        "never": "；增加标注也无济于事：规则未拦下的工单中，最有把握的也错得太多，或没有这样的工单",
        "shown": "候选类别      待确认工单显示 {fewest} 至 {most} 个；{n} 张中 {share:.0%} 含正确类别（{low:.0%} 至 {high:.0%}）",
        "method": "校准器        {method}，用 {fitted} 张工单拟合；保证依据 {certified} 张",
        "spent": "每个保证分得 delta 中的 {delta:.3g}",
        "limit": "alpha {alpha:g}：{says}",
        "nothing": "什么都不能接受",
        "left_out": "其中 {n} 张工单在示例中出现，未使用",
        "unanswered": "其中 {n} 张工单没有得到答案：即使下次得到答案，该保证也不涉及此类工单",
        "outside": "没有一张工单属于兜底类别：该保证不涉及不属于任何类别的工单",
        "unseen": "有规则要看 {fields}，但文件中没有一张工单有此字段：这些规则拦下的工单未计入",
        "again": "用同一批标注换一个限度或设置再试，就是另一次查看：请加 --look {look}，以计入它应占的 delta",
        "written": "已写入        {path}",
    },
}


def finish(
    found: Calibrated,
    rows: Sequence[Labelled],
    path: Path,
    *,
    delta: float,
    as_json: bool,
    quiet: bool,
    language: str,
    budget: bool = False,
    grows: bool = False,
    look: int | None = None,
    unseen: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
) -> int:
    """Write the calibration, if there is one, and say what was won; the exit code.

    Args:
        found: What came of calibrating.
        rows: What it was made on.
        path: The calibration file.
        delta: What one promise could have spent, were it alone.
        as_json: For machines.
        quiet: No notices.
        language: Of what is said.
        budget: A review budget was given in place of limits.
        grows: The sample grows by itself, so that no new one is needed.
        look: Which look at these labels this was, where nothing else counts them.
        unseen: The fields that rules look at and no ticket has.
        more: Further facts for machines.
    """
    if found.calibration is not None:
        found.calibration.save(path)
    unanswered = sum(getattr(row.outcome, "failure", None) is not None for row in rows)
    if unanswered:
        notice(_WORDS[language]["unanswered"].format(n=unanswered), quiet=quiet, language=language)
    if unseen:
        notice(_WORDS[language]["unseen"].format(fields=", ".join(unseen)), quiet=quiet, language=language)
    if as_json:
        show_json({**_as_json(found, str(path)), **(more or {})})
        return 0 if found.calibration else 1
    _show(found, str(path), language, delta=delta, budget=budget, grows=grows, quiet=quiet)
    if found.calibration is None and look is not None:
        notice(_WORDS[language]["again"].format(look=look + 1), quiet=quiet, language=language)
    return 0 if found.calibration else 1


def _show(found: Calibrated, output: str, language: str, *, delta: float, budget: bool, grows: bool, quiet: bool) -> None:
    from llmtriage.calibrating import in_words

    words, labels = _WORDS[language], found.labels
    if labels.left_out:
        notice(words["left_out"].format(n=labels.left_out), quiet=quiet, language=language)
    if not labels.outside:
        notice(words["outside"], quiet=quiet, language=language)
    if len(found.tried) > 1:
        for groups in found.tried:
            one = replace(found, groups=groups)
            says = in_words(one, language) if one.share else words["nothing"]
            click.echo(words["limit"].format(alpha=groups[0].certificate.alpha, says=says))
    if found.delta < delta:
        click.echo(words["spent"].format(delta=found.delta))
    if found.calibration is None:
        wanted = words["more" if grows else "wanted"].format(wanted=found.wanted)
        missing = words["half"] if budget else words["never"] if found.wanted is None else wanted
        click.echo(words["none"].format(n=labels.n) + missing)
        return
    click.echo(in_words(found, language))
    method = found.calibration.fitted.method
    click.echo(words["method"].format(method=method, fitted=labels.fitted, certified=labels.certified))
    candidates_line = shown_to_reviewers(found.calibration.candidates, language)
    if candidates_line:
        click.echo(candidates_line)
    click.echo(words["written"].format(path=output))


def shown_to_reviewers(rule: CandidateRule, language: str) -> str:
    """How many categories a reviewer is shown, and how often the right one is among them; empty where too few labels tell."""
    from llmtriage.probability.candidates import FEWEST, MOST

    if rule.share is None or rule.interval is None:
        return ""
    low, high = rule.interval
    return _WORDS[language]["shown"].format(fewest=FEWEST, most=MOST, share=rule.share, n=rule.n, low=low, high=high)


def _as_json(found: Calibrated, output: str) -> dict[str, Any]:
    return {
        "promises": _promises(found.calibration) if found.calibration else [],
        "share": found.share,
        "delta": found.delta,
        "alphas": [_evidence(groups[0]) for groups in found.tried],
        "labels_wanted": found.wanted,
        "labels": found.labels.model_dump(mode="json"),
        "calibrator": _method(found),
        "calibrated": found.calibration.calibrated if found.calibration else False,
        "tried": [
            {"method": tried.method, "log_loss": tried.loss, "behind": tried.behind, "standard_error": tried.standard_error}
            for tried in (found.selection.tried if found.selection else ())
        ],
        "candidates": asdict(found.calibration.candidates) if found.calibration else None,
        "need": list(found.certificate.boundary.need),
        "file": output if found.calibration else None,
    }


def _promises(calibration: Calibration) -> list[dict[str, Any]]:
    """Each with the least confidence that is accepted, in the numbers that outcomes show; None: any."""
    least = [calibration.least_confidence(promise.categories[0]) for promise in calibration.promises]
    return [
        promise.model_dump(mode="json", exclude={"need", "wrong_at"})
        | {"least_confidence": None if one is None or math.isinf(one) else one}
        for promise, one in zip(calibration.promises, least, strict=True)
    ]


def _method(found: Calibrated) -> str | None:
    if found.calibration:
        return found.calibration.fitted.method
    return found.selection.calibrator.method if found.selection else None


def _evidence(group: Group) -> dict[str, float | int]:
    found = group.certificate
    return {"alpha": found.alpha, "accepted": found.accepted, "errors": found.errors}
