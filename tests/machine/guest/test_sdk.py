"""The published Antithesis SDK for Python, in a container of a real system."""

from __future__ import annotations

import importlib.metadata
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import antithesis
import pytest

import branchpoint as bp
from branchpoint import bash, failure

PROGRAM = """
import random, sys, time
from antithesis.assertions import always, reachable, sometimes, unreachable
from antithesis.lifecycle import send_event, setup_complete

time.sleep(1)
print("ready", flush=True)
setup_complete({"accounts": 2})
for number in range(10**6):
    time.sleep(0.25)
    if number == 4:
        send_event("fourth", {"number": number})
        reachable("the fourth turn", {})
    coin = random.SystemRandom().randrange(4)
    always(number < 12, "it ends soon", {"number": number})
    sometimes(coin == 0, "a coin is zero", {"coin": coin})
"""
AS_NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups"
COMPOSE = """
name: told
x-branchpoint: {setup: sdk}
services:
  teller:
    x-branchpoint-debian:
      packages: [python3-minimal, libpython3-stdlib]
      files:
        /usr/lib/python3/dist-packages/antithesis: ./antithesis
        /usr/lib/python3/dist-packages/INFO: ./INFO
        /srv/teller.py: ./teller.py
    command: [python3, /srv/teller.py]
  quiet:
    x-branchpoint-debian: {packages: [busybox-static]}
    command: [busybox, sleep, "1000"]
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    folder = tmp_path_factory.mktemp("told")
    package = Path(antithesis.__path__[0])
    info = f"antithesis-{importlib.metadata.version('antithesis')}.dist-info"
    for name in (package.name, info):
        source = package.parent / name
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "teller.py").write_text(PROGRAM)
    (folder / "compose.yaml").write_text(COMPOSE.replace("INFO", info))
    path = folder / "told.branchpoint"
    with bp.record(folder / "compose.yaml", path, seed=1, duration=5) as run:
        yield run


def test_set_up_is_complete_when_a_program_says_so(told: bp.Recording) -> None:
    ready = told.events.where(text="ready").first
    setup = told.events.where(type="sdk.setup").first
    assert ready is not None and setup is not None
    assert setup.fields == {"status": "complete", "details": '{"accounts":2}'}
    assert ready.at <= setup.at <= told.origin
    assert told.origin - setup.at < 50_000_000


def test_assertions_and_events_are_events(told: bp.Recording) -> None:
    events = told.events.where(container="teller").after(0)
    sent = events.where(type="sdk.event", name="fourth").first
    reached = events.where(type="sdk.assert", message="the fourth turn").first
    assert sent is not None and reached is not None
    assert sent.fields["details"] == '{"number":4}'
    assert 1.2 < sent.vtime <= reached.vtime  # five times 0.25 s, at least
    held = events.where(type="sdk.assert", message="it ends soon").first
    assert held is not None
    assert (held.fields["type"], held.fields["condition"]) == ("always", "1")
    violated = events.where(type="sdk.assert", violated="1").first
    assert violated is not None and violated.vtime > 3.2
    assert '"number":12' in violated.fields["details"]


def test_a_violated_assertion_can_be_waited_for(told: bp.Recording) -> None:
    branch = told.at(2).branch(seed=1)
    found = branch.wait_until("sdk:it ends*", cap=5)
    assert found is not None and found.fields["violated"] == "1"
    assert branch.wait_until("sdk:something else", cap=0.5) is None


def test_a_recording_ends_at_a_violated_assertion(told: bp.Recording, tmp_path: Path) -> None:
    path = tmp_path / "failed.branchpoint"
    wanted = failure(always="it ends*")
    with bp.record(told.path.parent, path, seed=1, duration=60, until=wanted, after=0.5) as run:
        violated = told.events.where(type="sdk.assert", violated="1").first
        assert violated is not None and run.failure.vtime == violated.vtime
        assert run.manifest.ended == wanted.name


def test_commands_can_tell_too(told: bp.Recording) -> None:
    branch = told.at(2).branch()
    line = '{"mine": {"x": 1}}'
    process = bash(f"echo '{line}' >> $ANTITHESIS_SDK_LOCAL_OUTPUT").run(branch, "quiet.1")
    assert process.exit_code == 0
    event = branch.wait(0.1).events.where(type="sdk.event", container="quiet").last
    assert event is not None and event.fields == {"name": "mine", "details": '{"x":1}'}


def test_an_sdk_may_make_the_file_as_any_user_and_set_its_mode(told: bp.Recording) -> None:
    """As those for Go (which empties it first) and C++ (which sets its mode) do."""
    branch = told.at(2).branch()
    script = """
    cd $ANTITHESIS_OUTPUT_DIR && stat -c %F . && : > sdk.jsonl && chmod 644 sdk.jsonl
    echo '{"first": 1}' >> sdk.jsonl; : > sdk.jsonl; echo '{"second": 2}' >> sdk.jsonl
    stat -c '%F %a %u' sdk.jsonl
    """
    process = bash(f"{AS_NOBODY} sh -c {shlex.quote(script)}").run(branch, "quiet.1")
    assert process.output.splitlines() == ["directory", "regular file 644 65534"]
    told_then = branch.wait(0.1).events.where(type="sdk.event", container="quiet", start=2)
    assert [event.fields["name"] for event in told_then] == ["first", "second"]


def test_a_program_may_ask_for_time_without_faults(told: bp.Recording) -> None:
    """Faults end, killed containers are back, and none begins before the time is over."""
    branch = told.at(2).branch(seed=3)
    branch.faults.kill("teller", for_=60)
    branch.faults.settings = {"freeze": {"every": 0.2, "for": (0.05, 0.1), "exclude": ["teller"]}}
    branch.wait(1)
    assert branch.containers()["teller.1"].state == "exited"
    script = f'{AS_NOBODY} "$ANTITHESIS_STOP_FAULTS" 1; "$ANTITHESIS_STOP_FAULTS" 1.5'
    asked = bash(script).run(branch, "quiet.1")
    assert asked.exit_code == 0, asked.output
    hold = branch.events.where(type="container.hold").last
    assert hold is not None and hold.text == "asks for 2 s without faults"
    branch.wait(4)
    began = branch.events.where(type="fault.start").after(hold)
    ended = branch.events.where(type="fault.end").after(2)
    assert ("kill", "paused") in {(end.fields["type"], end.fields["why"]) for end in ended}
    assert branch.containers()["teller.1"].state == "running"
    assert began and all(event.vtime >= hold.vtime + 2 for event in began)
    wrong = bash('"$ANTITHESIS_STOP_FAULTS" soon').run(branch, "quiet.1")
    assert wrong.exit_code == 2 and "usage: " in wrong.output
