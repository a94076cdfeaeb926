"""Segmenters: from points to masks, without weights or with a SAM."""

from __future__ import annotations

from inference.answers import Segmenter


def make_segmenter(name: str, device: str = "auto", dtype: str = "float32") -> Segmenter:
    """The segmenter called `name`: "graph", or a SAM as a name on the hub or a local folder.

    `device` is "auto", "cpu", "cuda", "cuda:N" or "mps" and `dtype` "float32", "bfloat16" or "float16"; both
    are for SAM. Raises InputError when the model is missing, unreadable or of another kind.
    """
    if name == "graph":
        from inference.segmenters.graph import GraphSegmenter

        return GraphSegmenter()
    from schemas.errors import InputError

    raise InputError(f"no segmenter is called {name!r}; known: graph")
