"""Many rows at once: for back ends that wait for a model. What is written doesn't depend on who is faster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_order(calls: Iterable[Callable[[], T]], threads: int, window: int) -> Generator[Future[T], None, None]:
    """Run `calls` on `threads` threads and give their finished futures in the order of the calls.

    At most `window` calls are under way or finished and not yet taken; the next one starts as soon as a
    thread is free, not when the slowest is done. Closing the iterator drops the calls that haven't begun and
    waits for those that have.
    """
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="rows")
    try:
        for call in calls:
            if len(waiting) >= window:
                yield _done(waiting.popleft())
            waiting.append(pool.submit(call))
        while waiting:
            yield _done(waiting.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _done(future: Future[T]) -> Future[T]:
    future.exception()
    return future
