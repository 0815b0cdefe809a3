"""The two outcomes of a ticket, and the reasons for which one waits for a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from llmtriage.predictions import EngineReason

if TYPE_CHECKING:
    from llmtriage.predictions import Failure, Prediction

ReasonCode = Literal[
    "below_threshold",
    "uncalibrated",
    "no_promise",
    "always_review",
    "too_short",
    "none_of_these",
    "low_label_mass",
    "probe",
    "sample",
    "second",
    EngineReason,
]
REASON_CODES: tuple[ReasonCode, ...] = get_args(ReasonCode)

_SENTENCES: dict[ReasonCode, tuple[str, str]] = {
    "below_threshold": ("The model is not sure enough.", "模型把握不足。"),
    "uncalibrated": ("No calibration and no threshold: nothing is accepted by itself.", "没有校准也没有阈值：不自动接受。"),
    "no_promise": ("Nothing could be promised for this category.", "对该类别尚无法作出保证。"),
    "always_review": ("Tickets like this are always decided by a person.", "此类工单一律由人工决定。"),
    "too_short": ("Too little text to decide on.", "文字太少，无法判断。"),
    "none_of_these": ("It seems to belong to none of the categories.", "似乎不属于任何类别。"),
    "low_label_mass": ("The model wanted to answer something other than a category.", "模型想回答的不是任何类别。"),
    "probe": (
        "Drawn by chance: a person decides, without seeing what the model says.",
        "随机抽取：由人工独立判断，不显示模型的意见。",
    ),
    "sample": (
        "Part of a planned sample: a person decides, without seeing what a model says.",
        "属于计划好的样本：由人工独立判断，不显示模型的意见。",
    ),
    "second": (
        "Second opinion: another person has answered; this answer is to be independent.",
        "第二意见：已有他人回答，请独立判断。",
    ),
    "refused": ("The model or its content filter refused to answer.", "模型或其内容过滤拒绝回答。"),
    "unknown_label": ("The model named a category that does not exist.", "模型给出了不存在的类别。"),
    "truncated": ("The model's answer was cut off.", "模型的回答被截断。"),
    "bad_response": ("The model's answer could not be read.", "无法读取模型的回答。"),
    "too_long": ("The text is too long for the model.", "文字太长，模型无法处理。"),
    "timeout": ("The model did not answer in time.", "模型未在时限内回答。"),
    "rate_limited": ("The server takes no more requests for now.", "服务器暂不接受更多请求。"),
    "backend_unavailable": ("The server could not work on this ticket.", "服务器未能处理这张工单。"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a ticket waits: a stable code, and a detail where there is one (never ticket text)."""

    code: ReasonCode
    detail: str | None = None

    def sentence(self, language: str = "en") -> str:
        """The reason in words, in English or Chinese ("zh")."""
        english, chinese = _SENTENCES[self.code]
        words = chinese if language.startswith("zh") else english
        if not self.detail:
            return words
        return f"{words}（{self.detail}）" if language.startswith("zh") else f"{words} ({self.detail})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A category with its score: the engine's probability for it, or the model's own number; None where there is none.

    With a calibration it is the calibrated probability, and goes with the confidence in what is offered.
    """

    category: str
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A ticket that goes to its team without a person looking.

    Attributes:
        category: The id of the leaf, or of a department where the policy accepts departments.
        team: Who gets it; None where neither taxonomy nor rules name a team.
        confidence: The calibrated probability that the category is right, in [0, 1]; None without a calibration.
        score: The uncalibrated number it was decided on, in [0, 1].
        calibrated: Whether a fitted calibration stands behind it.
        candidates: At most five categories, most probable first.
        ticket_id: The ticket's id.
        text: What the model saw.
        prediction: What the engine answered; None where it was not asked in this run.
        recalled: Whether the store knew the outcome, so that nothing was asked.
    """

    category: str
    team: str | None
    confidence: float | None
    score: float
    calibrated: bool = False
    candidates: tuple[Candidate, ...] = ()
    ticket_id: str | None = None
    text: str = field(default="", repr=False)
    prediction: Prediction | None = field(default=None, repr=False)
    recalled: bool = field(default=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A ticket in the "pending manual confirmation" bucket.

    Attributes:
        suggestion: What the engine would say: a leaf, or a department where only that is sure; None where it said nothing.
        reasons: Why it waits; at least one.
        confidence: The calibrated probability of the suggestion; None without a calibration.
        score: The uncalibrated number of the suggestion, if there is one.
        calibrated: Whether a fitted calibration stands behind it.
        candidates: At most five categories, most probable first.
        ticket_id: The ticket's id.
        text: What the model saw, or would have seen.
        prediction: What the engine answered, if it did.
        failure: Why it did not, if it failed.
        recalled: Whether the store knew the outcome, so that nothing was asked.
    """

    suggestion: str | None
    reasons: tuple[Reason, ...]
    confidence: float | None = None
    score: float | None = None
    calibrated: bool = False
    candidates: tuple[Candidate, ...] = ()
    ticket_id: str | None = None
    text: str = field(default="", repr=False)
    prediction: Prediction | None = field(default=None, repr=False)
    failure: Failure | None = field(default=None, repr=False)
    recalled: bool = field(default=False, repr=False, compare=False)

    def why(self, language: str = "en") -> str:
        """All reasons in words, in English or Chinese ("zh"), which puts no blank between sentences."""
        return ("" if language.startswith("zh") else " ").join(reason.sentence(language) for reason in self.reasons)


Outcome = Accepted | Pending


def blind(outcome: Outcome) -> Pending:
    """What is told of a probe: that a person decides, and nothing that could lead this person."""
    return Pending(
        suggestion=None,
        reasons=(Reason(code="probe"),),
        ticket_id=outcome.ticket_id,
        text=outcome.text,
        prediction=outcome.prediction,
        failure=getattr(outcome, "failure", None),
        recalled=outcome.recalled,
    )
