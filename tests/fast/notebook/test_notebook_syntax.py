"""The kernel's one piece of syntax: bash`…` becomes a call, and nothing else is ever changed."""

from __future__ import annotations

import ast
import contextlib
import sys
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from branchpoint.notebook.language.syntax import (
    continued,
    in_shell,
    is_open,
    mask,
    templates,
    transform,
)


def rewrite(cell: str) -> str:
    return "".join(transform(cell.splitlines(keepends=True)))


def value(cell: str, **names: object) -> object:
    """The value of the one expression in ``cell`` when bash() returns its argument."""
    return eval(rewrite(cell).strip(), {"bash": lambda command: command, **names})


@dataclass
class Command:
    text: str

    def run(self, where: set[object]) -> tuple[str, set[object]]:
        return self.text, where


# ---------------------------------------------------------------- cells that must not change


@given(st.text().filter(lambda text: "`" not in text))
def test_cells_without_a_backtick_are_untouched(cell: str) -> None:
    lines = cell.splitlines(keepends=True)
    assert transform(lines) is lines
    assert mask(cell) == cell
    assert not is_open(cell)


UNTOUCHED = [
    "# bash`x`\n",
    "x = 1  # bash`x\n",
    "'bash`x`'\n",
    '"bash`x`"\n',
    "'''\nbash`x`\n'''\n",
    '"""it\'s bash`x` "quoted" \\""" bash`y`"""\n',
    "r'\\\\' + 'bash`x`'\n",
    "r'\\' bash`x`'\n",
    "rb'bash`x`', Rb\"bash`y`\", u'bash`z`'\n",
    "f'bash`x` {1} bash`y`'\n",
    "f'{{bash`x`}}'\n",
    "f'{d[\"bash`x`\"]}'\n",
    "f'''{d['bash`x`']!r:>{width}} bash`y`'''\n",
    "f'{x:\">10} bash`y`'\n",
    "f'{a != b} bash`y`', f'{a!r} bash`z`'\n",
    "rf'\\{x} bash`y`'\n",
    "f'\\N{GRAVE ACCENT} bash`y`'\n",
    "'one \\\n bash`x`'\n",
    "!echo bash`date`\n",
    "!echo \\\n bash`date`\n",
    "out = !echo bash`date`\n",
    "%sx echo bash`date`\n",
    "out = %sx echo bash`date`\n",
    "?bash`\n",
    "%%bash\nbash`x`\n",
    "\n%%html\nbash`x`\n",
    "x = `old repr`\n",
    "rebash`x`\n",
    "bash_`x`\n",
]


@pytest.mark.parametrize("cell", UNTOUCHED)
def test_backticks_elsewhere_are_not_templates(cell: str) -> None:
    assert rewrite(cell) == cell
    assert mask(cell) == cell


@pytest.mark.parametrize("before", [cell for cell in UNTOUCHED if "%%" not in cell])
def test_scanner_recovers_after_them(before: str) -> None:
    assert rewrite(f"{before}y = bash`ok`\n") == f"{before}y = bash('ok')\n"


NESTED_QUOTES = ["f'{d['bash`x`']}'\n", "f'{\n1} bash`x`'\n", 'f"{f"{\'bash`x`\'}"}"\n']


@pytest.mark.skipif(sys.version_info < (3, 12), reason="such f-strings came with Python 3.12")
@pytest.mark.parametrize("cell", NESTED_QUOTES)
def test_f_strings_that_reuse_their_quotes(cell: str) -> None:
    ast.parse(cell)
    assert rewrite(f"{cell}bash`ok`\n") == f"{cell}bash('ok')\n"


def test_shell_escapes_only_start_statements() -> None:
    assert rewrite("a = 7 % bash`x`") == "a = 7 % bash('x')"
    assert rewrite("a = (7\n% bash`x`)") == "a = (7\n% bash('x'))"
    assert rewrite("a = 7 \\\n% bash`x`") == "a = 7 \\\n% bash('x')"
    assert rewrite("a %= bash`x`") == "a %= bash('x')"
    assert rewrite("a != bash`x`") == "a != bash('x')"


# ---------------------------------------------------------------- templates


