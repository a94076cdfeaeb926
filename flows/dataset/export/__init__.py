"""Exports: a dataset in the forms other programs read, each picture written once."""

from __future__ import annotations

from flows.dataset.export.exporting import FORMATS, Written, export

__all__ = ["FORMATS", "Written", "export"]
