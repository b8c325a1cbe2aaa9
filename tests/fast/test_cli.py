"""The command line: its output, what it refuses, and its exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commandline import CRASH, cli, crashed
from recordings import ORIGIN, make

import branchpoint as bp
from branchpoint.cli import main
from branchpoint.cli.words import Instant
from branchpoint.errors import ProcessTimeout
from branchpoint.timeline.moment import Moment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return crashed(tmp_path)


# -- looking at a recording


def test_open_says_what_it_is_how_it_ended_and_how_to_go_on(path: Path) -> None:
    result = cli("open", path)
    assert result.exit_code == 0
    assert "three containers" in result.stdout
    assert "main@8.000000005: db.1 container.exit exited with 1" in result.stdout
    assert "exited (1)" in result.stdout
    assert f"branchpoint run {path} --at failure-1s -c db.1" in result.stdout


def test_open_does_not_advise_commands_in_containers_that_never_began(tmp_path: Path) -> None:
    path = make(tmp_path / "stopped.branchpoint", 1)
    said = cli("open", path).stdout
    assert "created" in said and "no container had begun by the end" in said
    assert "branchpoint run" not in said


def test_open_warns_of_damage_and_goes_on(path: Path) -> None:
    (path / "recording.json").write_text("spoilt")
    result = cli("open", path)
    assert result.exit_code == 0
    assert "warning: " in result.stderr and "recording.json.bak" in result.stderr


def test_what_is_no_recording_is_an_error_in_words(tmp_path: Path) -> None:
    result = cli("open", tmp_path / "nothing")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == f"Error: there is no recording at {tmp_path / 'nothing'}\n"


def test_events_are_aligned_and_cannot_play_tricks_on_the_terminal(path: Path) -> None:
    result = cli("events", path)
    assert result.stdout.splitlines() == [
        "    0.500000000  db.1    container.start   pid 7",
        "    1.000000000  db.1    out               ready",
        "    2.000000000  db.1    err               tick red\\x07",
        "    3.000000000  kernel  out               veth0: up",
        "    8.000000005  db.1    container.exit    exited with 1",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-c", "dc"], "Error: no container 'dc'\n  → there are: db.1\n"),
        (["-c", "db", "-c", "db.2"], "no container 'db.2'\n  → did you mean \"db.1\"?"),
        (["--type", "exti"], "no events of type 'exti'\n  → did you mean \"exit\"?"),
        (["--type", "nope"], "no events of type 'nope'\n  → there are: log, "),
    ],
)
def test_events_of_nobody_are_an_error(path: Path, options: list[str], said: str) -> None:
    result = cli("events", path, *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


@pytest.mark.parametrize(
    "options", [["--type", "restart"], ["--start", "end+1h"], ["--text", "nothing says this"]]
)
def test_events_that_did_not_happen_are_told(path: Path, options: list[str]) -> None:
    result = cli("events", path, *options)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no events match" in result.stderr


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["-c", "kernel"], ["veth0: up"]),
        (["-c", "kernel", "-c", "db", "--start", "2.5"], ["veth0: up", "exited with 1"]),
        (["--type", "exit"], ["exited with 1"]),
        (["--type", "container.*"], ["pid 7", "exited with 1"]),
        (["--type", "log", "-c", "db"], ["ready", "tick \x1b[31mred\x1b[0m\x07"]),
        (["--text", "tick"], ["tick \x1b[31mred\x1b[0m\x07"]),
        (["--start", "failure-6s", "--end", "3500ms"], ["veth0: up"]),
        (["--start", "end+1h"], []),
        (["--end", "start-1h"], []),
        (["--start", "main@8.000000005"], ["exited with 1"]),
    ],
)
def test_events_are_narrowed_down(path: Path, options: list[str], found: list[str]) -> None:
    result = cli("events", path, "--json", *options)
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == found


def test_events_as_json_lose_nothing(path: Path) -> None:
    last = json.loads(cli("events", path, "--json").stdout.splitlines()[-1])
    assert last == {
        "vtime": 8.000000005, "at": CRASH, "source": "life", "container": "db.1", "stream": "out",
        "type": "container.exit", "text": "exited with 1", "fields": {"code": "1", "signal": "0"},
    }  # fmt: skip


@pytest.mark.parametrize(("at", "state"), [("0", "created"), ("1", "running"), ("end", "exited")])
def test_containers_at_an_instant(path: Path, at: str, state: str) -> None:
    row = cli("containers", path, "--at", at).stdout.splitlines()[1].split()
    assert (row[0], row[2]) == ("db.1", state)


@pytest.mark.parametrize(
    ("typed", "ns"),
    [
        ("2.5", 2_500_000_000),
        ("250ms", 250_000_000),
        ("failure", 8_000_000_005),
        ("failure-1s", 7_000_000_005),
        ("failure - 5ns", 8_000_000_000),
        ("start+1", 1_000_000_000),
        ("end-1m", None),
        ("end", 10_000_000_000),
        ("main@1.5", 1_500_000_000),
        ("10.001", None),
    ],
)
def test_instants(path: Path, typed: str, ns: int | None) -> None:
    with bp.open(path) as run:
        if ns is None:
            with pytest.raises(bp.TimeError, match=r"is outside|is after the end"):
                Instant.parse(typed).moment(run)
        else:
            assert Instant.parse(typed).moment(run).at == ORIGIN + ns


# -- refusing


@pytest.mark.parametrize(
    "words",
    [
        ["open"],
        ["run", "x", "--at", "soon", "--", "ls"],
        ["run", "x", "--at", "failure*2", "--", "ls"],
        ["run", "x", "--at", "main@soon", "--", "ls"],
        ["run", "x", "--at", "1"],
        ["run", "x", "--", "ls"],
        ["run", "x", "--at", "1", "--timeout", "0", "--", "ls"],
        ["record", "x", "--for", "-1s"],
        ["record", "x", "--for", "long"],
        ["record", "x", "--seed", "-1"],
        ["record", "x", "--until", "exit"],
        ["doctor", "--minutes", "0"],
        ["explode"],
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(words: list[str]) -> None:
    result = cli(*words)
    assert result.exit_code == 2
    assert result.stdout == "" and result.stderr.startswith("Usage: branchpoint")


@pytest.mark.parametrize("command", main.list_commands(None))  # type: ignore[arg-type]
def test_every_command_explains_itself(command: str) -> None:
    result = cli(command, "--help")
    assert result.exit_code == 0
    assert command == "version" or f"  branchpoint {command} " in result.stdout


def test_errors_outside_the_recording_name_it(path: Path) -> None:
    result = cli("run", path, "--at", "99", "--", "ls")
    assert result.exit_code == 1
    assert f"99.000 s is after the end of {path.name}, 10.000 s" in result.stderr
    assert "--at end -- 'sleep 10; ...'" in result.stderr and "run.end" not in result.stderr
    assert "Traceback" not in result.stderr


def test_before_the_recording_is_not_after_its_end(path: Path) -> None:
    before = cli("run", path, "--at", "-1", "--", "ls").stderr
    assert "the earliest is 0.000; 0 is the instant at which set-up was complete" in before
    assert "after the end" not in before
    assert "after the end of" in cli("run", path, "--at", "end+1s", "--", "ls").stderr


def test_what_is_no_recording_is_told_as_what_it_is(path: Path, tmp_path: Path) -> None:
    made = [tmp_path / name for name in ("x.ipynb", "compose.yaml", "notes.txt", "torn.bpz")]
    for file in made:
        file.write_text("{}")
    (tmp_path / "empty").mkdir()
    for given, words in [
        (tmp_path, f"not a recording: it has no recording.json\n  → recordings in it: {path}"),
        (tmp_path / "empty", "to make one: branchpoint record"),
        (made[0], f"is a notebook, not a recording\n  → to open it: jupyter lab {made[0]}"),
        (made[1], "is a compose file, not a recording\n  → to record its system: branchpoint"),
        (made[2], "is a file, but neither a recording nor a bundle"),
        (made[3], "is not a sound bundle"),
        (path / "recording.json", f"open the folder that it lies in: {path}"),
        (tmp_path / "there.branchpoint", f"did you mean {path}?"),
    ]:
        for command in (["open"], ["events"], ["export", "-o", tmp_path / "x.html"]):
            result = cli(*command, given)
            assert result.exit_code == 1
            assert words in result.stderr and "backup" not in result.stderr


def test_an_unknown_container_is_named(path: Path) -> None:
    result = cli("run", path, "--at", "1", "-c", "dc.1", "--", "ls")
    assert result.exit_code == 1
    assert result.stderr == "Error: no container 'dc.1'\n  → did you mean \"db.1\"?\n"


# -- running commands


class FakeBranch:
    """Stands for a branch; ``process`` is what running its command gives."""

    def __init__(self, **process: Any) -> None:
        out, err = process.pop("out", b""), process.pop("err", b"")
        self.process = SimpleNamespace(
            raw={"out": out, "err": err}.__getitem__,
            wait=lambda timeout: None,
            dead_container=False,
            exit_code=0,
            container="db.1",
            remark="",
        )
        vars(self.process).update(process)
        self.waited: list[bp.Time] = []
        self.wait = self.waited.append

    def run_command(self, script: str, container: str, *, raw: bool, **whom: Any) -> Any:
        assert raw
        self.asked, self.whom = (script, container), whom
        return self.process


@pytest.fixture
def branch(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeBranch]:
    def fake(**process: Any) -> FakeBranch:
        made = FakeBranch(**process)
        monkeypatch.setattr(Moment, "branch", lambda moment: made)
        return made

    return fake


def test_output_and_exit_status_are_those_of_the_command(path: Path, branch: Any) -> None:
    made = branch(out=b"\x00\xff no newline", err=b"oh\n", exit_code=7)
    result = cli("run", path, "--at", "1", "-c", "db.1", "--", "a | b")
    assert (result.stdout_bytes, result.stderr_bytes) == (b"\x00\xff no newline", b"oh\n")
    assert result.exit_code == 7
    assert made.asked == ("a | b", "db.1") and made.whom == {"user": None, "privileged": False}
    cli("run", path, "--at", "1", "-c", "db.1", "--user", "db:db", "--", "id")
    assert made.whom == {"user": "db:db", "privileged": False}
    cli("run", path, "--at", "1", "-c", "db.1", "--privileged", "--", "id")
    assert made.whom == {"user": None, "privileged": True}


def test_several_words_are_a_program_and_its_arguments(path: Path, branch: Any) -> None:
    made = branch()
    cli("run", path, "--at", "1", "--", "grep", "-n", "two words", "$HOME")
    assert made.asked == ("grep -n 'two words' '$HOME'", "")


def test_in_the_background_it_may_still_be_running(path: Path, branch: Any) -> None:
    made = branch(out=b"so far\n", exit_code=None)
    result = cli("run", path, "--at", "1", "--background-for", "5s", "--", "tcpdump")
    assert (result.stdout, result.exit_code) == ("so far\n", 0)
    assert made.waited == [bp.Time.seconds(5)]


def test_a_timeout_keeps_the_output(path: Path, branch: Any) -> None:
    def wait(timeout: bp.Time) -> None:
        raise ProcessTimeout("still running", "in Python's words")

    branch(out=b"so far\n", exit_code=None, wait=wait)
    result = cli("run", path, "--at", "1", "--timeout", "2s", "--", "sleep 9")
    assert (result.stdout, result.exit_code) == ("so far\n", 1)
    assert "'sleep 9' was still running after 2.000 s" in result.stderr
    assert "--timeout" in result.stderr


def test_an_end_that_explains_nothing_is_explained(path: Path, branch: Any) -> None:
    branch(exit_code=137, remark="killed: its container ended")
    result = cli("run", path, "--at", "1", "--timeout", "2s", "--", "tail", "-f")
    assert (result.exit_code, result.stderr) == (137, "branchpoint: killed: its container ended\n")


def test_a_dead_container_is_marked_so(path: Path, branch: Any) -> None:
    branch(dead_container=True)
    result = cli("run", path, "--at", "9", "-c", "db.1", "--", "ls")
    assert "db.1 was dead at main@9.000" in result.stderr


# -- the rest


@pytest.mark.parametrize(("healthy", "status"), [(True, 0), (False, 1)])
def test_doctor_passes_its_verdict_on(
    healthy: bool, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from branchpoint import doctor

    class Found(SimpleNamespace):
        def __str__(self) -> str:
            return f"{self.seconds} s"

    def examine(seconds: float, foreign: list[str]) -> Found:
        return Found(seconds=seconds, healthy=healthy, foreign=foreign)

    monkeypatch.setattr(doctor, "examine", examine)
    result = cli("doctor", "--minutes", "0.5")
    assert (result.stdout, result.exit_code) == ("30.0 s\n", status)
