"""Judged tickets in, figures out; figures as text."""

from llmtriage.evaluation.figures import figure
from llmtriage.evaluation.report import Judged, Report, evaluate

__all__ = ["Judged", "Report", "evaluate", "figure"]
