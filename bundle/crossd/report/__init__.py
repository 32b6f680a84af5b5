"""The report of a run over many cases: one page that opens from disk, without network."""

from crossd.report.handler import ReportWriter

__all__ = ["ReportWriter"]
