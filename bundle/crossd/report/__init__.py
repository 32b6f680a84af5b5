"""Pages that open from disk, without network: of a run over many cases, and of an evaluation."""

from crossd.report.evaluation_page import EvaluationPage
from crossd.report.report_page import ReportPage
