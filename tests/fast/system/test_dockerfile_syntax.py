"""The text of a Dockerfile: directives, continued lines, here-documents, variables, quotes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.errors import ImageError
from branchpoint.system.images.archive import ImageConfig
from branchpoint.system.images.dockerfile.given import Given
from branchpoint.system.images.dockerfile.stages import Dockerfile
from branchpoint.system.images.dockerfile.syntax import KEYWORDS, Instruction, parse
from branchpoint.system.images.dockerfile.words import expand, json_words, pairs, split


def read(text: str) -> list[tuple[int, str, str]]:
    return [(step.line, step.keyword, step.text) for step in parse(text, "D")]


def one(text: str) -> Instruction:
    (step,) = parse(text, "D")
    return step


def test_lines_comments_and_continuations() -> None:
    text = """\
# a comment

from  base
  RUN a \\
  # within
    b \\   \n\
\n\
    c
run d # no comment
RUN "e\\\\"
RUN f \\\\
CMD g \\"""
    assert read("\ufeff" + text.replace("\n", "\r\n")) == [
        (3, "FROM", "base"),
        (4, "RUN", "a     b     c"),
        (9, "RUN", "d # no comment"),
        (10, "RUN", '"e\\\\"'),
        (11, "RUN", "f \\\\"),
        (12, "CMD", "g"),
    ]


def test_the_directive_escape() -> None:
    steps = parse("# syntax=docker/dockerfile:1\n#escape = `\nRUN a `\n b\nENV x=`$y\\", "D")
    assert [step.text for step in steps] == ["a  b", "x=`$y\\"]
    assert expand(steps[1], "`$y\\$z", {"z": "Z"}) == "$y\\Z"
    late = "# a comment\n# escape=`\nRUN a `\nRUN b"  # only before everything else
    assert [step.text for step in parse(late, "D")] == ["a `", "b"]


def test_flags() -> None:
    step = one("COPY --from=a --chmod=755  --chown=u:g b  c")
    assert step.flags == (("from", "a"), ("chmod", "755"), ("chown", "u:g"))
    assert step.text == "b  c"
    assert one("RUN ls --all").flags == ()


def test_heredocs() -> None:
    text = """\
