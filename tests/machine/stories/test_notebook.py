"""The shipped notebook and the kernel, on a real recording of the demo system that fails."""

from __future__ import annotations

import os
import re
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from places import ARIA
from processes import alive, emulators_of, wait_for
from shipping import check_shipped_outputs

NOTEBOOK = ARIA.parents[2] / "tip-retransmitter.ipynb"
KERNELSPEC = ARIA.parents[3] / "kernel" / "kernelspec"
PATIENCE = 1200  # wall seconds for one cell, on a busy computer
GUEST_DAY = "2025-11-28"  # where the machine's clock begins

pytestmark = pytest.mark.timeout(3600)  # the first test may have to record with many seeds

PREPARE = "[environment, moment] = prepare_multiverse_debugging()"
CAPTURE = """\
branch = moment.rewind(Time.seconds(1)).branch()
container = 'standby.replicator.1'
print(bash`tcpdump -nn -X tcp and host 10.89.5.61`.run_in_background({ branch, container }))
branch.wait(Time.seconds(5))"""
ADMIN = """\
container = 'primary.tip-retransmitter.1'
print(bash`aria admin get-latest-snapshot -max-stream-time '2025-11-28T16:59:51.362900555-05:00' \
| sexp get '.snapshot.metadata.core_stream_length'`.run({ branch, container }))"""
"""The two cells of the published story, character by character."""


