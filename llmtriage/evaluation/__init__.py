"""Judged tickets in, figures out; figures as text."""

from llmtriage.evaluation.figures import figure
from llmtriage.evaluation.judging import Judged
from llmtriage.evaluation.measuring import evaluate
from llmtriage.evaluation.report import Report

__all__ = ["Judged", "Report", "evaluate", "figure"]
