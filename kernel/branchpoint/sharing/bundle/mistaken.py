"""Paths that are not recordings: what they are instead, and what to do with them."""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path

from branchpoint.errors import RecordingError

_FOLDER, _BUNDLE = ".branchpoint", ".bpz"
_PARTS = ("recording.json", "recording.json.bak", "events", "pages", "checkpoints")
_LISTED = 5  # recordings in a hint


def check(path: Path | str) -> None:
    """Refuse what is clearly neither a recording nor a bundle; damage is found by others.

    :raises RecordingError: it says what the path is, and what to do with it.
    """
    path = Path(path)
    try:
        if path.is_dir():
            _check_folder(path)
        elif path.is_file():
            _check_file(path)
        elif not path.is_symlink() and not path.exists():
            raise RecordingError(f"there is no recording at {path}", _near(path))
    except OSError:
        return  # whoever opens it says why it cannot be read


def _check_folder(path: Path) -> None:
    if any((path / name).exists() for name in _PARTS):
        return
    raise RecordingError(
        f"{path} is a folder, but not a recording: it has no recording.json",
        _listed("recordings in it", _recordings(path))
        or f"recordings are folders named *{_FOLDER}; to make one: branchpoint record",
    )


def _check_file(path: Path) -> None:
    quoted = shlex.quote(str(path))
    if path.suffix == ".ipynb":
        what, hint = "a notebook, not a recording", f"to open it: jupyter lab {quoted}"
    elif path.suffix in (".yaml", ".yml"):
        what, hint = (
            "a compose file, not a recording",
            f"to record its system: branchpoint record {quoted}",
        )
    elif path.name in _PARTS[:2]:
        what, hint = "a part of a recording", f"open the folder that it lies in: {path.parent}"
    elif path.suffix == _BUNDLE or _begins_as_one(path):
        return
    else:
        what = "a file, but neither a recording nor a bundle"
        hint = _near(path) or f"a recording is a folder *{_FOLDER}, a bundle a file *{_BUNDLE}"
    raise RecordingError(f"{path} is {what}", hint)


def _begins_as_one(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _recordings(folder: Path) -> list[str]:
    return sorted(
        str(path)
        for path in folder.iterdir()
        if path.suffix in (_FOLDER, _BUNDLE) and not path.name.startswith(".")
    )


def _listed(what: str, names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{what}: {', '.join(names[:_LISTED])}{more}" if names else ""


def _near(path: Path) -> str:
    """A hint: the recordings that are in the folder where it was looked for."""
    if not path.parent.is_dir():
        return ""
    there = _recordings(path.parent)
    close = difflib.get_close_matches(str(path), there, n=1, cutoff=0.8)
    return f"did you mean {close[0]}?" if close else _listed("there are", there)
