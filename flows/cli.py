"""The command line `iqa-spider`: parses, calls, prints one line for an error, returns 0, 1 or 2."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from flows.arguments import positive
from flows.commands.ask import add_inference_commands
from flows.commands.train import add_training_commands
from schemas.errors import InputError, SampleError, SpiderError

if TYPE_CHECKING:
    from schemas.config import BuildConfig

FORMATS = ("messages", "llava", "sharegpt", "coco", "webdataset")
"""The forms of flows.dataset.export, named here so that a typo is told at once."""
Command = Callable[[argparse.Namespace], int]
UNTIL = ("ingest", "regions", "distort", "annotate")
"""The stages a build can end after; the two that follow make its dataset."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def _add_build_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the build's YAML file")
    parser.add_argument("--images", metavar="DIR", type=Path, help="take the photographs from this folder")
    parser.add_argument("--out", metavar="DIR", type=Path, help="put datasets and store in this folder")
    parser.add_argument("--limit", metavar="N", type=positive, help="use only N photographs")
    parser.add_argument(
        "--workers", metavar="N", type=positive, help="work on N shards at once (default: the cores)"
    )
    parser.add_argument("--runner", choices=("serial", "thread", "process"), help="where shards are made")
    parser.add_argument("--seed", metavar="N", type=int, help="the seed of every draw")
    parser.add_argument("--json", action="store_true", help="print a summary for programs as the last line")


