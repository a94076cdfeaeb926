"""The cost of reading logits for points: answers with logits recorded against plain `generate`, alternating.

Run: python -m benchmarks.grounding [--tokens N] [--rounds N]. A tiny Qwen2.5-VL with the real vocabulary of
151,936 tokens answers a photograph greedily, in float32 on the CPU, one thread. "plain" builds the prompt,
generates, and decodes the text; "read" is `inference.generate.generate_answers`, which also keeps the
logits of every spelling of the position words and records which token produced which characters. Each round
does both, in alternating order; the result is the median of the rounds' ratios. A real model's step takes far
longer and the reading doesn't, so this is the worst case. The second result counts what the `graph` segmenter
does for five questions about one picture.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch

from inference.generate import Sampling, generate_answers, prompt
from inference.grounded_answer import Encoded, Picture
from inference.load_model import load_model
from inference.segmenters import make_segmenter
from inference.sources import ModelSource
from training.sft.tiny import save_tiny

QUESTION = "Which region of this picture has the worst quality?"


def seconds_of(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def reading(source: ModelSource, tokens: int, rounds: int) -> list[tuple[float, float]]:
    """Seconds of plain generation and of generation with logits read, for each round."""
    model, processor = source.loaded.model, source.loaded.processor
    model.generation_config.eos_token_id = None
    picture = np.ascontiguousarray(skimage.data.coffee()[::4, ::4])
    sampling = Sampling(max_new_tokens=tokens)

    def plain() -> str:
        inputs = prompt(processor, [picture], [QUESTION]).to(model.device, dtype=model.dtype)
        with torch.inference_mode():
            made = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
        return str(processor.tokenizer.decode(made[0, inputs["input_ids"].shape[1] :]))

    def read() -> None:
        generate_answers(model, processor, [picture], [QUESTION], source.vocabulary.columns, sampling)

    for work in (plain, read):
        work()
    found = []
    for number in range(rounds):
        if number % 2:
            second, first = seconds_of(read), seconds_of(plain)
        else:
            first, second = seconds_of(plain), seconds_of(read)
        found.append((first, second))
    return found


class Counting:
    """A segmenter that counts how often a picture is encoded, not counting pictures it has in its cache."""

    def __init__(self) -> None:
        self.inner = make_segmenter("graph")
        self.name = self.inner.name
        self.encoded_ids: list[int] = []

    def encode(self, image: Picture) -> Encoded:
        encoded = self.inner.encode(image)
        self.encoded_ids.append(id(encoded))
        return encoded


def encoding(questions: int) -> tuple[int, float, float]:
    """Encoder passes for this many questions about a picture; seconds of the first and of all others."""
    picture = np.ascontiguousarray(skimage.data.coffee())
    segmenter = Counting()
    took = []
    for number in range(questions):
        point = np.array([[(number + 0.5) / questions, 0.5]])
        took.append(seconds_of(lambda point=point: segmenter.encode(picture.copy()).segment([point])))  # type: ignore[misc]
    return len(set(segmenter.encoded_ids)), took[0], sum(took[1:])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Time to read logits, passes of the segmenter.")
    parser.add_argument("--tokens", type=int, default=64, help="tokens per answer")
    parser.add_argument("--rounds", type=int, default=30, help="timed rounds")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        save_tiny("qwen2.5-vl", Path(folder) / "model")
        source = ModelSource(load_model(Path(folder) / "model", device="cpu"))
        found = reading(source, options.tokens, options.rounds)
    plain = statistics.median(first for first, _ in found)
    ratio = statistics.median(second / first for first, second in found)
    watched = len(source.vocabulary.columns)
    print(
        f"plain generate    {1000 * plain / options.tokens:.2f} ms per token "
        f"({options.tokens} tokens, median of {options.rounds} rounds)"
    )
    print(f"reading {watched} logits adds {100 * (ratio - 1):+.2f}% (goal: at most 2%)")
    passes, first, others = encoding(5)
    print(f"5 questions, 1 picture: encoder passes {passes}, first {first:.3f} s, the other 4 {others:.3f} s")


if __name__ == "__main__":
    main()
