"""Errors of a cell show the typed lines, never the Python code made from them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talking import Talk, kernels

from branchpoint.notebook.language.typed import as_typed, checking, put_right

# -- lines and columns


@given(st.lists(st.sampled_from(["a", "b", "  c", ""]), min_size=1))
def test_code_that_nothing_changed_is_shown_as_it_is(lines: list[str]) -> None:
    code = "\n".join([*lines, "end"])
    assert as_typed(code, code) == [*lines, "end"]


def test_every_line_that_runs_has_the_one_that_was_typed() -> None:
    assert as_typed("\n\nx = bash`a`\ny\n", "x = bash('a')\ny\n") == ["x = bash`a`", "y"]
    assert as_typed("    a\n    b", "a\nb\n") == ["    a", "    b"]
    assert as_typed("%%bash\nls\npwd\n", "get_ipython()…\n") == ["%%bash"]
    assert as_typed("a\n!echo \\\n  x\nb\nc", "a\nget_ipython()…\nb\nc\n") == [
        "a", "!echo \\", "b", "c"
    ]  # fmt: skip
    assert as_typed("!echo \\\n  x\nbash`a`\nb", "get_ipython()…\nbash('a')\nb\n") == [
        "!echo \\", "bash`a`", "b"
    ]  # fmt: skip
    assert as_typed("", "x\n") == [""]


@pytest.mark.parametrize(
    ("runs", "typed", "wrong"),
    [
        ("a b", "a b", "b"),
        ("x y = bash('a')", "x y = bash`a`", "y"),
        ("bash('a%s' % ((x),)) y", "bash`a${x}` y", "y"),
        ("bash('a').run({b, c: 1})", "bash`a`.run({b, c: 1})", ": 1"),
    ],
)
def test_the_place_of_an_error_is_that_in_the_typed_line(runs: str, typed: str, wrong: str) -> None:
    column = runs.index(wrong) + 1
    error = SyntaxError("invalid syntax", ("cell", 1, column, runs, 1, column + 1))
    put_right(error, [runs], [typed])
    assert error.text == typed
    assert error.offset == typed.index(wrong) + 1
    assert error.end_offset == error.offset + 1


def test_an_error_inside_of_what_was_generated_is_at_the_templates_begin() -> None:
    error = SyntaxError("invalid syntax", ("cell", 1, 12, "bash('x' % ((y),))", 1, 14))
    put_right(error, ["bash('x' % ((y),))"], ["bash`x${y}`"])
    assert (error.text, error.offset) == ("bash`x${y}`", 5)


@pytest.mark.parametrize(
    "code",
    [
        "dir = 1",
        "def dir(): ...",
        "async def dir(): ...",
        "class dir: ...",
        "lambda dir: 1",
        "import dir.x",
        "import x as dir",
        "from x import dir",
        "from x import *",
        "try: ...\nexcept OSError as dir: ...",
        "match x:\n case [1, dir]: ...",
        "match x:\n case 1 as dir: ...",
        "match x:\n case [1, *dir]: ...",
        "match x:\n case {1: 2, **dir}: ...",
    ],
)
def test_a_cell_gives_a_name_in_many_ways(code: str) -> None:
    cell = f"{code}\nbash`ls ${{dir}}`\n".splitlines(keepends=True)
    assert checking({})(cell)[:-1] == cell[:-1]


@pytest.mark.parametrize(
    "code", ["dir.x = 1", "import x.dir", "from x import dir as y", "match x:\n case _: ..."]
)
def test_what_gives_another_name_gives_not_this_one(code: str) -> None:
    with pytest.raises(SyntaxError, match="Python's function dir"):
        checking({})(f"{code}\nbash`ls ${{dir}}`\n".splitlines(keepends=True))


# -- in a kernel


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    with kernels(tmp_path_factory.mktemp("jupyter")):
        talk = Talk()
        yield talk
        talk.close()


def shown(kernel: Talk, cell: str) -> str:
    """The error of a cell as text, without colours."""
    ((kind, content),) = kernel(cell)
    assert kind == "error"
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(content["traceback"]))


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        ("bash`for f in a b; do echo ${f}; done`", r"write $f or \${f}"),
        ("\n\nx = 1\nbash`echo ${HOME}`", r"write $HOME or \${HOME}"),
        ("bash`echo ${x1/a/b}`", r"write \${x1/a/b}"),
        ("bash`echo ${HOME:-here}`", r"write \${HOME:-here}"),
        ("bash`echo ${dir}`", r"${dir} is Python's function dir here; for the shell's own"),
        ("def f():\n    return bash`a\n${nme}`\nf()", r"write $nme or \${nme}"),
        ("bash`ls`.run({ branch, container: 'x' })",
         "write (branch=branch, container='x') or {branch, 'x'}"),
        ("bash`ls`.run({\n branch: b,\n container\n})",
         "write (branch=b, container=container) or {b, container}"),
        ("b = 1\nbash`ls`.run({ branch: b })", "write 'branch': …"),
        ("bash`ls`.runn(1)", "did you mean .run?"),
        ("Time.second(1)", "did you mean .seconds?"),
        ("bp.opn('x')", "did you mean .open?"),
        ("jobs.zzz", "it has: add, attach, cancel"),
    ],
)  # fmt: skip
def test_an_error_says_what_to_write(kernel: Talk, cell: str, advice: str) -> None:
    said = shown(kernel, cell)
    assert advice in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "cell",
    [
        "x = bash`ls` + bash`${1 / 0}`",
        "y = 0\nx = bash`\nls\n` + 1 / y",
        "bash`a` bash`b`",
        "bash`a`.run(",
        "bash`ls`.run(1)",
        "%branchpoint open nope",
        "%%time\nbash`a` + 1",
        "    bash`a` + 1",
        "!echo \\\n  hi >&2\nbash`a` + 1",
        "def f(x):\n    bash`a ${x}`.run(1)\n[f(x) for x in 'ab']",
    ],
)
def test_no_error_shows_generated_code(kernel: Talk, cell: str) -> None:
    said = "\n".join(
        "\n".join(content.get("traceback", ())) for _, content in kernel(cell) if content
    )
    said = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert said
    for generated in ("bash('", 'bash("', "get_ipython()", "% ((", "run_line_magic"):
        assert generated not in said


def test_a_traceback_points_at_the_right_line_below_a_continued_one(kernel: Talk) -> None:
    said = shown(kernel, "out = %who_ls \\\n  str\nbash`${1/0}`\nbash`b`")
    assert re.search(r"-+> *\d+ bash`\$\{1/0\}`", said)


def test_a_variable_may_have_the_name_of_a_function_of_pythons(kernel: Talk) -> None:
    assert kernel.text("dir = 'x'; bash`ls ${dir}`") == "bash('ls x')"
    assert kernel.text("for id in [7]: print(repr(bash`${id}`))") == "bash('7')\n"
    assert kernel.text("dir = 'y'") + kernel.text("bash`ls ${dir}`") == "bash('ls y')"
    kernel("del dir, id")
    assert "Python's function dir" in shown(kernel, "bash`ls ${dir}`")


def test_errors_of_other_kinds_are_pythons(kernel: Talk) -> None:
    for cell in ("undefined_name", "''.nothing", "import os; os.nothing"):
        assert "Traceback" in shown(kernel, cell)
