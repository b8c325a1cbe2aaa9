"""Progress in a cell and what else the cell puts out, as a page shows it, without a kernel."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from branchpoint.notebook import reporter
from branchpoint.notebook.jobs import Mirror
from branchpoint.notebook.reporter import CellReporter, Output
from branchpoint.progress import Task

CELL = "the cell"
SHOWN = {"stream", "display_data", "execute_result", "error"}


class Page:
    """A kernel of which only the session works, and the page that hears it."""

    def __init__(self) -> None:
        self.session = SimpleNamespace(send=self._hear)
        publisher = SimpleNamespace(pub_socket=None, parent_header={"msg_id": CELL})
        self.shell = SimpleNamespace(display_pub=publisher)
        self.iopub_socket = None
        self.outputs: list[tuple[str, Any]] = []  # of the cell: type, and text or display id
        self.in_widget: list[tuple[str, Any]] = []
        self._takers: list[str] = []
        self._pending = False
        self.reporter = CellReporter(self, lambda: None)
        self.send("execute_input", {"execution_count": 1})

    def _topic(self, kind: str) -> bytes:
        return kind.encode()

    def _hear(
        self, _: Any, kind: str, content: Any, parent: Any = None, ident: Any = None
    ) -> dict[str, Any]:
        if kind == "comm_msg":
            state = content["data"]["state"]
            self._takers = [one for one in self._takers if one != content["comm_id"]]
            self._takers += [content["comm_id"]] if state["msg_id"] == CELL else []
        elif self._takers and kind in SHOWN:
            self.in_widget.append(_seen(kind, content))
        elif self._takers and kind == "clear_output":
            self.in_widget.clear()
        elif kind in SHOWN:
            self.outputs = [] if self._pending else self.outputs
            self._pending = False
            self.outputs.append(_seen(kind, content))
        elif kind == "clear_output":
            self._pending = content["wait"]
            self.outputs = self.outputs if self._pending else []
        header = {"msg_id": f"message {id(content)}"}
        return {"msg_type": kind, "header": header, "content": content, "parent_header": parent}

    def send(self, kind: str, content: dict[str, Any]) -> None:
        self.session.send(None, kind, content, parent={"msg_id": CELL})

    def write(self, text: str) -> None:
        self.send("stream", {"name": "stdout", "text": text})

    def take(self, widget: str, *, taking: bool = True) -> None:
        """What ``with widget:`` does when it begins, or ends."""
        state = {"msg_id": CELL if taking else ""}
        self.send("comm_msg", {"comm_id": widget, "data": {"method": "update", "state": state}})

    @property
    def output(self) -> Output:
        found = self.reporter.output()
        assert found is not None
        return found

    def progress(self, task: Task | None = None, *, final: bool = False) -> Task:
        task = task or Task("working", 2, "steps", self.reporter)
        self.reporter(task, final=final)
        return task


def _seen(kind: str, content: Any) -> tuple[str, Any]:
    if kind == "display_data":
        return kind, content["transient"]["display_id"]
    return kind, content.get("text", content.get("ename"))


@pytest.fixture
def page() -> Page:
    return Page()


PROGRESS = ("display_data", f"progress-{CELL}")


def test_an_error_stays_when_progress_below_it_ends(page: Page) -> None:
    page.write("before")
    page.send("error", {"ename": "ValueError", "evalue": "", "traceback": ["…"]})
    task = page.progress()
    assert page.outputs[-1] == PROGRESS
    page.progress(task, final=True)
    assert page.outputs == [("stream", "before"), ("error", "ValueError")]
    assert [kind for kind, _ in page.reporter.told(page.output)["messages"]] == ["stream", "error"]


def test_a_long_error_counts_as_output(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter, "_BUDGET", 100)
    page.send("error", {"ename": "ValueError", "evalue": "", "traceback": ["x" * 101]})
    task = page.progress()
    page.progress(task, final=True)
    assert page.outputs == [("error", "ValueError")], "it is left alone"


def test_what_a_widget_takes_is_not_shown_in_the_cell_too(page: Page) -> None:
    page.write("before")
    first = page.progress()
    page.take("a")
    page.write("gone")
    page.take("b")
    page.send("clear_output", {"wait": False})
    page.write("inside")
    page.progress(first)
    page.progress(page.progress(), final=True)
    page.take("b", taking=False)
    page.progress(first)
    page.progress(first, final=True)
    assert page.outputs == [("stream", "before"), PROGRESS]
    page.take("a", taking=False)
    assert page.outputs == [("stream", "before")], "what ended inside is not shown for ever"
    assert page.in_widget == [("stream", "inside")]
    page.write("after")
    page.progress(page.progress(), final=True)
    assert page.outputs == [("stream", "beforeafter")]
    assert page.in_widget == [("stream", "inside")]


def test_progress_that_began_in_a_widget_is_shown_after_it(page: Page) -> None:
    page.take("a")
    task = page.progress()
    assert page.outputs == page.in_widget == []
    page.take("a", taking=False)
    assert page.outputs == [PROGRESS]
    page.progress(task, final=True)
    assert page.outputs == []


def test_a_widget_that_is_gone_takes_nothing(page: Page) -> None:
    page.take("a")
    page.send("comm_close", {"comm_id": "a", "data": {}})
    page.write("after")
    assert [content["text"] for _, content in page.output.messages] == ["after"]


def test_messages_of_other_widgets_change_nothing(page: Page) -> None:
    page.write("before")
    for data in ({}, {"state": {"value": 3}}, {"state": {"msg_id": "another cell"}}, [1], None):
        page.session.send(None, "comm_open", {"comm_id": "a", "data": data}, parent={})
    page.write("after")
    assert [content["text"] for _, content in page.output.messages] == ["beforeafter"]


def test_who_is_attached_sees_that_progress_has_cleared_the_output(
    page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    cleared: list[bool] = []
    mirror = Mirror(SimpleNamespace(clear_output=lambda wait: cleared.append(wait)), page.output)
    page.write("a long first round\n")
    mirror()
    page.send("clear_output", {"wait": True})
    task = page.progress()
    assert page.outputs == [PROGRESS]
    page.write("round 2\n")
    mirror()
    page.progress(task, final=True)
    assert page.outputs == [("stream", "round 2\n")]
    assert capsys.readouterr().out == "a long first round\nround 2\n"
    assert cleared == [True]


def test_progress_that_is_redrawn_clears_nothing(page: Page) -> None:
    task = page.progress()
    page.write("before")
    page.send("clear_output", {"wait": True})
    page.progress(task)
    assert page.outputs == [PROGRESS, ("stream", "before")]
    page.progress(task, final=True)
    assert page.outputs == [("stream", "before")], "nothing new has come in its place"
    page.write("after")
    assert page.outputs == [("stream", "after")]


def test_only_what_is_shown_counts_as_output(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter, "_BUDGET", 100)
    for number in range(9):
        page.send("clear_output", {"wait": True})
        page.write(f"{number}" * 60)
    assert page.output.messages == [("stream", {"name": "stdout", "text": "8" * 60})]
    page.write("9" * 60)
    assert page.output.messages == [] and not page.output.repeatable
    page.send("clear_output", {"wait": False})
    page.write("little")
    assert page.output.repeatable and len(page.output.messages) == 1
