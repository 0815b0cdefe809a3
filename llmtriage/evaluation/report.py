"""The `Report`: every figure of `llmtriage evaluate`, as plain data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llmtriage.probability.metrics import Interval, Verdict


class Figures(BaseModel):
    """Plain figures; none is NaN or infinite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class AcceptedFigures(Figures):
    """The tickets that go to a team without a person looking: n, and their share of all tickets (coverage).

    Attributes:
        errors: How many of them are wrong; a department is right if the true leaf lies below it.
        error: errors / n (risk); None when none was accepted.
        error_interval: Its Clopper-Pearson 95 % interval.
    """

    n: int
    share: float
    errors: int
    error: float | None
    error_interval: Interval | None


class PromisedFigures(AcceptedFigures):
    """What was accepted under one of the promises of a calibration: the same figures, of its answers alone.

    Attributes:
        categories: The answers that it is about.
        alpha: The largest share of wrong ones that was promised.
    """

    categories: tuple[str, ...]
    alpha: float


class PendingFigures(Figures):
    """The tickets that wait for a person, and how many of them for each reason; a ticket may have several.

    Attributes:
        n_candidates: Those for which candidates are shown.
        candidates_mean: How many these are; None where there are none.
        candidates_hold: The share of these tickets whose true category is among them; None where there are none.
        candidates_hold_interval: Its Clopper-Pearson 95 % interval.
    """

    n: int
    share: float
    reasons: dict[str, int]
    n_candidates: int
    candidates_mean: float | None
    candidates_hold: float | None
    candidates_hold_interval: Interval | None


class CategoryFigures(Figures):
    """One leaf. A share of nothing is None.

    Attributes:
        n: Tickets that truly belong to it.
        precision_interval: The Wilson 95 % interval of `precision`.
        recall_interval: The same of `recall`.
        accepted: Tickets accepted as it.
        accepted_error: The share of those that belong elsewhere.
    """

    category: str
    n: int
    precision: float | None
    precision_interval: Interval | None
    recall: float | None
    recall_interval: Interval | None
    f1: float | None
    accepted: int
    accepted_error: float | None


class Confusion(Figures):
    """How many tickets of one category were predicted as another.

    `examples` holds the first few such texts, shortened; being ticket text, it is not part of `Report.to_json`.
    """

    gold: str
    predicted: str
    n: int
    examples: tuple[str, ...] = Field(default=(), repr=False)


class MurphyFigures(Figures):
    """Murphy's split of `top_brier` over the bins of `ece`: reliability - resolution + uncertainty + rest."""

    reliability: float | None
    resolution: float | None
    uncertainty: float | None
    rest: float | None


class RiskFigures(Figures):
    """What could be accepted at most with this error rate, on these very tickets: a description, no promise.

    Attributes:
        risk: The error rate allowed.
        coverage: The share of the tickets of `n_confidence`; 0 if none could be accepted.
        threshold: The number from which on; None if none could be accepted.
    """

    risk: float
    coverage: float | None
    threshold: float | None


class CostFigures(Figures):
    """What the run would cost, in the unit of the two costs.

    Attributes:
        per_1000: For 1,000 such tickets: accepted errors and reviews.
        per_1000_interval: Its bootstrap 95 % interval; None below 30 tickets.
        by_hand: For 1,000 tickets if people decided all.
        cheapest_threshold: Where accepting becomes cheaper than a review, if confidences are true.
        error_cost: Taken for an accepted ticket that is wrong.
        review_cost: Taken for a ticket that a person decides.
    """

    per_1000: float
    per_1000_interval: Interval | None
    by_hand: float
    cheapest_threshold: float
    error_cost: float
    review_cost: float


class BusinessFigures(Figures):
    """What the run is worth to those who pay for it; None where nobody said what is needed. docs/evaluation.md holds the formulas.

    Attributes:
        handled: The share of tickets that go to a team without a person looking.
        handled_interval: Its Wilson 95 % interval.
        minutes_saved_per_1000: Minutes of work that 1,000 such tickets take less than if people sorted all; may be negative.
        minutes_saved_interval: Its bootstrap 95 % interval; None also below 30 tickets.
        error_cost_per_1000: What the accepted errors among 1,000 such tickets cost.
        error_cost_interval: Its Clopper-Pearson 95 % interval.
        net_per_1000: The minutes saved at the wage, less the cost of errors; the engine's own price is not in it.
        minutes_manual: Taken for sorting a ticket by hand.
        minutes_review: Taken for deciding on a ticket that waits.
        minutes_repair: Taken for sending a wrongly routed ticket where it belongs.
        error_cost: Taken for an accepted ticket that is wrong, in money.
        wage_per_hour: Taken for an hour of work, in the same money.
    """

    handled: float
    handled_interval: Interval
    minutes_saved_per_1000: float | None = None
    minutes_saved_interval: Interval | None = None
    error_cost_per_1000: float | None = None
    error_cost_interval: Interval | None = None
    net_per_1000: float | None = None
    minutes_manual: float | None = None
    minutes_review: float | None = None
    minutes_repair: float | None = None
    error_cost: float | None = None
    wage_per_hour: float | None = None