RUN <<EOF
a \\
# not a comment
EOF
RUN cat <<-'ONE' <<TWO > x
\tone
\tONE
two
TWO
RUN echo "<<EOF" '<<EOF' $((1 << 2)) <<<word
"""
    first, second, third = parse(text, "D")
    assert [(d.name, d.content, d.expand) for d in first.heredocs] == [
        ("EOF", "a \\\n# not a comment\n", True)
    ]
    assert [(d.name, d.content, d.expand) for d in second.heredocs] == [
        ("ONE", "one\n", False), ("TWO", "two\n", True)
    ]  # fmt: skip
    assert (third.line, third.heredocs) == (10, ())


VARIABLES = {"x": "X", "empty": "", "path": "/a/b", "two": "1 2"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$x-${x}-$none-${none}", "X-X--"),
        ("$x_y ${x}_y", " X_y"),
        ("${none:-d} ${empty:-d} ${empty-d} ${x:-d}", "d d  X"),
        ("${none:+a} ${empty:+a} ${empty+a} ${x:+a}", "  a a"),
        ("${none:-$path/${x:+$x$x}}", "/a/b/XX"),
        ("${none:-a}b}", "ab}"),
        ("${x:?must be} ${empty?may be}", "X "),
        (r"\$x \\$x a\b", r"$x \X ab"),
        ("'$x' \"$x\" \"'$x'\" '\"'", "$x X 'X' \""),
        (r'"\$x \" \n \\"', r'$x " \n ' + "\\"),
        ("a$ $(b) $%", "a$ $(b) $%"),
        ("$1x ${1}", "x "),
    ],
)
def test_variables_and_quotes(text: str, expected: str) -> None:
    assert expand(one("ENV a=b"), text, VARIABLES) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${x", r'"\${x" is not a variable'),
        ("${}", r'"\${}" is not'),
        ("${x#a}", "is not a variable that is supported"),
        ("${none:-a", '"}" is missing'),
        ("${none:?set it}", "none: set it"),
        ("${empty:?}", "empty: it has no value"),
        ("'a", "a quote ' is never closed"),
        ('"a', 'a quote " is never closed'),
        ("${a:-" * 20, "nested too deeply"),
    ],
)
def test_what_is_no_variable(text: str, message: str) -> None:
    with pytest.raises(ImageError, match=f"^D:2: .*{message}"):
        expand(parse("\nENV a=b", "D")[0], text, VARIABLES)


def test_variables_cannot_grow_without_bound() -> None:
    lines = ["FROM a", "ENV a=12345678", *(["ENV a=$a$a$a$a"] * 40)]
    with pytest.raises(ImageError, match="D:11: its variables have more than"):
        Dockerfile("\n".join(lines), "D", {}, "").plan(None, Given(lambda name: Known()))  # type: ignore[arg-type]


def test_words_and_pairs() -> None:
    step = one("ENV a=b")
    assert split(step, "a $two '$x'  $none", VARIABLES) == ["a", "1 2", "$x"]
    assert pairs(step, "a=b c='d e' f=\"g\\\" h\" i=j\\ k l=") == [
        ("a", "b"), ("c", "'d e'"), ("f", '"g\\" h"'), ("i", "j\\ k"), ("l", "")
    ]  # fmt: skip
    assert pairs(step, "a  b c=d") == [("a", "b c=d")]
    assert pairs(step, "a b=c", bare=True) == [("a", None), ("b", "c")]
    assert json_words('["a", "b c"]') == ["a", "b c"]
    assert json_words("['a']") is None  # docker takes it for a shell's line, too
    assert json_words("[1]") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "D has no instructions"),
        ("# escape=x\nFROM a", 'D:1: "escape" must be'),
        ("# escape=`\n# escape=`\nFROM a", 'D:2: the directive "escape" is given twice'),
        ("# syntax=other/frontend\nFROM a", 'D:1: the syntax "other/frontend" is not'),
        ("FROM a\nRUNN b", 'D:2: "RUNN" is no instruction'),
        ("FROM", "D:1: FROM needs an argument"),
        ("FROM a\nCOPY --keep b c", "D:2: the flag --keep of COPY is not supported"),
        ("FROM a\nCMD --x", "D:2: the flag --x of CMD is not supported"),
        ("FROM a\nRUN <<EOF\nx", "D:2: <<EOF is never ended"),
        ("FROM a\nRUN \0", "D:2: a Dockerfile cannot contain NUL"),
    ],
)
def test_what_is_no_dockerfile(text: str, message: str) -> None:
    with pytest.raises(ImageError, match=f"^{message}"):
        parse(text, "D")


class Known:
    """A base image that every name finds."""

    id = "0" * 64
    config = ImageConfig()
    unpack: Any = None


PIECES = st.sampled_from(
    [
        *KEYWORDS, "# escape=`\n", "#", "\\\n", "`\n", "\n", " ", "\t", "=", "a", "b=c", "AS",
        "$a", "${a:-b}", "${", "}", "'", '"', "[", "]", '["x"]', "<<EOF", "EOF\n", "--from=0",
        "--chown=1", "--interval=1s", "CMD", "NONE", "/", "..", ".", "scratch", "8080/tcp",
        "SIGTERM", "\\", "\0",
    ]
)  # fmt: skip
LINES = st.lists(st.lists(PIECES | st.text(max_size=3), max_size=6).map(" ".join))


@given(LINES.map("\n".join) | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    class Nothing:
        """A context in which no file is."""

        def find(self, instruction: Instruction, source: str) -> list[object]:
            raise instruction.error(f"there is no {source}")

    for lines in (text, f"FROM a\n{text}"):
        try:
            Dockerfile(lines, "D", {"a": "given"}, "").plan(Nothing(), Given(lambda name: Known()))  # type: ignore[arg-type]
        except ImageError as error:
            assert error.message.startswith("D")
