"""The report of a run over many cases: one page that opens from disk, without network."""

from crossd.report.report_page import ReportPage
