"""`llmtriage classify --estimate`: what a run would take, before anything is asked; and what a run that was made says for the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llmtriage.cli.display import plain, show_json
from llmtriage.terminal import visible

if TYPE_CHECKING:
    from llmtriage.estimate import Estimate
    from llmtriage.runner import Summary
    from llmtriage.tickets import TicketFile
    from llmtriage.triage import Triage

_WORTH_KEEPING = 20  # answers: the rate of fewer says little

_WORDS = {
    "en": {
        "tickets": "{tickets} tickets: {gated} decided without the engine, {repeated} the same as an earlier one, {known} in the reply cache",
        "calls": "{calls} requests to {backend}",
        "none": "{backend} asks no server: no requests, no cost",
        "tokens": "about {prompt_tokens} tokens in ({shared:.0%} the same for every ticket), {output_tokens} out",
        "cost": "cost: {cost:.4f} {currency}",
        "cached": "; {cost_cached:.4f} if the server has the shared part in its prefix cache",
        "no price": 'cost: no price is known; add [prices."{model}"] with input and output to llmtriage.toml',
        "time": "time: about {time} at {rate:.1f} tickets/s ({measured})",
        "no rate": "time: no rate was measured yet; llmtriage doctor --backend {backend} measures it",
        "rough": "tokens are estimated and may be off by a third; llmtriage doctor measures their ratio",
        "prompt": "--- the first request",
        "hours": "{:.1f} h",
        "minutes": "{:.0f} min",
        "seconds": "{:.0f} s",
    },
    "zh": {
        "tickets": "{tickets} 张工单：{gated} 张无需询问，{repeated} 张与前面相同，{known} 张已在回复缓存中",
        "calls": "向 {backend} 发出 {calls} 次请求",
        "none": "{backend} 不询问任何服务器：没有请求，没有费用",
        "tokens": "输入约 {prompt_tokens} token（{shared:.0%} 每张工单都相同），输出约 {output_tokens}",
        "cost": "费用：{cost:.4f} {currency}",
        "cached": "；若服务器缓存了共同前缀则为 {cost_cached:.4f}",
        "no price": '费用：没有价格；请在 llmtriage.toml 中加入 [prices."{model}"]，写明 input 和 output',
        "time": "时间：约 {time}，按每秒 {rate:.1f} 张（{measured}）",
        "no rate": "时间：尚未测量；请运行 llmtriage doctor --backend {backend}",
        "rough": "token 数为估计，误差可达三分之一；llmtriage doctor 会测量比例",
        "prompt": "--- 第一个请求",
        "hours": "{:.1f} 小时",
        "minutes": "{:.0f} 分钟",
        "seconds": "{:.0f} 秒",
    },
}


def show_estimate(triage: Triage, tickets: TicketFile, language: str, *, as_json: bool) -> None:
    """Show what it would take to classify `tickets`; nothing is sent."""
    from llmtriage.estimate import estimate

    found = estimate(triage, (row.ticket for row in tickets))
    if as_json:
        show_json({"backend": triage.backend.name, **found.to_json()})
        return
    for line in _lines(found, triage, _WORDS[language]):
        click.echo(line)


def _lines(found: Estimate, triage: Triage, words: dict[str, str]) -> list[str]:
    facts = {**found.to_json(), "backend": plain(triage.backend.name), "model": _model(triage)}
    lines = [words["tickets"].format(**facts)]
    if found.prompt is None:
        return [*lines, words["none"].format(**facts)]
    lines += [words["calls"].format(**facts)]
    if found.calls:
        lines.append(words["tokens"].format(**facts))
        cost = "no price" if found.cost is None else "cost"
        lines.append((words[cost] + words["cached"] * (found.cost_cached != found.cost)).format(**facts))
        lines.append(_time(found, facts, words))
        lines += [] if found.ratio_is_measured else [words["rough"]]
    return [*lines, words["prompt"], visible(found.prompt)]


def _time(found: Estimate, facts: dict[str, object], words: dict[str, str]) -> str:
    if found.seconds is None:
        return words["no rate"].format(**facts)
    unit, size = ("hours", 3600) if found.seconds > 7200 else ("minutes", 60) if found.seconds > 120 else ("seconds", 1)
    return words["time"].format(
        time=words[unit].format(found.seconds / size), rate=found.tickets_per_second, measured=found.measured
    )


def _model(triage: Triage) -> str:
    settings = getattr(triage.backend, "settings", None)
    return plain(settings.model) if settings else ""


def remember_rate(triage: Triage, summary: Summary) -> None:
    """Keep the rate of a run for later estimates: nothing tells better what the next one will take."""
    from datetime import UTC, datetime

    from llmtriage.measured import Measured, recall, remember

    transport, settings, spent = (
        getattr(triage.backend, "transport", None),
        getattr(triage.backend, "settings", None),
        summary.spent,
    )
    if transport is None or settings is None or spent.answers < _WORTH_KEEPING or not summary.seconds:
        return
    known = recall(transport.endpoint.url, settings.model)
    measured = Measured(
        tickets_per_second=spent.answers / summary.seconds,
        prompt_ratio=known.prompt_ratio if known else None,
        output_tokens=spent.output_tokens / spent.answers if spent.output_tokens else None,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        source=f"a run of {spent.answers} tickets",
    )
    remember(transport.endpoint.url, settings.model, measured)
