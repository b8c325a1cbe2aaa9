"""The examples in the README and in the command line's help work as they are written, and each of
them shows something, whatever happened in this recording."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner

import branchpoint as bp
from branchpoint.cli import main
from branchpoint.notebook.kernel import NAMES
from branchpoint.notebook.language import syntax

README = Path(__file__).parents[3] / "README.md"
_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_COMMAND = re.compile(r"^\s*branchpoint ((?:.*\\\n)*.*)", re.MULTILINE)
_STANDS_FOR = {"system.branchpoint": "aria.branchpoint", "db.1": "standby.replicator.1"}
_ELSEWHERE = {
    "record": "the recording that these examples are about was made so",
    "image": "it is part of recording",
    "verify": "test_verifying",
    "doctor": "test_self_check and test_harm; it takes minutes",
    "explain": "test_code_contrasts; here it takes minutes",
    "explore": "test_exploring",
}
_EXPLORATION = "night.bpx"  # test_exploring opens one
_HEADED = {"run", "containers"}
"""Commands whose first output line may be a heading: a second line has to follow."""


def examples() -> list[str]:
    """All command lines in the README and in the help, except those that are tested elsewhere."""
    texts = [body for kind, body in _BLOCK.findall(README.read_text()) if kind == "sh"]
    texts += [main.help or "", *(command.help or "" for command in main.commands.values())]
    found: list[str] = []
    for text in texts:
        for line in _COMMAND.findall(text):
            typed = re.sub(r"\\\n\s*", "", line)
            words = [_STANDS_FOR.get(word, word) for word in shlex.split(typed, comments=True)]
            if "|" in words:
                words = words[: words.index("|")]
            here = words[0] in main.commands and words[0] not in _ELSEWHERE
            if here and "--whole" not in words and _EXPLORATION not in words:
                found.append(shlex.join(words))
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def folder(failing_aria: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where someone has recorded the demo, with a notebook and a bundle of it."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(failing_aria, folder / "aria.branchpoint")
    nbformat.write(nbformat.v4.new_notebook(), folder / "aria-triage.ipynb")
    with bp.open(folder / "aria.branchpoint") as run:
        bp.share(run, folder / "triage.bpz", notebook=folder / "aria-triage.ipynb")
    return folder


@pytest.mark.parametrize("line", examples())
def test_an_example_of_the_command_line_shows_something(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    words = shlex.split(line)
    if words[0] == "share":
        made = folder / (words[words.index("-o") + 1] if "-o" in words else "aria.bpz")
        for path in (made, made.with_suffix(".bpm")):
            path.unlink(missing_ok=True)
    if words[:2] == ["machine", "export"]:
        (folder / words[2]).unlink(missing_ok=True)
    if words[0] == "export":
        (folder / words[words.index("-o") + 1]).unlink(missing_ok=True)
    result = CliRunner().invoke(main, words, prog_name="branchpoint", catch_exceptions=False)
    # What runs in the background for long ends together with its container.
    assert result.exit_code in ((0, 137) if "--background-for" in words else (0,)), result.output
    lines = [each for each in result.stdout.splitlines() if each.strip()]
    assert len(lines) > (words[0] in _HEADED), result.output


def test_what_open_advises_shows_something(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    said = CliRunner().invoke(main, ["open", "aria.branchpoint"]).stdout
    advised = [shlex.split(line) for line in _COMMAND.findall(said)]
    assert {words[0] for words in advised} == {"events", "run"}
    for words in advised:
        result = CliRunner().invoke(main, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert len(result.stdout.splitlines()) > 1, result.output


def test_for_programs_a_command_is_one_object_and_its_end_is_a_moment(folder: Path) -> None:
    def run(*words: str) -> tuple[int, dict[str, Any]]:
        given = ["run", str(folder / "aria.branchpoint"), "--json", *words]
        result = CliRunner().invoke(main, given, catch_exceptions=False)
        return result.exit_code, json.loads(result.stdout)

    status, told = run("--at", "failure", "--", "echo x > /run/made; echo é >&2; exit 3")
    assert status == 3
    assert {name: told[name] for name in ("exit_code", "stdout", "stderr", "notes")} == {
        "exit_code": 3, "stdout": "", "stderr": "é\n", "notes": [],
    }  # fmt: skip
    status, then = run("--at", told["ended"], "--background-for", "1s", "--",
                       "cat /run/made; sleep 9")  # fmt: skip
    assert (status, then["exit_code"], then["stdout"]) == (0, None, "x\n")
    assert then["began"] == told["ended"]


def test_the_first_session_in_python_shows_something(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    first = README.read_text().partition("## A first session")[2].partition("###")[0]
    blocks = [body for kind, body in _BLOCK.findall(first) if kind == "python"]
    assert len(blocks) == 2
    for block in blocks:
        names: dict[str, Any] = dict(NAMES)
        tree = ast.parse("".join(syntax.transform(block.splitlines(keepends=True))))
        for statement in tree.body:
            if not isinstance(statement, ast.Expr):
                exec(compile(ast.Module([statement], []), "README.md", "exec"), names)
                continue
            for part in parts(statement.value):
                value = eval(compile(ast.Expression(part), "README.md", "eval"), names)
                shown = ast.unparse(part)
                if "print(" in shown:
                    continue
                assert value is not None, shown
                assert str(value).strip(), shown
                assert not hasattr(value, "__len__") or len(value), shown
        if "process" in names or "branch" in names:
            assert names["branch"].events
    names["run"].close()
    capsys.readouterr()


def parts(value: ast.expr) -> list[ast.expr]:
    """What a line shows: each part of a list that is only there to name several things."""
    return list(value.elts) if isinstance(value, ast.Tuple) else [value]
