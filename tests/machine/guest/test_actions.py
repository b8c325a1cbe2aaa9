"""What a fault does in the guest, and what programs report to the tester."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent import LATE, MS, SECOND, Machine, begun, contents, future, kind, of, say, state
from places import IDLE

import branchpoint as bp
from branchpoint import bash
from branchpoint.guest import erofs, wire
from branchpoint.system import build
from branchpoint.system.bundle import layout
from branchpoint.system.images.finding import find_images

# -- actions


def test_parameters_are_filled_in(idle: bp.Recording) -> None:
    script = (
        'size=kept; echo "{size} {id} ${size} {other} 100%25" >> /run/said%0Aecho two >> /run/said'
    )
    plan = kind("x", 1, 0.1, 0.1, "param size 7 7", "target t", f"begin sh {script}",
                "end sh echo {size} >> /run/end")  # fmt: skip
    branch = future(idle, wire.plan(plan))
    branch.wait_until(branch.events.where(type="fault.end"), cap=60)
    assert contents(branch, "/run/said") == ["7 1 kept {other} 100%", "two"]
    assert contents(branch, "/run/end") == ["7"]
    assert begun(branch)[0][4] == "size=7"


def test_the_end_waits_for_the_beginning(idle: bp.Recording) -> None:
    begin = "sh sleep 0.5; echo begin >> /run/order"
    branch = future(
        idle, wire.fault("b1", "x", "t", "p=1", 100 * MS, begin, "sh echo end >> /run/order")
    )
    branch.wait(1)
    assert contents(branch, "/run/order") == ["begin", "end"]
    (end,) = of(branch, "fault.end")
    assert end.vtime > 1.5 and end.fields["why"] == "over"


def test_a_failing_script_is_told_and_undone(idle: bp.Recording) -> None:
    begin, end = "sh echo fine; echo first >&2; echo last >&2; exit 3", "sh echo > /run/undone"
    branch = future(
        idle,
        wire.fault("b1", "x", "t", "", 5 * SECOND, begin, end),
        wire.fault("b2", "x", "u", "", 0, "sh exit 4", end.replace("undone", "never")),
        wire.fault("b3", "x", "v", "", 200 * MS, "", "sh echo end >&2; false"),
        wire.fault("b4", "x", "w", "", 5 * SECOND, "nonsense", "sh true"),
    ).wait(1)
    assert {(e.fields["about"], e.text) for e in of(branch, "error")} == {
        ("fault/b1", "last"),
        ("fault/b2", "the script ended with code 4"),
        ("fault/b3", "end"),
        ("fault/b4", "there is no action nonsense"),
    }
    assert {e.fields["why"] for e in of(branch, "fault.end")} == {"failed"}
    assert len(of(branch, "fault.end")) == 4
    assert bash("ls /run | grep -E 'undone|never'").run(branch).output == "undone\n"


def test_what_a_container_cannot_take_is_not_undone(idle: bp.Recording) -> None:
    branch = future(idle, wire.container("kill", "a.1")).wait(0.5)
    say(
        branch,
        wire.fault("b1", "x", "a.1", "", 100 * MS, "container pause a.1", "container start a.1"),
    )
    branch.wait(0.5)
    (error,) = of(branch, "error")
    assert error.text == "pause: cannot be done to a container that is ended"
    assert [e.fields["why"] for e in of(branch, "fault.end")] == ["failed"]
    assert state(branch, "a.1") == "exited"


def test_a_malformed_plan_is_refused_and_the_old_one_stays(idle: bp.Recording) -> None:
    bad = ["kind x 5", "kind x 0 0 0", "kind x 5 2 1", "once x 5 4 1 0 0", "once x 1 2 1000001 0 0",
           "quiet 2 1", "param p 1 2", kind("x", 1) + "param p 2 1", "target t", "begin sh",
           kind("x", 1) + "kind y 5 0 0\nend sh true", "nonsense", "kind x -5 0 0",
           f"kind x {2**64} 0 0"]  # fmt: skip
    branch = future(idle, wire.plan(kind("good", 0.2)), *map(wire.plan, bad)).wait(2)
    errors = of(branch, "error")
    assert [e.fields["about"] for e in errors] == ["faults"] * len(bad)
    assert all("cannot be understood" in e.text for e in errors)
    assert {type_ for _, _, type_, *_ in begun(branch)} == {"good"}
    say(branch, wire.plan("")).wait(0.1)
    count = len(begun(branch))
    assert len(begun(branch.wait(2))) == count


def test_the_clock_is_stepped_and_stepped_back(idle: bp.Recording) -> None:
    def ahead(branch: bp.Branch) -> float:
        """Seconds by which the wall clock is ahead of the monotonic one, to 10 ms."""
        script = "date +%s.%N; cut -d' ' -f1 /proc/uptime"
        wall, up = map(float, bash(script).run(branch).output.split())
        return wall - up

    branch = future(idle, wire.fault("b1", "clock", "guest", "", SECOND, "clock -3600000000000",
                                     "clock --3600000000000"))  # fmt: skip
    usual = ahead(idle.at(1).branch())
    assert ahead(branch.wait(0.2)) - usual == pytest.approx(-3600, abs=0.03)
    assert ahead(branch.wait(1)) - usual == pytest.approx(0, abs=0.03)


# -- containers


def exits(branch: bp.Branch) -> list[tuple[str, str, str]]:
    return [
        (e.container, e.fields["code"], e.fields["asked"]) for e in of(branch, "container.exit")
    ]


def test_exits_tell_whether_somebody_asked_for_them(idle: bp.Recording) -> None:
    kill = wire.fault(
        "b1", "kill", "a.1", "", 500 * MS, "container kill a.1", "container start a.1"
    )
    branch = future(idle, kill).wait(1)
    assert exits(branch) == [("a.1", "137", "1")]
    assert state(branch, "a.1") == "running"
    for container in ("a.1", "b.1"):
        starts = of(branch, "container.start", start=-5)
        pid = [e.fields["pid"] for e in starts if e.container == container][-1]
        bash(f"kill -9 {pid}").run(branch)
    branch.wait(0.5)
    assert exits(branch)[1:] == [("a.1", "137", "0"), ("b.1", "137", "0")]
    branch.control("kill", "c.1")
    branch.control("kill", "b.1")
    branch.wait(1)
    # Two at one instant: the guest decides which of them ends first.
    assert sorted(exits(branch)[3:]) == [("b.1", "137", "1"), ("c.1", "137", "1")]
    assert state(branch, "b.1") == "running"


def test_a_start_waits_for_the_end_that_was_asked_for(idle: bp.Recording) -> None:
    """The container ignores the stop signal, so it ends after the grace period of 10 s."""
    stop = wire.fault("b1", "stop", "a.1", "", SECOND, "container stop a.1", "container start a.1")
    branch = future(idle, stop).wait(9.5)
    assert exits(branch) == []
    branch.wait(1)
    assert exits(branch) == [("a.1", "137", "1")]
    assert state(branch, "a.1") == "running"


def test_what_is_so_already_needs_no_undoing(idle: bp.Recording) -> None:
    """Container b restarts by its own policy, before the fault ends."""
    kill = wire.fault("b1", "kill", "b.1", "", SECOND, "container kill b.1", "container start b.1")
    frozen = wire.fault(
        "b2", "freeze", "a.1", "", SECOND, "container pause a.1", "container unpause a.1"
    )
    branch = future(idle, kill, frozen).wait(0.5)
    say(branch, wire.container("kill", "a.1")).wait(1)
    assert of(branch, "error") == []
    assert [e.fields["why"] for e in of(branch, "fault.end")] == ["over", "over"]
    assert [e.container for e in of(branch, "container.start")].count("b.1") == 1
    assert state(branch, "b.1") == "running"


# -- what programs report


def test_lines_for_the_tester(idle: bp.Recording) -> None:
    branch = future(idle)
    file = "/run/branchpoint/sdk/a.1/sdk.jsonl"
    bash(f"echo one > {file}; printf 'two\\nthr' >> {file}").run(branch)
    bash(f"echo ee >> {file}").run(branch)
    lines = [e for e in branch.events.where(start=1) if e.stream == "sdk"]
    assert [(e.container, e.text) for e in lines] == [("a.1", t) for t in ("one", "two", "three")]


def test_programs_may_empty_replace_and_remove_the_file(idle: bp.Recording) -> None:
    branch = future(idle)
    script = """
    cd /run/branchpoint/sdk/b.1
    echo one >> sdk.jsonl; sleep 0.1
    echo 2 > sdk.jsonl; sleep 0.1
    echo three > new; mv new sdk.jsonl; sleep 0.1
    rm sdk.jsonl; echo four > sdk.jsonl; sleep 0.1
    rm sdk.jsonl; ln -s /etc/hostname sdk.jsonl; sleep 0.1
    rm sdk.jsonl; mkdir sdk.jsonl; sleep 0.1; rmdir sdk.jsonl
    """
    bash(script).run(branch)
    lines = [e.text for e in branch.events.where(start=1) if e.stream == "sdk"]
    assert lines == ["one", "2", "three", "four"]


@pytest.mark.long
def test_what_is_written_faster_than_it_is_read_is_kept_and_takes_no_memory(
    idle: bp.Recording,
) -> None:
    branch = future(idle)
    script = """
    cd /run/branchpoint/sdk/b.1
    seq 1000000 1399999 > /run/lines; cat /run/lines >> sdk.jsonl
    while [ $(wc -c < sdk.jsonl) -gt 0 ] && ! [ -e done ]; do sleep 0.5; echo y >> sdk.jsonl;
        [ $(du -k sdk.jsonl | cut -f1) -gt 300 ] || touch done; done
    """
    process = bash(script).run(branch, timeout=60)
    branch.wait(1)
    lines = [e.text for e in branch.events.where(start=1) if e.stream == "sdk"]
    assert process.exit_code == 0
    assert [text for text in lines if text != "y"] == [str(n) for n in range(1000000, 1400000)]


def test_a_program_may_ask_for_time_without_faults(idle: bp.Recording) -> None:
    kinds = wire.fault("x", "freeze", "a.1", "", 60 * SECOND, "container pause a.1",
                       "container unpause a.1")  # fmt: skip
    branch = future(idle, kinds).wait(0.5)
    folder = "/run/branchpoint/sdk/b.1"
    bash(f"printf '3\\nsoon\\n2\\n' >> {folder}/hold").run(branch)
    branch.wait(0.1)
    holds = of(branch, "container.hold")
    assert [(e.container, e.fields["for"]) for e in holds] == [("b.1", "3000000000"),
                                                              ("b.1", "2000000000")]  # fmt: skip
    assert [e.fields["why"] for e in of(branch, "fault.end")] == ["paused"]
    assert "is not a number of seconds" in of(branch, "error")[0].text
    assert bash(f"wc -c < {folder}/hold").run(branch).output.strip() == "0"


def test_set_up_waits_for_the_word_of_a_program(tmp_path: Path) -> None:
    system = build(IDLE).system
    tree = layout.system_tree(system, find_images(system))
    told = tree.read("branchpoint/system.conf")
    tree.add_file("branchpoint/system.conf", b"setup sdk\n" + told)
    erofs.write_nvdimm(tree, tmp_path / "system")
    file = "/run/branchpoint/sdk/b.1/sdk.jsonl"
    other = '{"antithesis_setup": {"status": "begun", "details": {"status": "complete"}}}'
    word = '{"antithesis_setup": {"status": "complete", "details": null}}'
    with Machine(tmp_path / "system") as machine:
        machine.run(2, wire.start())
        assert len(machine.events("container.start")) == 3
        machine.run(0.5, wire.exec(1, f"echo '{other}' >> {file}; echo antithesis_setup >> {file}"))
        assert machine.events("setup.complete") == []
        machine.run(0.5, wire.exec(2, f"echo '{word}' >> {file}"))
        (complete,) = machine.events("setup.complete")
        (line,) = [
            r for r in machine.records if isinstance(r, wire.Line) and word.encode() == r.data
        ]
        assert (line.source, line.stream) == ("container/b.1", "sdk")
        assert 0 <= complete.at - line.at < LATE * SECOND
