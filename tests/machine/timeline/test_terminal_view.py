"""A terminal on the page: keys, the time that passes for their answers, what a cell saves."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel
from places import ARIA

import branchpoint as bp
from branchpoint.views.terminal import TerminalView
from branchpoint.views.view import LARGEST, STATIC

KERNELSPEC = ARIA.parents[3] / "kernel" / "kernelspec"
PATIENCE = 120  # wall seconds, on a busy computer


class Page:
    """The browser's side: the messages it got, and keys."""

    def __init__(self, view: TerminalView, monkeypatch: pytest.MonkeyPatch) -> None:
        self.view = view
        self.shown = b""
        self.first = False
        self.errors: list[str] = []
        monkeypatch.setattr(view, "send", self._heard)
        self.ask("output", start=0)

    def _heard(self, message: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        if message["answer"] == "output":
            assert buffers is not None
            assert message["start"] == len(self.shown), "nothing is shown twice or left out"
            self.shown += buffers[0]
            self.first = self.first or message.get("first", False)
        elif message["answer"] != "done":
            self.errors.append(message["text"])

    def ask(self, what: str, **rest: Any) -> None:
        self.view._asked(self.view, {"ask": what, **rest}, [])
        json.dumps(self.view.state)

    def rests(self) -> None:
        """Wait until time has stopped."""
        end = time.monotonic() + PATIENCE
        while self.view.state["passes"] and time.monotonic() < end:
            time.sleep(0.005)
        assert not self.view.state["passes"]

    def type(self, keys: str) -> None:
        for key in keys:
            self.ask("keys", keys=key)
            self.rests()


@pytest.fixture
def page(idle: bp.Recording, monkeypatch: pytest.MonkeyPatch) -> Page:
    return Page(idle.at(1).branch().terminal("a.1").interact(), monkeypatch)


def test_keys_are_answered_and_time_stands_again(page: Page) -> None:
    terminal, branch = page.view.terminal, page.view.terminal.branch
    assert page.shown.endswith(b"# ")
    begun = branch.vtime
    page.type("echo $((6*7))\r")
    assert terminal.screen[1] == "42" and page.shown == terminal.output
    assert branch.vtime - begun < 1, "typing costs little virtual time, however slowly one types"
    page.type("sleep 0.3; echo slept\r")
    assert "slept" in terminal.screen
    page.type("exit 5\r")
    assert page.view.state["exit"] == 5
    page.type("x")
    assert len(page.errors) == 1 and "has ended" in page.errors[0]


def test_a_prompt_ends_an_answer_at_once(page: Page) -> None:
    """Also when the line was echoed long before: Enter is answered in two parts."""
    terminal, branch = page.view.terminal, page.view.terminal.branch
    page.type("time sleep 0.1")
    begun = branch.vtime
    page.type("\r")
    assert "real" in terminal.transcript and page.shown.endswith(b"# ")
    shown = [at for at, _ in branch._history.shown[terminal.number]]
    assert branch.vtime - begun > 0.1
    assert branch._history.tip.at - shown[-1] < 0.05e9, "nothing is awaited after the prompt"


@pytest.mark.long
def test_time_passes_until_it_is_paused(page: Page) -> None:
    branch = page.view.terminal.branch
    page.type("while sleep 0.1; do echo x; done\r")
    begun, wall = branch.vtime, time.monotonic()
    page.ask("run")
    assert page.view.state["passes"]
    while branch.vtime - begun < 0.5 and time.monotonic() - wall < PATIENCE:
        time.sleep(0.005)
    page.view.pause()
    assert not page.view.state["passes"]
    assert 0.5 <= branch.vtime - begun <= time.monotonic() - wall + 0.1
    assert page.shown == page.view.terminal.output and page.shown.count(b"x\r\n") > 3


def test_time_stands_when_the_recording_is_closed(
    small_path: Path, copy_of: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with bp.open(copy_of(small_path)) as run:
        page = Page(run.at(1).branch().terminal("client").interact(), monkeypatch)
        page.ask("run")
    page.view._clock.join()
    assert not page.view._clock.running


@pytest.mark.long
def test_a_flood_of_output_makes_time_stand(page: Page) -> None:
    page.type(f"yes {'long ' * 15}\r")
    first = len(page.shown)
    assert 1 << 19 < first < 30 << 20
    page.ask("run")
    page.rests()
    assert first + (1 << 19) < len(page.shown) < 2 * (30 << 20)
    page.type("\x03")
    assert page.view.terminal.transcript.splitlines()[-1].endswith("#")


def test_a_cell_may_let_time_pass_meanwhile(page: Page) -> None:
    page.ask("run")
    bp.bash("echo from a cell > /proc/1/fd/1 && sleep 1").run(page.view.terminal.branch, "b.1")
    page.view.pause()
    assert page.shown == page.view.terminal.output


def test_the_page_s_size_is_the_program_s(page: Page) -> None:
    page.ask("size", rows=30, columns=100)
    page.rests()
    page.type("stty size\r")
    assert b"30 100" in page.shown
    assert (page.view.state["rows"], page.view.state["columns"]) == (30, 100)
    page.ask("size", rows=0, columns=10**9)
    page.ask("size", rows="many")
    page.ask("keys")
    assert len(page.errors) == 3


def test_a_page_that_comes_later_gets_everything(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.type("echo one\r")
    other = Page(page.view.terminal.interact(), monkeypatch)
    assert other.shown == page.shown
    other.type("echo two\r")
    assert other.shown == page.shown == page.view.terminal.output
    reloaded = Page(other.view, monkeypatch)
    assert page.first and other.first and not reloaded.first, "each cell takes the focus once"


@pytest.mark.long
def test_a_page_that_missed_much_gets_the_last_of_it(page: Page) -> None:
    page.view.terminal.type("seq 1 300000\n").settle(cap=20)
    answers: list[tuple[dict[str, Any], list[bytes]]] = []
    page.view.send = lambda message, buffers=None: answers.append((message, buffers))
    page.ask("output", start=5)
    (message, (data,)), (last, _) = answers
    assert last == {"answer": "done"}
    output = page.view.terminal.output
    assert len(output) > 2_000_000 and len(data) == 1 << 20
    assert message["asked"] and output[message["start"] :] == data


def test_a_saved_cell_is_small_inert_and_the_same_again(idle: bp.Recording) -> None:
    def saved() -> dict[str, Any]:
        terminal = idle.at(1).branch().terminal("a.1").settle()
        terminal.type("echo '<script>alert(1)</script>'; seq 1 20000\n").settle()
        data: dict[str, Any] = terminal._repr_mimebundle_()[0]
        return data

    one, two = saved(), saved()
    for kind in ("text/html", "text/plain"):
        assert one[kind] == two[kind]
        assert STATIC in one[kind] and "19999" in one[kind] and "\x1b" not in one[kind]
    assert "<script>" not in one["text/html"]
    assert len(json.dumps(one)) < LARGEST


def test_showing_it_lets_no_time_pass_but_for_the_first_prompt(idle: bp.Recording) -> None:
    terminal = idle.at(1).branch().terminal("a.1")
    terminal.interact()
    first = terminal.branch.vtime
    assert terminal.screen[0].endswith("#") and first < 1.1
    terminal.interact()
    terminal._repr_mimebundle_()
    assert terminal.branch.vtime == first


def test_the_expression_for_it_makes_it_again(page: Page) -> None:
    page.type("echo here\r")
    code = page.view.state["code"]
    run = page.view.terminal.branch.run
    again = eval(code, {"run": run})
    assert again.output == page.view.terminal.output


# -- in our kernel

CELL = """\
import branchpoint as bp
run = bp.open({path!r})
terminal = run.at(1).branch().terminal("client")
terminal"""


@pytest.fixture
def front_end(small_path: Path, tmp_path: Path) -> Iterator[BlockingKernelClient]:
    """A front end of a kernel in which a cell has shown a terminal."""
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "branchpoint").symlink_to(KERNELSPEC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", f"{tmp_path}{os.pathsep}{os.environ.get('JUPYTER_PATH', '')}")
        patch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        manager, client = start_new_kernel(kernel_name="branchpoint", startup_timeout=PATIENCE)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_the_transcript_below_a_terminal_is_kept(
    front_end: BlockingKernelClient, small_path: Path
) -> None:
    def heard(kind: str, part: str) -> dict[str, Any]:
        """The next display that contains this; progress displays come here, too."""
        while True:
            message = front_end.get_iopub_msg(timeout=PATIENCE)
            assert message["msg_type"] != "error", message["content"]
            if message["msg_type"] == kind and part in str(message["content"]["data"]):
                content: dict[str, Any] = message["content"]
                return content

    front_end.execute(CELL.format(path=str(small_path)))
    widget = "application/vnd.jupyter.widget-view+json"
    model = heard("display_data", widget)["data"][widget]["model_id"]
    below = heard("display_data", "Transcript")
    assert below["data"]["text/plain"].endswith("#")
    keys = {"method": "custom", "content": {"ask": "keys", "keys": "echo '<b>' kept\r"}}
    message = front_end.session.msg("comm_msg", {"comm_id": model, "data": keys})
    front_end.shell_channel.send(message)
    kept = heard("update_display_data", "Transcript")
    assert kept["transient"] == below["transient"]
    assert kept["data"]["text/plain"].splitlines()[1:2] == ["<b> kept"]
    assert "&lt;b&gt; kept\n" in kept["data"]["text/html"]
