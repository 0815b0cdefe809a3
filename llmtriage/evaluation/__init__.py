"""Judged tickets in, figures out; figures as text."""

from llmtriage.evaluation.report import Judged, Report, evaluate, figure

__all__ = ["Judged", "Report", "evaluate", "figure"]
