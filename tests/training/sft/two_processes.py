"""One of several processes of a run: notes which rows it trains on and its weights at the end.

Run by torchrun: `two_processes.py CONFIG FOLDER`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from training.sft import feed, fine_tune
from training.sft.encode_rows import UnfitRow
from training.sft.train_config import load_options


def main(config: Path, folder: Path) -> None:
    """Train, then write `rank-N.json`: the rows trained on in order, those left out and a hash of weights."""
    seen: list[str] = []
    unfit: Counter[str] = Counter()
    encoded, trained = feed.encode_row, {}

    def noted(row: Any, *given: Any) -> Any:
        try:
            found = encoded(row, *given)
        except UnfitRow as error:
            unfit[error.reason] += 1
            raise
        seen.append(row["id"])
        return found

    feed.encode_row = noted
    from training.sft.trainer import StageOne

    train = StageOne.train

    def kept(self: Any, *given: Any, **named: Any) -> Any:
        result = train(self, *given, **named)
        for name, value in self.model.named_parameters():
            if value.requires_grad:
                trained[name] = hashlib.sha256(value.detach().numpy().tobytes()).hexdigest()
        return result

    StageOne.train = kept
    done = fine_tune.train(load_options(config))
    record = {"rows": seen, "unfit": unfit, "left_out": done.unfit, "weights": trained}
    (folder / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(record))


main(Path(sys.argv[1]), Path(sys.argv[2]))
