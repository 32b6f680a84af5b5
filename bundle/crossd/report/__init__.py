"""Pages that open from disk, without network: of a run over many cases, of an evaluation, and of a training."""

from crossd.report.evaluation_page import EvaluationPage
from crossd.report.report_page import ReportPage
from crossd.report.training_page import TrainingPage
