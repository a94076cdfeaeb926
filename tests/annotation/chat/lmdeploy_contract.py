"""The calls to lmdeploy against its real signatures, message types and pipeline; run by
test_lmdeploy_contract.py.

The pipeline is lmdeploy's own, with its event loop, its requests and its sessions. Only the engine under it,
which needs a GPU, is replaced: by one that keeps to the real engine's signatures, reads the messages with
lmdeploy's own reader and speaks in lmdeploy's own types.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import cv2
import lmdeploy
import numpy as np
import pytest
from lmdeploy.cli.cli import CLI
from lmdeploy.cli.serve import SubCliServe
from lmdeploy.messages import GenerationConfig, Response, TurbomindEngineConfig
from lmdeploy.pipeline import Pipeline, _EventLoopThread
from lmdeploy.serve.core.async_engine import AsyncEngine, GenOut, PreprocessedRequest
from lmdeploy.serve.core.exceptions import ErrorCode, RequestError
from lmdeploy.serve.managers.session_manager import Session, SessionManager
from lmdeploy.serve.openai.errors import create_error_response, create_request_error_response
from lmdeploy.serve.openai.protocol import ChatCompletionRequest
from lmdeploy.serve.processors import MultimodalProcessor
from PIL import Image

from annotation.chat.lmdeploy_transport import LmdeployTransport
from annotation.chat.messages import Call, Picture, Reply, Sampling, Schema, Turn
from annotation.chat.wire_format import LOST_CALLS, Refusal, read_fault, request_body
from schemas.config import VlmConfig
from schemas.errors import BuildError, SampleError

IMAGE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
PICTURE = Picture(cv2.imencode(".png", IMAGE[..., ::-1])[1].tobytes(), "image/png")
SCHEMA = Schema("answer", {"type": "object", "properties": {"answer": {"type": "string"}}})
DIALOGUE = (
    Turn("system", "You look at pictures."),
    Turn("user", "Look.", (PICTURE, PICTURE)),
    Turn("assistant", "I see two."),
)


def call(text: str, schema: Schema | None = None, temperature: float = 0.7) -> Call:
    turns = (*DIALOGUE, Turn("user", text))
    return Call("org/model", "main", "prompts-1", turns, Sampling(temperature, 0.9, 64, 11), schema)


class Engine:
    """In place of AsyncEngine: repeats the last turn; a turn "error: CODE" fails as the real one does."""

    def __init__(self) -> None:
        self.session_mgr = SessionManager()
        self.requests: list[tuple[list[dict[str, Any]], GenerationConfig]] = []
        self.open = self.most_open = 0
        self.closed = False
        self.settings: dict[str, Any] | None = None

    async def preprocess(self, *args: Any, **named: Any) -> PreprocessedRequest:
        bound = inspect.signature(AsyncEngine.preprocess).bind(self, *args, **named)
        messages, config = bound.arguments["messages"], bound.arguments["gen_config"]
        assert set(bound.arguments) <= {"self", "messages", "session_id", "gen_config", "do_preprocess",
                                        "adapter_name"}  # fmt: skip
        assert isinstance(bound.arguments["session_id"], Session)
        read = await MultimodalProcessor.async_parse_multimodal_item(messages)
        self.requests.append((read, config))
        if config.response_format is not None and read[-1]["content"] == "error: unguided":
            raise RequestError(ErrorCode.UNSUPPORTED_FEATURE, "no guided decoding here")
        if read[-1]["content"].startswith("error: ") and read[-1]["content"] != "error: unguided":
            raise RequestError(ErrorCode(read[-1]["content"].removeprefix("error: ")))
        return PreprocessedRequest(
            session=bound.arguments["session_id"], inputs={"prompt": read[-1]["content"]}, input_token_len=9,
            gen_config=config, adapter_name=None,
        )  # fmt: skip

    async def generate(self, request: Any, stream_response: bool = True) -> AsyncIterator[GenOut]:
        assert stream_response is False
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await asyncio.sleep(0.02)
        self.open -= 1
        text = request.inputs["prompt"]
        self.session_mgr.remove(request.session)
        if text == "no room":
            yield GenOut("", 9, 0, "length")
            return
        yield GenOut(text[:3], 9, 1, None)
        yield GenOut(text[3:], 9, 2, "length" if text == "cut off" else "stop")

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """lmdeploy.pipeline held to its signature; the pipeline it gives is real but for its engine."""
    engine = Engine()
    real = inspect.signature(lmdeploy.pipeline)

    def pipeline(*args: Any, **named: Any) -> Pipeline:
        bound = real.bind(*args, **named)
        assert "kwargs" not in bound.arguments, "all that is given has a name"
        config = bound.arguments["backend_config"]
        assert isinstance(config, TurbomindEngineConfig)
        made = object.__new__(Pipeline)
        made.async_engine = engine
        made.internal_thread = _EventLoopThread(daemon=True)
        made.limiter = None
        made.session_mgr = engine.session_mgr
        made.backend_config = config
        engine.settings = bound.arguments
        return made

    monkeypatch.setattr(lmdeploy, "pipeline", pipeline)
    return engine


@pytest.fixture
def transport(engine: Engine) -> Iterator[LmdeployTransport]:
    with closing(LmdeployTransport(VlmConfig(model="org/model", revision="v1"), 8)) as made:
        yield made


def test_the_engine_is_asked_for_as_configured(engine: Engine, transport: LmdeployTransport) -> None:
    assert engine.settings is None, "nothing is loaded before the first call"
    transport.complete(call("hello"))
    settings = engine.settings
    assert settings is not None
    assert settings["model_path"] == "org/model"
    assert settings["trust_remote_code"] is False
    config = settings["backend_config"]
    assert (config.revision, config.max_batch_size, config.enable_prefix_caching) == ("v1", 8, True)


def test_a_conversation_with_pictures(engine: Engine, transport: LmdeployTransport) -> None:
    assert transport.complete(call("hello", SCHEMA)) == Reply("hello", "stop", 9, 2)
    ((messages, config),) = engine.requests
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    first, second, text = messages[1]["content"]
    assert first["type"] == second["type"] == "image"
    assert isinstance(first["data"], Image.Image)
    assert np.array_equal(np.asarray(first["data"]), IMAGE)
    assert text == {"type": "text", "text": "Look."}
    assert (config.max_new_tokens, config.do_sample, config.temperature) == (64, True, 0.7)
    assert (config.top_p, config.random_seed) == (0.9, 11)
    assert config.response_format["json_schema"]["schema"] == dict(SCHEMA.schema)


def test_no_temperature_is_greedy(engine: Engine, transport: LmdeployTransport) -> None:
    transport.complete(call("hello", temperature=0.0))
    assert engine.requests[0][1].do_sample is False


def test_a_repetition_penalty_is_passed_on(engine: Engine, transport: LmdeployTransport) -> None:
    one = call("hello")
    transport.complete(one)
    transport.complete(replace(one, sampling=replace(one.sampling, repetition_penalty=1.3)))
    assert [config.repetition_penalty for _, config in engine.requests] == [1.0, 1.3]


def test_log_probabilities_are_not_offered(transport: LmdeployTransport) -> None:
    with pytest.raises(ValueError, match="no log-probabilities"):
        transport.complete(replace(call("hello"), top_logprobs=20))


def test_many_callers_share_the_engine(engine: Engine, transport: LmdeployTransport) -> None:
    with ThreadPoolExecutor(24) as pool:
        said = [f"number {i}" for i in range(120)]
        assert [reply.text for reply in pool.map(lambda text: transport.complete(call(text)), said)] == said
    assert engine.most_open == 8
    assert engine.session_mgr.sessions == {}


def test_a_reply_that_is_cut_off_says_so(transport: LmdeployTransport, engine: Engine) -> None:
    assert transport.complete(call("cut off")).finish_reason == "length"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("error: context_length_exceeded", "context-overflow"),
        ("no room", "context-overflow"),
        ("error: invalid_request", "request-refused"),
        ("error: preprocess_failed", "request-refused"),
        ("error: internal_error", "no-answer"),
        ("error: request_cancelled", "no-answer"),
    ],
)
def test_errors_that_come_as_values(
    engine: Engine, transport: LmdeployTransport, text: str, reason: str
) -> None:
    with pytest.raises(SampleError) as caught:
        transport.complete(call(text))
    assert caught.value.reason == reason
    assert transport.complete(call("next")).text == "next"


def test_an_engine_that_is_gone_stops_the_build(engine: Engine, transport: LmdeployTransport) -> None:
    with pytest.raises(BuildError, match="gives no answers any more"):
        transport.complete(call("error: engine_unavailable"))
    with pytest.raises(BuildError, match="gives no answers any more"):
        transport.complete(call("hello"))
    assert len(engine.requests) == 1


def test_calls_lost_in_a_row_stop_the_build(engine: Engine, transport: LmdeployTransport) -> None:
    for _ in range(LOST_CALLS - 1):
        with pytest.raises(SampleError):
            transport.complete(call("error: internal_error"))
    with pytest.raises(BuildError, match="calls lost"):
        transport.complete(call("error: internal_error"))


def test_a_schema_that_is_refused_is_left_out(engine: Engine, transport: LmdeployTransport) -> None:
    for _ in range(3):
        assert transport.complete(call("error: unguided", SCHEMA)).text == "error: unguided"
    assert [config.response_format is not None for _, config in engine.requests] == [
        True,
        False,
        False,
        False,
    ]


def test_an_engine_that_cannot_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """lmdeploy's own pipeline, on a machine without a GPU or for a model that isn't there."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    transport = LmdeployTransport(VlmConfig(model="org/no-such-model"), 2)
    for _ in range(2):
        with pytest.raises(BuildError) as caught:
            transport.complete(call("hello"))
        assert "lmdeploy can't load org/no-such-model" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_closing(engine: Engine) -> None:
    transport = LmdeployTransport(VlmConfig(), 2)
    transport.complete(call("hello"))
    transport.close()
    transport.close()
    assert engine.closed
    with pytest.raises(BuildError, match="closed"):
        transport.complete(call("hello"))


