"""What `make` installs with: uv where it is found, given pip's settings, else pip; and each thing once."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIP_SETTINGS = """global.cert='/etc/mirror.pem'
global.constraint='/etc/most.txt'
global.extra-index-url='\\nfile:///one/simple\\nfile:///two/simple'
global.find-links='/wheels /more'
global.index-url='file:///mirror/simple'
"""
ARGUMENTS = ["-c", "constraints.txt", "-e", "."]


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an environment whose pip has settings, and a uv; both say what they are given."""
    (tmp_path / "settings").write_text(PIP_SETTINGS)
    program(
        tmp_path / "venv" / "bin" / "python",
        f'[ "$3" = config ] && exec cat "{tmp_path / "settings"}"\necho "python $*"\n',
    )
    program(tmp_path / "bin" / "uv", 'echo "uv $*"\nenv | grep -E "^(UV_|SSL_)" | sort\n')
    return tmp_path


def install(place: Path, path: str, **variables: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("UV", "SSL_", "PIP_"))}
    done = subprocess.run(
        [ROOT / "install.sh", place / "venv", *ARGUMENTS],
        env={**kept, "PATH": f"{path}:/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_uv_installs_what_pip_would(place: Path) -> None:
    told = install(place, str(place / "bin"))
    python = place / "venv" / "bin" / "python"
    assert told[0] == f"uv pip install --python {python} -c constraints.txt -e . -c /etc/most.txt"
    assert [" ".join(line.split()) for line in told[1:]] == [
        "SSL_CERT_FILE=/etc/mirror.pem",
        "UV_DEFAULT_INDEX=file:///mirror/simple",
        "UV_FIND_LINKS=/wheels,/more",
        "UV_INDEX= file:///one/simple file:///two/simple",
        "UV_INDEX_STRATEGY=unsafe-best-match",
    ]


def test_uv_without_settings_of_pip_is_left_alone(place: Path) -> None:
    (place / "settings").write_text("")
    (line,) = install(place, str(place / "bin"))
    assert line.endswith("/venv/bin/python -c constraints.txt -e .")


def test_uvs_own_indexes_come_first(place: Path) -> None:
    told = install(place, str(place / "bin"), UV_DEFAULT_INDEX="file:///mine/simple")
    assert "UV_DEFAULT_INDEX=file:///mine/simple" in told
    assert not any(line.startswith(("UV_INDEX=", "UV_INDEX_STRATEGY=")) for line in told)


def test_pip_installs_where_there_is_no_uv_and_where_it_is_asked_for(place: Path) -> None:
    expected = ["python -m pip install --disable-pip-version-check -c constraints.txt -e ."]
    if not Path("/usr/bin/uv").exists():
        assert install(place, "/nowhere") == expected
    assert install(place, str(place / "bin"), UV="") == expected


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
@pytest.mark.parametrize(
    ("targets", "extras"),
    [(["demo"], ["."]), (["lint", "test"], [".[dev]"]), (["proof"], [".[train]"]),
     (["demo", "test"], [".", ".[dev]"])],
)  # fmt: skip
def test_each_command_installs_once_and_says_so(
    tmp_path: Path, targets: list[str], extras: list[str]
) -> None:
    """Even where another make started this suite."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "--dry-run", f"VENV={tmp_path / 'venv'}", *targets],
        cwd=ROOT, env=outside, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    steps = [number for number, line in enumerate(lines) if line.startswith("./install.sh")]
    assert [lines[number].split(" -e ")[1].strip("'") for number in steps] == extras
    for number in steps:
        said = [line for line in lines[max(0, number - 2) : number] if line.startswith("echo")]
        assert "Installing" in said[0]
        assert "minutes" in said[-1]
