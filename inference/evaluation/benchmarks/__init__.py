"""The benchmarks, one a file: `make()` gives what `evaluate NAME` measures a model on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.errors import InputError
from schemas.plugins import PlugIns

if TYPE_CHECKING:
    from inference.evaluation.benchmark_interface import Benchmark

BENCHMARKS = PlugIns("benchmark", __name__, functions=("make",))
_NEEDED = ("name", "needs_logits", "judged", "columns", "measures", "open", "score")


def benchmark_of(name: str) -> Benchmark:
    """The benchmark of this name. Raises InputError for an unknown one and for a file that makes none."""
    module = BENCHMARKS.load(name)
    benchmark: Benchmark = module.make()
    missing = [wanted for wanted in _NEEDED if not hasattr(benchmark, wanted)]
    if missing:
        raise InputError(f"{module.__file__}: what `make` gives lacks {', '.join(missing)}; add that")
    if benchmark.name != name:
        raise InputError(f"{module.__file__}: calls itself {benchmark.name!r}; name it {name!r} as its file")
    return benchmark