def test_the_storys_cells() -> None:
    first = rewrite(
        "branch = moment.rewind(Time.seconds(1)).branch()\n"
        "container = 'standby.replicator.1'\n"
        "print(bash`tcpdump -nn -X tcp and host 10.89.5.61`"
        ".run_in_background({ branch, container }))\n"
        "branch.wait(Time.seconds(5))\n"
    )
    assert (
        "print(bash('tcpdump -nn -X tcp and host 10.89.5.61')"
        ".run_in_background({ branch, container }))\n" in first
    )
    ast.parse(first)
    command = (
        "aria admin get-latest-snapshot -max-stream-time '2025-11-28T16:59:51.362900555-05:00'"
        " | sexp get '.snapshot.metadata.core_stream_length'"
    )
    cell = f"bash`{command}`.run({{ branch, container }})"
    code = rewrite(cell)
    names = {"bash": Command, "branch": 1, "container": "primary.tip-retransmitter.1"}
    assert eval(code, names) == (command, {1, "primary.tip-retransmitter.1"})


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("bash``", ""),
        ("bash`a`", "a"),
        ("bash `a`", "a"),
        ("bash`$VAR $(ls) $1 $$ $`", "$VAR $(ls) $1 $$ $"),
        (r"bash`\` \$ \\ \${HOME} \$(ls)`", r"` $ \ ${HOME} $(ls)"),
        (r"bash`grep '\.' | sed 's/\(a\)\n/\1/' | tr '\t' '\0'`", None),
        ('bash`it\'s "quoted" # no comment`', 'it\'s "quoted" # no comment'),
        ("bash`a\nb\n`", "a\nb\n"),
        ("bash`a\\\nb`", "a\\\nb"),
        ("bash`100% %s %(x)s {x} {}`", "100% %s %(x)s {x} {}"),
        ("bash`100% ${x} 5%`", "100% 42 5%"),
        ("bash`${x}`", "42"),
        ("bash`${x}${x}`", "4242"),
        ("bash`$${x}$`", "$42$"),
        ("bash`${'}`' + \"}\"}`", "}`}"),
        ("bash`${ {'a': {'b': x}}['a']['b'] }`", "42"),
        ("bash`${(x, x)}`", "(42, 42)"),
        ("bash`${f'{x:>{5}}'}`", "   42"),
        ("bash`${\n x # }`\n + 1\n}`", "43"),
        ("bash`a ${bash`b ${bash`c`} d`} e`", "a b c d e"),
        ("bash`${(y := x)}`", "42"),
        ("[bash`a`, {'k': (bash`b`, bash`${[x][0]}`)}]", ["a", {"k": ("b", "42")}]),
        ("bash`a` + bash`b` # bash`c`", "ab"),
        ("bash`é → ✓ \U0001f680 ${x}`", "é → ✓ \U0001f680 42"),
    ],
)
def test_values(cell: str, expected: object) -> None:
    assert value(cell, x=42) == (cell[5:-1] if expected is None else expected)


def test_a_template_is_a_plain_call() -> None:
    assert rewrite("bash`ls ${path}`") == "bash('ls %s' % ((path),))"


texts = st.text(st.sampled_from("ab`$\\{}()%'\"\n #é") | st.characters(exclude_categories=["Cs"]))
expressions = st.sampled_from(
    [
        ("x", "42"),
        ("'`}'", "`}"),
        ('f"{x!r:>4}"', "  42"),
        ("{'k': '${'}['k']", "${"),
        ("bash`n ${x} \\``", "n 42 `"),
        ("\n(x\n)", "42"),
        ("x, # }\n", "(42,)"),
    ]
)


def quote(text: str) -> str:
    return text.replace("\\", "\\\\").replace("`", "\\`").replace("${", "\\${")


@given(st.lists(st.one_of(texts, expressions)), texts)
@example(["$", ("x", "42")], "")
def test_generated_templates_round_trip(parts: list[str | tuple[str, str]], comment: str) -> None:
    # Neighbouring texts are quoted as one: otherwise "$" and "{" of two texts would interpolate.
    text = "bash`"
    expected = ""
    pending = ""
    for part in parts:
        if isinstance(part, str):
            pending += part
        else:
            text += quote(pending) + "${" + part[0] + "}"
            expected += pending + part[1]
            pending = ""
    text += quote(pending) + "`"
    expected += pending
    cell = f"(\n{text}\n)"
    assert value(cell, x=42) == expected
    assert rewrite(cell).count("\n") == cell.count("\n")
    assert len(mask(cell)) == len(cell)
    assert [i for i, c in enumerate(mask(cell)) if c == "\n"] == [
        i for i, c in enumerate(cell) if c == "\n"
    ]
    (found,) = templates(cell)
    assert cell[found.start : found.stop] == text[4:]


@given(st.text(st.sampled_from("bash`${}\\#f\"'\n!%=?:([])r ")))
def test_no_text_breaks_the_scanner(cell: str) -> None:
    assert len(mask(cell)) == len(cell)
    is_open(cell)
    with contextlib.suppress(SyntaxError):
        assert rewrite(cell).count("\n") == cell.count("\n")


