"""The kernel as a Jupyter front end sees it: protocol, names, displays, errors, interrupts."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import jupyter_kernel_test
import nbformat
import pytest
from nbclient import NotebookClient
from recordings import make
from talking import KERNELSPEC, TIMEOUT, Talk, kernels


@pytest.fixture(scope="module", autouse=True)
def kernelspec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with kernels(tmp_path_factory.mktemp("jupyter")):
        yield


class ProtocolTest(jupyter_kernel_test.KernelTests):
    """Jupyter's own conformance tests."""

    kernel_name = "branchpoint"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result: ClassVar = [
        {"code": "1+2+3", "result": "6"},
        {"code": "Time.seconds(1)", "result": "Time.seconds(1.000)"},
    ]
    code_display_data: ClassVar = [
        {
            "code": "from IPython.display import HTML, display; display(HTML('<b>x</b>'))",
            "mime": "text/html",
        },
    ]
    code_inspect_sample = "prepare_multiverse_debugging"
    code_clear_output = "from IPython.display import clear_output; clear_output()"
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "search")  # as in ipykernel's own tests
    completion_samples: ClassVar = [
        {"text": "prepare_mul", "matches": {"prepare_multiverse_debugging"}},
        {"text": "Time.mill", "matches": {"milliseconds"}},
        {"text": "bash`it's ${Time.mill", "matches": {"milliseconds"}},
        {"text": "bash`it's ${1} \" '`; Time.mill", "matches": {"milliseconds"}},
        {"text": "bash`ls /et", "matches": set()},
        {"text": "bash`ls ${1} pri", "matches": set()},
        {"text": "bash`ls ${bash`pri", "matches": set()},
    ]
    complete_code_samples: ClassVar = ["1", "print('x')", "bash`ls`", "x = bash`ls\n`"]
    incomplete_code_samples: ClassVar = ["print('''x", "def f(x):\n  x", "bash`ls", "bash`ls\n${x"]
    invalid_code_samples: ClassVar = ["import = 7q", "bash`${x y}`"]


@pytest.fixture(scope="module")
def kernel(kernelspec: None) -> Iterator[Talk]:
    talk = Talk()
    yield talk
    talk.close()


def test_the_kernelspec_is_complete() -> None:
    spec = json.loads((KERNELSPEC / "kernel.json").read_text())
    assert spec["display_name"] == "Branchpoint"
    assert spec["interrupt_mode"] == "signal"
    for name in ("logo-32x32.png", "logo-64x64.png", "logo-svg.svg"):
        assert (KERNELSPEC / name).stat().st_size < 10_000


def test_names_are_there_also_after_reset(kernel: Talk) -> None:
    names = "bp.__name__, bash, Time.seconds(2), prepare_multiverse_debugging, until, duration"
    before = kernel.text(names)
    assert "'branchpoint'" in before and "Time.seconds(2.000)" in before
    kernel("x = 1; bp = None\n%reset -f")
    assert kernel.text(names).startswith("('branchpoint'")
    assert "NameError" in kernel.text("x")
    assert kernel.text("%who") == "Interactive namespace is empty.\n"


def test_completion_shows_what_users_call_and_nothing_unknown(kernel: Talk, tmp_path: Path) -> None:
    path = make(tmp_path / "small.branchpoint", 1)
    kernel(f"small = bp.open({str(path)!r})")
    content = kernel.client.complete("small.", reply=True, timeout=TIMEOUT)["content"]
    kernel("small.close(); del small")
    names = {name.rpartition(".")[2] for name in content["matches"]}
    assert {"at", "failure", "events", "likelihood", "timeline"} <= names
    assert not {"replayer", "shared", "remember", "name_of", "at_ns"} & names
    (types,) = [each for key, each in content["metadata"].items() if "types" in key]
    assert types and "<unknown>" not in {each["type"] for each in types}