def test_the_answer_type_has_what_is_read() -> None:
    told = Response("text", 1, 2, "error", error_code="internal_error", error_message="words")
    read = ("text", "finish_reason", "input_token_len", "generate_token_len", "error_code", "error_message")
    assert all(hasattr(told, name) for name in read)


@pytest.mark.parametrize("refused", [frozenset(), frozenset({"max_completion_tokens", "response_format"})])
def test_the_server_understands_every_field(refused: frozenset[str]) -> None:
    """What goes over the wire against the model that lmdeploy's api_server reads it with."""
    body = json.loads(request_body(call("hello", SCHEMA), refused))
    assert set(body) <= set(ChatCompletionRequest.model_fields)
    read = ChatCompletionRequest.model_validate(body)
    assert (read.temperature, read.top_p, read.seed) == (0.7, 0.9, 11)
    assert 64 in (read.max_completion_tokens, read.max_tokens)
    if not refused:
        assert read.response_format is not None
        assert read.response_format.json_schema.json_schema == dict(SCHEMA.schema)
    assert isinstance(read.messages, list)
    items = read.messages[1]["content"]
    assert [item["type"] for item in items] == ["image_url", "image_url", "text"]
    parsed = asyncio.run(MultimodalProcessor.async_parse_multimodal_item(read.messages))
    assert np.array_equal(np.asarray(parsed[1]["content"][0]["data"]), IMAGE)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (create_error_response(404, "The model 'a' does not exist."), Refusal.MODEL),
        (create_error_response(401, "Unauthorized."), Refusal.KEY),
        (create_request_error_response(RequestError(ErrorCode.CONTEXT_LENGTH_EXCEEDED)), Refusal.OVERFLOW),
        (
            create_request_error_response(
                RequestError(
                    ErrorCode.CONTEXT_LENGTH_EXCEEDED,
                    "Input length (9) must be smaller than the model context length (8).",
                )
            ),
            Refusal.OVERFLOW,
        ),
        (create_request_error_response(RequestError(ErrorCode.PREPROCESS_FAILED)), Refusal.REQUEST),
        (create_error_response(400, "Failed to compile response_format"), Refusal.FIELD),
    ],
)
def test_the_servers_refusals_are_understood(answer: Any, kind: Refusal) -> None:
    fault = read_fault(answer.status_code, answer.body, request_body(call("hello", SCHEMA), frozenset()))
    assert fault.kind is kind
    assert "object" not in fault.words, "its own words, without the JSON around them"


def test_the_start_commands_parse() -> None:
    CLI.add_parsers()
    SubCliServe.add_parsers()
    for command in (
        "serve api_server org/model --server-name 127.0.0.1 --server-port 23333",
        "serve api_server OpenGVLab/InternVL2_5-8B --backend turbomind --server-name 127.0.0.1 "
        "--server-port 23333 --session-len 16384 --vision-max-batch-size 8 --enable-prefix-caching",
    ):
        told: Any = CLI.parser.parse_args(command.split())
        assert (told.server_name, told.server_port) == ("127.0.0.1", 23333)
