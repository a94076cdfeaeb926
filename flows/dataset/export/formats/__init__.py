"""The export formats, one a file: `make(folder, paths)` gives the writer of `export --format NAME`."""

from __future__ import annotations

from schemas.plugins import PlugIns

FORMATS = PlugIns("export format", __name__, functions=("make",))
