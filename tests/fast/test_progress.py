"""What a progress line says."""

from __future__ import annotations

import pytest

from branchpoint.progress import Task, _terminal


@pytest.mark.parametrize(
    ("done", "total", "said"),
    [
        (3, 20, "3/20 rewinds"),
        (12.3456, 120, "12.35/120 rewinds"),
        (9999.6, 10_000, "10000/10000 rewinds"),
        (50_000, 1_234_567, "50000/1234567 rewinds"),
        (1500, None, "1500 rewinds"),
        (0, None, ""),
    ],
)
def test_numbers_are_written_out(done: float, total: float | None, said: str) -> None:
    task = Task("rewinding", total, "rewinds", lambda task, *, final: None)
    task.done = done
    assert str(task).split(" · ")[1:-1] == ([said] if said else [])


def test_what_was_done_before_does_not_count_for_the_estimate() -> None:
    task = Task("drawing", 120, "futures", lambda task, *, final: None, begun=100)
    assert str(task).startswith("drawing · 100/120 futures · ")
    assert task.remaining is None
    task.started -= 10
    task.done = 110
    assert task.remaining == pytest.approx(10, rel=0.01)


def test_a_line_is_cut_to_the_terminal_until_the_last_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("branchpoint.progress._width", lambda: 20)
    task = Task("a title that is longer than the terminal", None, "", _terminal)
    _terminal(task, final=False)
    drawn = capsys.readouterr().err.removeprefix("\r\x1b[2K")
    assert drawn == "a title that is lo…"
    _terminal(task, final=True)
    assert capsys.readouterr().err.endswith(f"{task}\n")
