"""What a progress line says."""

from __future__ import annotations

import pytest

from branchpoint.progress import Task


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
