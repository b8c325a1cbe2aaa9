"""What the help and the README show works as it is written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tree import ROOT

import branchpoint as bp
from branchpoint.cli import main

README = ROOT / "README.md"
COMMANDS = list(main.commands)
BLOCK = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
ENDS = {"|", "||", "&&", ";", "&", ">", ">>", "2>"}  # where a command of a shell ends


def help_of(*words: str) -> str:
    result = CliRunner().invoke(main, [*words, "--help"], prog_name="branchpoint")
    assert result.exit_code == 0
    return result.output


def commands_in(text: str) -> Iterator[list[str]]:
    """The words of each ``branchpoint ...`` line, without pipes and comments."""
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip().removeprefix("$ ")
        if not re.match(r"(\S+/)?branchpoint [a-z]", line):
            continue
        words = shlex.split(line, comments=True)
        end = next((i for i, word in enumerate(words) if word in ENDS), len(words))
        yield words[1:end]


def check(words: list[str]) -> None:
    """Fail when the command line does not accept these words. Nothing is run."""
    command = main.commands[words[0]]
    try:
        command.make_context(words[0], words[1:])
    except click.ClickException as error:
        pytest.fail(f"branchpoint {shlex.join(words)}: {error.format_message()}")


# -- help


@pytest.mark.parametrize("command", [each for each in COMMANDS if main.commands[each].params])
def test_every_command_explains_itself_by_an_example(command: str) -> None:
    examples = [words for words in commands_in(help_of(command)) if words[0] == command]
    assert examples
    for words in examples:
        check(words)


def test_the_first_help_has_examples_and_all_commands() -> None:
    text = help_of()
    examples = list(commands_in(text))
    assert examples
    for words in examples:
        check(words)
    assert all(re.search(rf"^  {command} +\w", text, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str) -> None:
    options = [p for p in main.commands[command].params if isinstance(p, click.Option)]
    assert [option.opts for option in options if not option.help] == []


# -- README


@pytest.fixture
def readme() -> str:
    text = README.read_text() if README.exists() else ""
    if not text.strip():
        pytest.skip("the README has no content yet")
    return text


def code_in(readme: str) -> str:
    """Everything in the README that is formatted as code, one piece per line."""
    blocks = BLOCK.findall(readme)
    return "\n".join([*blocks, *INLINE.findall(BLOCK.sub("", readme))])


def test_the_readmes_make_targets_exist(readme: str) -> None:
    named = set(re.findall(r"^\$? ?make ([a-z][\w-]*)", code_in(readme), re.MULTILINE))
    targets = set(
        re.findall(r"^([a-z][\w-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    )
    assert {"demo", "test"} <= named <= targets


def test_the_readmes_commands_can_be_typed(readme: str) -> None:
    for words in commands_in(code_in(readme)):
        assert words[0] in COMMANDS, f"branchpoint {words[0]} does not exist"
        check(words)


@pytest.mark.parametrize("name", ["open", "record", "bash"])
def test_the_readme_shows_the_first_calls(readme: str, name: str) -> None:
    assert name in bp.__all__
    assert re.search(rf"\b(?:bp|branchpoint)\.{name}\(|\b{name}`", code_in(readme))


def test_the_readmes_calls_exist(readme: str) -> None:
    used = set(re.findall(r"\b(?:bp|branchpoint)\.([A-Za-z]\w*)\(", code_in(readme)))
    assert used <= set(bp.__all__)


@pytest.mark.parametrize("link", ["LICENSE", "Makefile"])
def test_files_that_the_readme_relies_on_exist(link: str) -> None:
    assert (ROOT / link).is_file()


PAGES = [*ROOT.glob("*.md"), *(ROOT / "notebooks" / "guide").glob("*.*")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_into_the_tree_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_readme_is_short(readme: str) -> None:
    assert readme.count("\n") <= 150
