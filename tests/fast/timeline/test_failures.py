"""What counts as a failure: which event, at which instant, judged while events arrive."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from branchpoint.errors import BranchpointError, ContainerError
from branchpoint.events.event import Event, EventLog, EventSet
from branchpoint.timeline.failures import Failure, failure
from branchpoint.timeline.judges import Judge, Stretch

SECOND = 1_000_000_000
ORIGIN, FORK, HORIZON = 100 * SECOND, 110 * SECOND, 120 * SECOND


def event(
    at: float, kind: str = "log", container: str = "a.1", text: str = "", **fields: str
) -> Event:
    """An event ``at`` seconds after the fork."""
    return Event(
        at=FORK + round(at * SECOND), source="container", container=container, text=text,
        type=kind, fields=fields, origin=ORIGIN,
    )  # fmt: skip


def exit(
    at: float, container: str = "a.1", code: int = 0, signal: int = 0, asked: int = 0
) -> Event:
    fields = {"code": str(code), "signal": str(signal), "asked": str(asked)}
    return event(at, "container.exit", container, **fields)


def judge(what: Failure, past: Iterable[Event] = ()) -> Judge:
    log = EventLog()
    log.extend(past)
    return what.judge(Stretch(FORK, HORIZON, ORIGIN, log.columns())).fresh()


def seconds(at: int | None) -> float | None:
    return None if at is None else (at - FORK) / SECOND


def failed(what: Failure, *events: Event, past: Iterable[Event] = ()) -> float | None:
    """When a future with these events failed, in seconds after the fork."""
    one = judge(what, past)
    for each in events:
        one.feed([each])
    whole = judge(what, past)
    whole.feed(events)
    found = [one.finish(), whole.finish()]
    assert found[0] == found[1], "how events are handed over makes no difference"
    return seconds(found[0])


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"exit": "*"}, 1),
        ({"exit": "b"}, 2),
        ({"exit": "b.1"}, 2),
        ({"exit": "c*"}, None),
        ({"exit": "*", "code": 3}, 2),
        ({"exit": "*", "code": (3, 4)}, 2),
        ({"exit": "*", "code": range(1, 256)}, 2),
        ({"exit": "*", "code": 9}, None),
        ({"exit": "*", "code": 0}, 1),
        ({"exit": "*", "signal": "SIGKILL"}, 3),
        ({"exit": "*", "signal": "kill"}, 3),
        ({"exit": "*", "signal": 9, "asked": True}, 0.5),
    ],
)
def test_exits(asked: dict, expected: float | None) -> None:
    events = [
        exit(0.5, signal=9, asked=1), exit(1), exit(2, "b.1", code=3), exit(3, "b.1", signal=9)
    ]  # fmt: skip
    assert failed(failure(**asked), *events) == expected


def test_log_patterns_are_searched() -> None:
    events = [event(1, text="all fine"), event(2, text="PANIC: x"), event(3, "b.1", text="panic")]
    assert failed(failure(log="(?i)panic|fatal"), *events) == 2
    assert failed(failure(log="panic", container="b"), event(3, container="b.1", text="panic")) == 3
    assert failed(failure(log="^fine"), *events) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("exit:a", 2), ("log:*:gone", 1), ("event:fault.start", 3), ("event:nothing.here", None)],
)
def test_short_forms(text: str, expected: float | None) -> None:
    events = [event(1, text="gone"), exit(1.5, asked=1), exit(2), event(3, "fault.start")]
    assert failed(failure(text), *events) == expected


def test_what_comes_after_the_horizon_does_not_count() -> None:
    assert failed(failure(exit="*"), exit(10.0)) == 10
    assert failed(failure(exit="*"), exit(10.1)) is None


def test_assertions_that_must_hold() -> None:
    def asserted(at: float, type: str, condition: str, hit: str = "1", violated: str = "0"):
        return event(
            at, "sdk.assert", text="counts add up", type=type, condition=condition, hit=hit,
            violated=violated,
        )  # fmt: skip

    bad = asserted(2, "always", "0", violated="1")
    good = asserted(3, "sometimes", "1")
    declared = asserted(1, "sometimes", "1", hit="0")
    assert failed(failure(always="*"), good, bad) == 2
    assert failed(failure("sdk:counts*"), bad) == 2
    assert failed(failure(always="something else"), bad) is None
    assert failed(failure(sometimes="counts*"), declared, good) is None
    assert failed(failure(sometimes="counts*"), declared) == 10


def test_a_function_decides() -> None:
    def late(event: Event) -> bool:
        return event.vtime > 11.5

    assert failed(failure(check=late), event(1), event(2), event(3)) == 2
    assert failure(check=late).name == "late"
    assert failure(check=late, name="too late").name == "too late"


class ThirdLine:
    def __init__(self) -> None:
        self.lines = 0

    def __call__(self, event: Event) -> bool:
        self.lines += event.type == "log"
        return self.lines == 3


def test_a_class_remembers_within_one_future_only() -> None:
    once = judge(failure(check=ThirdLine))
    again = once.fresh()
    for one in (once, again):
        assert [one.feed([event(n)]) for n in (1, 2)] == [None, None]
        assert seconds(one.feed([event(3)])) == 3


def test_something_good_has_to_happen() -> None:
    good = failure(eventually="log:client:recovered")
    assert failed(good, event(4, container="client.1", text="recovered")) is None
    assert failed(good, event(4, text="recovered")) == 10
    assert failed(good, past=[event(-3, container="client.1", text="recovered")]) is None
    assert failed(good, past=[event(-13, container="client.1", text="recovered")]) == 10


@pytest.mark.parametrize(
    ("asked", "lines", "before", "expected"),
    [
        ({"silence": 3}, [1, 2, 6], -1, 5),
        ({"silence": 3}, [1, 2, 4.9, 7.8], -1, None),
        ({"silence": 3}, [], -1, 2),
        ({"silence": 3}, [], -9, 0),
        ({"silence": "9500ms"}, [], -1, 8.5),
        ({"silence": 9.5}, [0.4], -1, 9.9),
        ({"silence": 9.5}, [0.6], -1, None),
        ({"silence": 3, "container": "b"}, [1, 2, 3, 4], -2, 1),
        ({"silence": 3, "container": "a.*"}, [1, 2, 4.9, 7.8], -2, None),
    ],
)
def test_nothing_is_written_for_some_time(
    asked: dict, lines: list[float], before: float, expected: float | None
) -> None:
    """Other events than lines are no sign of life, and lines of other containers are not asked for.

    What was silent before the branch has failed there.
    """
    noise = [event(at, "container.health") for at in (5.5, 9)]
    told = sorted([*(event(at) for at in lines), *noise], key=lambda each: each.at)
    past = [event(before), event(before, container="b.1")]
    later = [event(11)] if expected is None else []
    assert failed(failure(**asked), *told, *later, past=past) == expected


def test_silence_is_noticed_without_any_event() -> None:
    quiet = judge(failure("silence:3s:a.*"), [event(-1)])
    assert quiet.settle(FORK + 2 * SECOND) is None
    assert seconds(quiet.settle(FORK + 2 * SECOND + 1)) == 2
    both = judge(failure("silence:3s") | failure("exit:b.1"), [event(-1)])
    assert seconds(both.settle(FORK + 4 * SECOND)) == 2
    assert failure("silence:3s:a.*").name == "silence of a.* for 3 s"
    assert failure(silence=1.5).name == "silence for 1.5 s"


def test_any_and_all() -> None:
    heads = failure(log="one: heads") & failure(log="two: heads")
    first, second = event(1, text="one: heads"), event(2, text="two: heads")
    assert failed(heads, first, second) == 2
    assert failed(heads, first) is None
    assert failed(heads, second, past=[event(-1, text="one: heads")]) == 2
    assert failed(heads, past=[event(-2, text="one: heads"), event(-1, text="two: heads")]) == 0
    either = failure(log="one") | "log:*:two" | failure(eventually="exit:b")
    assert failed(either, second, exit(3, "b.1")) == 2
    assert failed(either, exit(3, "b.1")) is None
    assert failed(either) == 10
    assert failed(failure(log="one") | failure(log="two"), second, past=[first]) == 2


def test_all_of_them_with_one_that_remembers() -> None:
    both = failure(check=ThirdLine) & failure(exit="*")
    past = [event(-3), event(-2), exit(-1)]
    assert failed(both, event(1), past=past) == 1
    template = judge(both, past)
    assert [seconds(template.fresh().feed([event(1)])) for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("when", "begins"), [({"at": 12}, 2), ({"after": 3}, 3), ({}, 10), ({"at": "12.5"}, 2.5)]
)
def test_a_command_is_placed_and_its_exit_is_the_verdict(when: dict, begins: float) -> None:
    what = failure(shell="redis-cli ping", container="client.1", timeout=4, **when)
    for code, expected in (("0", None), ("1", begins + 1)):
        one = judge(what)
        (probe,) = one.probes(itertools.count(5))
        assert (seconds(probe.at), b"redis-cli ping" in probe.data) == (begins, True)
        assert one.waiting and seconds(one.limit) == begins + 4
        one.feed([event(begins + 1, "process.exit", id="4", code="1", signal="0")])
        assert one.waiting
        one.feed([event(begins + 1, "process.exit", id="5", code=code, signal="0")])
        assert not one.waiting
        assert seconds(one.finish()) == expected


def test_a_command_that_does_not_end_has_failed() -> None:
    one = judge(failure(shell="sleep 100", after=1, timeout=2))
    one.probes(itertools.count(1))
    assert seconds(one.finish()) == 3


def test_a_command_is_late_as_soon_as_its_time_is_over() -> None:
    """What comes after that is no cause of it; an exit that comes too late changes nothing."""
    one = judge(failure(shell="sleep 100", after=1, timeout=2))
    assert one.settle(FORK + 9 * SECOND) is None, "nobody has placed it"
    one.probes(itertools.count(4))
    assert one.feed([event(3)]) is None and one.waiting
    assert seconds(one.feed([event(3.1)])) == 3 and not one.waiting
    one.feed([event(3.5, "process.exit", id="4", code="1", signal="0")])
    assert seconds(one.finish()) == 3
    quiet = judge(failure(shell="sleep 100", after=1, timeout=2))
    quiet.probes(itertools.count(4))
    assert quiet.settle(FORK + 3 * SECOND) is None
    assert seconds(quiet.settle(FORK + 3 * SECOND + 1)) == 3


def test_a_command_that_cannot_run_is_an_error() -> None:
    one = judge(failure(shell="x", container="nosuch.1"))
    one.probes(itertools.count(1))
    with pytest.raises(ContainerError, match=r"nosuch\.1"):
        one.feed([event(1, "error", about="process/1", text="cannot be started: no container")])
    with pytest.raises(BranchpointError, match="before the branch"):
        judge(failure(shell="x", at=9))


def test_keys_tell_failures_apart_and_know_equal_ones() -> None:
    limit = 3

    def make(bound: int) -> Failure:
        return failure(check=lambda event: event.vtime > bound)

    same = [
        lambda: failure(exit="a", code={1, 2, 3}),
        lambda: failure(log="x", container="b") | failure("exit:c"),
        lambda: make(limit),
        lambda: failure(check=ThirdLine),
        lambda: failure(eventually="log:c:ok"),
        lambda: failure(shell="true", at=3),
    ]
    keys = [build().key for build in same]
    assert keys == [build().key for build in same]
    different = [
        failure(exit="a", code={1, 2}), failure(log="x", container="b") & failure("exit:c"),
        make(4), failure(shell="true", after=3), failure(log="y"), failure(log="y", name="named"),
    ]  # fmt: skip
    keys += [each.key for each in different]
    assert len(set(keys)) == len(keys) - 1, "a name is only a name"


def test_a_failure_says_what_it_is() -> None:
    said = {
        failure(exit="standby.*", code=1).name: "exit of standby.* (code 1)",
        failure(exit="a", code={137, 3, 1, 2}).name: "exit of a (code 1 to 3, 137)",
        failure(exit="a", code={1, 137}).name: "exit of a (code 1, 137)",
        failure(exit="a", name="a is gone").name: "a is gone",
        failure("exit:a", name="a is gone").name: "a is gone",
        failure(failure(log="x"), name="the end").name: "the end",
        failure(exit="db", signal=9).name: "exit of db (SIGKILL)",
        failure(log="panic", container="db").name: "log 'panic' in db",
        failure(eventually="log:c:ok").name: "never log:c:ok",
        str(failure("exit:a") | "exit:b"): "exit of a or exit of b",
        repr((failure("exit:a") | "exit:b") & "exit:c"): (
            "<failure: (exit of a or exit of b) and exit of c>"
        ),
    }
    assert list(said) == list(said.values())


def test_event_sets_are_failures_by_their_query() -> None:
    chosen = EventSet(EventLog().columns()).where(type="log", text="boom")
    assert failed(failure(chosen), event(1), event(2, text="boom!")) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        {}, {"exit": "*", "log": "x"}, {"log": "x", "code": 1}, {"exit": "*", "container": "a"},
        {"shell": "x", "at": 1, "after": 1}, {"exit": "*", "at": 1}, {"log": "("},
        {"exit": "*", "timeout": 5}, {"exit": "*", "signal": "SIGNOTHING"}, {"what": 5},
        {"what": "nonsense"},
        {"silence": 0}, {"silence": "soon"}, {"what": "silence:"}, {"silence": 1, "log": "x"},
    ],
)  # fmt: skip
def test_what_is_no_failure_is_refused(arguments: dict) -> None:
    with pytest.raises(BranchpointError):
        failure(**arguments)


def test_a_command_that_takes_too_long_fails_whatever_it_ends_with() -> None:
    """Also when it has ended by the horizon, at which it is judged."""
    for end, expected in ((2.5, None), (3.5, 3)):
        one = judge(failure(shell="x", after=1, timeout=2))
        one.probes(itertools.count(4))
        one.feed([event(end, "process.exit", id="4", code="0", signal="0")])
        assert not one.waiting
        assert seconds(one.finish()) == expected


@pytest.mark.parametrize("code", [[], range(0), ["x"], [None]])
def test_exit_codes_are_numbers(code: list) -> None:
    with pytest.raises(BranchpointError, match="has to be a number, or several"):
        failure(exit="a", code=code)


def test_neighbours_and_numbers_count_also_those_before_the_fork() -> None:
    events = EventSet(EventLog().columns())
    exits, errors = events.where("exit:*"), events.where(text="error")
    said, past = event(1, text="error"), [event(-1, text="error"), exit(-0.5)]
    after = failure(exits.preceded_by(errors, within=1.5))
    assert failed(after, exit(0.2), said, exit(1.2)) == 1.2
    assert failed(after, exit(0.2), said, exit(1.2), past=past) == 0.2
    assert failed(failure(exits.not_preceded_by(errors, within=1)), said, exit(1.5), exit(3)) == 3
    assert failed(failure(exits[1:]), exit(1), exit(2)) == 2
    assert failed(failure(exits[1:]), exit(1), exit(2), past=past) == 1
    for part in (slice(1, None), slice(2, None)):
        assert failure(exits[part]).key == failure(exits[part]).key
    assert failure(exits[1:]).key != failure(exits[2:]).key
    with pytest.raises(BranchpointError, match="what follows an event"):
        failure(exits.followed_by(errors))
