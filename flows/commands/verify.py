"""`iqa-spider verify`: check a dataset."""

from __future__ import annotations

import argparse
import json

from flows.arguments import add_dataset, add_json, add_quiet

GROUP = "look"
HELP = "Check a dataset against its manifest and its own claims"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)
    add_quiet(parser)
    add_json(parser, "the faults")


def run(options: argparse.Namespace) -> int:
    from flows.dataset.verify import verify
    from flows.progress import progress_for
    from schemas.dataset import load_manifest

    manifest = load_manifest(options.dataset)
    faults = verify(options.dataset, progress_for(options.quiet))
    for fault in faults:
        print(fault)
    if not faults:
        print(f"ok: {manifest.rows} rows in {len(manifest.files)} files, digest {manifest.digest}")
    if options.json:
        listed = [{"kind": fault.kind, "place": fault.place, "what": fault.what} for fault in faults]
        summary = {"ok": not faults, "rows": manifest.rows, "digest": manifest.digest, "faults": listed}
        print(json.dumps(summary))
    return 1 if faults else 0
