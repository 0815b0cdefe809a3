"""Judged tickets in, figures out; figures as text, as a page, as plots."""

from llmtriage.evaluation.business import Rates
from llmtriage.evaluation.curves import Curves, measured_curves
from llmtriage.evaluation.figures import figure
from llmtriage.evaluation.judging import Judged
from llmtriage.evaluation.measuring import evaluate
from llmtriage.evaluation.page import report_html
from llmtriage.evaluation.report import Report
from llmtriage.evaluation.text import report_text

__all__ = ["Curves", "Judged", "Rates", "Report", "evaluate", "figure", "measured_curves", "report_html", "report_text"]
