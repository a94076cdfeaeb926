"""`iqa-spider qa stats` and `qa prune`: the replies of models that are kept, and dropping some."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

from flows.arguments import add_json
from schemas.errors import InputError

GROUP = "build"
HELP = "Count or drop the replies of models that builds keep"
DAY = 86_400.0
_SQLITE = b"SQLite format 3\0"
_SUFFIXES = (".sqlite", ".sqlite3", ".db")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="qa_command", required=True, metavar="COMMAND")

    stats = commands.add_parser("stats", help="count the replies kept so far, by model and prompt version")
    _add_place(stats)
    add_json(stats, "the counts")
    stats.set_defaults(run_qa=_print_stats)

    prune = commands.add_parser("prune", help="drop the replies that all the given conditions hold for")
    _add_place(prune)
    prune.add_argument("--model", metavar="NAME", help="drop replies of this model")
    prune.add_argument(
        "--prompt-version", metavar="HASH", help="drop replies to these prompts (`qa stats` lists them)"
    )
    prune.add_argument(
        "--older-than", metavar="DAYS", type=_days, help="drop replies given more than DAYS days ago"
    )
    prune.set_defaults(run_qa=_prune)


def run(options: argparse.Namespace) -> int:
    code: int = options.run_qa(options)
    return code


def _add_place(parser: argparse.ArgumentParser) -> None:
    what = "a build's YAML file, or its file of replies"
    parser.add_argument("place", metavar="CONFIG_OR_CACHE", type=Path, help=what)


def _days(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days")
    return value


def find_cache(place: Path) -> Path:
    """The reply cache that `place` is or that the build of this configuration uses. Raises InputError."""
    try:
        with place.open("rb") as file:
            start = file.read(len(_SQLITE))
    except OSError as error:
        what = "give a build's configuration or a reply cache"
        raise InputError(f"{place}: can't be read: {error.strerror}; {what}") from error
    if start == _SQLITE or place.suffix in _SUFFIXES:
        return place
    from annotation.chat.reply_cache import cache_path
    from schemas.config import load_config

    config = load_config(place)
    if config.annotate.vlm is None:
        raise InputError(
            f"{place}: the back end {config.annotate.backend!r} asks no model and keeps no replies"
        )
    return cache_path(config.store or config.out / "store", config.annotate.vlm)


def _print_stats(options: argparse.Namespace) -> int:
    """Replies, bytes and tokens by model and prompt version."""
    from annotation.chat.reply_cache import ReplyCache

    with ReplyCache(find_cache(options.place), create=False) as cache:
        stats = cache.stats()
    print(f"cache    {stats.path}")
    print(f"replies  {stats.replies} in {stats.file_bytes / 1e6:.1f} MB")
    print(f"tokens   {stats.prompt_tokens} asked, {stats.completion_tokens} answered")
    if stats.oldest is not None and stats.newest is not None:
        print(f"made     {_day(stats.oldest)} to {_day(stats.newest)}")
    for share in stats.shares:
        revision = f" ({share.revision})" if share.revision else ""
        print(f"model    {share.model}{revision}")
        print(f"           prompt version    {share.prompt_version}")
        print(f"           replies           {share.replies}, {share.bytes / 1e6:.1f} MB of text")
        print(f"           tokens            {share.prompt_tokens} asked, {share.completion_tokens} answered")
        print(f"           made              {_day(share.oldest)} to {_day(share.newest)}")
    if options.json:
        print(json.dumps(stats.as_dict()))
    return 0


def _prune(options: argparse.Namespace) -> int:
    """Drop the replies that all given conditions hold for. Raises InputError when none is given."""
    from annotation.chat.reply_cache import ReplyCache, Selection

    if options.model is None and options.prompt_version is None and options.older_than is None:
        raise InputError("say which replies to drop: --model, --prompt-version or --older-than DAYS")
    age = options.older_than * DAY if options.older_than is not None else None
    with ReplyCache(find_cache(options.place), create=False) as cache:
        dropped = cache.prune(Selection(options.model, options.prompt_version, age))
        stats = cache.stats()
    print(f"dropped  {dropped} replies; {stats.replies} are left in {stats.file_bytes / 1e6:.1f} MB")
    known = {share.model for share in stats.shares}
    if dropped == 0 and options.model is not None and options.model not in known:
        print(f"         {options.model} is none of its models: {', '.join(sorted(known)) or 'it has none'}")
    return 0


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