class SliceFigures(Figures):
    """Some of the tickets.

    Attributes:
        value: What they have in common; None: no value is known, or they have different ones.
        merged: How many rarer values were taken together; 0 for one value.
        n: Tickets.
        accuracy: The share of them whose top leaf is right.
        accuracy_interval: Its Wilson 95 % interval.
        accepted: Those that go to a team by themselves; its share is of these n.
        ece: As in `Report`; None below 100 tickets with a number.
        ece_limit: The same.
        p: How often chance alone gives so many errors among the accepted, or more, corrected for all slices of the report (Holm);
            None where none was accepted.
        worse: Whether that is below 0.05.
    """

    value: str | None
    merged: int = 0
    n: int
    accuracy: float
    accuracy_interval: Interval
    accepted: AcceptedFigures
    ece: float | None
    ece_limit: float | None
    p: float | None
    worse: bool


class Slices(Figures):
    """All tickets, split by one of their fields.

    Attributes:
        by: Its name: `length`, `language`, or a column.
        against: What the errors of a slice are held against: the `promise` (binomial test), or `all` accepted tickets (Fisher's test).
        limit: The error rate promised, or that of all accepted tickets; None where none was accepted.
        tests: How many slices were tested in the whole report, which `p` is corrected for.
        groups: The most frequent values first, at most 20; then all others together; then tickets without a value.
    """

    by: str
    against: Literal["promise", "all"]
    limit: float | None
    tests: int
    groups: tuple[SliceFigures, ...]


class OutsideFigures(Figures):
    """Tickets that belong to no category: those of the catch-all, and with `none_label` those that no leaf is right for.

    Attributes:
        n: How many there are.
        accepted: Of these, those accepted as a real category: errors in every figure.
        share: accepted / n; None where there are none.
        auroc: How well each signal tells them from the others: the chance that it is larger for one of them, a tie counting half; None where the
            engine gives no such number. `confidence`: 1 minus the largest probability of a real category; `catch_all`:
            ln p(catch-all) - max ln p(other); `label_mass`: 1 minus the label mass.
        caught: The share of them that each signal finds where it flags one in twenty of the others.
    """

    n: int
    accepted: int
    share: float | None
    auroc: dict[str, float | None]
    caught: dict[str, float | None]


class SuggestionFigures(Figures):
    """Tickets that people answered, and for which the run offers a category.

    Attributes:
        n: How many.
        right: Those whose label is this category, or lies below it.
        accuracy: right / n: how often people and model agree; None where there are none.
        accuracy_interval: Its Wilson 95 % interval.
        confirmed: Answers that say what was suggested to the person then, by whatever run.
    """

    n: int
    right: int
    accuracy: float | None
    accuracy_interval: Interval | None
    confirmed: int


class ReviewFigures(Figures):
    """The answers of people in a store that stand behind the figures.

    Attributes:
        lane: Whose answers: `probe` (drawn from all tickets that came), `sample` (a planned sample), `pending` (what waited), or `all`.
        all_traffic: Whether the figures are about all tickets that come: of probes alone.
        drawn: The probabilities with which the tickets were drawn; none in the lane pending.
        shown: Tickets whose reviewers saw a suggestion.
        unseen: Tickets whose reviewers saw none.
        waiting: Tickets that were drawn and have no answer yet: the figures are about those that have one.
        undecided: Tickets with an answer that this run did not decide; left out.
        carried: Tickets whose label, or the run's answer, has another name now.
        lost: Tickets left out because the taxonomy has no one leaf for the label or for the run's answer.
        erased: Tickets whose text is gone; they count.
        changed: Tickets of which somebody said something else later; of a ticket that was drawn the first answer counts.
        timed: Answers whose times the minutes of a review were taken from; 0: they were told, or not asked for.
    """

    lane: Literal["probe", "sample", "pending", "all"]
    all_traffic: bool
    drawn: tuple[float, ...]
    shown: SuggestionFigures
    unseen: SuggestionFigures
    waiting: int
    undecided: int
    carried: int
    lost: int
    erased: int
    changed: int
    timed: int


