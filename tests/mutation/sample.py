"""Changes one small thing in the code at a time, and sees whether tests/fast notices it.

`make mutation` takes a sample (by seed) of all changes that Cosmic Ray knows, in the rooms of the
package below, in a copy of the project. The tests of the same room run first, then all the others,
because what they do not notice matters only if nothing else does. Results go to ``survivors.md``
beside this file, with the reasons that are written there already.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import MutationVisitor
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[2]
PACKAGE = Path("kernel", "branchpoint")
TESTS = Path("tests", "fast")
ROOMS = ("futures", "timeline", "system", "faults", "sharing")
SURVIVORS = Path(__file__).with_name("survivors.md")
_ROW = re.compile(r"\| `(?P<place>[^`]+)` \| `(?P<change>[^`]+)` \| (?P<reason>.*) \|")
_TIMEOUT = 1800  # wall seconds for one run of the tests; a change that makes them hang is noticed

Position = tuple[int, int]
"""Line (from 1) and column (from 0)."""


@dataclass(frozen=True)
class Mutation:
    """One change: the ``occurrence``-th that ``operator`` can make in ``module``."""

    module: Path
    line: int
    operator: str
    occurrence: int

    @property
    def room(self) -> str:
        return self.module.relative_to(PACKAGE).parts[0]

    @property
    def name(self) -> str:
        """The operator, as survivors are listed."""
        return self.operator.removeprefix("core/")


def mutations_of(module: Path) -> dict[Position, list[Mutation]]:
    """All changes that can be made in a module and have an effect, by place."""
    text = (ROOT / module).read_text("utf-8")
    inert = list(_without_effect(ast.parse(text)))
    found: dict[Position, list[Mutation]] = {}
    tree = get_ast(text)
    for name in sorted(operator_names()):
        if name.startswith(("core/Variable", "core/ExceptionReplacer")):
            continue  # they need arguments, or only ever make a handler that catches nothing
        operator = get_operator(name)()
        places = (place for node in _nodes(tree) for place in operator.mutation_positions(node))
        for occurrence, (start, end) in enumerate(places):
            if not any(first <= start and end <= last for first, last in inert):
                found.setdefault(start, []).append(Mutation(module, start[0], name, occurrence))
    return found


def _nodes(node: object) -> Iterator[object]:
    """In the order in which Cosmic Ray counts occurrences."""
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


def _without_effect(tree: ast.Module) -> Iterator[tuple[Position, Position]]:
    """Where code only speaks of types: annotations, and imports for the type checker."""
    for node in ast.walk(tree):
        silent: list[ast.AST | None] = []
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                silent = [node.returns]
            case ast.arg() | ast.AnnAssign():
                silent = [node.annotation]
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                silent = [node]
        for each in silent:
            if isinstance(each, ast.expr | ast.stmt):
                assert each.end_lineno is not None and each.end_col_offset is not None
                yield (each.lineno, each.col_offset), (each.end_lineno, each.end_col_offset)


def sample(count: int, seed: int) -> list[Mutation]:
    """``count`` changes at different places, as many of each room; which, is by chance.

    First a place is chosen, then a change there: else most would be of one ``+``, which Cosmic Ray
    replaces by eleven other operators.
    """
    chance = random.Random(seed)
    chosen: list[Mutation] = []
    for number, room in enumerate(ROOMS):
        modules = sorted((ROOT / PACKAGE / room).rglob("*.py"))
        places = [
            mutations
            for module in modules
            for _, mutations in sorted(mutations_of(module.relative_to(ROOT)).items())
        ]
        chance.shuffle(places)
        some = (chance.choice(each) for each in places)
        share = count // len(ROOMS) + (number < count % len(ROOMS))
        chosen += itertools.islice(filter(_compiles, some), share)
    return chosen


def _compiles(mutation: Mutation) -> bool:
    """Some changes give no program at all: a test that notices them says nothing."""
    _, after = applied(mutation, ROOT)
    try:
        compile(after, str(mutation.module), "exec")
    except SyntaxError:
        return False
    return True


def applied(mutation: Mutation, project: Path) -> tuple[str, str]:
    """The text of the module before and after the change."""
    before = (project / mutation.module).read_text("utf-8")
    operator = get_operator(mutation.operator)()
    after = MutationVisitor.mutate_code(before, operator, mutation.occurrence)
    assert after is not None and after != before, mutation
    return before, after


def copy_of_project(folder: Path) -> Path:
    """What git knows of the project, as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return folder