@pytest.fixture(scope="module")
def recording(failing_aria: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording with the name that `make demo` gives it, and without what others drew."""
    path = tmp_path_factory.mktemp("demo") / "aria.branchpoint"
    return shutil.copytree(failing_aria, path, ignore=shutil.ignore_patterns("curves"))


@pytest.fixture(scope="module", autouse=True)
def surroundings(
    recording: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pytest.MonkeyPatch]:
    """Kernels find this tree's kernelspec, installed or not, and the recording."""
    folder = tmp_path_factory.mktemp("jupyter")
    (folder / "kernels").mkdir()
    (folder / "kernels" / "branchpoint").symlink_to(KERNELSPEC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", f"{folder}{os.pathsep}{os.environ.get('JUPYTER_PATH', '')}")
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("BRANCHPOINT_RECORDING", str(recording))
        yield patch


# -- the notebook


def execute(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Run all cells as `make demo` does; the first error in one fails the test."""
    client = NotebookClient(
        notebook,
        kernel_name="branchpoint",
        timeout=PATIENCE,
        coalesce_streams=True,
        record_timing=False,
    )
    client.execute()
    return notebook


@pytest.fixture(scope="module")
def executed() -> nbformat.NotebookNode:
    """The shipped notebook, executed."""
    return execute(nbformat.read(NOTEBOOK, as_version=4))


@pytest.fixture(scope="module")
def saved(executed: nbformat.NotebookNode) -> str:
    """The executed notebook as it is saved."""
    return nbformat.writes(executed)


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def printed(cell: nbformat.NotebookNode) -> str:
    """What a cell printed."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def test_the_shipped_notebook_runs(executed: nbformat.NotebookNode) -> None:
    assert [output for output in outputs(executed) if output.output_type == "error"] == []
    assert [output.text for output in outputs(executed) if output.get("name") == "stderr"] == []
    # What runs in a container may end with it; then a remark says so. There is no other remark.
    pages = [output.get("data", {}).get("text/html", "") for output in outputs(executed)]
    remarks = [page for page in pages if page.startswith("<p><small>")]
    assert all(page.endswith(", ended then</small></p>") for page in remarks), remarks


def test_it_tells_the_story(executed: nbformat.NotebookNode) -> None:
    cells = {cell.id: cell for cell in executed.cells}
    assert "0x0000:" in printed(cells["decode"])
    assert re.search(r"begins with [1-9]\d* NUL bytes", printed(cells["answer"]))
    assert "all of them NUL: True" in printed(cells["compare"])
    (alive,) = cells["alive"].outputs
    assert alive.data["text/plain"] == "{'as recorded': True, 'retransmitter unreachable': False}"


def test_running_it_again_changes_no_byte(saved: str) -> None:
    assert nbformat.writes(execute(nbformat.reads(saved, as_version=4))) == saved


def test_the_saved_notebook_is_small(saved: str) -> None:
    assert len(saved.encode()) < 200_000


def test_what_it_is_shipped_with_comes_again(
    executed: nbformat.NotebookNode, recording: Path
) -> None:
    check_shipped_outputs(NOTEBOOK, executed, recording)


def test_nothing_in_it_belongs_to_this_run_or_computer(saved: str, recording: Path) -> None:
    """No memory address, uuid, path, wall clock time or rest of a progress bar."""
    assert "<progress" not in saved
    assert re.findall(r"0x(?:0000)?7f[0-9a-f]{6,}", saved) == []
    assert re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", saved) == []
    assert str(recording.parent) not in saved
    assert str(Path.home()) not in saved or str(Path.home()) == "/"
    assert set(re.findall(r"\b20\d\d-\d\d-\d\d", saved)) <= {GUEST_DAY}
    months = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
    in_words = f"{date.fromisoformat(GUEST_DAY):%b %d}"
    assert set(re.findall(rf"\b(?:{months}) [ 0-3]\d\b", saved)) <= {in_words}


def test_no_metadata_but_the_kernels_and_what_pages_need_of_pictures(
    executed: nbformat.NotebookNode,
) -> None:
    assert set(executed.metadata) == {"branchpoint", "kernelspec", "language_info"}
    assert [cell.metadata for cell in executed.cells if cell.metadata] == []
    told = [output.metadata for output in outputs(executed) if output.get("metadata")]
    assert [set(metadata) for metadata in told] == [{"image/png", "needs_background"}] * len(told)
    assert all(set(metadata["image/png"]) == {"width", "height", "alt"} for metadata in told)
    kinds = {kind for output in outputs(executed) for kind in output.get("data", ())}
    assert kinds <= {"text/plain", "text/html", "image/png"}


def test_its_page_needs_no_script_and_shows_the_dump(executed: nbformat.NotebookNode) -> None:
    page, _ = HTMLExporter().from_notebook_node(executed)
    bare = nbformat.from_dict(executed)
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    without_outputs, _ = HTMLExporter().from_notebook_node(bare)
    # Only the scripts of nbconvert's own template are left.
    assert page.count("<script") == without_outputs.count("<script")
    assert "javascript:" not in page and " onclick=" not in page
    assert "0x0000:" in page and "0x0000:" not in without_outputs
    assert "10.89.5.61.7400" in page


# -- the published story's own words


def requested_offset(dump: str) -> int:
    """The offset in the first request that tcpdump -X shows: 8 bytes after ``ARIA`` and a 3."""
    packets = re.split(r"^(?=\S)", dump, flags=re.MULTILINE)
    for packet in packets:
        rows = re.findall(r"^\t0x[0-9a-f]+:  ([0-9a-f ]+?)  ", packet, re.MULTILINE)
        data = bytes.fromhex("".join(rows).replace(" ", ""))
        start = data.find(b"ARIA" + struct.pack("<I", 3))
        if start >= 0:
            return int(struct.unpack_from("<Q", data, start + 8)[0])
    raise AssertionError("no request in the dump")


def test_the_storys_cells_run_as_they_stand() -> None:
    cells = [nbformat.v4.new_code_cell(text) for text in (PREPARE, CAPTURE, ADMIN)]
    _, capture, admin = execute(nbformat.v4.new_notebook(cells=cells)).cells
    assert "10.89.5.71" in printed(capture) and "10.89.5.61.7400" in printed(capture)
    length = int(printed(admin))
    assert length > requested_offset(printed(capture))


def test_the_shipped_notebook_has_them_to_the_letter() -> None:
    sources = [cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells]
    assert CAPTURE in sources and ADMIN in sources
    assert any(PREPARE in source for source in sources)


# -- the kernel


class Session:
    """A kernel with the recording open in it: ``environment``, ``moment``, ``run``, ``branch``."""

    def __init__(self) -> None:
        self.manager, self.client = start_new_kernel(
            kernel_name="branchpoint", startup_timeout=PATIENCE
        )
        assert self(f"{PREPARE}\nrun = environment.run\nbranch = moment.rewind(2).branch()") == []

    def __call__(
        self, code: str, watch: Callable[[str], None] = lambda kind: None
    ) -> list[tuple[str, dict[str, Any]]]:
        """The outputs of a cell: (type, content). ``watch`` gets each type as soon as it comes."""
        found: list[tuple[str, dict[str, Any]]] = []

        def hook(message: dict[str, Any]) -> None:
            kind, content = message["msg_type"], message["content"]
            if kind == "clear_output":
                found.clear()
            elif kind in ("stream", "display_data", "execute_result", "error"):
                found.append((kind, content))
            watch(kind)

        self.client.execute_interactive(code, output_hook=hook, timeout=PATIENCE)
        return found

    def text(self, code: str) -> str:
        """What a cell printed or returned."""
        found = self(code)
        assert [content["traceback"] for kind, content in found if kind == "error"] == []
        return "".join(
            content["text"] if kind == "stream" else content["data"]["text/plain"]
            for kind, content in found
        )

    def error(self, code: str) -> dict[str, Any]:
        """The one error that a cell ends with."""
        (content,) = [content for kind, content in self(code) if kind == "error"]
        return content

    def complete(self, code: str) -> list[str]:
        reply = self.client.complete(code, reply=True, timeout=PATIENCE)
        matches: list[str] = reply["content"]["matches"]
        return matches

    def interrupt(self, code: str) -> dict[str, Any]:
        """The error of a cell that is interrupted as soon as it shows progress."""
        interrupts: list[str] = []

        def watch(kind: str) -> None:
            if kind == "display_data" and not interrupts:
                interrupts.append(kind)
                self.manager.interrupt_kernel()

        errors = [content for kind, content in self(code, watch) if kind == "error"]
        assert interrupts, "it ended before it showed any progress"
        (content,) = errors
        return content

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def session(surroundings: pytest.MonkeyPatch) -> Iterator[Session]:
    session = Session()
    yield session
    session.close()


LONG = {
    "wait": "branch.wait(100000)",
    "wait_until": "branch.wait_until('log:*:what nobody says', cap=100000)",
    "command": "bash`sleep 100000`.run({branch}, timeout=200000)",
}


@pytest.mark.parametrize("code", LONG.values(), ids=LONG)
def test_an_interrupted_cell_leaves_everything_usable(session: Session, code: str) -> None:
    before = float(session.text("branch = moment.rewind(1).branch(); branch.vtime"))
    content = session.interrupt(code)
    lines = "\n".join(content["traceback"])
    assert "Stopped" in lines
    assert "Traceback" not in lines and "replayer" not in lines
    assert re.fullmatch(r"main@\d+\.\d+\n", session.text("print(run.end)"))
    reached = float(session.text("branch.vtime"))
    assert before < reached < before + 100_000
    assert session.text("bash`echo still here`.run({branch, 'primary.archive.1'}).output") == (
        "'still here\\n'"
    )
    assert float(session.text("branch.wait(0.5).vtime")) >= reached + 0.5


def test_a_branch_that_was_interrupted_has_the_history_of_one_that_was_not(
    session: Session,
) -> None:
    session.text("stopped = moment.rewind(1).branch(); other = moment.rewind(1).branch()")
    session.interrupt("stopped.wait(100000)")
    session.text("other.wait((stopped.end.at - other.end.at) / 1e9);")
    assert session.text("stopped.end == other.end") == "True"
    assert session.text("stopped.events.map(str) == other.events.map(str)") == "True"


def test_container_names_are_completed(session: Session) -> None:
    assert session.complete("bash('ls').run(branch, 'standby.") == ["standby.replicator.1"]
    publishers = ["primary.publisher.1", "primary.publisher.2"]
    assert session.complete("run.events.where(container='primary.p") == publishers
    assert session.complete("%%bash --branch branch --container primary.p") == publishers
    assert session.complete("branch.wait_until('exit:standby") == ["standby.replicator.1"]


def test_shell_cells_run_in_a_container(session: Session) -> None:
    session.text("here = moment.rewind(2).branch()")
    ((kind, content),) = session(
        "%%bash --branch here --container standby.replicator.1\n"
        "ip -4 -o addr show eth0\n"
        'for i in 1 2; do echo "$((i * 21)) `echo from` ${HOSTNAME:+a shell}"; done'
    )
    assert kind == "execute_result", content
    assert "inet 10.89.5.71/24" in content["data"]["text/html"]
    assert session.text("_.exit_code, _.container, _.stdout.splitlines()[1:]") == (
        "(0, 'standby.replicator.1', ['21 from a shell', '42 from a shell'])"
    )


def test_shell_cells_take_variables_and_may_fail(session: Session) -> None:
    session.text("here = moment.rewind(2).branch(); there = 'primary.archive.1'")
    assert len(session("%%bash --branch here --container there\nexit 7")) == 1
    assert session.text("_.exit_code, _.container") == "(7, 'primary.archive.1')"


ERRORS = {
    "no such container": ("bash`ls`.run({branch, 'nobody'})", "ContainerError", "nobody"),
    "outside": ("run.at(10_000)", "TimeError", "10000"),
    "before": ("moment.rewind(10_000)", "TimeError", "begins at"),
    "too long": ("bash`sleep 9`.run({branch}, timeout=1)", "ProcessTimeout", "still running"),
    "no such branch": ("run.at('00000000@1')", "RecordingError", "00000000"),
    "no such file": (
        "moment.extract_file('/nowhere', 'primary.archive.1')", "ContainerError", "/nowhere",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "kind", "named"), ERRORS.values(), ids=ERRORS)
def test_an_error_is_one_clear_message(session: Session, code: str, kind: str, named: str) -> None:
    content = session.error(f"1 + 1\n{code}")
    assert content["ename"] == kind
    message, *where = content["traceback"]
    assert named in message
    assert len(where) == 1 and "line 2" in where[0]
    assert "branchpoint/" not in message and "Traceback" not in message


def test_a_killed_kernel_leaves_no_emulator() -> None:
    session = Session()
    try:
        pid = int(session.text("branch.wait(0.1); import os; os.getpid()"))
        emulators = emulators_of(pid)
        assert emulators
        session.manager.signal_kernel(signal.SIGKILL)
        wait_for(lambda: not any(alive(emulator) for emulator in emulators), 20)
    finally:
        session.close()


def test_a_kernel_that_is_shut_down_leaves_no_emulator() -> None:
    session = Session()
    for _ in range(3):  # no cell closes what it opened before
        session("run = bp.open(run.path)\nbranch = run.at(1).branch().wait(0.1)\nrun")
    pid = int(session.text("import os; os.getpid()"))
    emulators = emulators_of(pid)
    assert emulators
    session.client.stop_channels()
    session.manager.shutdown_kernel()
    wait_for(lambda: not any(alive(emulator) for emulator in emulators), 20)