def _add_until(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--until", choices=UNTIL, metavar="STAGE", help=f"end after: {', '.join(UNTIL)}")


def _days(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days")
    return value


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    root = _Parser(prog="iqa-spider", description="Build, check and look at image-quality datasets.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    build = commands.add_parser("build", help="build a dataset; what stands already is reused")
    _add_build_arguments(build)
    _add_until(build)
    build.set_defaults(run=_build)

    plan = commands.add_parser("plan", help="say what a build would make, reuse and take; writes nothing")
    _add_build_arguments(plan)
    _add_until(plan)
    plan.set_defaults(run=_plan)

    schedule = commands.add_parser("schedule", help="serve a build on a cron until stopped")
    _add_build_arguments(schedule)
    schedule.add_argument("--cron", required=True, help='when to build, e.g. "0 3 * * *"')
    schedule.set_defaults(run=_schedule)

    regions = commands.add_parser("regions", help="write the regions of a build as files of other tools")
    regions.add_argument("config", metavar="CONFIG", type=Path, help="the build's YAML file")
    regions.add_argument(
        "--ssa-json", metavar="DIR", type=Path, required=True, help="one NAME_semantic.json a picture, as SSA"
    )
    regions.add_argument("--images", metavar="DIR", type=Path, help="as the build was given")
    regions.add_argument("--out", metavar="DIR", type=Path, help="as the build was given")
    regions.add_argument("--limit", metavar="N", type=positive, help="as the build was given")
    regions.set_defaults(run=_regions)

    verify = commands.add_parser("verify", help="check a dataset against its manifest and its own claims")
    verify.add_argument("dataset", metavar="DATASET", type=Path)
    verify.add_argument("--json", action="store_true", help="print the faults for programs as the last line")
    verify.set_defaults(run=_verify)

    digest = commands.add_parser("digest", help="compute a dataset's digest from its rows")
    digest.add_argument("dataset", metavar="DATASET", type=Path)
    digest.set_defaults(run=_digest)

    report = commands.add_parser("report", help="print where a dataset's report is, and its totals")
    report.add_argument("dataset", metavar="DATASET", type=Path)
    report.set_defaults(run=_report)

    show = commands.add_parser("show", help="draw one row as a picture")
    show.add_argument("dataset", metavar="DATASET", type=Path)
    show.add_argument("row_id", metavar="ROW_ID")
    show.add_argument("-o", "--output", metavar="PNG", type=Path, required=True)
    show.set_defaults(run=_show)

    _add_qa_commands(commands.add_parser("qa", help="see and prune the replies that models have given"))

    recipes = commands.add_parser("recipes", help="a dataset without its pictures, and back")
    of_recipes = recipes.add_subparsers(dest="recipe", required=True, metavar="COMMAND", parser_class=_Parser)
    pack = of_recipes.add_parser("pack", help="write rows and recipes to one file")
    pack.add_argument("dataset", metavar="DATASET", type=Path)
    pack.add_argument("-o", "--output", metavar="FILE", type=Path, required=True)
    pack.set_defaults(run=_pack)
    rebuild = of_recipes.add_parser("rebuild", help="make the dataset of a pack from the photographs")
    rebuild.add_argument("pack", metavar="FILE", type=Path)
    source = rebuild.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", metavar="DIR", type=Path, help="the photographs, whatever their names")
    source.add_argument("--bundled", action="store_true", help="take the bundled photographs")
    rebuild.add_argument("--out", metavar="DIR", type=Path, required=True, help="the dataset's new folder")
    rebuild.add_argument("--workers", metavar="N", type=positive, help="processes (default: the cores)")
    rebuild.set_defaults(run=_rebuild)

    export = commands.add_parser("export", help="write a dataset in another program's form")
    export.add_argument("dataset", metavar="DATASET", type=Path)
    export.add_argument("--format", choices=FORMATS, required=True)
    export.add_argument("--out", metavar="DIR", type=Path, required=True, help="a folder that doesn't exist")
    export.add_argument("--split", help="only this split")
    export.add_argument("--task", action="append", default=[], help="only this task (again for more)")
    export.add_argument("--source", action="append", default=[], help="only this source (again for more)")
    export.set_defaults(run=_export)

    add_training_commands(commands)
    add_inference_commands(commands)
    return root


def _add_qa_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(
        dest="qa_command", required=True, metavar="COMMAND", parser_class=_Parser
    )
    place = "a build's YAML file, or its file of replies"

    stats = commands.add_parser("stats", help="count the replies kept so far, by model and prompt version")
    stats.add_argument("place", metavar="CONFIG_OR_CACHE", type=Path, help=place)
    stats.add_argument("--json", action="store_true", help="print the counts for programs as the last line")
    stats.set_defaults(run=_qa_stats)

    prune = commands.add_parser("prune", help="drop the replies that all given conditions hold for")
    prune.add_argument("place", metavar="CONFIG_OR_CACHE", type=Path, help=place)
    prune.add_argument("--model", metavar="NAME", help="replies of this model")
    prune.add_argument("--prompt-version", metavar="HASH", help="replies to these prompts (see qa stats)")
    prune.add_argument("--older-than", metavar="DAYS", type=_days, help="replies given longer ago")
    prune.set_defaults(run=_qa_prune)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; every error of ours is one line on standard error."""
    options = parser().parse_args(arguments)
    run: Command = options.run
    try:
        return run(options)
    except SpiderError as error:
        print(f"iqa-spider: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("iqa-spider: stopped; run the same command again to go on", file=sys.stderr)
        return 1
    except BrokenPipeError:
        _drop_output()
        return 1


def _drop_output() -> None:
    """Nobody reads any more: what is still buffered goes nowhere, so that leaving doesn't fail on it."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _configured(options: argparse.Namespace) -> BuildConfig:
    from flows.engine.overrides import Overrides, configure

    overrides = Overrides(options.images, options.out, options.workers, options.runner, options.seed)
    return configure(options.config, overrides)


def _build(options: argparse.Namespace) -> int:
    config = _configured(options)
    from flows.engine.build import build, build_until
    from flows.engine.build_summary import print_outcome, print_stopped
    from flows.progress import progress_for

    if options.until is not None:
        stopped = build_until(config, options.until, options.limit, progress_for(False))
        print_stopped(stopped)
        if options.json:
            print(json.dumps(stopped.summary()))
        return 0
    outcome = build(config, options.limit, progress_for(False))
    print_outcome(outcome)
    if options.json:
        print(json.dumps(outcome.summary()))
    return 0


def _plan(options: argparse.Namespace) -> int:
    config = _configured(options)
    from flows.commands.plan import print_plan

    print_plan(config, options.limit, options.json, options.until)
    return 0


def _regions(options: argparse.Namespace) -> int:
    from flows.engine.overrides import Overrides, configure

    config = configure(options.config, Overrides(options.images, options.out))
    from flows.engine.regions_export import write_ssa_files

    written = write_ssa_files(config, options.limit, options.ssa_json)
    print(f"{written} files in {options.ssa_json.resolve()}")
    return 0


def _schedule(options: argparse.Namespace) -> int:
    config = _configured(options)
    from flows.engine.schedule import serve

    serve(config, options.limit, options.cron)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from flows.dataset.verify import print_verification
    from flows.progress import progress_for

    return print_verification(options.dataset, options.json, progress_for(False))


def _digest(options: argparse.Namespace) -> int:
    from flows.dataset.verify import computed_digest

    print(computed_digest(options.dataset))
    return 0


def _report(options: argparse.Namespace) -> int:
    from flows.engine.build_summary import print_manifest
    from schemas.dataset import load_manifest

    path = options.dataset / "report.html"
    manifest = load_manifest(options.dataset)
    if not path.is_file():
        raise InputError(f"{path}: the dataset's report is gone; build again")
    print_manifest(manifest)
    print(f"report   {path.resolve()}")
    return 0


def _show(options: argparse.Namespace) -> int:
    from flows.dataset.row_picture import draw_row
    from schemas.dataset import find_row
    from schemas.pictures import encode, load_png

    row, pictures = find_row(options.dataset, options.row_id)
    try:
        drawn = encode(draw_row(row, [load_png(data) for data in pictures]))
    except (SampleError, ValueError) as error:
        what = f"row {row.id} can't be drawn: {error}; `iqa-spider verify` says more"
        raise InputError(f"{options.dataset}: {what}") from error
    try:
        options.output.write_bytes(drawn)
    except OSError as error:
        raise InputError(f"{options.output}: can't be written: {error.strerror}; give another -o") from error
    print(options.output)
    return 0


def _qa_stats(options: argparse.Namespace) -> int:
    from flows.commands.qa import print_stats

    print_stats(options.place, options.json)
    return 0


def _qa_prune(options: argparse.Namespace) -> int:
    from flows.commands.qa import prune

    prune(options.place, options.model, options.prompt_version, options.older_than)
    return 0


def _pack(options: argparse.Namespace) -> int:
    from flows.commands.recipes import print_pack

    return print_pack(options.dataset, options.output)


def _rebuild(options: argparse.Namespace) -> int:
    from flows.commands.recipes import print_rebuild
    from schemas.config import ImagesConfig

    images = ImagesConfig(bundled=True) if options.bundled else ImagesConfig(folder=options.images)
    return print_rebuild(options.pack, images, options.out, options.workers or os.cpu_count() or 1)


def _export(options: argparse.Namespace) -> int:
    from flows.dataset.export import export
    from flows.progress import progress_for

    chosen = (options.split, options.task, options.source)
    written = export(options.dataset, options.format, options.out, *chosen, progress_for(False))
    print(f"{written.rows} rows, {written.pictures} pictures")
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
