"""A report as a page: whole, harmless, and the same for everybody."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest
from evaluation.paged import HOSTILE, LONG, MADE, NAMES, Case, calibrated, case, cases, drawn, page_of, promise, tree, usual

from llmtriage.errors import UnknownNameError
from llmtriage.evaluation import Judged, page, plots, report_html
from llmtriage.evaluation.inline_svg import inline
from llmtriage.evaluation.page import _without_places
from llmtriage.evaluation.words import _WORDS, Words
from llmtriage.outcomes import Accepted
from llmtriage.probability.certificate import certify_at
from llmtriage.taxonomy import Taxonomy

VOID = {"meta", "wbr", "br", "link", "img"}


class Page(HTMLParser):
    """What a page holds: its elements with their attributes, its text, and whether all that is opened is closed."""

    def __init__(self, text: str) -> None:
        """Read it."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element of a drawing, closed at once."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        assert self._open.pop() == tag
        if tag in ("td", "th"):
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        """Text, but for the style."""
        if not self._open or self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """As it is read, white space as one space."""
        return " ".join("".join(self.words).replace("\u00a0", " ").split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(params=[(name, language) for name in NAMES for language in ("en", "zh")], ids="-".join)
def shown(request: pytest.FixtureRequest) -> tuple[Case, str]:
    """Each of the odd ones in each language, with its page."""
    name, language = request.param
    return cases()[name], page_of(name, language)


@pytest.mark.slow
def test_a_page_needs_nothing_else(shown: tuple[Case, str]) -> None:
    """No script, no reference to anything but itself, no style attribute, no event handler; a policy forbids all of it."""
    page = Page(shown[1])
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base", "image", "foreignobject"} & {
        name for name, _ in page.elements
    }
    for _, attributes in page.elements:
        assert not [name for name in attributes if name in ("style", "src", "srcset", "action") or name.startswith("on")]
        assert all((value or "").startswith("#") for name, value in attributes.items() if name.endswith("href"))
    style = shown[1].partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"url\(|@import|@font-face|https?:", style)
    [policy] = [meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@pytest.mark.slow
def test_a_page_is_well_made(shown: tuple[Case, str]) -> None:
    """One title, headings without a gap, headers of tables with their scope, a description of each picture, no id twice."""
    page = Page(shown[1])
    names = [name for name, _ in page.elements]
    assert names.count("h1") == names.count("title") == names.count("main") == 1
    levels = [int(name[1]) for name in names if re.fullmatch(r"h\d", name)]
    assert all(below <= above + 1 for above, below in itertools.pairwise(levels))
    assert all(header.get("scope") in ("row", "col") for header in page.of("th"))
    for picture in page.of("svg"):
        assert picture.get("aria-hidden") == "true" or (picture.get("role") == "img" and picture.get("aria-label"))
    ids = [value for _, attributes in page.elements if (value := attributes.get("id"))]
    assert [name for name, n in Counter(ids).items() if n > 1] == []
    used = re.findall(r'(?:href="#|url\(#|labelledby=")([\w-]+)', shown[1])
    assert set(used) <= set(ids)


def test_text_is_harmless(shown: tuple[Case, str]) -> None:
    """No control character and no writing direction gets through; what looks like a template is text."""
    assert not [c for c in shown[1] if not c.isprintable() and c not in "\n\u00a0"]
    shown[1].encode("utf-8")


def test_hostile_tickets_and_names_are_shown_as_text() -> None:
    """All of it can be read, none of it works."""
    page = Page(cases()["hostile"].page(command=f"llmtriage evaluate {HOSTILE}"))
    assert "<script>alert(1)</script> \ufffd[2J\ufffd\ufffd ' \" onerror=x <img src=http://evil.example/x>" in page.text
    assert "<script>x</script>" in page.text
    assert "{{ 7*7 }}" in page.text
    assert LONG in page.text


@pytest.mark.parametrize(
    ("language", "lang", "words"),
    [
        ("en", "en", ["Evaluation", "Routed by itself", "Is the confidence true?", "Why tickets wait", "To repeat this"]),
        ("zh", "zh-CN", ["评估报告", "自动分派", "置信度可信吗？", "等待人工的原因", "如何重现"]),
    ],
)
def test_both_languages(language: Any, lang: str, words: list[str]) -> None:
    """The page says which it is in."""
    page = Page(page_of("usual", language))
    assert page.of("html") == [{"lang": lang}]
    assert not [word for word in words if word not in page.text]
    with pytest.raises(UnknownNameError, match="unknown language 'de'"):
        report_html(usual().report, usual().curves, language="de")  # type: ignore[arg-type]


@pytest.mark.slow
def test_every_word_is_there_in_both_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only names from outside have none; and there is no Chinese in an English page."""
    unknown: set[str] = set()
    english = Page(page_of("usual")).text

    class Watched(Words):
        def __call__(self, key: str, **facts: object) -> str:
            if not self.get(key):
                unknown.add(key)
            return super().__call__(key, **facts) if self.get(key) else key

        def get(self, key: str) -> str:
            return Words.__call__(self, key) if key in _WORDS else ""

    monkeypatch.setattr(page, "Words", Watched)
    monkeypatch.setattr(plots, "figures", lambda curves, **_: dict.fromkeys(plots._drawings(curves, Words("en"))))
    monkeypatch.setattr(plots, "as_svg", lambda *_, **__: b'<svg viewBox="0 0 1 1"/>')  # drawing takes long
    for found in cases().values():
        for language in ("en", "zh"):
            found.page(language=language)
    assert unknown == {HOSTILE}
    assert not re.search("[\u4e00-\u9fff]", english)


def test_the_summary_has_its_seven_lines() -> None:
    """In words of a support team."""
    page = Page(page_of("usual"))
    for words in (
        "Tickets",
        "Macro F1",
        "Routed by itself",
        "Wrong among routed",
        "Calibration",
        "Cost of 1,000",
        "Most confused",
    ):
        assert words in page.text


def verdict(accepted: int, wrong: int, **settings: Any) -> str:
    """The badge and the sentence for so many accepted tickets, of which so many are wrong."""
    leaves = tree(3)
    every = [one for one in drawn(2000, leaves, threshold=0.5) if type(one.outcome).__name__ == "Accepted"]
    right = [one for one in every if one.gold == one.outcome.category]  # type: ignore[union-attr]
    bad = [one for one in every if one.gold != one.outcome.category]  # type: ignore[union-attr]
    found = case([*right[: accepted - wrong], *bad[:wrong]] or drawn(5, leaves, threshold=None), leaves, settings=settings)
    return Page(found.page().partition("</h1>")[2].partition("<svg")[0]).text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("accepted", "wrong", "settings", "says"),
    [
        (100, 4, {"alpha": 0.1, "delta": 0.1}, "Within the promise 100.0 % of these 100 tickets go to a team"),
        (100, 4, {"alpha": 0.1, "delta": 0.1}, "4 of those 100 are wrong (4.0 %); at most 10 % was promised."),
        (100, 12, {"alpha": 0.1, "delta": 0.1}, "so few tickets do not tell that more are"),
        (100, 40, {"alpha": 0.1, "delta": 0.1}, "Calibrate anew before more tickets are routed."),
        (100, 40, {"threshold": 0.5}, "the threshold was chosen by hand, so nothing is promised about others."),
        (0, 0, {}, "All 5 tickets wait for a person."),
    ],
)
def test_the_verdict(accepted: int, wrong: int, settings: dict[str, Any], says: str) -> None:
    """One sentence, and no promise where there is none."""
    assert says in verdict(accepted, wrong, **settings)


@pytest.mark.slow
def test_a_promise_that_is_broken_is_not_hidden_by_a_looser_one() -> None:
    """All together are within the larger limit."""
    leaves = Taxonomy.from_labels(["a", "b"])
    two = calibrated(("a", promise(alpha=0.05, n=4000)), ("b", promise(n=90, alpha=0.2, seed=3)))

    def found(n: int, wrong: int) -> str:
        tickets = [("b", "b")] * 400 + [("a", "a")] * (n - wrong) + [("a", "b")] * wrong
        judged = [
            Judged(gold=gold, outcome=Accepted(category=said, team=None, confidence=0.9, score=0.9), text="")
            for said, gold in tickets
        ]
        return Page(case(judged, leaves, two).page()).text

    assert "Within the promise" in found(100, 4)
    assert "Above the promise, as chance allows" in found(100, 6)
    text = found(100, 20)
    assert "20 of those 500 are wrong (4.0 %); at most 5 % to 20 % (by answer) was promised. Calibrate anew" in text
    assert "100 20.0 %" in text


@pytest.mark.slow
def test_what_must_be_known_before_the_figures_are_believed() -> None:
    """Few tickets, none that belongs nowhere, labels of the promise without such, answers that are missing."""
    text = Page(page_of("no answers")).text
    assert "Only 3 tickets" in text
    assert "3 tickets got no answer" in text
    assert "is labelled as belonging nowhere" in text
    assert "None of the tickets that the promise rests on" in Page(page_of("77 categories")).text
    leaves = tree(4)
    quiet = Page(case(drawn(200, leaves), leaves, calibrated(("other", promise()))).page())
    assert "note" not in [attributes.get("class") for attributes in quiet.of("ul")]
    assert "belonging nowhere" not in quiet.text


def test_what_cannot_be_drawn_is_said() -> None:
    """A sentence stands for each missing plot."""
    text = Page(page_of("no numbers")).text
    assert "there is no confidence to look at" in text
    assert "No ticket could be routed by itself" in text
    assert "No promise stands behind this run" in text
    assert "No category was taken for another." in Page(page_of("one ticket")).text


def test_each_promise_has_a_picture_and_a_row() -> None:
    """With the answers that it is about."""
    page = Page(page_of("77 categories"))
    labels = [picture.get("aria-label") or "" for picture in page.of("svg")]
    assert len([label for label in labels if label.startswith("How the promise was decided")]) == 2
    assert "category_0, category_1 10 %" in page.text
    assert "other 20 %" in page.text


@pytest.mark.slow
def test_a_threshold_that_was_fixed_beforehand_is_said_to_be() -> None:
    """There is no boundary to be explained."""
    leaves = tree(4)
    fixed = certify_at([0.9] * 100 + [0.1] * 50, [1, 0, 0, 0, 0] * 30, 0.5)
    found = case(drawn(50, leaves, calibrated=True), leaves, calibrated(("other", fixed)))
    text = Page(found.page()).text
    limit = f"{100 * fixed.alpha:.4g} %"
    assert f"of the 100 labelled tickets that reach it 20 are wrong. That many tell that the error is at most {limit}." in text
    assert f"at most {limit} was promised" in text


@pytest.mark.slow
def test_any_confidence_above_the_floor_of_a_plan_is_not_any() -> None:
    """All labelled tickets were accepted, but they were drawn above it."""
    leaves, made = tree(4), calibrated(("other", promise()))
    (all_accepted,) = (one.model_copy(update={"threshold": None}) for one in made.promises)
    focused = made.model_copy(update={"promises": (all_accepted,), "floor": 0.61})
    found = case(drawn(50, leaves, calibrated=True), leaves, focused)
    assert found.report.settings["threshold"] == 0.61
    assert "all 10 % 0.610 400" in Page(found.page()).text


@pytest.mark.slow
def test_everything_needed_to_repeat_it_and_no_secret() -> None:
    """Hashes, the run, settings, labels, versions, the day; no key, no folder of this machine."""
    text = Page(usual().page(made=MADE, command="llmtriage evaluate new.csv --calibration /home/somebody/c.json")).text
    for word in (
        "2026-03-04 05:06 UTC",
        "0123456789abcdef",
        "fedcba9876543210",
        str(usual().report.taxonomy_hash),
        "new.csv",
        "Python 3.",
    ):
        assert word in text
    calibration = usual().calibration
    assert calibration is not None
    assert calibration.hash in text
    assert (
        "labelled.csv: 400 tickets, drawn uniform; 100 fit the calibrator, 299 carry the promise (3 of the catch-all), 1 left out"
        in text
    )
    assert "vllm:qwen@http://localhost:8000/v1" in text
    assert "llmtriage evaluate new.csv --calibration c.json" in text
    assert "sk-secret" not in text
    assert "somebody" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/x/y.csv", "y.csv"),
        ("a /home/x/y.csv b", "a y.csv b"),
        ("--examples=/tmp/learn.csv", "--examples=learn.csv"),
        (r"C:\Users\x\y.csv", "y.csv"),
        ("vllm-offline:/models/qwen", "vllm-offline:qwen"),
        ("parts/new.csv", "parts/new.csv"),
        ("openai:m@https://h.example/v1", "openai:m@https://h.example/v1"),
        ("https://h.example/v1?api-key=sk-1 rest", "https://h.example/v1 rest"),
    ],
)
def test_places_of_this_machine_are_left_out(text: str, shown: str) -> None:
    """Addresses and relative paths stay."""
    assert _without_places(text) == shown


def test_example_tickets_stand_with_their_confusion() -> None:
    """Up to three."""
    found = usual()
    page = Page(page_of("usual"))
    assert found.report.confusions[0].examples[0] in page.text
    assert len(page.of("blockquote")) == sum(len(one.examples) for one in found.report.confusions[: plots.MOST_PAIRS])


def test_the_weakest_category_comes_first() -> None:
    """By F1, as in the text."""
    page = page_of("usual")
    table = page.partition('aria-labelledby="categories"')[2].partition("</table>")[0]
    values = [float(cells[1]) for row in table.split("<tr>")[2:] if (cells := re.findall(r'class="number">([\d.]+)<', row))]
    assert len(values) == 8
    assert values == sorted(values)


@pytest.mark.slow
def test_the_same_report_gives_the_same_page() -> None:
    """But for the time."""
    assert usual().page(made=MADE) == page_of("usual")


def test_a_drawing_in_a_page_has_colours_of_the_page() -> None:
    """No colour of its own is left, and no style, font or size."""
    figure = plots.figures(usual().curves, titled=False)["risk_coverage"]
    found = inline(plots.as_svg(figure, salt="x"), name="x", label="it <says>", colours=plots.COLOURS)
    assert not re.search(r"#[0-9a-f]{6}|style=|font-family|DejaVu|<metadata|width=\"\d+pt", found)
    assert 'aria-label="it &lt;says&gt;"' in found
    assert {f"var(--{name})" for name in ("main", "promise", "band", "ink", "muted", "grid")} <= set(
        re.findall(r"var\(--\w+\)", found)
    )


def test_the_shorthand_of_older_drawings_is_read() -> None:
    """Their font stands in one property."""
    old = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><text style="font: bold 11px \'DejaVu Sans\'; fill: #1b2330">a</text></svg>'
    assert inline(old, name="x", label="", colours={"ink": "#1b2330"}).endswith(
        '<text fill="var(--ink)" font-size="11px" font-weight="bold">a</text></svg>'
    )