# Stand-ins for a recording: these tests are about the kernel, not about the machine.
STAND_INS = """
class Answer:
    def __init__(self, command, where):
        self.command, self.where = command, where
    def __repr__(self):
        return f"{self.command!r} in {sorted(map(str, self.where))}"
class bash:
    def __init__(self, command): self.command = command
    def run(self, *where, timeout=None):
        where = where[0] if isinstance(where[0], set) else where
        return Answer(self.command, [*where, *([timeout] if timeout else [])])
    run_in_background = run
class Branch:
    def __str__(self): return "a branch"
branch, container = Branch(), "standby.replicator.1"
"""


def test_the_storys_spelling_runs(kernel: Talk) -> None:
    kernel(STAND_INS)
    cell = "print(bash`tcpdump -nn -X tcp`.run_in_background({ branch, container }))"
    assert kernel.text(cell) == "'tcpdump -nn -X tcp' in ['a branch', 'standby.replicator.1']\n"
    assert kernel.text("n = 3\nbash`head -${n}\n`.run({branch})") == "'head -3\\n' in ['a branch']"
    assert kernel.text("%reset -f") == ""


def test_remarks_are_small_lines_and_no_errors(kernel: Talk) -> None:
    """Below what was printed before; what is written to stderr looks like an error."""
    cell = "print('first')\nbp.showing.say('it <ended> then')\nprint('last')"
    first, remark, last = kernel(cell)
    assert (first[1]["text"], last[1]["text"]) == ("first\n", "last\n")
    assert remark[0] == "display_data"
    assert remark[1]["data"] == {
        "text/plain": "it <ended> then",
        "text/html": "<p><small>it &lt;ended&gt; then</small></p>",
    }


def test_results_show_no_address(kernel: Talk) -> None:
    assert kernel.text("[object(), lambda: 1]") == ("[<object>, <function __main__.<lambda>()>]")
    assert kernel.text("display(object())") == "<object>"


def test_syntax_errors_show_the_line(kernel: Talk) -> None:
    shown = kernel.text("a = 1\nbash`ls ${a b}`")
    assert "<cell>:2" in shown and "bash`ls ${a b}`" in shown
    assert "no closing backtick" in kernel.text("bash`ls")


@pytest.mark.parametrize("name", ["bash", "sh"])
@pytest.mark.parametrize("options", ["", "--container c", "--no-raise-error", "--out x"])
def test_a_script_without_a_branch_is_refused(kernel: Talk, name: str, options: str) -> None:
    said = kernel.text(f"%%{name} {options}\necho ran")
    assert f"%%{name} --branch BRANCH --container NAME" in said
    assert f"%%script {name}" in said and "ran\n" not in said


def test_a_script_for_this_computer_can_be_run(kernel: Talk) -> None:
    assert kernel.text("%%script bash\necho $((1 + 1)) `echo x`") == "2 x\n"


@pytest.mark.parametrize(
    "cell",
    ["!echo $((1 + 1))", "x = !echo 2\nprint(x[0])", "%sx echo 2", "!!echo 2", "%%sx\necho 2",
     "x = %system echo 2\nprint(x[0])"],
)  # fmt: skip
def test_a_shell_escape_says_where_it_ran(kernel: Talk, cell: str) -> None:
    said = kernel.text(cell)
    assert "2" in said
    assert "this ran on your computer, not in a branch" in said


def test_a_shell_escape_knows_the_variables_around_it(kernel: Talk) -> None:
    escapes = "    !echo $y {y}\n    out = !echo $y\n    print(out[0])\n    %sx echo $y\n"
    said = kernel.text(f"def f(y):\n{escapes}f('found')")
    assert "found found" in said and said.count("found") == 3
    assert "again" in kernel.text("z = 'again'\n!echo $z")


def test_what_is_about_this_computer_says_nothing(kernel: Talk) -> None:
    assert "not in a branch" not in kernel.text("%pip --version")


def test_a_branch_that_a_script_names_and_nobody_has_is_an_error_in_words(kernel: Talk) -> None:
    assert "--branch nobody: NameError" in kernel.text("%%bash --branch nobody\nls")
    assert "commands_run" not in kernel.text("%%bash --branch nobody\nls")


