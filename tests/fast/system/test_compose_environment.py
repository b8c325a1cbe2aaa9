"""The variables of containers: where several places name the same one, and names without values."""

from __future__ import annotations

from pathlib import Path

import pytest

from branchpoint.system.compose.reading import load
from branchpoint.system.model import Service

SHELL = {"S": "shell"}


def loaded(folder: Path, keys: str, over: str = "") -> Service:
    """A service with these keys, in one file or in two."""
    (folder / "base.yaml").write_text(f"services: {{a: {{image: x, {keys}}}}}")
    (folder / "over.yaml").write_text(f"services: {{a: {{{over}}}}}")
    return load([folder / "base.yaml", folder / "over.yaml"], environ=SHELL).services["a"]


@pytest.mark.parametrize(
    ("base", "over", "found", "unset"),
    [
        ("{A: 1, B: 2}", "{A: }", {"B": "2"}, ("A",)),
        ("[A=1, B=2]", "[A]", {"B": "2"}, ("A",)),
        ("[S=1]", "[S]", {"S": "shell"}, ()),
        ("{A: }", "{A: 1}", {"A": "1"}, ()),
        ("[A, A=1, B=1, B]", "{}", {"A": "1"}, ("B",)),
        ("{A: 1}", "", {"A": "1"}, ()),
        ("{A: 1, B: }", "{A: !reset }", {}, ("B",)),
    ],
)
def test_a_name_alone_counts_in_place_of_a_value(
    tmp_path: Path, base: str, over: str, found: dict[str, str], unset: tuple[str, ...]
) -> None:
    a = loaded(tmp_path, f"environment: {base}", f"environment: {over}")
    assert (a.environment, a.unset) == (found, unset)


@pytest.mark.parametrize("own", ["{A: , C: own}", "[A, C=own]"])
@pytest.mark.parametrize("own_first", [True, False])
def test_a_name_alone_removes_what_files_say(tmp_path: Path, own: str, own_first: bool) -> None:
    (tmp_path / "e").write_text("A=1\nB=2\nC=3\n")
    keys = ["env_file: e", f"environment: {own}"]
    a = loaded(tmp_path, ", ".join(reversed(keys) if own_first else keys))
    assert (a.environment, a.unset) == ({"B": "2", "C": "own"}, ("A",))


def test_files_use_what_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("A=one\nB=one\nS=one\nD=$E-$S-$U\n")
    (tmp_path / "two").write_text("B=two\nC=$A-$B-$S-$E\nA\nE\nU\n")
    a = loaded(tmp_path, "env_file: [one, two], environment: {E: own, U: }")
    assert a.environment == {
        "A": "one", "B": "two", "S": "one", "D": "own-shell-", "C": "one-two-shell-own", "E": "own",
    }  # fmt: skip


def test_files_for_all_use_what_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("A=one\nB=one\n")
    (tmp_path / "two").write_text("B=two\nC=$A-$B-$S\nU\n")
    (tmp_path / "compose.yaml").write_text("services: {a: {image: '$C-${U-none}'}}")
    system = load(tmp_path, environ=SHELL, env_files=[tmp_path / "one", tmp_path / "two"])
    assert system.services["a"].image == "one-two-shell-none"


@pytest.mark.parametrize("listed", ["[A, S, U]", "{A: , S: , U: }"])
def test_an_included_file_has_its_own_values(tmp_path: Path, listed: str) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part/.env").write_text("A=part\nS=part\n")
    (tmp_path / "part/compose.yaml").write_text(
        f"services: {{a: {{image: x, environment: {listed}}}, b: {{image: x}}}}"
    )
    (tmp_path / "compose.yaml").write_text("include: [part/compose.yaml]\nservices: {}")
    a = load(tmp_path, environ=SHELL).services["a"]
    assert (a.environment, a.unset) == ({"A": "part", "S": "shell"}, ("U",))
