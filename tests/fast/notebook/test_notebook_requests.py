"""Requests of the Lab extension to the kernel over the control channel, while cells run."""

from __future__ import annotations

import ast
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recordings import ORIGIN, SECOND, event, fill, head
from talking import TIMEOUT, Talk, kernels

from branchpoint.guest import wire
from branchpoint.store.manifest import Input
from branchpoint.timeline.directory import Future, RecordingFiles

BLOCKING = """
import threading
from branchpoint import progress
go = threading.Event()
def work():
    print("begun")
    with progress.task("counting", 1000, "things") as task:
        for i in range(1000):
            task.update(i)
            if go.wait(0.05):
                return i >= 0
"""


@pytest.fixture(scope="module", autouse=True)
def kernelspec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with kernels(tmp_path_factory.mktemp("jupyter")):
        yield


@pytest.fixture
def kernel() -> Iterator[Talk]:
    talk = Talk()
    talk(BLOCKING)
    yield talk
    talk.close()


def running(kernel: Talk) -> tuple[str, dict[str, Any]]:
    """Start a cell that blocks, and wait until it is a job."""
    request = kernel.send("value = work()\nvalue")
    deadline = time.monotonic() + 60
    while not (found := kernel.ask("state")["state"]["jobs"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return request, found[-1]


def test_a_blocked_kernel_answers(kernel: Talk) -> None:
    _, job = running(kernel)
    state = kernel.ask("state")["state"]  # the cell blocks until it is told to go on
    assert state["busy"] is True
    assert (job["name"], job["state"], job["background"]) == ("value = work()", "running", False)
    assert state["jobs"][-1]["task"] == "counting" and 0 < state["jobs"][-1]["fraction"] < 1


def test_a_kernel_answers_requests_however_close_they_come(kernel: Talk) -> None:
    """The second of two comes while the first is answered, sooner or later in that."""
    chance = random.Random(1)
    for _ in range(500):
        waiting = {kernel.client.kernel_info()}
        time.sleep(chance.random() * 0.003)
        waiting.add(kernel.client.kernel_info())
        while waiting:
            reply = kernel.client.get_shell_msg(timeout=TIMEOUT)
            waiting.discard(reply["parent_header"]["msg_id"])


def test_a_question_does_not_make_a_busy_kernel_look_idle(kernel: Talk) -> None:
    request, _ = running(kernel)
    kernel.ask("state")
    kernel.ask("cancel", job=1)
    kernel.outputs(request)
    asked = [m for m in kernel.seen if m["parent_header"].get("msg_type") == "branchpoint_request"]
    assert [m for m in asked if m["msg_type"] == "status"] == []


def test_a_blocking_cell_is_cancelled_from_the_page(kernel: Talk) -> None:
    request, job = running(kernel)
    assert kernel.ask("cancel", job=job["number"])["status"] == "ok"
    assert [content["ename"] for kind, content in kernel.outputs(request) if kind == "error"]
    assert kernel.ask("state")["state"]["jobs"][-1]["state"] == "stopped"


def test_what_a_cell_put_out_while_nobody_looked_is_shown_to_who_attaches(kernel: Talk) -> None:
    kernel("import threading; threading.Timer(2.5, go.set).start()")
    kernel("value = work()\nvalue")  # its outputs went to a tab that is closed now
    kernel("del value")
    outputs = kernel("again = jobs.attach(1)\nagain")
    assert [content["text"] for kind, content in outputs if kind == "stream"] == ["begun\n"]
    assert outputs[-1][1]["data"]["text/plain"] == "True"


def to_the_end(kernel: Talk, *requests: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The output of cells that run at the same time, until all have ended: by cell."""
    found = []
    running = set(requests)
    while running:
        message = kernel.client.get_iopub_msg(timeout=60)
        name, content = message["parent_header"].get("msg_id", ""), message["content"]
        found.append((name, message["msg_type"], content))
        if content.get("execution_state") == "idle":
            running.discard(name)
    return found


def test_who_attaches_to_a_cell_that_runs_does_not_wait_for_it(kernel: Talk) -> None:
    first, _ = running(kernel)
    second = kernel.send("jobs.attach(1)")
    kind, content = kernel.next_output(second) or ("", {})
    assert (kind, content["text"]) == ("stream", "begun\n")
    kind, content = kernel.next_output(second) or ("", {})
    assert kind == "display_data" and "counting" in content["data"]["text/plain"]
    assert kernel.ask("state")["state"]["jobs"][-1]["state"] == "running"
    assert "counting" in kernel.text("jobs")
    assert len(kernel.ask("state")["state"]["jobs"]) == 1, "no job of its own"
    kernel.ask("cancel", job=1)
    errors = {
        name: content["evalue"]
        for name, kind, content in to_the_end(kernel, first, second)
        if kind == "error"
    }
    assert set(errors) == {first, second}
    assert "job 1 was stopped" in errors[second]
    assert kernel.text("1 + 1") == "2"


def test_what_a_running_cell_gives_reaches_who_attached_to_it(kernel: Talk) -> None:
    kernel("import threading; threading.Timer(4, go.set).start()")
    first, _ = running(kernel)
    second, third = kernel.send("jobs.attach(1)"), kernel.send("value")
    values = [
        (name, content["data"]["text/plain"])
        for name, kind, content in to_the_end(kernel, first, second, third)
        if kind == "execute_result"
    ]
    assert sorted(values) == sorted([(first, "True"), (second, "True"), (third, "True")])


def test_a_page_that_comes_again_learns_that_the_kernel_is_busy(kernel: Talk) -> None:
    first, _ = running(kernel)
    info = kernel.client.kernel_info()
    while (reply := kernel.client.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != info:
        assert reply["parent_header"]["msg_id"] != first, "it answered when the cell had ended"
    assert reply["content"]["implementation"] == "branchpoint"
    states: list[tuple[str, str]] = []
    while states[-2:] != [(info, "idle"), (first, "busy")]:
        message = kernel.client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "status":
            parent = message["parent_header"].get("msg_id")
            states.append((parent, message["content"]["execution_state"]))
    asked = kernel.client.session.msg("kernel_info_request", {})
    kernel.client.control_channel.send(asked)  # Lab sends other requests there
    states.clear()
    while states[-2:] != [(asked["header"]["msg_id"], "idle"), (first, "busy")]:
        message = kernel.client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "status":
            parent = message["parent_header"].get("msg_id")
            states.append((parent, message["content"]["execution_state"]))
    kernel.client.control_channel.get_msg(timeout=60)
    kernel.ask("cancel", job=1)
    kernel.outputs(first)


def test_a_page_that_comes_again_is_told_what_a_running_cell_shows(kernel: Talk) -> None:
    first, job = running(kernel)
    assert job["request"] == first and job["cell"] == ""  # not the cell of a notebook
    told = kernel.ask("output", job=1)["output"]
    kinds = [kind for kind, _ in told["messages"]]
    assert kinds == ["stream", "display_data"]
    assert told["messages"][0][1]["text"] == "begun\n"
    assert "counting" in told["messages"][1][1]["data"]["text/plain"]
    kernel.ask("cancel", job=1)
    kernel.outputs(first)
    covered = [m["header"]["msg_id"] for m in kernel.seen if m["msg_type"] == "stream"]
    assert covered[0] in told["ids"]
    assert told["count"] == next(
        m["content"]["execution_count"]
        for m in kernel.seen
        if m["msg_type"] == "execute_input" and m["parent_header"]["msg_id"] == first
    )


def test_cells_that_give_a_name_to_what_they_attach_to_wait_for_their_turn(kernel: Talk) -> None:
    kernel("import threading; threading.Timer(2.5, go.set).start()")
    first, _ = running(kernel)
    second, third = kernel.send("again = jobs.attach(1)"), kernel.send("again")
    kernel.outputs(first)
    kernel.outputs(second)
    assert kernel.outputs(third)[-1][1]["data"]["text/plain"] == "True"


def test_a_job_in_the_background_leaves_the_kernel_free(kernel: Talk) -> None:
    assert "Job(1, 'work')" in kernel.text("jobs.start(work)")
    assert kernel.text("6 * 7") == "42"
    assert kernel.ask("state")["state"]["jobs"][0]["background"] is True
    kernel("go.set()")
    shown = kernel("jobs.attach(1)")
    assert [content["text"] for kind, content in shown if kind == "stream"] == ["begun\n"]
    assert shown[-1][1]["data"]["text/plain"] == "True"


def test_only_who_subscribes_is_told_of_changes(kernel: Talk) -> None:
    kernel("1")
    assert not kernel.pushes
    kernel.ask("subscribe")
    kernel("x = 1")
    assert kernel.pushes
    assert kernel.pushes[-1]["busy"] is False


@pytest.mark.parametrize(
    "asked", [{"what": "dance"}, {"what": "cancel"}, {"what": "cancel", "job": 9}]
)
def test_a_request_that_cannot_be_met_is_answered_with_the_reason(
    kernel: Talk, asked: dict[str, Any]
) -> None:
    answer = kernel.ask(**asked)
    assert answer["status"] == "error" and answer["evalue"]


def test_the_state_tells_what_the_notebook_holds(kernel: Talk, tmp_path: Path) -> None:
    path = tmp_path / "three.branchpoint"
    with RecordingFiles.create(path, head()) as files:
        fill(files)
    kernel(f"run = bp.open({str(path)!r})\nhere = run.at(5)\nbranch = here.branch()")
    state = kernel.ask("state")["state"]
    (run,) = state["recordings"]
    assert (run["name"], run["title"], run["containers"]) == ("run", "three containers", ["db.1"])
    assert state["moments"] == [{"name": "here", "run": "run", "vtime": 5.0}]
    assert state["branches"] == [{"name": "branch", "run": "run", "end": 5.0}]
    assert run["question"] == "" and state["moving"] is None
    assert state["latest"] == {"Recording": "run", "Moment": "here", "Branch": "branch"}
    kernel("log = run.events.explore()")
    kernel("log._asked(log, {'ask': 'select', 'position': 3}, [])")
    chosen = kernel.ask("state")["state"]["chosen"]
    assert (chosen["run"], chosen["path"]) == ("run", run["path"])
    assert kernel.text("log.state['recording']") == repr(run["path"]), "rows say where they lead to"
    kernel("run.close()")
    assert kernel.ask("state")["state"]["recordings"] == []


def test_a_branch_is_listed_once_however_often_its_tip_was_noted(
    kernel: Talk, tmp_path: Path
) -> None:
    path = tmp_path / "three.branchpoint"
    inputs = [
        Input(at=ORIGIN + n * SECOND, kind="command", data=b"x", note="db.1: date" * (n == 1))
        for n in (1, 2, 3)
    ]
    with RecordingFiles.create(path, head()) as files:
        fill(files)
        for name, count in (("aa", 1), ("bb", 2), ("cc", 3), ("dd", 0)):
            files.add_future(
                Future(id=name, parent=None, at=ORIGIN + SECOND, inputs=inputs[:count])
            )
        other = [Input(at=ORIGIN + SECOND, kind="command", data=b"y")]
        files.add_future(Future(id="ee", parent=None, at=ORIGIN + SECOND, inputs=other))
    kernel(f"run = bp.open({str(path)!r})")
    (run,) = kernel.ask("state")["state"]["recordings"]
    assert run["branches"] == [], "no map of this notebook shows them"
    assert [(each["id"], each["title"]) for each in run["earlier"]] == [
        ("b1@1.000", "as recorded"),
        ("ee@1.000", "as recorded"),
        ("cc@3.000", "db.1: date"),
    ]


def given(data: bytes, note: str) -> Input:
    return Input(at=ORIGIN + SECOND, kind="command", data=data, note=note)


def test_branches_are_listed_as_the_map_has_them(kernel: Talk, tmp_path: Path) -> None:
    path = tmp_path / "three.branchpoint"
    with RecordingFiles.create(path, head()) as files:
        fill(files)
        opened = given(wire.terminal(1, "db.1", rows=24, columns=80), "db.1: terminal")
        typed = [opened, *(given(wire.typed(1, key), "typed") for key in (b"l", b"s", b"\r"))]
        files.add_future(Future(id="aa", parent=None, at=ORIGIN + SECOND, inputs=typed))
    kernel(
        f"run = bp.open({str(path)!r})\nheld = [run.at(2).branch()]\nbranch = run.at(3).branch()"
    )
    kernel("child = branch.end.branch()")

    def listed(kind: str = "branches") -> list[tuple[str, str, int]]:
        (run,) = kernel.ask("state")["state"]["recordings"]
        return [(each["name"], each["title"], each["depth"]) for each in run[kind]]

    now = [("", "as recorded", 0), ("branch", "as recorded", 0), ("child", "as recorded", 1)]
    assert listed() == now
    untouched = ("", "as recorded", 0)
    assert listed("earlier") == [untouched, ("", "db.1: terminal; type 'ls⏎'", 0)]
    kernel("same = run.at('aa@1.0')")
    assert listed() == [("", "db.1: terminal; type 'ls⏎'", 0), *now]
    assert listed("earlier") == [untouched]
    kernel("view = run.map()")
    rows = "[(node[6], node[4] - 1) for node in view.state['nodes'][1:]]"
    shown = [(title, depth) for _, title, depth in listed()]
    assert ast.literal_eval(kernel.text(rows)) == shown
    kernel("del child")
    assert ("child", "as recorded", 1) not in listed()


@pytest.mark.parametrize(
    ("ended", "at", "question"),
    [
        ("exit of *", 9.995, 'failure(exit="db.1")'),
        ("log:db.1:line", 1, 'failure("log:db.1:line")'),
        ("what a script asked", 1, ""),
        ("ran for 30 s", None, ""),
    ],
)
def test_the_page_asks_how_likely_the_recorded_failure_was(
    kernel: Talk, tmp_path: Path, ended: str, at: float | None, question: str
) -> None:
    failed = None if at is None else ORIGIN + round(at * SECOND)
    with RecordingFiles.create(tmp_path / "three.branchpoint", head()) as files:
        fill(files)
        files.events.add([event(9.995, "", type="container.exit", source="life")])
        files.save(head(ended=ended, failure=failed))
    kernel(f"run = bp.open({str(tmp_path / 'three.branchpoint')!r})")
    (run,) = kernel.ask("state")["state"]["recordings"]
    assert run["question"] == question
    if question:
        assert kernel.text(f"{question}.key")


def test_the_page_is_told_in_which_branch_time_passes(kernel: Talk, tmp_path: Path) -> None:
    path = tmp_path / "three.branchpoint"
    with RecordingFiles.create(path, head()) as files:
        fill(files)
    kernel(f"run = bp.open({str(path)!r})\nold = run.at(2).branch()\nnew = run.at(3).branch()")
    kernel("held = [run.at(4).branch()]")
    kernel.ask("state")  # follows them from now on
    told = "[watcher({}) for watcher in {}._history.watchers]"
    assert kernel.ask("state")["state"]["latest"]["Branch"] == "new"
    kernel(told.format(False, "old"))
    assert kernel.ask("state")["state"]["moving"] == {"name": "old", "start": 2.0, "end": 2.0}
    kernel(told.format(True, "old"))
    assert kernel.ask("state")["state"]["moving"] is None
    kernel(told.format(False, "held[0]"))
    assert kernel.ask("state")["state"]["moving"] == {"name": "", "start": 4.0, "end": 4.0}


def test_a_cell_that_opens_a_recording_may_be_run_again(kernel: Talk, tmp_path: Path) -> None:
    path = tmp_path / "three.branchpoint"
    with RecordingFiles.create(path, head()) as files:
        fill(files)
    opened = f"run = bp.open({str(path)!r})\nrun"
    kernel(f"{opened}\nhere = run.at(5)")
    links = "[os.path.realpath(fd) for fd in os.scandir('/proc/self/fd')]"
    count = f"import os; sum({str(path)!r} in link for link in {links})"
    before = int(kernel.text(count))
    for _ in range(5):
        kernel(opened)
    assert int(kernel.text(count)) == before > 0
    state = kernel.ask("state")["state"]
    assert [run["name"] for run in state["recordings"]] == ["run"]
    assert state["moments"] == [{"name": "here", "run": "run", "vtime": 5.0}]
    assert state["latest"]["Recording"] == "run"