def test_our_errors_are_short_and_name_the_cells_line(kernel: Talk) -> None:
    ((kind, content),) = kernel(
        "\nfrom branchpoint.errors import ContainerError\n"
        "def look():\n    raise ContainerError('no container x', 'there are a, b')\n"
        "look()"
    )
    assert kind == "error"
    assert content["ename"] == "ContainerError"
    assert len(content["traceback"]) == 3
    assert "no container x\n  → there are a, b" in content["traceback"][0]
    assert content["traceback"][1].endswith("line 4: look()")


def test_errors_from_inside_show_no_insides(kernel: Talk) -> None:
    shown = kernel.text("Time.seconds('never')")
    assert "TimeError" in shown
    assert "clock.py" not in shown and "Traceback" not in shown


def test_other_errors_keep_their_traceback(kernel: Talk) -> None:
    assert "Traceback" in kernel.text("1 / 0")


STOPPED = """
def long_operation():
    import time
    print("started", flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt as stop:
        stop.add_note("stopped by user at vtime 1.5 s; everything is usable")
        raise
long_operation()
"""
STOPPED_ASYNC = """
import asyncio
print("started", flush=True)
try:
    await asyncio.sleep(60)
except asyncio.CancelledError as stop:
    stop.add_note("stopped by user at vtime 1.5 s; everything is usable")
    raise
"""


@pytest.mark.parametrize("code", [STOPPED, STOPPED_ASYNC], ids=["sync", "async"])
def test_stopping_is_said_in_one_line(kernel: Talk, code: str) -> None:
    request = kernel.send(code)
    assert kernel.next_output(request) == ("stream", {"name": "stdout", "text": "started\n"})
    time.sleep(0.2)
    before = time.monotonic()
    kernel.manager.interrupt_kernel()
    ((kind, content),) = kernel.outputs(request)
    assert time.monotonic() - before < 20, "Stop waited for the operation to end by itself"
    assert kind == "error"
    assert "Stopped" in content["traceback"][0]
    assert content["traceback"][1] == "stopped by user at vtime 1.5 s; everything is usable"
    assert "Traceback" not in "".join(content["traceback"])
    assert kernel.text("1 + 1") == "2"


CURVE = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from coinfutures import SYSTEMS
from likelihoods import END, Drawer, exit_of, recording
from recordings import ORIGIN
from branchpoint.futures.allocation import Settings
from branchpoint.futures.likelihood import ask, collect
from branchpoint.timeline.failures import failure

class Slow(Drawer):
    def run(self, jobs):
        for number, draw in enumerate(super().run(jobs)):
            if number == 40:
                print("forty", flush=True)
                time.sleep(60)
            yield draw

run = recording(Path({folder!r}) / "run.branchpoint", [exit_of(29.5)])
question, _ = ask(run, failure("exit:db.1"))
"""


def test_a_stopped_curve_is_the_value_and_the_cell_ends(kernel: Talk, tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    assert kernel.text(CURVE.format(tests=tests, folder=str(tmp_path))) == ""
    request = kernel.send(
        "curve = collect(run, question, Settings(ORIGIN, END), Slow(SYSTEMS[0]).open)\n"
        "after = 'what comes after the statement that was stopped'"
    )
    while kernel.next_output(request) != ("stream", {"name": "stdout", "text": "forty\n"}):
        pass
    kernel.manager.interrupt_kernel()
    picture, (kind, content) = kernel.outputs(request)
    assert "from 40 futures at" in picture[1]["data"]["text/plain"]
    assert kind == "error" and content["traceback"][0].endswith("Stopped\x1b[0m")
    assert content["traceback"][1].startswith("stopped with 40 of about ")
    assert kernel.text("len(curve.draws), curve.stopped, 'after' in globals()") == (
        "(40, True, False)"
    )


def test_stopping_our_operations_shows_no_insides(kernel: Talk) -> None:
    request = kernel.send(
        "import time\n"
        "from branchpoint.events.event import Event, EventLog, EventSet\n"
        "log = EventLog(); log.append(Event(at=1, source='life'))\n"
        "print('started', flush=True)\n"
        "EventSet(log.columns()).map(lambda event: time.sleep(60))"
    )
    kernel.next_output(request)
    time.sleep(0.2)
    kernel.manager.interrupt_kernel()
    ((_, content),) = kernel.outputs(request)
    assert "everything can be used" in content["traceback"][0]
    assert "Traceback" not in "".join(content["traceback"])


def test_stopping_the_users_own_code_shows_where_it_was(kernel: Talk) -> None:
    request = kernel.send("print('started', flush=True)\nimport time\ntime.sleep(60)")
    kernel.next_output(request)
    time.sleep(0.2)
    kernel.manager.interrupt_kernel()
    ((_, content),) = kernel.outputs(request)
    assert content["ename"] == "KeyboardInterrupt"
    assert "Traceback" in "".join(content["traceback"])


def test_help_works_behind_a_template(kernel: Talk) -> None:
    code = "x = bash`it's`\nprepare_multiverse_debugging"
    request = kernel.client.inspect(code, cursor_pos=len(code))
    while True:
        reply = kernel.client.get_shell_msg(timeout=TIMEOUT)
        if reply["parent_header"]["msg_id"] == request:
            break
    assert "newest" in reply["content"]["data"]["text/plain"]


# ---------------------------------------------------------------- progress

PROGRESS = """
import time
from branchpoint.progress import task
print("before")
with task("replaying", 10, "s") as t:
    for i in range(14):
        time.sleep(0.1)
        t.update(min(i, 10))
        if i == 12: print("during")
