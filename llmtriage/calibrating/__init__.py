"""Labelled tickets in, a calibration out: fit, certify, say what was won."""

from __future__ import annotations

from llmtriage.calibrating.calibrate import Plan, calibrate, calibrate_budget, calibrate_plan, plan
from llmtriage.calibrating.fitting import enough, parts
from llmtriage.calibrating.labelled import Labelled, scored
from llmtriage.calibrating.promising import Calibrated, Group, in_words

__all__ = [
    "Calibrated",
    "Group",
    "Labelled",
    "Plan",
    "calibrate",
    "calibrate_budget",
    "calibrate_plan",
    "enough",
    "in_words",
    "parts",
    "plan",
    "scored",
]
