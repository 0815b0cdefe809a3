"""The figures of an evaluation, each a pure function of arrays.

`labels`: predicted categories. `losses`: proper scores. `calibration`, `smooth`, `splits`: is a confidence true? `ranking`: does it
put the right answers first? `cost`: errors and reviews. `intervals`: how far chance reaches. `pairs`: two runs on the same tickets.
`excess`: are some tickets worse than chance allows?
"""

from llmtriage.probability.metrics.calibration import (
    BINS,
    Bins,
    By,
    EceCheck,
    Histogram,
    NullBand,
    Verdict,
    confidence_histogram,
    ece,
    ece_check,
    ece_debiased,
    ece_null,
    reliability_band,
    reliability_bins,
    rmsce2_debiased,
)
from llmtriage.probability.metrics.cost import cheapest_threshold, error_costs, expected_cost, expected_cost_interval
from llmtriage.probability.metrics.excess import excess_over_limit, excess_over_rest, holm
from llmtriage.probability.metrics.inputs import Interval
from llmtriage.probability.metrics.intervals import bootstrap_interval, clopper_pearson, wilson
from llmtriage.probability.metrics.labels import (
    PerCategory,
    accuracy,
    balanced_accuracy,
    macro_f1,
    macro_f1_interval,
    per_category,
    weighted_f1,
)
from llmtriage.probability.metrics.losses import FLOOR, brier, log_loss, n_clipped, top_brier, top_log_loss
from llmtriage.probability.metrics.pairs import mcnemar, mcnemar_mid_p, mean_interval, paired_bootstrap, paired_interval
from llmtriage.probability.metrics.ranking import (
    CoverageAtRisk,
    RiskBand,
    RiskCoverage,
    augrc,
    aurc,
    auroc,
    coverage_at_risk,
    e_aurc,
    risk_band,
    risk_coverage,
)
from llmtriage.probability.metrics.smooth import smooth_ece
from llmtriage.probability.metrics.splits import (
    Blocks,
    IsotonicSplit,
    Murphy,
    isotonic,
    isotonic_blocks,
    isotonic_split,
    murphy,
)

__all__ = [
    "BINS",
    "FLOOR",
    "Bins",
    "Blocks",
    "By",
    "CoverageAtRisk",
    "EceCheck",
    "Histogram",
    "Interval",
    "IsotonicSplit",
    "Murphy",
    "NullBand",
    "PerCategory",
    "RiskBand",
    "RiskCoverage",
    "Verdict",
    "accuracy",
    "augrc",
    "aurc",
    "auroc",
    "balanced_accuracy",
    "bootstrap_interval",
    "brier",
    "cheapest_threshold",
    "clopper_pearson",
    "confidence_histogram",
    "coverage_at_risk",
    "e_aurc",
    "ece",
    "ece_check",
    "ece_debiased",
    "ece_null",
    "error_costs",
    "excess_over_limit",
    "excess_over_rest",
    "expected_cost",
    "expected_cost_interval",
    "holm",
    "isotonic",
    "isotonic_blocks",
    "isotonic_split",
    "log_loss",
    "macro_f1",
    "macro_f1_interval",
    "mcnemar",
    "mcnemar_mid_p",
    "mean_interval",
    "murphy",
    "n_clipped",
    "paired_bootstrap",
    "paired_interval",
    "per_category",
    "reliability_band",
    "reliability_bins",
    "risk_band",
    "risk_coverage",
    "rmsce2_debiased",
    "smooth_ece",
    "top_brier",
    "top_log_loss",
    "weighted_f1",
    "wilson",
]
