"""Canonical JSON, content keys, and the only source of randomness: generators seeded by their purpose."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np


def canonical_json(value: Any) -> str:
    """`value` as JSON with sorted keys and no spaces: equal values, equal text. Raises ValueError for NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_key(*parts: Any) -> str:
    """SHA-256 (64 hex digits) over the canonical JSON of `parts`."""
    return hashlib.sha256(canonical_json(list(parts)).encode()).hexdigest()


def derived_seed(seed: int, *names: str) -> int:
    """A 64-bit seed from the build's seed and names (stage, sample id, region id), whose order matters."""
    return int.from_bytes(hashlib.sha256(canonical_json([seed, *names]).encode()).digest()[:8], "little")


def rng(seed: int, *names: str) -> np.random.Generator:
    """A separate generator for (seed, names): independent of any other draw, worker or order."""
    return np.random.default_rng(derived_seed(seed, *names))