"""


def test_progress_is_one_display_that_updates_and_goes(kernel: Talk) -> None:
    messages = kernel(PROGRESS + "print('after')")
    kinds = [kind for kind, _ in messages]
    shown = next(content for kind, content in messages if kind == "display_data")
    assert "replaying" in shown["data"]["text/plain"]
    assert "<progress" in shown["data"]["text/html"]
    assert "script" not in shown["data"]["text/html"]
    assert kinds.count("display_data") == 1 and "update_display_data" in kinds
    after = [content["text"] for _, content in messages[kinds.index("clear_output") + 1 :]]
    assert after == ["before\nduring\n", "after\n"]


def test_quick_and_captured_work_shows_no_progress(kernel: Talk) -> None:
    assert kernel("with task('quick', 1): pass") == []
    assert kernel(f"%%capture captured\n{PROGRESS}") == []
    assert kernel.text("captured.stdout, captured.outputs") == "('before\\nduring\\n', [])"


def execute(cells: list[str]) -> str:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell, id=f"cell-{i}") for i, cell in enumerate(cells)]
    )
    client = NotebookClient(
        notebook,
        kernel_name="branchpoint",
        timeout=TIMEOUT,
        record_timing=False,
        coalesce_streams=True,
    )
    client.execute()
    return nbformat.writes(notebook)


@pytest.mark.long
def test_an_executed_notebook_has_no_trace_of_progress() -> None:
    display = "from IPython.display import display, HTML\n"
    quick = PROGRESS.replace("range(14)", "range(12, 13)")
    cells = [STAND_INS, "bash`ls`.run({branch})", display + "display(HTML('<p>x</p>'))\n"]
    slow_one = execute([*cells, cells[2] + PROGRESS, PROGRESS + "7"])
    quick_one = execute([*cells, cells[2] + quick, quick + "7"])
    outputs = [[c["outputs"] for c in json.loads(text)["cells"]] for text in (slow_one, quick_one)]
    assert outputs[0] == outputs[1]
    assert [o["output_type"] for o in outputs[0][3]] == ["display_data", "stream"]
    assert outputs[0][3][1]["text"] == ["before\n", "during\n"]
    assert slow_one == execute([*cells, cells[2] + PROGRESS, PROGRESS + "7"])


def test_no_recording_here_is_a_clear_error(kernel: Talk, tmp_path: Path) -> None:
    shown = kernel.text(
        f"import os\nos.environ.pop('BRANCHPOINT_RECORDING', None)\nos.chdir({str(tmp_path)!r})\n"
        "prepare_multiverse_debugging()"
    )
    assert "no recording here" in shown and "→ name one" in shown


def test_the_kernel_starts_without_qemu(kernelspec: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    talk = Talk()
    try:
        assert talk.text("1 + 1") == "2"
        with pytest.raises(queue.Empty):
            talk.client.get_iopub_msg(timeout=0.2)
    finally:
        talk.close()
