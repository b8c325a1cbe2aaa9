"""Notes about a compose file: everybody who records, searches or builds an image is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from recordings import make

import branchpoint as bp
from branchpoint import showing
from branchpoint.cli import main, systems
from branchpoint.system import System, load
from branchpoint.timeline.recorder import record as recorder


class Built(SimpleNamespace):
    """An image or a snapshot, for a command that only names it."""

    def __init__(self, system: System | None = None) -> None:
        super().__init__(system=system, digest="ab", path=Path(), size=0)


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """In the folder of a system with two notes: a check that a text has each of them once, with its
    file and line. No machine is needed, and the cache is empty, as a full one has a note, too.
    """
    file, override = tmp_path / "compose.yaml", tmp_path / "compose.override.yaml"
    file.write_text("services:\n  db:\n    image: db:1\n    ports: ['80:80']\n")
    override.write_text("services:\n  db:\n    tty: true\n")
    made = make(tmp_path / "made.branchpoint", 1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(recorder, "record", lambda *_, **__: bp.open(made))
    monkeypatch.setattr(systems, "build", lambda *given, **how: Built(load(*given, **how)))
    monkeypatch.setattr(systems, "ensure_image", Built)
    monkeypatch.setattr(systems, "ensure_snapshot", lambda *_: Built())

    def check(said: str) -> None:
        assert said.count("note: ") == 2
        assert f"note: {file}:4: " in said and f"note: {override}:3: " in said

    return check


@pytest.mark.parametrize("line", ["record", "record --force -o new.branchpoint", "image"])
def test_commands_say_them_once_and_not_in_their_output(
    line: str, noted: Callable[[str], None]
) -> None:
    result = CliRunner().invoke(main, line.split(), catch_exceptions=False)
    assert result.exit_code == 0
    noted(result.stderr)
    assert "note: " not in result.stdout


def test_a_search_says_them_when_it_sets_the_system_up(
    noted: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(*_: Any, **__: Any) -> bp.Recording:
        raise bp.SetupError("no machine here")

    monkeypatch.setattr(recorder, "record", record)
    result = CliRunner().invoke(main, ["explore", "-o", "night.bpx"], catch_exceptions=False)
    assert result.exit_code == 2
    noted(result.stderr)


def test_python_says_them(noted: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    bp.record(".", "new.branchpoint").close()
    said = capsys.readouterr()
    noted(said.err)
    assert said.out == ""


def test_a_notebook_shows_them_as_remarks(
    noted: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(showing, "_say", shown.append)
    bp.record(".", "new.branchpoint").close()
    noted("\n".join(shown))