# ---------------------------------------------------------------- errors and lines


def test_later_lines_keep_their_numbers() -> None:
    cell = "a = bash`one\ntwo ${\nx\n} three\n`\nb = line()\n"
    tree = ast.parse(rewrite(cell))
    call = next(n for n in ast.walk(tree) if getattr(n, "id", "") == "line")
    inserted = next(n for n in ast.walk(tree) if getattr(n, "id", "") == "x")
    assert (inserted.lineno, call.lineno) == (3, 6)


@pytest.mark.parametrize(
    ("cell", "line", "words"),
    [
        ("a = 1\nbash`ls\n\n", 2, "no closing backtick"),
        ("bash`ok`\nbash`ls ${x\n`\n", 2, "no closing }"),
        ("bash`a\n${}`", 2, "nothing between"),
        ("bash`a\n${x y}`", 2, r"write \${x y}"),
        ("bash`a\n${VAR:-b}`", 2, r"write \${VAR:-b}"),
        ("bash`a\n${(\n x y)}`", 3, "Python expression"),
        ("bash`a\n${bash`b\n${1 +}`}`", 3, "Python expression"),
        ("bash`${x) + (y}`", 1, "no closing }"),
        ("bash`${1 +}`\n\n", 1, "Python expression"),
        ("bash`${x)}`", 1, "Python expression"),
        ("bash`${x; y}`", 1, "Python expression"),
        ("bash`${x = 1}`", 1, "Python expression"),
        ("bash`a\n${f##*/}`", 2, r"write \${f##*/}"),
        ("bash`f() { echo ${f##*/}\n}`", 1, r"write \${f##*/}"),
        ("bash`${f#${dir}/} ${g}`", 1, r"write \${f#${dir}/}"),
        ("bash`${#a} ${#b}\n ${b}`", 1, r"write \${#a}"),
        ("bash`${#a[@]}`", 1, r"write \${#a[@]}"),
        ("bash`${#}`", 1, r"write \${#}"),
        ("bash`a ${bash`b ${1#c}`}`", 1, r"write \${1#c}"),
        ("bash`${x:-it's}`", 1, r"write \${x:-it's}"),
        ("bash`${x%%(*}\n`", 1, r"write \${x%%(*}"),
        ("bash`${x # }`", 1, r"for the shell's own, write \${"),
    ],
)
def test_errors_name_the_line(cell: str, line: int, words: str) -> None:
    with pytest.raises(SyntaxError) as caught:
        rewrite(cell)
    assert caught.value.lineno == line
    assert words in str(caught.value.msg)
    assert caught.value.text == cell.split("\n")[line - 1]


@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        ("bash`ls", True),
        ("bash`ls ${x", True),
        ("bash`ls`", False),
        ("'bash`ls", False),
        ("bash`${f##*/}`", False),
        ("bash`${#a}`", False),
        ("bash`${x:-it's}`", False),
        ("bash`${x:-it's}", True),
        ("bash`${x # y}`", True),
        ("bash`${x+f({1: 2},", True),
    ],
)
def test_open_templates_ask_for_more(cell: str, answer: bool) -> None:
    assert is_open(cell) is answer


@pytest.mark.parametrize(
    "cell",
    ["x # it's}\n", "x['a#b']", "f'{x:#x}'", "x-len('}')", "x\n#}\n", "x-max({1},\n{2})"],
)
def test_what_python_can_read_is_pythons(cell: str) -> None:
    ast.parse(f"({cell})")
    assert rewrite(f"bash`${{{cell}}}`") == f"bash('%s' % (({cell}),))"


def test_where_a_shell_reads_is_known_for_every_place() -> None:
    cell = "a = bash`b ${c + bash`d ${e}`} f` + bash`g ${h}` + bash`i ${j} k"
    shell = "         ~~~~         ~~~~  ~ ~~~        ~~~~  ~        ~~~~  ~~~"
    found = "".join(" ~"[in_shell(cell, place)] for place in range(len(cell) + 1))
    assert found == shell, "a cursor stands before the character of its place"


def test_lines_that_continue_an_escape_are_known() -> None:
    cell = "!a \\\n b \\\n c\nx = 1 + \\\n  2\nbash`d \\\n e`\n%f \\\n g\n"
    assert continued(cell) == {1, 2, 8}


def test_mask_keeps_interpolated_python() -> None:
    cell = "x = bash`ls ${a.b} it's`.run(c)\n"
    assert mask(cell) == "x = bash(    (a.b)     ).run(c)\n"
    assert mask("bash`ls ${a.b") == "bash(    (a.b"
