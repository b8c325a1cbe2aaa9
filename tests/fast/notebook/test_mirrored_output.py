"""The output of a cell that another cell shows, when somebody attaches to its job."""

from __future__ import annotations

from typing import Any

import pytest

from branchpoint.notebook.jobs import Mirror
from branchpoint.notebook.reporter import Output


class Publisher:
    """Where displays go."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, bool]] = []

    def publish(self, data: Any, metadata: Any, *, transient: Any, update: bool) -> None:
        self.sent.append((data, update))

    def clear_output(self, wait: bool) -> None:
        self.sent.append(("cleared", wait))


def stream(text: str) -> tuple[str, dict[str, Any]]:
    return "stream", {"name": "stdout", "text": text}


def display(data: str) -> tuple[str, dict[str, Any]]:
    return "display_data", {"data": data, "metadata": {}}


def test_a_cell_that_clears_its_output_goes_on_to_be_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, publisher = Output(None), Publisher()
    output.record(*stream("round 1, which is long\n"))
    output.record(*display("picture 1"))
    mirror = Mirror(publisher, output)
    mirror()
    for number in (2, 3):
        output.record("clear_output", {"wait": True})
        mirror()  # nothing has come yet, so that all stays
        output.record(*stream(f"round {number}\n"))
        output.record(*display(f"picture {number}"))
        mirror()
        output.record(*stream("more\n"))
        mirror()
    said = capsys.readouterr().out
    assert said == "round 1, which is long\nround 2\nmore\nround 3\nmore\n"
    pictures = [("cleared", True), ("picture 2", False), ("cleared", True), ("picture 3", False)]
    assert publisher.sent == [("picture 1", False), *pictures]
