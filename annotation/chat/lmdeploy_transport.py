"""Runs the model in this process, through the pipeline of lmdeploy 0.18 in its GPU environment."""

from __future__ import annotations

import importlib.util
import io
import threading
from typing import Any

from PIL import Image

from annotation.chat.messages import Call, Reply, Schema, Turn
from annotation.chat.wire_format import LOST_CALLS, one_line, response_format
from schemas.config import VlmConfig
from schemas.errors import BuildError, InputError, SampleError

_UNGUIDED = ("invalid_request", "unsupported_feature")
_GONE = "engine_unavailable"
_OVERFLOW = "context_length_exceeded"


class LmdeployTransport:
    """Up to `in_flight` conversations at a time in one pipeline, which is loaded with the first call.

    Every call is one `Pipeline.infer` with the whole conversation, from the thread that asks. lmdeploy runs
    all that are under way on its own event loop and the engine batches them continuously: a conversation
    that ends makes room for the next at once, where one list for many conversations would wait for the
    slowest. It doesn't use lmdeploy's sessions: they send the whole history with every turn as well, keep an
    error as an empty turn, and live in one process, while a cached conversation may go on in another; prefix
    caching is what makes the history cheap.

    Code that comes with a model runs only with `trust_remote_code`, which the original InternVL-2.5
    repositories need.
    """

    def __init__(self, config: VlmConfig, in_flight: int) -> None:
        if importlib.util.find_spec("lmdeploy") is None:
            raise InputError(
                "the back end 'lmdeploy' needs the package lmdeploy, in a GPU environment of its own: "
                "`pip install 'iqa-spider[lmdeploy]'`, or use the back end 'server' with a server elsewhere"
            )
        self._config = config
        self._in_flight = in_flight
        self._slots = threading.Semaphore(in_flight)
        self._lock = threading.Lock()
        self._pipeline: Any = None
        self._unguided = False
        self._lost = 0
        self._broken: str | None = None

    def complete(self, call: Call) -> Reply:
        """The model's next turn; blocks. Raises BuildError when the engine can't start or has stopped,
        SampleError ("context-overflow", "request-refused", "no-answer") when it can't serve this call.
        """
        if call.top_logprobs:
            raise ValueError("the model in this process is asked for no log-probabilities; use a server")
        messages = [_message(turn) for turn in call.turns]
        with self._slots:
            pipeline = self._loaded()
            schema = None if self._unguided else call.schema
            (response,) = pipeline.infer([messages], gen_config=[self._generation(call, schema)])
            if schema is not None and getattr(response, "error_code", None) in _UNGUIDED:
                (response,) = pipeline.infer([messages], gen_config=[self._generation(call, None)])
                self._unguided = self._unguided or response.finish_reason in ("stop", "length")
        return self._reply(response)

    def close(self) -> None:
        """Unload the model; may be called twice."""
        with self._lock:
            pipeline, self._pipeline = self._pipeline, None
            self._broken = self._broken or "lmdeploy: the pipeline was closed; build again"
        if pipeline is not None:
            pipeline.close()

    def _loaded(self) -> Any:
        with self._lock:
            if self._broken is not None:
                raise BuildError(self._broken)
            if self._pipeline is None:
                try:
                    self._pipeline = self._load()
                except Exception as error:
                    self._broken = (
                        f"lmdeploy can't load {self._config.model}: {one_line(str(error))} "
                        f"({type(error).__name__}); check vlm.model, vlm.revision, "
                        "vlm.trust_remote_code and the GPU"
                    )
                    raise BuildError(self._broken) from error
            return self._pipeline

    def _load(self) -> Any:
        import lmdeploy

        engine = lmdeploy.TurbomindEngineConfig(
            revision=self._config.revision, max_batch_size=self._in_flight, enable_prefix_caching=True
        )
        return lmdeploy.pipeline(
            self._config.model, backend_config=engine, trust_remote_code=self._config.trust_remote_code
        )

    def _generation(self, call: Call, schema: Schema | None) -> Any:
        import lmdeploy

        sampling = call.sampling
        return lmdeploy.GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            do_sample=sampling.temperature > 0,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            random_seed=sampling.seed,
            repetition_penalty=1.0 if sampling.repetition_penalty is None else sampling.repetition_penalty,
            response_format=response_format(schema) if schema is not None else None,
        )

    def _reply(self, response: Any) -> Reply:
        """The reply in lmdeploy's Response: its errors are values, not exceptions."""
        reason = response.finish_reason if response is not None else None
        if reason in ("stop", "length") and not (reason == "length" and not response.text):
            self._lost = 0
            return Reply(response.text, reason, response.input_token_len, response.generate_token_len)
        if reason == "length":
            raise SampleError("context-overflow", "the model had no room for an answer")
        code = getattr(response, "error_code", None)
        words = one_line(getattr(response, "error_message", None) or f"finish_reason {reason!r}")
        if code == _OVERFLOW:
            raise SampleError("context-overflow", words)
        if code in _UNGUIDED or code == "preprocess_failed":
            raise SampleError("request-refused", words)
        with self._lock:
            self._lost += 1
            if code == _GONE or self._lost >= LOST_CALLS:
                self._broken = self._broken or (
                    f"lmdeploy gives no answers any more ({self._lost} calls lost, the last: {words}); "
                    "check the GPU, then build again: every answer so far is kept"
                )
                raise BuildError(self._broken)
        raise SampleError("no-answer", words)


def _message(turn: Turn) -> dict[str, Any]:
    if not turn.pictures:
        return {"role": turn.role, "content": turn.text}
    pictures = []
    for picture in turn.pictures:
        with Image.open(io.BytesIO(picture.data)) as opened:
            pictures.append({"type": "image_data", "image_data": {"data": opened.convert("RGB")}})
    return {"role": turn.role, "content": [*pictures, {"type": "text", "text": turn.text}]}
