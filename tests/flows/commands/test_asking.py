"""The commands ground, describe, refer and app: what they ask, print and draw, and how they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from annotation.qa.wording import WORDING_FILE
from flows.cli import main
from flows.grounding.questions import look_of, question_text
from flows.grounding.region_input import region_at, region_in
from inference.segmenters import make_segmenter
from inference.spider import Spider
from schemas import masks
from schemas.pictures import encode
from tests.conftest import photograph, run_cli
from tests.inference.scripted import Scripted
from tests.inference.small import folder_of

TEXT = "The red cup in the center and the dark table at the bottom right show blur."


def exit_code(*arguments: str | Path) -> int:
    """What a shell would see."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "coffee.png"
    path.write_bytes(encode(np.ascontiguousarray(photograph("coffee", 240))))
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Questions put to a model that says the same to each; the segmenter is the one named."""
    source = Scripted(TEXT)

    def opened(_model: str, *, segmenter: Any, strategy: Any, **_: Any) -> Spider:
        return Spider(source, segmenter, strategy)

    monkeypatch.setattr("flows.grounding.open.open_spider", opened)
    heard: list[str] = []
    say = source.ask_all

    def answers(pictures: Any, questions: Any) -> Any:
        heard.extend(questions)
        return say(pictures, questions)

    monkeypatch.setattr(source, "ask_all", answers)
    return heard


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("strategy", ["paper", "grid", "proposal"])
def test_ground_tells_and_draws(
    picture: Path, asked: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, strategy: str
) -> None:
    out = tmp_path / "g.png"
    command = ["ground", picture, "Where is the blur?", "--model", "m", "--strategy", strategy, "--json"]
    assert exit_code(*command, "--out", out) == 0
    assert asked == ["Where is the blur?"]
    told = last_line(capsys)
    assert (told["width"], told["height"], told["answer"]) == (240, 160, TEXT)
    assert not told["whole_image"]
    first, second = told["groundings"]
    assert TEXT[slice(*second["span"])] == second["words"]
    assert "bottom right" in second["words"]
    for place in (first, second):
        mask = masks.decode(masks.Mask.model_validate(place["mask"]))
        assert mask.shape == (160, 240)
        assert place["area"] == np.count_nonzero(mask)
        assert place["bbox"] == masks.bounding_box(mask)
        assert 0 <= place["score"] <= 1
        assert sum(place["horizontal"].values()) == pytest.approx(1)
        assert np.sum(place["map"]) == pytest.approx(1)
        assert all(0 <= x <= 240 and 0 <= y <= 160 for x, y in place["points"])
    if strategy == "grid":
        x, y = second["points"][0]
        assert x > 120
        assert y > 80
    drawn = cv2.imread(str(out))
    assert drawn is not None
    assert drawn.shape[0] > 300
    assert [path.name for path in tmp_path.iterdir()] == ["g.png"]


def test_people_read_lines(picture: Path, asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("ground", picture, "Where?", "--model", "m") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "question  Where?"
    assert lines[1] == f"answer    {TEXT}"
    assert [line.split()[0] for line in lines[2:]] == ["place", "place"]


def test_describe_asks_about_the_whole_picture_or_a_region(
    picture: Path, asked: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    region = np.zeros((160, 240, 3), np.uint8)
    region[100:150, 10:60] = 1
    (tmp_path / "mask.png").write_bytes(encode(region))
    assert exit_code("describe", picture, "--model", "m", "--json") == 0
    assert last_line(capsys)["asked"] is None
    for place in ("10,100,50,50", "30,120", tmp_path / "mask.png"):
        assert exit_code("describe", picture, "--model", "m", "--json", "--region", place) == 0
        told = last_line(capsys)["asked"]
        assert told["position"] in masks.position_words()
    assert told["bbox"] == [10, 100, 50, 50]
    assert asked[0] == "Describe the quality of this picture in detail."
    assert all(question.startswith("Please describe the quality of the ") for question in asked[1:])
    assert asked[3].endswith(" in the bottom left.")


def test_refer_names_the_region_as_rows_do(
    picture: Path, asked: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    box = ["refer", picture, "--model", "m", "--box", "170,5,60,40"]
    assert exit_code(*box, "--name", "wooden table") == 0
    assert exit_code(*box, "--long", "--name", "the table in the top right") == 0
    assert exit_code("refer", picture, "--model", "m", "--point", "120,80", "--out", tmp_path / "r.png") == 0
    assert asked[0] == "Which distortions do you see on the wooden table in the top right? Answer briefly."
    assert asked[1] == "Describe in detail what is wrong with the table in the top right and how it shows."
    assert asked[2].startswith("Which distortions do you see on the ")
    assert (tmp_path / "r.png").is_file()


def test_questions_are_those_of_the_training_rows() -> None:
    phrases = yaml.safe_load(WORDING_FILE.read_text(encoding="utf-8"))["phrases"]
    keys = {"region": "local_ask", "short": "short_ask", "long": "long_ask"}
    assert question_text("whole").replace("this picture", "this {pic}") in phrases["global_ask_full"]
    for kind, key in keys.items():
        found = question_text(kind, "red cup", "left")  # type: ignore[arg-type]
        assert found.replace("the red cup on the left", "{np}") in phrases[key]


@pytest.mark.parametrize(
    ("position", "place"),
    [
        ("top left", "in the top left"),
        ("bottom", "at the bottom"),
        ("right", "on the right"),
        ("center", "in the center"),
    ],
)
def test_places_are_worded_as_in_the_training_rows(position: str, place: str) -> None:
    asked = question_text("region", "red cup", position)
    assert asked == f"Please describe the quality of the red cup {place}."


def test_a_point_and_a_box_find_a_region() -> None:
    image = np.full((120, 200, 3), (40, 60, 160), np.uint8)
    image[30:90, 60:140] = (220, 60, 40)
    encoded = make_segmenter("graph").encode(image)
    truth = image[..., 0] == 220
    for found in (region_at(encoded, "100,60"), region_in(encoded, "60,30,80,60")):
        assert np.count_nonzero(found & truth) / np.count_nonzero(found | truth) > 0.8
        assert "red" in look_of(image, found)
    empty = region_in(encoded, "2,2,9,9")
    assert masks.bounding_box(empty) == [2, 2, 9, 9]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ground"], "required: IMAGE, QUESTION, --model"),
        (["ground", "PICTURE", "Where?"], "required: --model"),
        (
            ["ground", "PICTURE", "Where?", "--model", "m", "--strategy", "gird"],
            "invalid choice: 'gird'; did you mean 'grid'?",
        ),
        (["ground", "none.png", "Where?", "--model", "m"], "none.png: can't be read: No such file"),
        (["ground", "TEXT", "Where?", "--model", "m"], "not-a-picture"),
        (["refer", "PICTURE", "--model", "m"], "one of the arguments --box --point --mask is required"),
        (["refer", "PICTURE", "--model", "m", "--box", "1,2,3"], "'1,2,3' is not a box x,y,w,h"),
        (["refer", "PICTURE", "--model", "m", "--box", "0,0,500,10"], "not inside the picture of 240 x 160"),
        (["refer", "PICTURE", "--model", "m", "--box", "9,9,0,10"], "not inside the picture"),
        (["refer", "PICTURE", "--model", "m", "--point", "240,10"], "outside the picture of 240 x 160"),
        (["refer", "PICTURE", "--model", "m", "--point", "nan,1"], "'nan,1' is not a point x,y"),
        (["refer", "PICTURE", "--model", "m", "--mask", "SMALL"], "give a mask of its size"),
        (["describe", "PICTURE", "--model", "m", "--region", "1,2,3"], "'1,2,3' is not a box"),
        (["describe", "PICTURE", "--model", "m", "--region", "none.png"], "none.png: can't be read"),
        (["app", "--model", "m", "--port", "0"], "--port: '0' is not a port"),
        (["ground", "PICTURE", "Where?", "--model", "m", "--segmenter", "/nowhere"], "/nowhere"),
        (["ground", "PICTURE", "Where?", "--model", "/nowhere"], "'/nowhere' can't be loaded"),
        (["ground", "PICTURE", "Where?", "--model", "m", "--server", "ftp://x"], "isn't the address"),
    ],
)
def test_wrong_use_is_one_line(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "small.png").write_bytes(encode(np.full((40, 40, 3), 255, np.uint8)))
    files = {"PICTURE": picture, "TEXT": tmp_path / "text.png", "SMALL": tmp_path / "small.png"}
    assert exit_code(*(files.get(argument, argument) for argument in arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert captured.err.count("\n") == 1


def test_a_place_that_cannot_be_written_is_told(
    picture: Path, asked: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert exit_code("ground", picture, "Where?", "--model", "m", "--out", tmp_path / "no" / "x.png") == 2
    assert "give another --out" in capsys.readouterr().err


def test_a_real_model_answers_in_a_process_of_its_own(picture: Path) -> None:
    command = ("ground", picture, "Where is it worst?", "--model", folder_of("qwen2.5-vl"))
    done = run_cli(*command, "--max-tokens", "5", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["question"] == "Where is it worst?"
    assert set(told["seconds"]) >= {"answer", "points"}
