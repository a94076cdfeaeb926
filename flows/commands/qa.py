"""The commands `qa stats` and `qa prune`: what models have answered so far, and what of it to drop."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from annotation.chat.reply_cache import ReplyCache, Selection, cache_path
from schemas.config import load_config
from schemas.errors import InputError

DAY = 86_400.0
_SQLITE = b"SQLite format 3\0"
_SUFFIXES = (".sqlite", ".sqlite3", ".db")


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
    config = load_config(place)
    if config.annotate.vlm is None:
        raise InputError(
            f"{place}: the back end {config.annotate.backend!r} asks no model and keeps no replies"
        )
    return cache_path(config.store or config.out / "store", config.annotate.vlm)


def print_stats(place: Path, as_json: bool) -> None:
    """Replies, bytes and tokens by model and prompt version."""
    with ReplyCache(find_cache(place), create=False) as cache:
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
    if as_json:
        print(json.dumps(stats.as_dict()))


def prune(place: Path, model: str | None, prompt_version: str | None, older_than_days: float | None) -> None:
    """Drop the replies that all given conditions hold for. Raises InputError when none is given."""
    if model is None and prompt_version is None and older_than_days is None:
        raise InputError("say which replies to drop: --model, --prompt-version or --older-than DAYS")
    age = older_than_days * DAY if older_than_days is not None else None
    with ReplyCache(find_cache(place), create=False) as cache:
        dropped = cache.prune(Selection(model, prompt_version, age))
        stats = cache.stats()
    print(f"dropped  {dropped} replies; {stats.replies} are left in {stats.file_bytes / 1e6:.1f} MB")
    known = {share.model for share in stats.shares}
    if dropped == 0 and model is not None and model not in known:
        print(f"         {model} is none of its models: {', '.join(sorted(known)) or 'it has none'}")


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
