"""Which faults may happen: read from a compose file, shown, compiled to a plan and back."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from branchpoint import units
from branchpoint.clock import Time
from branchpoint.errors import ComposeError, RecordingError
from branchpoint.faults.kinds import GUEST, KINDS
from branchpoint.faults.plan import compile_plan, read_plan
from branchpoint.faults.reading import Reader, read
from branchpoint.faults.settings import Drawn, Settings, SettingsError
from branchpoint.faults.telling import describe, told
from branchpoint.system.compose.reading import load

SECOND = 10**9


@dataclass(frozen=True)
class Link:
    veth: str


@dataclass(frozen=True)
class Container:
    name: str
    service: str
    links: list[Link] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)


SYSTEM = [
    Container("a.1", "a", [Link("veth0.0"), Link("veth0.1")], ["data"], ["a-2", "a-3"]),
    Container("b.1", "b", [Link("veth1.0")], versions=["b-2"]),
    Container("b.2", "b", [Link("veth2.0")]),
    Container("alone.1", "alone"),
]
EVERYTHING: dict[str, Any] = {
    **dict.fromkeys(KINDS),
    "kill": {"every": "30s", "for": ["1s", "5s"], "containers": "b*"},
    "latency": {"delay": ["50ms", 0.5], "jitter": Time.milliseconds(2), "exclude": "a"},
    "partition": {"one_way": "sometimes", "groups": [["a", ["b"]], "b.1", [["a", "b.1"], "b.2"]]},
    "commands": {
        "flush": {"run": "echo 'a  b'\nsync # 50%", "heal": "true", "for": "2s", "containers": "a"},
        "sync": {"run": "sync", "every": "1m"},
    },
    "once": [
        {"stop": "a", "between": ["1s", "2s"], "probability": 0.25, "for": "2s"},
        {"partition": ["a", ["b.1", "b.2"]], "between": [0, 1.5]},
        {"upgrade": "a", "to": "a-3", "between": [1, 2]},
    ],
    "quiet": [["0s", "5s"], [60, 61]],
}


def only(settings: Settings, kind: str) -> Drawn:
    (found,) = (one for one in settings.drawn if one.kind == kind)
    return found


# -- reading


def test_nothing_said_means_the_defaults_of_a_kind() -> None:
    for name, kind in KINDS.items():
        drawn = only(read({name: None}, SYSTEM), name)
        assert drawn.lasts == (kind.shortest, kind.longest)
        assert drawn.every == kind.every
        assert drawn.parameters == {p.name: (p.low, p.high) for p in kind.parameters}


def test_targets_are_all_that_a_kind_can_hit() -> None:
    settings = read({"kill": None, "loss": None, "partition": None, "cpu": None}, SYSTEM)
    assert only(settings, "kill").targets == ("a.1", "b.1", "b.2", "alone.1")
    assert only(settings, "loss").targets == ("a.1", "b.1", "b.2")
    assert only(settings, "partition").targets == ("a.1", "b.1", "b.2")
    assert only(settings, "cpu").targets == (GUEST,)


def test_versions_that_containers_may_become() -> None:
    def targets(said: dict[str, Any] | None) -> tuple[str, ...]:
        return only(read({"upgrade": said}, SYSTEM), "upgrade").targets

    assert targets(None) == ("a.1>a-2", "a.1>a-3", "b.1>b-2")
    assert targets({"containers": "a"}) == ("a.1>a-2", "a.1>a-3")
    assert targets({"exclude": "a"}) == ("b.1>b-2",)
    assert targets({"to": "a-3"}) == ("a.1>a-3",)
    assert targets({"to": ["a-3", "b-2"], "containers": ["*.1"]}) == ("a.1>a-3", "b.1>b-2")
    for said, words in (
        ({"to": "a-4"}, 'no container can become "a-4"'),
        ({"containers": "b.2"}, 'no container that "upgrade" may hit'),
        ({"to": "b-2", "containers": "a"}, 'no container that "upgrade" may hit'),
    ):
        with pytest.raises(SettingsError, match=words):
            targets(said)


def test_the_one_version_that_is_meant() -> None:
    reader, kind = Reader(SYSTEM), KINDS["upgrade"]
    assert reader.target(kind, "a", (), "a-3") == "a.1>a-3"
    assert reader.target(kind, "a", (), "a") == "a.1>a"
    with pytest.raises(SettingsError, match=r'"a\.1" cannot become "b-2"'):
        reader.target(kind, "a", (), "b-2")
    with pytest.raises(SettingsError, match=r"b\.2") as raised:
        reader.target(kind, "b.2", (), "b-2")
    assert '"versions"' in raised.value.hint
    with pytest.raises(SettingsError, match="has 2 containers"):
        reader.target(kind, "b", (), "b-2")
    assert kind.aim("a.1>a-3", SYSTEM).begin == "container become a.1 a-3"
    assert kind.aim("a.1>a-3", SYSTEM).end == "container become a.1 a"


def test_containers_by_name_service_and_pattern() -> None:
    def targets(said: dict[str, Any], **more: Any) -> tuple[str, ...]:
        return only(read({"kill": said, **more}, SYSTEM), "kill").targets

    assert targets({"containers": ["b.2", "a"]}) == ("b.2", "a.1")
    assert targets({"containers": "b"}) == ("b.1", "b.2")
    assert targets({"containers": "*.1", "exclude": ["alone"]}) == ("a.1", "b.1")
    assert targets({}, exclude=["b.1", "al*"]) == ("a.1", "b.2")


def test_values_are_exact() -> None:
    drawn = only(read(EVERYTHING, SYSTEM), "latency")
    assert drawn.parameters == {"delay": (50_000, 500_000), "jitter": (2_000, 2_000)}
    assert only(read({"loss": {"share": [0.0015, "12.5%"]}}, SYSTEM), "loss").parameters == {
        "share": (1_500, 125_000)
    }
    clock = only(read({"clock": {"step": ["-1m30s", 2]}}, SYSTEM), "clock")
    assert clock.parameters == {"step": (-90 * SECOND, 2 * SECOND)}
    assert only(read({"disk_full": {"left": "4k"}}, SYSTEM), "disk_full").parameters == {
        "left": (4096, 4096)
    }


@pytest.mark.parametrize(
    ("said", "meant"),
    [(True, (1, 2)), ("true", (1, 2)), ("sometimes", (0, 2)), (False, (0, 0)), ("never", (0, 0))],
)
def test_one_way(said: Any, meant: tuple[int, int]) -> None:
    partition = only(read({"partition": {"one_way": said}}, SYSTEM), "partition")
    assert partition.parameters == {"one_way": meant}


@pytest.mark.parametrize(
    ("wrong", "message", "hint", "path"),
    [
        ({"kil": None}, 'unknown kind of fault "kil"', '"kill"', ["kil"]),
        ({"kill": {"evry": 1}}, 'unknown setting "evry" in "kill"', '"every"', ["kill", "evry"]),
        ({"loss": {"delay": 1}}, 'unknown setting "delay" in "loss"', "", ["loss", "delay"]),
        ({"restart": {"for": 1}}, 'unknown setting "for"', "", ["restart", "for"]),
        ({"kill": []}, '"kill" must be a mapping', "", ["kill"]),
        ({"kill": {"every": "30x"}}, '"every" must be a duration', '"1m30s"', ["kill", "every"]),
        ({"kill": {"every": -1}}, '"every" must not be negative', "", ["kill", "every"]),
        ({"kill": {"every": 1e-9}}, '"every" must be at least 1ms', "", ["kill", "every"]),
        ({"stop": {"for": 0}}, '"for" must be greater than 0', "", ["stop", "for"]),
        ({"stop": {"for": [2, 1]}}, '"for" ends before it begins', "", ["stop", "for"]),
        ({"kill": {"for": [1]}}, '"for" needs two durations', "", ["kill", "for"]),
        ({"kill": {"for": "9000h"}}, '"for" is longer than a year', "", ["kill", "for"]),
        ({"kill": {"containers": "c.1"}}, 'no container "c.1"', "b.1", ["kill", "containers"]),
        ({"kill": {"containers": [3]}}, '"3" is not the name', "", ["kill", "containers"]),
        ({"kill": {"exclude": "*"}}, 'no container that "kill" may hit', "", ["kill"]),
        ({"loss": {"containers": "alone"}}, '"alone.1" is not in any network', "", ["loss"]),
        ({"loss": {"share": "2"}}, '"share" must be 0.0001% to 100%, not 2', "", ["loss", "share"]),
        (
            {"latency": {"delay": "2h"}},
            '"delay" must be 0s to 1h, not 2h',
            "late",
            ["latency", "delay"],
        ),
        ({"loss": {"share": "few"}}, '"share" must be a share, not "few"', "12%", ["loss"]),
        ({"loss": {"share": True}}, '"share" must be a share', "", ["loss"]),
        ({"loss": {"share": [0.2, 0.1]}}, '"share" must go from low to high', "", ["loss"]),
        ({"disk_full": {"left": "big"}}, '"left" must be a size', "256k", ["disk_full"]),
        ({"partition": {"one_way": "yeah"}}, '"one_way" cannot be "yeah"', "sometimes", []),
        ({"partition": {"groups": [["a", "a"]]}}, '"a.1" is on both sides', "", ["partition"]),
        ({"partition": {"groups": [["a", "b.1", "b.2"]]}}, "two groups", "", ["partition"]),
        ({"commands": {"Kill": {"run": "x"}}}, "cannot be the name", "a-z", ["commands"]),
        ({"commands": {"kill": {"run": "x"}}}, "cannot be the name", "", ["commands"]),
        ({"commands": {"x": {}}}, 'the command "x" lacks "run"', "", ["commands", "x"]),
        ({"once": {"kill": "a"}}, '"fault" lacks "between"', "", ["once"]),
        ({"once": {"between": [1, 2]}}, '"fault" lacks "kill"', "", ["once"]),
        ({"once": {"kill": "b", "between": [1, 2]}}, '"b" has 2 containers', "b.1, b.2", ["once"]),
        (
            {"once": [{"kill": "a", "between": [0, 1], "probability": 2}]},
            "must be between 0 and 1",
            "",
            ["once", 0, "probability"],
        ),
        ({"once": {"kill": "a", "stop": "a", "between": [0, 1]}}, "more than one kind", "", []),
        ({"quiet": 5}, '"quiet" must be a list', "", ["quiet"]),
        ({"quiet": [[5, 1]]}, '"quiet" ends before it begins', "", ["quiet", 0]),
        ({"exclude": "bb"}, 'there is no container "bb"', '"b"', ["exclude"]),
    ],
)
def test_mistakes(wrong: Any, message: str, hint: str, path: list[Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        read(wrong, SYSTEM)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert list(caught.value.path)[: len(path)] == path


def test_any_wrong_value_is_told_as_such() -> None:
    """Anything written anywhere is either accepted or refused with a message."""
    values = [None, "", "x", "1s", -1, 0, 1, 2.5, True, [], [1], ["1s", "2s"], {}, {"x": 1}, 1e300]
    keys = ["every", "for", "delay", "share", "containers", "groups", "run", "between", "x"]
    chance = random.Random(3)
    refused = 0
    for _ in range(3000):
        section = chance.choice([*KINDS, "commands", "once", "quiet", "exclude"])
        body = {chance.choice(keys): chance.choice(values) for _ in range(chance.randrange(3))}
        written = {section: chance.choice([body, chance.choice(values), {"a": body}, [body]])}
        try:
            settings = read(written, SYSTEM)
        except SettingsError as error:
            refused += 1
            assert error.message
        else:
            assert read_plan(compile_plan(settings, SYSTEM)) == settings
    assert 500 < refused < 2900


# -- as words and as a plan


def test_words_mean_the_same() -> None:
    settings = read(EVERYTHING, SYSTEM)
    again = read(settings.words(), SYSTEM)
    assert set(map(str, again.drawn)) == set(map(str, settings.drawn))
    assert again.quiet == settings.quiet


def test_they_print_as_a_compose_file(tmp_path: Path) -> None:
    said = str(read(EVERYTHING, SYSTEM))
    assert "latency: {every: 30s, for: [1s, 10s], delay: [50ms, 500ms], jitter: 2ms" in said
    assert "groups: [[a.1, [b.1, b.2]], b.1, [[a.1, b.1], b.2]]" in said
    file = tmp_path / "compose.yaml"
    section = "\n".join(f"    {line}" for line in said.splitlines())
    services = {
        "a": {"image": "x", "x-branchpoint": {"versions": ["a-2", "a-3"]}},
        "b": {"image": "x", "scale": 2, "x-branchpoint": {"versions": ["b-2"]}},
        "alone": {"image": "x", "network_mode": "none"},
        **{name: {"image": "x", "scale": 0} for name in ("a-2", "a-3", "b-2")},
    }
    text = f"services: {json.dumps(services)}\n"
    file.write_text(f"{text}x-branchpoint:\n  faults:\n{section}\n")
    assert str(load(file).faults) == said


def test_a_plan_says_all_of_it() -> None:
    settings = read(EVERYTHING, SYSTEM)
    text = compile_plan(settings, SYSTEM)
    assert read_plan(text) == settings
    lines = text.splitlines()
    assert lines[:2] == ["quiet 0 5000000000", "quiet 60000000000 61000000000"]
    at = lines.index("kind kill 30000000000 1000000000 5000000000")
    assert lines[at + 1 : at + 4] == [
        "target b.1",
        "begin container kill b.1 9",
        "end container start b.1",
    ]
    assert "once stop 1000000000 2000000000 250000 2000000000 2000000000" in lines
    assert "param delay 50000 500000" in lines
    assert "begin clock {step}" in lines


def test_every_target_has_its_actions() -> None:
    for line in compile_plan(read(EVERYTHING, SYSTEM), SYSTEM).splitlines():
        key, _, rest = line.partition(" ")
        assert key in ("quiet", "kind", "once", "param", "target", "begin", "end")
        if key in ("begin", "end"):
            assert rest.split(" ")[0] in ("container", "names", "clock", "sh")


@pytest.mark.parametrize(
    "text", ["target x", "kind kill 1", "quiet 1", "what is this", "kind k 1 2 3\nparam x 1"]
)
def test_what_is_no_plan(text: str) -> None:
    with pytest.raises(RecordingError, match="cannot be understood"):
        read_plan(text)


def test_bounds_of_parameters_hold_their_defaults() -> None:
    for kind in KINDS.values():
        for p in kind.parameters:
            assert p.least <= p.low <= p.high <= p.most
            assert "{" + p.name + "}" in kind.aim(_some(kind.hits), SYSTEM).begin


def test_what_has_an_end_says_what_it_is() -> None:
    for kind in KINDS.values():
        assert bool(kind.aim(_some(kind.hits), SYSTEM).end) == (kind.lasts != "never")


def _some(hits: str) -> str:
    return {"guest": GUEST, "groups": "a.1|b.1", "versions": "a.1>a-2"}.get(hits, "a.1")


def test_parameters_of_an_event_in_words() -> None:
    assert describe("latency", "delay=137000 jitter=0") == "delay 137ms, jitter 0s"
    assert describe("loss", "share=123456") == "share 12.3456%"
    assert describe("partition", "one_way=1") == "out only"
    assert describe("partition", "one_way=0") == ""
    assert describe("clock", "step=-5000000000") == "step -5s"
    assert describe("other", "a=1 <b> delay=9") == "a=1, <b>, delay=9"
    assert describe("latency", "delay=9x delay=" + "9" * 99) == "delay=9x, delay=" + "9" * 99


def test_an_event_in_words() -> None:
    begin = {"type": "latency", "target": "a.1", "params": "delay=5000", "for": "1500000000"}
    assert told(begin) == ("a.1", "latency a.1: delay 5ms, for 1.5s")
    assert told({"type": "kill", "target": "a.1", "params": "", "for": "0"}) == ("a.1", "kill a.1")
    new = {"type": "upgrade", "target": "a.1>a-2", "params": "", "for": "0"}
    assert told(new) == ("a.1", "upgrade a.1>a-2")
    cut = {"type": "partition", "target": "a.1|b.1", "params": "one_way=2", "for": str(1 << 61)}
    assert told(cut) == ("", "partition a.1|b.1: in only")
    assert told({"type": "clock", "target": GUEST, "why": "healed"}) == (
        "",
        "clock (guest): healed",
    )
    assert told({"for": "9" * 99}) == ("", " ")


def test_one_target() -> None:
    reader = Reader(SYSTEM)
    assert reader.target(KINDS["partition"], ["a", ["b"]], ()) == "a.1|b.1,b.2"
    assert reader.target(KINDS["partition"], [["b"]], ()) == "b.1,b.2"
    assert reader.target(KINDS["clock"], "whatever", ()) == GUEST


# -- units


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"), (1, "1ns"), (1_500, "1500ns"), (250_000_000, "250ms"), (SECOND, "1s"),
        (154_019_000, "154.019ms"), (1_000_001, "1.000001ms"),
        (1_500_000_000, "1.5s"), (90 * SECOND, "90s"), (120 * SECOND, "2m"),
        (-3 * SECOND, "-3s"), (3600 * SECOND, "1h"), (2**60 + 1, "1152921504.606846977s"),
    ],
)  # fmt: skip
def test_times(ns: int, text: str) -> None:
    assert units.time_text(ns) == text
    assert Time(text).ns == ns


@pytest.mark.parametrize(("size", "text"), [(0, "0"), (100, "100"), (4096, "4k"), (3 << 20, "3m")])
def test_sizes(size: int, text: str) -> None:
    assert units.size_text(size) == text
    assert units.size(text) == size


# -- in a compose file

COMPOSE = """\
services:
  a: {image: x}
  b: {image: x, scale: 2}