def survives(mutation: Mutation, project: Path) -> str:
    """The change as a line, if no test in ``project`` notices it; else an empty text."""
    module = project / mutation.module
    before, after = applied(mutation, project)
    module.write_text(after, "utf-8")
    try:
        if not passes(project, [TESTS / mutation.room]) or not passes(project, [TESTS]):
            return ""
    finally:
        module.write_text(before, "utf-8")
    changed = zip(before.splitlines(), after.splitlines(), strict=False)
    return next(new.strip() for old, new in changed if old != new)


def passes(project: Path, tests: list[Path]) -> bool:
    """Whether these tests pass with the package as it is in ``project``."""
    kernel = str(project / "kernel")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        *map(str, tests),
    ]
    with subprocess.Popen(
        command,
        cwd=project,
        env={**os.environ, "PYTHONPATH": kernel, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as run:
        try:
            return run.wait(_TIMEOUT) == 0
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, 9)
            return False


def reasons() -> dict[tuple[str, str], str]:
    """What is written already about survivors: by module and line of code."""
    if not SURVIVORS.exists():
        return {}
    rows = map(_ROW.fullmatch, SURVIVORS.read_text("utf-8").splitlines())
    return {(row["place"], row["change"]): row["reason"] for row in rows if row}


def write(survivors: list[tuple[Mutation, str]], count: int, seed: int, minutes: float) -> None:
    """The list of survivors, with known reasons kept."""
    known = reasons()
    lines = [
        "# Changes that tests/fast do not notice",
        "",
        f"{count - len(survivors)} of {count} changes were noticed (`make mutation`, seed {seed}, "
        f"{minutes:.0f} minutes). The others:",
        "",
        "| where | the line, changed | why no test fails |",
        "|---|---|---|",
    ]
    for mutation, change in sorted(survivors, key=lambda each: (each[0].module, each[0].line)):
        place = str(mutation.module.relative_to(PACKAGE))
        shown = change.replace("`", "'").replace("|", "¦")
        lines.append(f"| `{place}` | `{shown}` | {known.get((place, shown), '')} |")
    SURVIVORS.write_text("\n".join(lines) + "\n", "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, choices=range(1, 65), default=2)
    given = parser.parse_args()
    chosen = sample(given.count, given.seed)
    started = time.monotonic()
    survivors: list[tuple[Mutation, str]] = []
    with tempfile.TemporaryDirectory(prefix="branchpoint-mutation-") as folder:
        projects: SimpleQueue[Path] = SimpleQueue()
        for number in range(given.processes):
            project = copy_of_project(Path(folder, str(number)))
            projects.put(project)
        if not passes(project, [TESTS]):  # else every change would count as noticed
            parser.exit(1, f"{TESTS} fail without any change, in a copy of what git knows\n")

        def tried(mutation: Mutation) -> str:
            project = projects.get()
            try:
                return survives(mutation, project)
            finally:
                projects.put(project)

        with ThreadPoolExecutor(given.processes) as pool:
            running = {pool.submit(tried, mutation): mutation for mutation in chosen}
            for number, done in enumerate(as_completed(running), 1):
                mutation, change = running[done], done.result()
                verdict = f"survives: {change}" if change else "noticed"
                where = f"{mutation.module.relative_to(PACKAGE)}:{mutation.line}"
                print(f"{number}/{given.count} {where} {mutation.name}: {verdict}", flush=True)
                if change:
                    survivors.append((mutation, change))
    write(survivors, given.count, given.seed, (time.monotonic() - started) / 60)
    print(f"{given.count - len(survivors)} of {given.count} were noticed; see {SURVIVORS.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
