"""One of several processes of a run: notes which rows it trains on and its weights at the end.

Run by torchrun: `two_processes.py CONFIG FOLDER`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from training.sft import feed, run
from training.sft.options import load_options


def main(config: Path, folder: Path) -> None:
    """Train, then write `rank-N.json`: the texts of the rows in order, and a hash of the trained weights."""
    seen: list[str] = []
    encoded, trained = feed.encoded, {}

    def noted(row: Any, *given: Any) -> Any:
        seen.append(row["id"])
        return encoded(row, *given)

    feed.encoded = noted
    from training.sft.trainer import StageOne

    train = StageOne.train

    def kept(self: Any, *given: Any, **named: Any) -> Any:
        result = train(self, *given, **named)
        for name, value in self.model.named_parameters():
            if value.requires_grad:
                trained[name] = hashlib.sha256(value.detach().numpy().tobytes()).hexdigest()
        return result

    StageOne.train = kept
    options = load_options(config)
    run.train(options)
    wanted = (options.run.steps or 0) * options.run.batch
    text = json.dumps({"rows": seen[:wanted], "weights": trained})
    (folder / f"rank-{os.environ['RANK']}.json").write_text(text)


main(Path(sys.argv[1]), Path(sys.argv[2]))