x-branchpoint:
"""


def load_faults(tmp_path: Path, section: str) -> Any:
    (tmp_path / "compose.yaml").write_text(COMPOSE + section)
    return load(tmp_path)


def test_both_places_in_a_compose_file(tmp_path: Path) -> None:
    system = load_faults(
        tmp_path,
        "  fault: {kill: a, between: [1s, 2s]}\n"
        "  faults:\n    latency: {every: 10s}\n    exclude: [a]\n    quiet: [[0s, 1s]]\n"
        "  noise: {every: 1ms, longest: 2ms}\n",
    )
    assert [one.kind for one in system.faults.drawn] == ["latency", "kill"]
    assert only(system.faults, "latency").targets == ("b.1", "b.2")
    assert (system.noise.every, system.noise.longest) == (1_000_000, 2_000_000)


def test_noise_is_off_unless_said(tmp_path: Path) -> None:
    assert load_faults(tmp_path, "  noise: false\n").noise is None
    assert load_faults(tmp_path, "  ram: 1g\n").noise is None
    assert load_faults(tmp_path, "  noise: true\n").noise.every == 10_000_000


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("  faults:\n    kill:\n      evry: 1s #!", 'unknown setting "evry" in "kill"'),
        ("  faults:\n    kil: #!\n      every: 1s", 'unknown kind of fault "kil"'),
        (
            "  faults:\n    loss:\n      share:\n      - 1%\n      - 200% #!",
            '"share" must be 0.0001% to 100%, not 200%',
        ),
        ("  faults:\n    kill:\n      containers:\n        - c #!", 'no container "c"'),
        ("  faults: [] #!", "must be a mapping"),
        ("  faults:\n    exclude:\n      - a\n      - nobody #!", 'no container "nobody"'),
        ("  fault:\n  - kill: a\n    between: [2s, 1s] #!", "ends before it begins"),
        ("  fault:\n    between: [1s, 2s]\n    kill: [] #!", "is not the name of a container"),
        ("  fault:\n    between: [1s, 2s]\n    kill: [3] #!", "is not the name of a container"),
        ("  fault:\n    kill: a\n    between: [1s, x] #!", '"between" must be a duration'),
        ("  noise: {every: 1ns} #!", '"every" must be at least 100us'),
        ("  noise: {evry: 1ms} #!", 'unknown key "evry"'),
        ("  fault: {kill: a, between: [1s, 2s], for: 1s, delay: 3s} #!", 'setting "delay"'),
    ],
)
def test_mistakes_are_located(tmp_path: Path, section: str, message: str) -> None:
    with pytest.raises(ComposeError, match=message) as caught:
        load_faults(tmp_path, section)
    lines = (COMPOSE + section).splitlines()
    assert caught.value.line == next(n for n, line in enumerate(lines, 1) if line.endswith("#!"))


@pytest.mark.parametrize("run", ["echo %0A", "echo %250A", "printf 'a%%\n%s' b", "a\nb%25", "100%"])
def test_scripts_come_out_of_a_plan_as_they_went_in(run: str) -> None:
    settings = read({"commands": {"mine": {"run": run, "containers": "a"}}}, SYSTEM)
    assert read_plan(compile_plan(settings, SYSTEM)) == settings
    assert only(settings, "mine").run == run


def test_what_is_excluded_is_not_cut_off_by_a_partition_of_others() -> None:
    """On the other side of a partition are all others, if it does not say which."""

    def targets(said: dict[str, Any], **more: Any) -> tuple[str, ...]:
        return only(read({"partition": said, **more}, SYSTEM), "partition").targets

    assert targets({"exclude": "a"}) == ("b.1|b.2", "b.2|b.1")
    assert targets({"containers": "b.1"}, exclude=["a"]) == ("b.1|b.2",)
    assert targets({"containers": "b"}) == ("b.1", "b.2")
    with pytest.raises(SettingsError, match='no container that "partition" may hit'):
        targets({"containers": "b.1"}, exclude=["a", "b.2"])


def test_what_ends_a_command_needs_a_time_after_which_it_ends() -> None:
    for lasting in ({}, {"for": "0s"}):
        with pytest.raises(SettingsError, match='so that "heal" never runs'):
            read({"commands": {"x": {"run": "true", "heal": "true", **lasting}}}, SYSTEM)
    read({"commands": {"x": {"run": "true", "heal": "true", "for": "1s"}}}, SYSTEM)


def test_a_container_keeps_what_linux_gives_at_least() -> None:
    with pytest.raises(SettingsError, match="share"):
        read({"throttle": {"share": "0.5%"}}, SYSTEM)
    read({"throttle": {"share": "1%"}}, SYSTEM)


def test_lengths_and_shares_are_taken_as_python_has_them() -> None:
    reader = Reader(SYSTEM)
    for given in (timedelta(milliseconds=1500), Decimal("1.5"), Time(1.5), np.float64(1.5)):
        assert reader.time(given, (), "delay") == 1_500_000_000
    assert reader.time(np.int64(2), (), "delay") == 2 * SECOND
    for wrong in (Decimal("nan"), np.bool_(True), True):
        with pytest.raises(SettingsError, match="must be a duration"):
            reader.time(wrong, (), "delay")
    shares = {
        1e-6: 1,
        "1e-4%": 1,
        "2.5e-05": 25,
        0.12: 120_000,
        "12 %": 120_000,
        np.float64(1): 10**6,
    }
    assert {given: reader.share(given, (), "share") for given in shares} == shares
    with pytest.raises(SettingsError, match="must be a share"):
        reader.share("-1e-6", (), "share")
