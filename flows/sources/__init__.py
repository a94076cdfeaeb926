"""Where photographs come from: lists them, hashes them, and says what can't be used and why."""

from __future__ import annotations

from flows.sources.bundled import BUNDLED, BundledPhotograph
from flows.sources.files import HashCache, SourceRef, read_source
from flows.sources.scanning import Duplicate, ScanResult, scan

__all__ = [
    "BUNDLED",
    "BundledPhotograph",
    "Duplicate",
    "HashCache",
    "ScanResult",
    "SourceRef",
    "read_source",
    "scan",
]
