"""The build configuration: every mistake is one line with file, line, key and the nearest right one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.config import BuildConfig, load_config
from schemas.errors import InputError

GOOD = """\
name: tiny
seed: 3
images:
  bundled: true
out: builds/tiny
ingest: {max_side: 192}
distort:
  samples:
    hyd: 1
merge: {test_share: 0.34}
"""
ROOT = Path(__file__).parents[2]


def load(folder: Path, text: str) -> BuildConfig:
    path = folder / "build.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def refusal(folder: Path, text: str) -> str:
    """The one line a configuration is refused with, without the file's name."""
    with pytest.raises(InputError) as caught:
        load(folder, text)
    message = str(caught.value)
    assert message.startswith(str(folder / "build.yaml"))
    assert "\n" not in message
    assert len(message) < 600 + len(str(folder))
    return message.removeprefix(str(folder / "build.yaml"))


def test_a_right_configuration(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    assert (config.name, config.seed, config.out) == ("tiny", 3, Path("builds/tiny"))
    assert config.ingest.max_side == 192
    assert config.distort.samples.counts()["hyd"] == 1
    assert config.merge.test_share == 0.34
    assert config.run.runner == "process"


PACKAGED = [*sorted((ROOT / "configs").glob("*.yaml")), ROOT / "configs" / "proof" / "build.yaml"]
"""The configurations of builds; those of training runs and of the proof are others."""


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: path.name)
def test_packaged_configurations_load(path: Path) -> None:
    assert load_config(path).name


