"""Do compose files from the wild mean to us what they mean to the reference implementation?

`make corpus CORPUS=folder` reads every compose file below a folder (clones of public
repositories, for example) twice, and lists which are read by whom, and what differs. Images are
not looked up. Exit status 1: a model differs.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import models
from reference import ENVIRONMENT, Reference

from branchpoint import progress
from branchpoint.errors import ComposeError
from branchpoint.system.compose.reading import load

_YAML = re.compile(r"\.ya?ml$", re.IGNORECASE)
_NAME = re.compile(r"compose[^/]*\.ya?ml$", re.IGNORECASE)
_CONTENT = re.compile(r"^\s*(services|include)\s*:", re.MULTILINE)
_OTHER_CONTENT = re.compile(r"^services\s*:\s*(#.*)?$", re.MULTILINE)
"""Of files whose name says nothing."""

EQUAL, DIFFERENT = "read here and there, as the same model", "read as different models"
ONLY_HERE, ONLY_THERE, NOWHERE = "read only here", "read only there", "read nowhere"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.absolute()
    files = list(compose_files(folder))
    if not files:
        sys.exit(f"no compose file below {folder}")
    reference = Reference()
    os.environ["HOME"] = ENVIRONMENT["HOME"]  # what ~ means
    kinds: Counter[str] = Counter()
    with progress.task("compose files", len(files), "files") as task:
        for number, file in enumerate(files, 1):
            kinds[compare(file, reference)] += 1
            task.update(number)
    here, there = kinds[EQUAL] + kinds[DIFFERENT], kinds[ONLY_THERE]
    print(
        f"{len(files)} compose files, reference {reference.version}. It reads {here + there}, of "
        f"which {here} are read here ({here / max(here + there, 1):.1%}), "
        f"{kinds[EQUAL]} as the same model. "
        f"Read only here: {kinds[ONLY_HERE]}, nowhere: {kinds[NOWHERE]}."
    )
    sys.exit(bool(kinds[DIFFERENT]))


def compare(file: Path, reference: Reference) -> str:
    """Read a file twice, print what differs, and return one of the kinds above."""
    try:
        project = reference.read(file)
    except ValueError as error:
        project, why_there = None, str(error)
    try:
        system = load(file, ["*"], ENVIRONMENT)
    except ComposeError as error:
        if project is None:
            return NOWHERE
        included = "" if error.file == file else f"{file} by "
        print(f"refused here: {included}{error.message} → {error.hint}")
        return ONLY_THERE
    if project is None:
        print(f"refused there: {file}: {why_there}")
        return ONLY_HERE
    found = models.differences(system, project)
    for key, (mine, theirs) in found.items():
        print(f"differs: {file}: {key}: {mine!r} here, {theirs!r} there")
    return DIFFERENT if found else EQUAL


def compose_files(folder: Path) -> Iterator[Path]:
    """All files below a folder that look like compose files, by name and content."""
    for path in sorted(folder.rglob("*")):
        content = _CONTENT if _NAME.search(path.name) else _OTHER_CONTENT
        if _YAML.search(path.name) and path.is_file() and content.search(_text(path)):
            yield path


def _text(path: Path) -> str:
    return path.read_text(errors="replace")


if __name__ == "__main__":
    main()
