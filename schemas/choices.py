"""Names that users choose from: one list for the command line and the type checker."""

from __future__ import annotations

from typing import Literal, get_args

RunnerName = Literal["serial", "thread", "process"]
"""How shards are processed."""
Strategy = Literal["paper", "grid", "proposal"]
"""How the words of an answer become points."""
CalibratedStrategy = Literal["paper", "grid"]
"""The strategies whose temperatures `calibrate` fits."""
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""The precision of a model's weights; `auto`: as stored."""

RUNNERS: tuple[str, ...] = get_args(RunnerName)
STRATEGIES: tuple[str, ...] = get_args(Strategy)
CALIBRATED_STRATEGIES: tuple[str, ...] = get_args(CalibratedStrategy)
DTYPES: tuple[str, ...] = get_args(Dtype)

BASELINES = ("oracle", "center", "whole", "random", "noun")
"""What `evaluate` can use in place of a model. The first gives the true answer, the others are baselines."""
