"""Names that a user chooses from: one list for the command line and the type checker."""

from __future__ import annotations

from typing import Literal, get_args

RunnerName = Literal["serial", "thread", "process"]
"""Where shards are made."""
Strategy = Literal["paper", "grid", "proposal"]
"""The ways from the words of an answer to points."""
CalibratedStrategy = Literal["paper", "grid"]
"""Those whose temperatures `calibrate` fits."""
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""The precision of a model's weights; `auto` is what they are stored in."""

RUNNERS: tuple[str, ...] = get_args(RunnerName)
STRATEGIES: tuple[str, ...] = get_args(Strategy)
CALIBRATED_STRATEGIES: tuple[str, ...] = get_args(CalibratedStrategy)
DTYPES: tuple[str, ...] = get_args(Dtype)

BASELINES = ("oracle", "centre", "whole", "random", "noun")
"""What `evaluate` can put in a model's place. The first one says the truth, the others are compared with."""
