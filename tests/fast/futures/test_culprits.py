"""Code of failing and passing futures is compared, without a machine."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Set

import numpy as np
import pytest
from decided import ALL, decided

from branchpoint.errors import BranchpointError
from branchpoint.futures.attribution import Rate
from branchpoint.futures.culprits.compared import Future, culprits
from branchpoint.futures.culprits.culprits import Culprit, Culprits
from branchpoint.futures.culprits.decisions import Decisions
from branchpoint.futures.culprits.source import Spot
from branchpoint.futures.running.future import CodeRan
from branchpoint.programs.python import Line

RING, LIBRARY = "/srv/ring.py", "/usr/lib/python3.13/socket.py"


class Told:
    """Programs of which all is known: place n is line n of main.c, and place 4012 is part 2 of
    line 4, in function f1.
    """

    def of_lines(self, lines: Iterable[Line]) -> dict[Line, Spot]:
        return {line: Spot(*line[:3], 0, ("a.1",), line.body) for line in lines}

    def of_places(self, places: Set[int], beside: Iterable[int]) -> dict[int, Spot]:
        return {place: self._of_place(place) for place in (*places, *beside)}

    def _of_place(self, place: int) -> Spot:
        line, number = divmod(place, 1000)
        name, line = (f"f{number // 10}", line) if line else ("main", place)
        return Spot("/srv/main.c", name, line, 0, ("a.1",))

    def unknown(self, places: Iterable[int]) -> list[str]:
        return ["Java (j.1)"] if 99 in places else []

    def lines(self, file: str) -> list[str]:
        return [f"text {number}" for number in range(1, 100)] if file == RING else []

    def text(self, spot: Spot) -> str:
        return f"text {spot.line}"


def line(number: int, file: str = RING, function: str = "read") -> Line:
    return Line(file, function, number)


def ran(lines: Iterable[Line] = (), places: Iterable[int] = (), *, untold: bool = False) -> CodeRan:
    return CodeRan(np.array(sorted(places), np.uint64).tobytes(), list(lines), untold)


def compared(*futures: tuple[bool, CodeRan], only: str = "*") -> Culprits:
    told = [Future(failed, [CodeRan(b"", [], untold=False), code]) for failed, code in futures]
    return culprits(told, Told(), "it", only)  # type: ignore[arg-type]


def test_what_runs_only_where_it_fails_is_found_by_function_with_its_lines() -> None:
    bad = ran([line(1), line(7), line(8), line(9, function="has"), line(12)], [3])
    found = compared(*[(True, bad)] * 8, *[(False, ran([line(1)]))] * 8)
    assert [row.where for row in found.decisive] == [
        "ring.py:7-8, 12 read",
        "ring.py:9 has",
        "main.c:3 main",
    ]
    first = found.decisive[0]
    assert (first.failing, first.passing, first.effect, first.failure_if_run) == (8, 0, 1, 1)
    assert first.text == "text 7" and first.spots[0].containers == ("a.1",)
    assert found.conclusion == [
        "3 of 3 pieces of code that ran in some of these futures only differ by more than chance "
        "does in 5 of 100 contrasts"
    ]


def test_own_code_comes_before_libraries_and_else_what_ran_first() -> None:
    bad = ran(
        [line(5, LIBRARY), line(9, function="late"), line(2, function="early"), line(5, LIBRARY)]
    )
    found = compared(*[(True, bad)] * 8, *[(False, ran())] * 8)
    assert [row.spots[0].line for row in found.rows] == [9, 2, 5]
    shown = repr(found).splitlines()
    assert [each.split()[0] for each in shown[2:4]] == ["ring.py:9", "ring.py:2"]
    assert shown[4] == "1 more, 1 of them of libraries: .frame has all"


def test_whole_lines_come_before_the_way_that_a_condition_took() -> None:
    # Of line 4 of f1 one part always runs and one where it fails; line 8 of f2 only where it fails.
    usual, way, whole = 4_011, 4_012, 8_021
    bad, good = ran(places=[usual, way, whole]), ran(places=[usual])
    found = compared(*[(True, bad)] * 8, *[(False, good)] * 8)
    assert [row.where for row in found.decisive] == ["main.c:8 f2", "main.c:4 f1"]


def test_own_code_comes_before_libraries_that_say_better_what_fails() -> None:
    nothing, mine, both = ran(), ran([line(9)]), ran([line(9), line(5, LIBRARY)])
    passing = [(False, mine)] * 8 + [(False, nothing)] * 12
    found = compared(*[(True, both)] * 20, *passing)
    assert [(row.spots[0].line, row.passing) for row in found.decisive] == [(9, 8), (5, 0)]


@pytest.mark.parametrize(
    ("path", "library"),
    [
        ("/srv/shop/go/main.go", False),
        ("/build/shop/runtime/main.go", False),
        ("/usr/lib/go-1.24/src/runtime/map.go", True),
        ("/usr/local/go/src/fmt/print.go", True),
        ("runtime/proc.go", True),
        ("example.com/shop/main.go", False),
        ("/build/go/pkg/mod/example.com/queue@v1.2.3/queue.go", True),
        ("/rustc/4d91de4e48198da2e33413efdcd9cd2cc0c46688/library/core/src/option.rs", True),
        ("/build/.cargo/registry/src/index/mio-0.8.11/src/poll.rs", True),
        ("/build/src/main.rs", False),
        ("/usr/include/c++/14/bits/stl_vector.h", True),
        ("/build/include/ring.h", False),
        ("/usr/lib/python3/dist-packages/redis/client.py", True),
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", True),
    ],
)
def test_libraries_are_known_by_their_paths(path: str, library: bool) -> None:
    assert Spot(path, "f", 1, 0, ()).library == library


@pytest.mark.parametrize(("passing", "first"), [(0, 9), (2, 9), (5, 9), (8, 4)])
def test_a_cause_comes_before_what_follows_from_it(passing: int, first: int) -> None:
    """Line 4 tells of each failure, in its last second; line 9 ran before that, and in some futures
    that passed. With 5 of these chance may be all that is between them, with 8 no more.
    """
    nothing, cause, effect = ran(), ran([line(9)]), ran([line(4, function="tell")])
    told = [Future(True, [cause, effect])] * 20
    told += [Future(False, [cause, nothing])] * passing
    told += [Future(False, [nothing, nothing])] * (20 - passing)
    found = culprits(told, Told(), "it")  # type: ignore[arg-type]
    assert found.decisive[0].spots[0].line == first


def test_what_is_imported_comes_after_what_is_called() -> None:
    bad = ran(
        [line(1, function="<module>")._replace(body=True), line(9), line(4)._replace(body=True)]
    )
    found = compared(*[(True, bad)] * 8, *[(False, ran())] * 8)
    assert [row.spots[0].line for row in found.rows] == [9, 1, 4]


def test_a_program_that_starts_is_noticed() -> None:
    """All that it runs goes with the failure then, so nothing of it can be told apart."""
    body = line(1, function="<module>")._replace(body=True)
    library = body._replace(file=LIBRARY)

    def starts(*where_it_fails: Line, passing: Iterable[Line] = ()) -> bool:
        bad = ran(where_it_fails)
        return compared(*[(True, bad)] * 8, *[(False, ran(passing))] * 8).starts

    assert starts(line(9), body)
    assert not starts(line(9))
    assert not starts(line(9), library)
    assert not starts(passing=[body])
    assert not starts(line(9), body, passing=[line(9), body])


def test_conditions_that_prevent_the_failure_come_before_code_that_goes_with_it() -> None:
    found = compared(*[(True, ran([line(9)]))] * 8, *[(False, ran())] * 8)
    assert not found.decided and "turned" not in repr(found) + found._repr_html_()
    found.decisions = Decisions([decided(1), decided(2, Rate(1, 1))], "it, from there", ALL)
    (first,) = found.decided
    assert first.spot.line == 1
    lines = repr(found).splitlines()
    assert lines[2:6] == [
        "where it fails, a program starts, so that all its code looks guilty; conditions that run "
        "shortly before the failure were turned instead",
        "it, from there: 2 decisions were turned, one at a time: 1 prevents the failure",
        str(first),
        str(found.rows[0]),
    ]
    page = found._repr_html_()
    assert page.index("if x1:") < page.index("ring.py:9 read")


def test_where_and_when_else_it_runs_decides() -> None:
    """Code that always runs may still run in the last second only where it fails."""
    often, seldom = ran([line(1)]), ran()
    told = [Future(True, [often, often])] * 8 + [Future(False, [often, seldom])] * 8
    (row,) = culprits(told, Told(), "it").decisive  # type: ignore[arg-type]
    assert row.where == "ring.py:1 read in the last second" and row.late
    told = [Future(True, [seldom, often])] * 8 + [Future(False, [seldom, seldom])] * 8
    (row,) = culprits(told, Told(), "it").decisive  # type: ignore[arg-type]
    assert row.where == "ring.py:1 read" and not row.late


def test_what_runs_only_where_it_passes_is_found_too() -> None:
    found = compared(*[(True, ran())] * 8, *[(False, ran([line(1)]))] * 8)
    (row,) = found.decisive
    assert (row.effect, row.failure_if_run) == (-1, 0)


def test_only_the_code_that_was_asked_for_is_compared() -> None:
    bad = ran([line(1), line(2, LIBRARY), line(3, function="has")], [3])
    futures = [*[(True, bad)] * 8, *[(False, ran())] * 8]
    assert [row.where for row in compared(*futures, only="*/ring.py").rows] == [
        "ring.py:1 read",
        "ring.py:3 has",
    ]
    assert [row.where for row in compared(*futures, only="* has").rows] == ["ring.py:3 has"]
    assert compared(*futures, only="nothing").conclusion == [
        "all of these futures ran the same code up to there"
    ]


def test_too_few_failures_name_nobody_and_say_how_many_would_do() -> None:
    found = compared((True, ran([line(1)])), *[(False, ran())] * 8)
    assert not found.decisive
    assert found.conclusion[0] == "too few failures to tell: 1 of 9 futures failed"
    assert 'run.contrast(..., by="code", futures=' in found.conclusion[1]
    assert "ring.py" not in repr(found)


def test_futures_whose_code_was_not_told_count_too() -> None:
    told = [Future(True, [ran([line(1)])])] * 6 + [Future(False, [ran([line(1)])])] * 3
    told += [Future(False, [ran()])] * 27
    found = culprits(told, Told(), "it", drawn=(6, 114), censored=2)  # type: ignore[arg-type]
    (row,) = found.decisive
    assert row.failure_if_run == pytest.approx(6 / (6 + 11.4))
    assert repr(found).splitlines()[0] == (
        "it: 6 failing, 30 passing, 2 censored and not counted, of 120 that were drawn"
    )
    own = [Future(False, [ran([line(number)])]) for number in range(30)]
    few = culprits([told[0], *own], Told(), "it", drawn=(1, 119))  # type: ignore[arg-type]
    assert few.conclusion[0] == "too few failures to tell: 1 of 120 futures failed"
    (number,) = re.findall(r"futures=(\d+)", few.conclusion[1])
    assert 240 <= int(number) <= 500


def test_a_moment_from_which_none_fails_is_named() -> None:
    found = compared(*[(False, ran())] * 5)
    assert found.conclusion[0] == "too few failures to tell: none of 5 futures failed"
    assert "run.likelihood" in found.conclusion[1]


def test_what_could_not_be_told_is_said() -> None:
    found = compared(*[(True, ran([line(1)], untold=True))] * 8, *[(False, ran())] * 8)
    assert "in 8 futures there was more code than can be told apart" in repr(found)
    assert "in 8 futures there was more code" in found._repr_html_()


def test_languages_that_are_not_known_are_named() -> None:
    bad = ran([line(9)], [99])
    found = compared(*[(True, bad)] * 8, *[(False, ran())] * 8)
    said = "lines of programs in Java (j.1) are not known"
    assert repr(found).endswith(said) and said in found._repr_html_()


def test_what_a_stranger_wrote_is_shown_inert() -> None:
    bad = ran([line(1, "/srv/<script>\x1b[31m.py", "f")])
    found = compared(*[(True, bad)] * 8, *[(False, ran())] * 8)
    assert "<script>" not in found._repr_html_() and "\x1b" not in repr(found)


def test_a_frame_has_all_of_it() -> None:
    found = compared(*[(True, ran([line(1), line(2)]))] * 8, *[(False, ran([], [7]))] * 8)
    frame = found.frame
    assert frame.file.tolist() == [RING, "/srv/main.c"]
    assert frame.line.tolist() == [1, 7] and frame["last"].tolist() == [2, 7]
    assert frame.group.nunique() == 2 and frame.containers.tolist() == ["a.1", "a.1"]


# -- in its source


def test_a_source_shows_how_often_its_lines_ran() -> None:
    bad = ran([line(40), line(41)], [3])
    found = compared(*[(True, bad)] * 8, *[(False, ran([line(60)]))] * 8)
    listing = found.source("*/ring.py")
    assert {number: each.effect for number, each in listing.ran.items()} == {40: 1, 41: 1, 60: -1}
    shown = repr(listing).splitlines()
    assert shown[0].startswith("/srv/ring.py")
    assert shown[1:4] == ["     …", f"{36:6} {'':15}  text 36", f"{37:6} {'':15}  text 37"]
    assert f"{40:6} {'8/8 0/8':>15}  text 40" in shown and shown[-1] == "     …"
    assert "text 50" not in repr(listing)
    page = listing._repr_html_()
    assert page.count("rgba(220,50,47,0.50)") == 2 and page.count("rgba(38,139,210,0.50)") == 1
    assert repr(found.source()) == repr(listing)


def test_a_source_that_is_not_there_is_said_to_be_missing() -> None:
    found = compared(*[(True, ran([line(1)], [3]))] * 8, *[(False, ran())] * 8)
    with pytest.raises(BranchpointError, match=r"no image has the source /srv/main\.c"):
        found.source("*/main.c")
    with pytest.raises(BranchpointError, match="no code that was compared is in 'x'") as error:
        found.source("x")
    assert RING in error.value.hint


@pytest.mark.parametrize(
    ("futures", "share", "lines"), [(40, 0.3, 200), (100, 0.05, 40), (40, 0.1, 1000)]
)
def test_where_no_code_decides_hardly_ever_is_any_named(
    futures: int, share: float, lines: int
) -> None:
    """Each contrast compares code that runs by chance, in families that run together."""
    named, contrasts = 0, 60
    for seed in range(contrasts):
        chance = random.Random(seed)
        often = [chance.random() for _ in range(lines)]
        given = []
        for _ in range(futures):
            lucky = [chance.random() < often[number // 3] for number in range(lines)]
            mine = [line(number) for number in range(lines) if lucky[number // 3 * 3]]
            given.append((chance.random() < share, ran(mine)))
        named += bool(compared(*given).decisive)
    assert named <= 8  # of 60 with 5 %: more in one of 200 runs


@pytest.mark.parametrize(
    ("function", "late", "where", "short"),
    [
        ("addReply", False, "addReply of server (+0x0, +0x1f)", "addReply of server"),
        ("addReply", True, "addReply of server (+0x0, +0x1f) in the last second",
         "addReply of server in the last second"),
        ("", False, "server (+0x0, +0x1f)", "server (+0x0, +0x1f)"),
    ],
)  # fmt: skip
def test_code_without_lines_is_named_by_its_function(
    function: str, late: bool, where: str, short: str
) -> None:
    spots = tuple(Spot("/usr/bin/server", function, None, offset, ()) for offset in (0, 31))
    found = Culprit(
        failing=1, passing=0, failed=1, passed=1, low=0, high=1, alone=1, chance=1, group=0,
        spots=spots, late=late, text="", prior=0.5,
    )  # fmt: skip
    assert (found.where, found.short) == (where, short)