def test_the_demo_is_packaged() -> None:
    assert ROOT / "configs" / "demo.yaml" in PACKAGED


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("images:", "imagse:", ":3: unknown key 'imagse'; did you mean 'images'? (and 1 more)"),
        ("    hyd: 1", "    hydd: 1", ":9: unknown key 'distort.samples.hydd'; did you mean 'hyd'?"),
        ("max_side", "maxside", ":6: unknown key 'ingest.maxside'; did you mean 'max_side'?"),
        (
            "merge:",
            "regions: {proposer: sam, sam: {points: 1}}\nmerge:",
            ":10: unknown key 'regions.sam.points'; did you mean 'points_per_",
        ),
        (
            "merge:",
            "regions: {proposer: sam, ssa: {votes: [{name: a, reversion: b}]}}\nmerge:",
            ":10: unknown key 'regions.ssa.votes.0.reversion'; did you mean 'revision'?",
        ),
        ("merge:", "regions: ssa-json\nmerge:", ":10: 'regions': the proposer 'ssa-json' and ssa_json"),
        (
            "merge: {test_share: 0.34}",
            "merge: {external: [{kind: q-instruct, annotation: [a], images: b}]}",
            ":10: unknown key 'merge.external.0.annotation'; did you mean 'annotations'? (and 1 more)",
        ),
        (
            "merge: {test_share: 0.34}",
            "merge: {keep_out: [{folder: a, list: b}]}",
            ":10: 'merge.keep_out.0': give exactly one of folder, list",
        ),
        ("merge:", "zzz: 1\nmerge:", ":10: unknown key 'zzz'; known keys: name, seed, images, out, store,"),
        ("seed: 3", "seed: three", ":2: 'seed': Input should be a valid integer (given 'three')"),
        ("seed: 3", "seed: true", ":2: 'seed': Input should be a valid integer (given True)"),
        ("seed: 3", "seed: -1", ":2: 'seed': Input should be greater than or equal to 0 (given -1)"),
        ("0.34", "yes", ":10: 'merge.test_share': Input should be a valid number (given True)"),
        ("0.34", "1.5", ":10: 'merge.test_share': Input should be less than or equal to 1 (given 1.5)"),
        ("0.34", ".nan", ":10: 'merge.test_share': Input should be"),
        ("name: tiny", "name: Not Good", ":1: 'name': String should match pattern"),
        ("name: tiny\n", "", ":1: the key 'name' is missing; add it"),
        ("out: builds/tiny\n", "", ":1: the key 'out' is missing; add it"),
        ("bundled: true", "bundled: false", ":3: 'images': give exactly one of bundled, folder, coco"),
        ("bundled: true", "bundled: true\n  folder: x", ":3: 'images': give exactly one of"),
        (
            "ingest: {max_side: 192}",
            "ingest: 5",
            ":6: 'ingest': must be a mapping with keys out of max_side, ",
        ),
        ("ingest: {max_side: 192}", "ingest: [1]", ":6: 'ingest': must be a mapping"),
        ("out: builds/tiny", 'out: "a\\0b"', ":5: 'out': a path can't hold a zero byte"),
        ("merge:", "run: {runner: threads}\nmerge:", ":10: 'run.runner': Input should be 'serial', 'thread'"),
        ("merge:", "run: {workers: 0}\nmerge:", ":10: 'run.workers': Input should be greater than"),
        ("seed: 3", "seed: 3\nseed: 4", ":3: the key 'seed' is given twice; keep one"),
        ("    hyd: 1", "    hyd: 1\n    hyd: 2", ":10: the key 'hyd' is given twice; keep one"),
        ("seed: 3", "3: seed", ":2: unknown key '3'"),
        ("seed: 3", "seed: [3", ":3: expected ',' or ']', but got ':'; fix the YAML there"),
        ("seed: 3", "seed: 3\n\tout: x", ":3: found character '\\t' that cannot start any token"),
        ("seed: 3", "seed: !!python/object/apply:os.getcwd []", ":2: could not determine a constructor"),
        ("seed: 3", "? [a, b]\n: c", ":2: found unhashable key; fix the YAML there"),
        ("seed: 3", "seed: 2024-99-99", ": a value can't be read: month must be in 1..12"),
        ("seed: 3", "seed: *nobody", ":2: found undefined alias"),
        ("seed: 3", "seed: \x07", ": special characters are not allowed"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert old in GOOD
    assert refusal(tmp_path, GOOD.replace(old, new)).startswith(line)


@pytest.mark.parametrize("text", ["", "# nothing\n", "hello", "- name: tiny", "5", "null"])
def test_not_a_mapping(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text) == ": a configuration is a mapping of keys such as name, images, out"


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't read this configuration: No such file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="can't read this configuration: Is a directory"):
        load_config(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\x89PNG\r\n\xff\xff")
    with pytest.raises(InputError, match="not UTF-8 text"):
        load_config(tmp_path / "binary.yaml")


def bomb(levels: int, kind: str) -> str:
    """Each level holds the one before nine times: 9 ** levels values when written out."""
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, levels):
        old = f"*a{level - 1}"
        inner = f"[{', '.join([old] * 9)}]"
        if kind == "mapping":
            inner = f"{{{', '.join(f'k{i}: {old}' for i in range(9))}}}"
        lines.append(f"a{level}: &a{level} {inner}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("kind", ["list", "mapping"])
@pytest.mark.timeout(600)
def test_alias_bombs_are_refused(tmp_path: Path, kind: str) -> None:
    assert "too many values or levels" in refusal(tmp_path, GOOD + bomb(30, kind))


@pytest.mark.parametrize("text", ["loop: &a {b: *a}\n", "loop: &a [*a]\n", "? &a [*a]\n: 1\n"])
def test_aliases_that_hold_themselves_are_refused(tmp_path: Path, text: str) -> None:
    assert "too many values or levels" in refusal(tmp_path, GOOD + text)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused(tmp_path: Path, opening: str) -> None:
    assert refusal(tmp_path, GOOD + "deep: \n  " + opening * 5 * sys.getrecursionlimit())


def test_long_files_and_values_are_refused_in_few_words(tmp_path: Path) -> None:
    assert "more than 1000000 characters" in refusal(tmp_path, GOOD + "#" * 1_000_000)
    assert "'seed'" in refusal(tmp_path, GOOD.replace("seed: 3", f"seed: {'x' * 100_000}"))


def test_an_alias_may_repeat_a_part(tmp_path: Path) -> None:
    text = GOOD.replace("hyd: 1", "hyd: &few 2\n    sid: *few")
    assert load(tmp_path, text).distort.samples.sid == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.text(max_size=200) | st.text("[]{}:,-&*!?|>'\"%@`# \n\tab01", max_size=60))
@example("a: !!timestamp '2001-01-01 99:99:99'")
@example("a: !!int ''")
@example("a: !!binary '%'")
@example("a: !!bool 'maybe'")
@example("a: !!float ''")
@example("!!set {a, b}")
@example("<<: 5")
@example("%YAML 9.9\n---\na: 1")
def test_any_text_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "build.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(InputError):
        load_config(tmp_path / "build.yaml")


def test_labels_come_with_annotations(tmp_path: Path) -> None:
    text = GOOD.replace("bundled: true", "coco: a.json\n  folder: pictures")
    assert load(tmp_path, text + "regions: {proposer: coco}").regions.labeller == "given"
    assert load(tmp_path, text).regions.labeller == "appearance"
