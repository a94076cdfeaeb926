"""Answers of a model behind a server, with log-probabilities as far as the server returns them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from annotation.chat import messages
from annotation.chat.messages import Call, LostCallError, Reply, TokenStep, Turn
from annotation.chat.server_address import parse_address, read_api_key
from annotation.chat.server_transport import ServerRefusesError, ServerTransport, Wording
from inference.generate import Sampling, traced
from inference.grounded_answer import Answer, Picture
from inference.place_tokens import Vocabulary, vocabulary_of_texts
from inference.sources import Spoken
from schemas.config import API_KEY_VARIABLE
from schemas.errors import BuildError, InputError, SampleError, SpiderError

TOP = 20
"""Alternatives a step: the most the protocol allows (`top_logprobs` of chat completions)."""
NOTE = (
    "logits come from the server's likeliest tokens of each step; a position word that isn't among them "
    "counts with the most it can have, so probabilities are flatter than the model's"
)
_LEAST = 1e-9


@dataclass(frozen=True)
class ServerSource:
    """A model behind `url` (ends in /v1), asked with as many requests at once as questions are given, at most
    `in_flight`.

    A key comes from the environment variable `api_key_env` and appears in no message. `deadline` is in
    seconds, a request and its answer; a request that fails is tried again `retries` times. `again` ends
    messages about the server. `refused` collects the fields of requests that the server doesn't take. Raises
    InputError for what isn't an address.
    """

    url: str
    model: str
    sampling: Sampling = field(default_factory=Sampling)
    deadline: float = 120.0
    in_flight: int = 8
    retries: int = 2
    api_key_env: str = API_KEY_VARIABLE
    again: str = "ask again"
    refused: set[str] = field(default_factory=set, compare=False, repr=False)

    def __post_init__(self) -> None:
        parse_address(self.url, "--server", self.api_key_env)
        read_api_key(self.api_key_env)

    @property
    def name(self) -> str:
        """Model and place."""
        return f"{self.model} at {self.url}"

    def connect(self) -> ServerTransport:
        """A transport for `answer` and `talk`, to be closed; any number of threads may use it."""
        wording = Wording("--server", "--model", self.again)
        return ServerTransport(self, self.in_flight, wording, lost_calls=None, refused=self.refused)

    def ask_all(self, pictures: Sequence[Picture], questions: Sequence[str]) -> list[Spoken]:
        """One answer for each (H, W, 3) uint8 RGB picture and its question, with a vocabulary of its own.

        Raises InputError when the server refuses a request or returns no log-probabilities, BuildError when
        it can't be reached or answers nonsense.
        """
        with closing(self.connect()) as transport, ThreadPoolExecutor(self.in_flight) as pool:
            asked = [
                pool.submit(self.answer, transport, picture, question)
                for picture, question in zip(pictures, questions, strict=True)
            ]
            try:
                return [item.result() for item in asked]
            except SampleError as error:
                raise self.explain(error) from error

    def answer(self, transport: ServerTransport, picture: Picture, question: str) -> Spoken:
        """One answer, as those of `ask_all`. Raises SampleError when this question got none, InputError when
        the server refuses all questions or returns no log-probabilities, BuildError when it can't be reached.
        """
        turn = Turn("user", question, (messages.Picture.of(picture),))
        reply = self._complete(transport, (turn,), TOP)
        answer, vocabulary = read_answer(reply, self.url)
        return answer, vocabulary, (NOTE,)

    def talk(self, transport: ServerTransport, picture: Picture, questions: Sequence[str]) -> tuple[str, ...]:
        """The answers to the questions about a picture in turn, each after the model's own answers to those
        before; no log-probabilities are asked for. Raises as `answer`.
        """
        turns: tuple[Turn, ...] = ()
        texts: list[str] = []
        for question in questions:
            shown = () if turns else (messages.Picture.of(picture),)
            turns += (Turn("user", question, shown),)
            texts.append(self._complete(transport, turns, 0).text.strip())
            turns += (Turn("assistant", texts[-1]),)
        return tuple(texts)

    def _complete(self, transport: ServerTransport, turns: tuple[Turn, ...], top_logprobs: int) -> Reply:
        draw = self.sampling
        sampling = messages.Sampling(
            draw.temperature, draw.top_p, draw.max_new_tokens, draw.seed, draw.repetition_penalty
        )
        call = Call(self.model, None, "", turns, sampling, top_logprobs=top_logprobs)
        try:
            return transport.complete(call)
        except ServerRefusesError as error:
            raise InputError(str(error)) from error

    def explain(self, error: SampleError) -> SpiderError:
        """The failure of one question as the line that ends a run."""
        if isinstance(error, LostCallError):
            words = f": {error.words}" if error.words else ""
            return BuildError(
                f"the server {error.detail}{words}; see what runs there, restart it, then {self.again}"
            )
        return InputError(f"the server {self.url} refuses the request: {error.detail}")


def read_answer(reply: Reply, url: str) -> tuple[Answer, Vocabulary]:
    """The answer in a reply, its tokens numbered as they come, and the vocabulary of these numbers.

    Logits are log-probabilities. Where a watched token isn't among those that a step returned, it gets the
    most that is left for it: the least of the returned ones, or all that they leave over if that is less.
    Raises InputError without log-probabilities, LostCallError for tokens that don't spell the text.
    """
    if reply.text and not reply.steps:
        raise InputError(
            f"the server {url} returns no logprobs, so that no place can be read from them; start it with "
            "logprobs, or load the model here"
        )
    seen = list(dict.fromkeys(token for step in reply.steps for token in step.logprobs))
    number = {token: k for k, token in enumerate(seen)}
    texts = [token.decode("utf-8", "replace") for token in seen]
    ids = [number[step.token] for step in reply.steps]
    spelled, offsets = traced(lambda part: b"".join(seen[k] for k in part).decode("utf-8", "replace"), ids)
    start = spelled.find(reply.text)
    if start < 0:
        raise LostCallError(f"{url}: the tokens it returned don't spell its answer", "not-a-completion")
    vocabulary = vocabulary_of_texts(texts)
    columns = vocabulary.columns
    logits = np.array([_logits(step, [seen[k] for k in columns]) for step in reply.steps], np.float32)
    return (
        Answer(
            np.array(ids, np.int64),
            reply.text,
            np.clip(offsets - start, 0, len(reply.text)),
            columns,
            logits.reshape(len(ids), len(columns)),
        ),
        vocabulary,
    )


def _logits(step: TokenStep, wanted: Sequence[bytes]) -> list[float]:
    rest = max(1.0 - math.fsum(math.exp(value) for value in step.logprobs.values()), _LEAST)
    most = min(*step.logprobs.values(), math.log(rest)) if step.logprobs else 0.0
    return [step.logprobs.get(token, most) for token in wanted]
