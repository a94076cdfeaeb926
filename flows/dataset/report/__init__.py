"""The report: one self-contained page about a dataset, for people."""

from flows.dataset.report.data import BuildSummary, Duplicate, ReportData, ReportRow, ShardCount, collect
from flows.dataset.report.gallery import RowMeta, choose_gallery, row_meta
from flows.dataset.report.report_page import render

__all__ = [
    "BuildSummary",
    "Duplicate",
    "ReportData",
    "ReportRow",
    "RowMeta",
    "ShardCount",
    "choose_gallery",
    "collect",
    "render",
    "row_meta",
]
