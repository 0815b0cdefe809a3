"""Entries of the queue for a person at a terminal, and as plain data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from llmtriage.cli.display import cut, fitted, line_width, plain, table
from llmtriage.terminal import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from llmtriage.reviewing import Counts, Item, Label, Review
    from llmtriage.taxonomy import Taxonomy

_WIDE = 110  # cells: from there on ids are shown at length
_NARROW = 60  # cells: below that an entry takes several lines
_SIMILAR = 200  # characters of a similar ticket
_QUOTE = "| "  # before each line of a ticket, so that none can pass as one of ours
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))

WORDS = {
    "en": {
        "head": "entry|ticket|age|reason|suggestion|no.|text",
        "entry": "entry {entry}: ticket {name}",
        "waits": "waits {age}",
        "with": "with {who}",
        "done": "answered",
        "withdrawn": "waits no longer",
        "none": "suggestion: none",
        "suggestion": "suggestion: {category}",
        "blind": "suggestion: not shown, the answer is to be your own",
        "confidence": " (confidence {:.2f})",
        "score": " (score {:.2f}, uncalibrated)",
        "no text": "(the store keeps no text of this ticket)",
        "similar": "similar tickets that people have decided:",
        "given": "{reviewer}, {at}: {category}",
        "taken back": " (taken back)",
        "counts": "{entries} wait",
        "oldest": "the oldest for {age}",
        ",": ", ",
    },
    "zh": {
        "head": "序号|工单|等待|原因|建议|得分|正文",
        "entry": "序号 {entry}：工单 {name}",
        "waits": "已等待 {age}",
        "with": "{who} 正在处理",
        "done": "已回答",
        "withdrawn": "不再等待",
        "none": "建议：无",
        "suggestion": "建议：{category}",
        "blind": "建议：不显示，请独立判断",
        "confidence": "（置信度 {:.2f}）",
        "score": "（得分 {:.2f}，未校准）",
        "no text": "（存储中没有保留此工单的文字）",
        "similar": "人工已确认的相似工单：",
        "given": "{reviewer}，{at}：{category}",
        "taken back": "（已撤回）",
        "counts": "{entries} 张等待处理",
        "oldest": "最早的已等待 {age}",
        ",": "，",
    },
}


def listed(items: Iterable[Item], language: str) -> Iterator[str]:
    """A table of entries with a head, or some lines for each where the terminal is narrow."""
    if line_width() < _NARROW:
        for item in items:
            yield from _stacked(item)
        return
    rows = [WORDS[language]["head"].split("|"), *map(_row, items)]
    number = max(5, *(len(str(row[0])) for row in rows))  # never cut: it is what an entry is called by
    name, suggestion = (16, 20) if line_width() >= _WIDE else (8, 17 - number)
    yield from table(rows, fitted((number, name, 4, 15, suggestion, 4)))


def _row(item: Item) -> tuple[object, ...]:
    number = item.confidence if item.confidence is not None else item.score
    return (
        item.entry,
        item.ticket.id or "-",
        age(item.enqueued_at),
        item.reasons[0].code if item.reasons else "-",
        item.suggestion or "-",
        "-" if number is None else f"{number:.2f}",
        _text(item),
    )


def _stacked(item: Item) -> Iterator[str]:
    entry, name, waits, reason, suggestion, number, text = _row(item)
    width = line_width()
    for line in (f"{entry} {name} {waits}", f" {reason}", f" {suggestion} {number}", f" {text}"):
        yield " " * line.startswith(" ") + cut(line, width - line.startswith(" ")).rstrip()


def _text(item: Item) -> str:
    return f"{item.ticket.title} {item.ticket.content}".strip()


def told(
    item: Item, taxonomy: Taxonomy, language: str, *, similar: Sequence[Label] = (), given: Sequence[Review] = ()
) -> Iterator[str]:
    """One entry with its whole text."""
    words = WORDS[language]
    yield plain(_head(item, language))
    yield from (f"  {plain(reason.sentence(language))}" for reason in item.reasons)
    yield plain(_suggestion(item, taxonomy, language))
    for one in item.candidates:
        yield f"  {'   -' if one.score is None else f'{one.score:.2f}'}  {named(taxonomy, one.category, language)}"
    for part in (item.ticket.title, item.ticket.content) if _text(item) else (words["no text"],):
        yield from (f"{_QUOTE}{line}".rstrip() for line in visible(part).split("\n") if part)
    if similar:
        yield words["similar"]
    for label in similar:
        yield f"  {named(taxonomy, label.category, language)}"
        yield f"  {_QUOTE}{plain(f'{label.ticket.title} {label.ticket.content}')[:_SIMILAR]}"
    for answer in given:
        at = answer.at.strftime("%Y-%m-%d %H:%M UTC")
        line = words["given"].format(reviewer=answer.reviewer, at=at, category=named(taxonomy, answer.category or "", language))
        yield plain(line + (words["taken back"] if answer.taken_back else ""))
        if answer.note:
            yield f"  {_QUOTE}{plain(answer.note)}"


def _head(item: Item, language: str) -> str:
    words = WORDS[language]
    facts = [item.ticket.channel, item.ticket.language, item.sample]
    facts.append(words["waits"].format(age=age(item.enqueued_at)) if item.state == "open" else words[item.state])
    if item.held_by:
        facts.append(words["with"].format(who=item.held_by))
    head = words["entry"].format(entry=item.entry, name=item.ticket.id or "-")
    return words[","].join([head, *(fact for fact in facts if fact)])


def _suggestion(item: Item, taxonomy: Taxonomy, language: str) -> str:
    words = WORDS[language]
    if item.blind:
        return words["blind"]
    if item.suggestion is None:
        return words["none"]
    kind, number = ("confidence", item.confidence) if item.calibrated else ("score", item.score)
    known = "" if number is None else words[kind].format(number)
    return words["suggestion"].format(category=named(taxonomy, item.suggestion, language)) + known


def named(taxonomy: Taxonomy, category: str, language: str) -> str:
    """The id of a category with the names on its path; the id alone where the taxonomy has it no longer."""
    if category not in taxonomy:
        return plain(category)
    path = " > ".join(node.label(language) for node in taxonomy.path(category))
    return plain(category if path == category else f"{category} [{path}]")


def age(since: datetime) -> str:
    """How long ago, in the largest unit that fits; a clock that was set back makes it nothing."""
    seconds = (datetime.now(UTC) - since).total_seconds()
    return next((f"{int(seconds // size)}{unit}" for size, unit in _UNITS if seconds >= size), "0m")


def counted(counts: Counts, language: str) -> Iterator[str]:
    """How many wait, by lane and by reason."""
    words = WORDS[language]
    oldest = [words["oldest"].format(age=age(counts.oldest))] if counts.oldest else []
    yield words[","].join([words["counts"].format(entries=counts.entries), *oldest])
    for numbers in (counts.lanes, counts.reasons):
        yield from table(sorted(numbers.items(), key=lambda pair: -pair[1]), (20, 8))


def as_data(item: Item, language: str, *, similar: Sequence[Label] = (), given: Sequence[Review] = ()) -> dict[str, Any]:
    """An entry as plain data."""
    return {
        "entry": item.entry,
        "id": item.ticket.id,
        "title": item.ticket.title,
        "content": item.ticket.content,
        "channel": item.ticket.channel,
        "language": item.ticket.language,
        "customer": item.ticket.customer,
        "metadata": dict(item.ticket.metadata),
        "lane": item.lane,
        "sample": item.sample,
        "blind": item.blind,
        "state": item.state,
        "round": item.round,
        "reasons": [{"code": one.code, "detail": one.detail, "sentence": one.sentence(language)} for one in item.reasons],
        "suggestion": item.suggestion,
        "confidence": item.confidence,
        "score": item.score,
        "calibrated": item.calibrated,
        "candidates": [{"category": one.category, "score": one.score} for one in item.candidates],
        "since": item.enqueued_at.isoformat(),
        "held_by": item.held_by,
        "held_until": item.held_until and item.held_until.isoformat(),
        "similar": [
            {"id": one.ticket.id, "title": one.ticket.title, "content": one.ticket.content, "category": one.category}
            for one in similar
        ],
        "answers": [answer_data(one) for one in given],
    }


def answer_data(answer: Review) -> dict[str, Any]:
    """An answer as plain data."""
    return {
        "entry": answer.entry,
        "id": answer.ticket_id,
        "reviewer": answer.reviewer,
        "verdict": answer.verdict,
        "category": answer.category,
        "suggested": answer.suggested,
        "suggestion_shown": answer.shown,
        "lane": answer.lane,
        "round": answer.round,
        "note": answer.note,
        "at": answer.at.isoformat(),
        "taken_back": answer.taken_back,
    }


def counts_data(counts: Counts) -> dict[str, Any]:
    """Counts as plain data."""
    oldest = counts.oldest and counts.oldest.isoformat()
    return {"entries": counts.entries, "lanes": dict(counts.lanes), "reasons": dict(counts.reasons), "oldest": oldest}
