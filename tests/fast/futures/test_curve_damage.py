"""A damaged curve hides no other curve, is named in a warning, and is not shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from recordings import ORIGIN, SECOND, event, head

import branchpoint as bp
from branchpoint.cli import main
from branchpoint.futures import curves
from branchpoint.futures.draws import Draw, Draws, Question
from branchpoint.sharing.bundle.opening import unpack
from branchpoint.timeline.directory import RecordingFiles

SOUND = Question(failure="exit of db.1", failure_key="ab12", horizon=SECOND, relative=True)
HARMED = msgspec.structs.replace(SOUND, failure="a lost write", failure_key="cd34")


def draw(second: float, failed: bool = False) -> Draw:
    at = ORIGIN + round(second * SECOND)
    verdict, failed_at = ("failed", at + 5) if failed else ("passed", None)
    return Draw(at=at, seed=0, verdict=verdict, failed_at=failed_at, end=at + SECOND)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recording with two curves."""
    path = tmp_path / "run.branchpoint"
    with RecordingFiles.create(path, head()) as files:
        files.events.add([event(1, "ready")])
        files.save(head())
        for question in (SOUND, HARMED):
            draws = Draws(files, question)
            for second in (1, 2, 3):
                draws.add(draw(second, failed=second == 3))
    return path


@pytest.fixture
def harmed(path: Path) -> Path:
    """The second curve has one byte that is not valid UTF-8."""
    return one_byte(path)


def file_of(path: Path, question: Question, ending: str = "json") -> Path:
    return path / "curves" / f"{question.key}.{ending}"


def one_byte(path: Path) -> Path:
    file = file_of(path, HARMED)
    data = file.read_bytes()
    assert b"a lost write" in data
    file.write_bytes(data.replace(b"a lost write", b"a lost \xffrite"))
    return path


def truncate(path: Path) -> Path:
    file = file_of(path, HARMED)
    file.write_bytes(file.read_bytes()[:20])
    return path


def enlarge(path: Path) -> Path:
    file = file_of(path, HARMED)
    file.write_bytes(file.read_bytes() + b" " * 100_000)
    return path


def exchange(path: Path) -> Path:
    file_of(path, HARMED).write_bytes(file_of(path, SOUND).read_bytes())
    return path


def nest(path: Path) -> Path:
    file_of(path, HARMED).write_bytes(b"[" * 60_000)
    return path


def lose(path: Path) -> Path:
    file_of(path, HARMED).unlink()
    return path


HARMS = [one_byte, truncate, enlarge, exchange, nest, lose]


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_curve_is_named_and_the_other_is_there(
    path: Path, harm: Callable[[Path], Path]
) -> None:
    with bp.open(harm(path)) as run:
        (named,) = [warning for warning in run.warnings if HARMED.key in warning]
        assert str(path) in named
        assert [curve.question for curve in curves.kept(run)] == [SOUND]
        assert len(run.files.damage) == 1


@pytest.fixture
def run(harmed: Path) -> Iterator[bp.Recording]:
    with bp.open(harmed) as opened:
        yield opened


def test_the_timeline_and_the_map_show_the_other_curve(run: bp.Recording) -> None:
    assert [c["failure"] for c in run.timeline(earlier=True).state["curves"]] == ["exit of db.1"]
    titles = [node[6] for node in run.map(earlier=True).state["nodes"]]
    assert titles.count("1 future: 1 passed") == 2


@pytest.mark.parametrize("form", ["html", "json", "csv"])
def test_an_export_has_the_other_curve(run: bp.Recording, tmp_path: Path, form: str) -> None:
    text = bp.export(run, tmp_path / f"x.{form}").read_text()
    if form != "csv":
        assert "exit of db.1" in text and "a lost" not in text
    if form == "html":
        assert HARMED.key in text  # among the warnings


def test_open_says_so(harmed: Path) -> None:
    shown = CliRunner().invoke(main, ["open", str(harmed)])
    assert shown.exit_code == 0
    assert HARMED.key in shown.stderr


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_curve_does_not_travel(
    path: Path, tmp_path: Path, harm: Callable[[Path], Path]
) -> None:
    with bp.open(harm(path)) as run:
        bundle = bp.share(run, tmp_path / "out.bpz")
        assert any(HARMED.key in warning for warning in run.warnings)
    there = unpack(bundle, tmp_path / "there.branchpoint").path
    assert sorted(file.name for file in (there / "curves").iterdir()) == [
        f"{SOUND.key}.json", f"{SOUND.key}.jsonl",
    ]  # fmt: skip
    with bp.open(there) as run:
        assert run.files.damage == []
        assert len(curves.kept(run)[0].draws) == 3


def test_share_says_what_stayed_behind(harmed: Path, tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["share", str(harmed), "-o", str(tmp_path / "out.bpz")])
    assert shown.exit_code == 0
    assert f"warning: {file_of(harmed, HARMED)}" in shown.stderr


@pytest.mark.parametrize("name", ["curves", "futures.jsonl", "digests.jsonl"])
def test_a_damaged_line_does_not_travel(path: Path, tmp_path: Path, name: str) -> None:
    file = file_of(path, SOUND, "jsonl") if name == "curves" else path / name
    with file.open("ab") as end:
        end.write(b"0" * 32 + b' {"at": 1}\n')
    with bp.open(path) as run:
        bundle = bp.share(run, tmp_path / "out.bpz")
        (named,) = [warning for warning in run.warnings if file.name in warning]
        assert "is left out: it does not match its digest" in named
    with bp.open(unpack(bundle, tmp_path / "there.branchpoint").path) as run:
        assert len(curves.kept(run)) == 2
        assert run.files.damage == []


def test_a_million_damaged_lines_are_named_in_few_words(path: Path) -> None:
    with file_of(path, SOUND, "jsonl").open("ab") as end:
        end.write(b"x\n" * 100_000)
    with bp.open(path) as run:
        assert len(curves.kept(run)) == 2
        named = [warning for warning in run.warnings if SOUND.key in warning]
        assert len(named) < 30
        assert any("99980 more lines are left out" in warning for warning in named)


def test_a_folder_of_curves_that_is_none_hides_nothing_else(path: Path, tmp_path: Path) -> None:
    (path / "curves").rename(tmp_path / "away")
    (path / "curves").write_text("")
    with bp.open(path) as run:
        assert run.timeline(earlier=True).state["curves"] == []
        assert any("curves cannot be opened" in warning for warning in run.warnings)