class Report(Figures):
    """All figures of an evaluation. A figure that does not exist is None.

    Where it is known of answers only whether they are right, figures of categories are None, and lists of categories empty.

    Attributes:
        unanswered: Tickets the engine gave no answer for; they count as wrong.
        accuracy: The share of tickets whose top leaf is right.
        accuracy_interval: Its Wilson 95 % interval.
        macro_f1_interval: Its bootstrap 95 % interval; None below 30 tickets.
        categories_without_tickets: Leaves that no ticket truly belongs to: nothing is known about them.
        n_scored: Tickets with a score for every category, which `log_loss` and `brier` are about. If any answer is a
            single label, the two are None and this is 0.
        log_loss_clipped: Of those, tickets whose true category was given less than 1e-12, which was taken instead.
        n_confidence: Tickets with a number for what is offered: the top leaf, or under a calibration for departments the department. All figures
            from here to `coverage_at_risk` are about these.
        ece: Over 15 bins of equal mass.
        ece_limit: What `ece` stays below in 95 of 100 such samples if the model is perfectly calibrated.
        ece_p: The share of such samples in which it is as large as here.
        ece_verdict: Whether number and share right agree, as far as `ece` can tell.
        ece_width: Over 15 bins of equal width.
        ece_debiased: `ece` less an estimate of what chance adds; may be negative.
        rmsce2_debiased: The squared error instead of the absolute one, debiased; may be negative.
        top_brier, top_log_loss: Brier score and log loss of what is offered alone: is it right?
        mcb, dsc, unc: `top_brier` = mcb - dsc + unc: miscalibration, discrimination, uncertainty.
        e_aurc: `aurc` less that of the best order of the same answers.
        coverage_at_risk: For error rates of 1, 2, 5 and 10 %.
        label_mass: The mean probability put on all labels together; None where the engine has no such thing.
        sources: How many answers were read in which way.
        confusions: The most frequent ones, at most 20.
        slices: The tickets split by each field that was asked for.
        reviews: Whose labels these are; None: those of a file.
        promises: What was accepted under each promise of the calibration; empty without one.
        run: The fingerprint of all that the outcomes depend on, as in the output of a run.
        settings: What the run was asked to do, such as threshold, number of examples and name of the file.
    """

    n: int
    unanswered: int
    accuracy: float
    accuracy_interval: Interval
    balanced_accuracy: float | None
    macro_f1: float | None
    macro_f1_interval: Interval | None
    weighted_f1: float | None
    categories_without_tickets: tuple[str, ...]
    n_scored: int
    log_loss: float | None
    log_loss_clipped: int | None
    brier: float | None
    n_confidence: int
    ece: float | None
    ece_limit: float | None
    ece_p: float | None
    ece_verdict: Verdict | None
    ece_width: float | None
    ece_debiased: float | None
    rmsce2_debiased: float | None
    smooth_ece: float | None
    top_brier: float | None
    top_log_loss: float | None
    mcb: float | None
    dsc: float | None
    unc: float | None
    murphy: MurphyFigures
    auroc: float | None
    aurc: float | None
    e_aurc: float | None
    augrc: float | None
    coverage_at_risk: tuple[RiskFigures, ...]
    label_mass: float | None
    sources: dict[str, int]
    accepted: AcceptedFigures
    promises: tuple[PromisedFigures, ...] = ()
    pending: PendingFigures
    outside: OutsideFigures
    cost: CostFigures
    business: BusinessFigures
    slices: tuple[Slices, ...] = ()
    reviews: ReviewFigures | None = None
    per_category: tuple[CategoryFigures, ...]
    confusions: tuple[Confusion, ...]
    baselines: dict[str, float | None]
    usage: dict[str, int | float | None]
    seconds: float | None
    tickets_per_second: float | None
    backend: str | None
    taxonomy_hash: str | None
    prompt_hash: str | None
    run: str | None = None
    settings: dict[str, str | int | float | bool | None] = {}

    def to_json(self) -> dict[str, Any]:
        """Plain data for strict JSON: no NaN, no ticket text."""
        return self.model_dump(mode="json", exclude={"confusions": {"__all__": {"examples"}}})
