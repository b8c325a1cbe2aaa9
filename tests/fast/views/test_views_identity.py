"""Widgets have the same names each time a notebook runs, and no two have one name at once."""

from __future__ import annotations

from branchpoint.views.identity import Cell, Identities


def names(*cells: Cell) -> list[str]:
    given = Identities()
    return [given.next("log", cell) for cell in cells]


def test_a_notebook_that_runs_again_gives_the_same_names() -> None:
    first = names(Cell("1", "a", "x"), Cell("1", "a", "x"), Cell("2", "b", "y"))
    assert first == names(Cell("8", "a", "x"), Cell("8", "a", "x"), Cell("9", "b", "y"))
    assert len(set(first)) == 3


def test_a_cell_that_runs_again_gets_its_names_again() -> None:
    once, again = names(Cell("1", "a", "x"), Cell("2", "a", "x"))
    assert once == again


def test_equal_cells_have_names_of_their_own() -> None:
    one, other, again = names(Cell("1", "a", "x"), Cell("2", "b", "x"), Cell("3", "a", "x"))
    assert one != other and one == again


def test_who_runs_it_makes_no_difference() -> None:
    """nbconvert sends no cell ids, JupyterLab does."""
    with_ids = names(Cell("1", "a", "x"), Cell("2", "b", "x"), Cell("3", "c", "y"))
    assert with_ids == names(Cell("1", "", "x"), Cell("2", "", "x"), Cell("3", "", "y"))


def test_kinds_do_not_share_names() -> None:
    given = Identities()
    assert given.next("log", Cell("1")) != given.next("map", Cell("2"))
