"""Times the chat client: wall time against the ideal, and memory over thousands of calls.

Run `python -m benchmarks.dialogues` from the root. The server is on loopback, in its own process, and
answers after a fixed latency; the ideal is (calls x latency) / in flight. Every call goes through the cache,
as in a build, and sends a picture.
"""

from __future__ import annotations

import argparse
import math
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import cv2
import skimage.data

from annotation.chat.cached_speaker import CachedSpeaker
from annotation.chat.messages import Picture, Turn
from annotation.chat.reply_cache import ReplyCache
from annotation.chat.server_transport import ServerTransport
from tests.annotation.chat.calls import call, config
from tests.annotation.chat.fault_server import FaultServerProcess, Settings

ROUNDS = 10
LIMIT = 1.15


def memory_mb() -> float:
    """Current resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def picture(side: int) -> Picture:
    """A photograph as JPEG, `side` pixels long."""
    photograph = cv2.resize(skimage.data.astronaut(), (side, side), interpolation=cv2.INTER_AREA)
    return Picture(cv2.imencode(".jpg", photograph[..., ::-1])[1].tobytes(), "image/jpeg")


def measure(calls: int, in_flight: int, latency: float, side: int) -> None:
    """Make `calls` calls; print the time against the ideal, and the memory along the way."""
    pictures = (picture(side),) if side else ()
    look = Turn("user", "Look at the picture.", pictures)
    settings = Settings(latency=latency)
    with (
        tempfile.TemporaryDirectory() as folder,
        FaultServerProcess("tests.annotation.chat.fault_server:echo", settings) as server,
        ReplyCache(Path(folder) / "replies.sqlite") as cache,
        closing(ServerTransport(config(server.url, deadline=60.0), in_flight)) as transport,
        ThreadPoolExecutor(in_flight) as pool,
    ):
        speaker = CachedSpeaker(cache, transport)

        def ask(number: int) -> str:
            turns = (look, Turn("assistant", "I see a person in a suit."))
            return speaker.ask(call(f"Question {number}?", turns=turns)).text

        list(pool.map(ask, range(-in_flight, 0)))
        print(f"{calls} calls, {latency * 1e3:g} ms, {in_flight} in flight, a picture of {side} px")
        print(f"{'calls':>7s}{'seconds':>9s}{'ideal':>7s}{'MB':>6s}")
        start, processor, first = time.perf_counter(), time.process_time(), memory_mb()
        for done, _ in enumerate(pool.map(ask, range(calls)), 1):
            if done % (calls // ROUNDS) == 0:
                taken, ideal = time.perf_counter() - start, done * latency / in_flight
                print(f"{done:7d}{taken:9.2f}{ideal:7.2f}{memory_mb():6.0f}")
        total, spent = time.perf_counter() - start, time.process_time() - processor
        ratio = total / (math.ceil(calls / in_flight) * latency)
        above = "" if ratio <= LIMIT else ", above the limit"
        print(f"ratio to the ideal {ratio:.3f} (limit {LIMIT}{above})")
        print(f"processor {spent / calls * 1e3:.2f} ms per call; memory grew by {memory_mb() - first:.1f} MB")
        begin = time.perf_counter()
        list(pool.map(ask, range(calls)))
        print(f"from the cache: {(time.perf_counter() - begin) / calls * 1e3:.2f} ms per call")
        assert speaker.counts.sent == calls + in_flight


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5000, help="number of calls")
    parser.add_argument("--in-flight", type=int, default=32, help="maximum concurrent calls")
    parser.add_argument("--latency", type=float, default=0.2, help="of the server, in seconds")
    parser.add_argument(
        "--side", type=int, default=512, help="long side of the picture in pixels; 0: no picture"
    )
    options = parser.parse_args()
    measure(options.calls, options.in_flight, options.latency, options.side)


if __name__ == "__main__":
    main()
