"""Cells whose errors are shown while more happens, and cells that run others: in a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from talking import Talk, kernels

OURS = "from branchpoint.errors import BranchpointError\n"
PROGRESS_OF = """
import time
from branchpoint.progress import task
def work():
    with task("working", 2) as t:
        t.started -= 9
        t.update(1)
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    with kernels(tmp_path_factory.mktemp("jupyter")):
        talk = Talk()
        talk(PROGRESS_OF)
        yield talk
        talk.close()


def errors(kernel: Talk, cell: str) -> list[list[str]]:
    return [content["traceback"] for kind, content in kernel(cell) if kind == "error"]


# -- errors


def test_stop_while_an_error_is_shown_leaves_the_error(kernel: Talk) -> None:
    stopped = (
        "class Stopped(BranchpointError):\n"
        "    told = 0\n"
        "    def __str__(self):\n"
        "        Stopped.told += 1\n"
        "        if Stopped.told == 1: raise KeyboardInterrupt\n"
        "        return 'no such thing'\n"
        "raise Stopped('')"
    )
    ((kind, content),) = kernel(OURS + stopped)
    assert kind == "error" and content["evalue"] == "no such thing"
    assert content["traceback"] == ["\x1b[31mStopped\x1b[0m: no such thing"]


def test_errors_are_short_again_after_showing_one_has_failed(kernel: Talk) -> None:
    broken = "class Broken(BranchpointError):\n    def __str__(self): raise ValueError\n"
    assert "unregistering" in kernel.text(f"{OURS}{broken}raise Broken('')")
    ((first, *rest),) = errors(kernel, "raise BranchpointError('no such thing')")
    assert "no such thing" in first and "Traceback" not in "".join([first, *rest])


def test_another_handler_of_errors_is_left_alone(kernel: Talk) -> None:
    kernel("shell = get_ipython(); ours = shell.custom_exceptions, shell.CustomTB")
    kernel("shell.set_custom_exc((KeyError,), lambda *a, **k: print('theirs'))")
    assert kernel.text("{}[1]") == "theirs\n"
    kernel("shell.custom_exceptions, shell.CustomTB = ours")


def test_tb_shows_the_error_that_came_last(kernel: Talk) -> None:
    assert errors(kernel, "1 / 0")
    assert errors(kernel, f"{OURS}def inner():\n    raise BranchpointError('ours')\ninner()")
    assert kernel.text("import sys; str(sys.last_value)") == "'ours'"
    said = kernel.text("%tb")
    assert "ours" in said and "ZeroDivisionError" not in said


# -- widgets that take the output of a cell


def test_progress_within_a_widget_stays_out_of_it(kernel: Talk) -> None:
    messages = kernel(
        "import ipywidgets\nout = ipywidgets.Output()\ndisplay(out)\nprint('before')\n"
        "with out:\n    print('inside')\n    work()\nprint('after')\nwork()"
    )
    begin, end = (
        place
        for place, (kind, content) in enumerate(messages)
        if kind == "comm_msg" and "msg_id" in content["data"]["state"]
    )
    assert _seen(messages[begin:end]) == ["inside\n"]
    after, progress, widget, again = _seen(messages[end:])
    assert after == "after\n" and progress.startswith("working · 1/2")
    assert widget.startswith("Output(") and again == "before\nafter\n"


def _seen(messages: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [
        content.get("text") or content["data"]["text/plain"]
        for kind, content in messages
        if kind in ("stream", "display_data", "update_display_data")
    ]


# -- cells in cells


def test_a_cell_that_runs_another_is_the_job(kernel: Talk) -> None:
    inner = "get_ipython().run_cell('6 * 7')"
    kernel(f"{inner}\nwork()\n{inner}\nbusy = get_ipython().kernel._requests._watch.busy\nwork()")
    assert kernel.text("busy") == "True"
    state = kernel.ask("state")["state"]
    assert state["busy"] is False
    job = state["jobs"][-1]
    assert (job["name"], job["state"]) == (inner, "done")
    kernel(f"work()\n{inner}\n1 / 0")
    assert kernel.ask("state")["state"]["jobs"][-1]["state"] == "failed"
    assert len(kernel.ask("state")["state"]["jobs"]) == len(state["jobs"]) + 1


def test_an_empty_cell_in_a_cell_ends_nothing(kernel: Talk) -> None:
    said = kernel(
        "get_ipython().run_cell(''); get_ipython().run_cell('1 / 0', silent=True)\n"
        "get_ipython().kernel._requests._watch.busy"
    )
    assert said[-1][1]["data"]["text/plain"] == "True"
    assert kernel("") == []
    assert kernel.ask("state")["state"]["busy"] is False
