"""The files of the tree: short, no user's paths, reasons for dependencies, sound C."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from tree import PACKAGE, ROOT, imports, modules, name, syntax, tracked_files

LONGEST = 500  # lines
LONGER = {"extension/package-lock.json"}  # written by npm

MACHINE_PATH = re.compile(r"(?<![\w$}*.~])/(?:work\b|(?:root|home|tmp)/[\w.])[\w./-]*")
GUEST_PATHS = {
    ("tests/fast/system/test_compose.py", "home/x"),
    ("tests/fast/system/test_images.py", "tmp/through"),
    ("tests/machine/timeline/test_files_and_packets.py", "tmp/clocks"),
    ("tests/machine/timeline/test_files_and_packets.py", "tmp/x"),
}
"""Paths (below /) that look like those of somebody's computer, but are a container's or made up."""

REGISTRY = re.compile(
    r"\b(?:[\w-]+\.)*(?:debian\.org|ubuntu\.com|pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)"
    r"|yarnpkg\.com|ghcr\.io|gcr\.io|quay\.io)\b|\bregistry[\w-]*\.[\w-]+\.\w+"
)

DEPENDENCY = re.compile(r'^ +"(?P<name>[\w.-]+)[^"]*",(?P<reason>.*)$')
TOOLS = {
    "jupyterlab": "jupyter lab",
    "mypy": "/mypy",
    "nbconvert": "jupyter nbconvert",
    "pdoc": "/pdoc",
    "pytest": "/pytest",
    "pytest-xdist": "pytest --numprocesses",
    "ruff": "/ruff",
}
"""Dependencies that are programs, and how the Makefile calls them."""


def pyproject() -> dict[str, list[tuple[str, str]]]:
    """The lists of dependencies in pyproject.toml, each with (name, reason)."""
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    lines = {m["name"]: m["reason"] for m in map(DEPENDENCY.match, text.splitlines()) if m}
    found = {}
    for group, wanted in lists.items():
        names = [re.split(r"[<>=!~\[ ;]", entry)[0] for entry in wanted]
        found[group] = [(each, lines.get(each, "")) for each in names]
    return found


def texts() -> list[tuple[str, str]]:
    """Name and content of every tracked text file."""
    found = []
    for path in tracked_files():
        data = path.read_bytes()
        if b"\0" not in data:
            found.append((name(path), data.decode()))
    return found


# -- files


def written(path: str, text: str) -> str:
    """What people have written of a file: of a notebook, its cells without their outputs; of what
    the bench has measured, nothing.
    """
    if path.startswith("tests/bench/results/"):
        return ""
    if not path.endswith(".ipynb"):
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


def test_files_are_short() -> None:
    long = {each for each, text in texts() if written(each, text).count("\n") > LONGEST}
    assert long == LONGER


def test_no_two_files_of_tests_have_the_same_name() -> None:
    """pytest knows them by name only, and refuses a second one of this name in one process."""
    found = sorted(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert found == sorted(set(found))


def test_no_path_of_a_computer_is_in_the_tree() -> None:
    found = {(each, path[1:]) for each, text in texts() for path in MACHINE_PATH.findall(text)}
    assert found - GUEST_PATHS == set()


def test_no_registry_is_named_in_the_tree() -> None:
    """Packages come from the sources that the computer's own apt, pip and npm are set up to use."""
    assert {(each, host) for each, text in texts() for host in REGISTRY.findall(text)} == set()


def test_the_searches_would_find_something() -> None:
    for path in ("/" + "work/main", "see /home" + "/me", '"/tmp' + '/x"', "/root" + "/.cache"):
        assert MACHINE_PATH.search(path)
    for path in ("$run/i/root/x", "/tmp", "HOME=/root", "workdir=$2/work", "~/.cache"):
        assert not MACHINE_PATH.search(path)
    for host in ("deb.debian" + ".org", "registry.npmjs" + ".org", "files.pythonhosted" + ".org"):
        assert REGISTRY.search(f"https://{host}/x")


# -- dependencies


def test_every_dependency_has_its_reason() -> None:
    bare = [each for group in pyproject().values() for each, reason in group if "# " not in reason]
    assert bare == []


IMPORTED_AS = {"pyelftools": "elftools"}


@pytest.mark.parametrize("dependency", [each for each, _ in pyproject()[""]])
def test_every_dependency_is_imported(dependency: str) -> None:
    used = {found for path in modules().values() for found in imports(path)}
    wanted = IMPORTED_AS.get(dependency, dependency.replace("-", "_"))
    assert any(found == wanted or found.startswith(f"{wanted}.") for found in used)


@pytest.mark.parametrize(
    "dependency", [each for group, found in pyproject().items() if group for each, _ in found]
)
def test_every_optional_dependency_is_used(dependency: str) -> None:
    tests = (ROOT / "tests").rglob("*.py")
    used = {found.partition(".")[0] for path in tests for found in imports(path)}
    if dependency == "pytest-timeout":  # the only plugin
        assert (
            "timeout"
            in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
        )
    elif dependency.endswith("-stubs"):
        assert dependency.removesuffix("-stubs") in dict(pyproject()[""])
    else:
        called = TOOLS.get(dependency)
        imported = dependency.replace("-", "_") in used
        assert imported or (called and called in (ROOT / "Makefile").read_text())


# -- C


@pytest.mark.parametrize("source", sorted(PACKAGE.rglob("*.c")), ids=name)
def test_c_compiles_without_a_warning(source: Path, tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "gcc is needed for everything here; run: make setup"
    options = ["-std=gnu11", "-O2", "-fPIC", "-pthread", "-Wall", "-Wextra", "-Werror"]
    done = subprocess.run(
        [compiler, *options, "-c", "-o", tmp_path / "object", source],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# -- Python


UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "dill", "marshal", "shelve", "cloudpickle"}
TRUSTING = {"branchpoint.futures.running.messages": {"cloudpickle"}}
"""The exceptions, because a process of this program has written what they read."""
UNSAFE_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pd.read_pickle",
}  # fmt: skip
STARTERS = {"run", "Popen", "call", "check_call", "check_output"}  # of subprocess


def unsafe(node: ast.AST) -> bool:
    """Whether a piece of code can execute the content of a file or a user's text."""
    if not isinstance(node, ast.Call):
        return False
    options = {option.arg: getattr(option.value, "value", True) for option in node.keywords}
    function = ast.unparse(node.func)
    return (
        function in UNSAFE_CALLS
        or bool(options.get("allow_pickle"))
        or (function.rpartition(".")[2] in STARTERS and bool(options.get("shell")))
    )


@pytest.mark.parametrize("module", modules())
def test_no_text_is_run_as_code(module: str) -> None:
    path = modules()[module]
    used = {found.partition(".")[0] for found in imports(path)}
    assert used & UNSAFE_MODULES == TRUSTING.get(module, set())
    assert [node.lineno for node in ast.walk(syntax(path)) if unsafe(node)] == []


def test_the_search_for_unsafe_code_would_find_it() -> None:
    for code in ("eval(x)", "os.system(x)", "run(x, shell=True)", "load(x, allow_pickle=True)"):
        assert any(map(unsafe, ast.walk(ast.parse(code))))
    for code in ("wire.exec(x)", "re.compile(x)", "load(x, allow_pickle=False)", "Image(shell=x)"):
        assert not any(map(unsafe, ast.walk(ast.parse(code))))
