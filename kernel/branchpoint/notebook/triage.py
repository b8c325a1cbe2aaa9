"""A new notebook for a recording, from a template: a double click in JupyterLab opens the same."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

_TEMPLATE = Path(__file__).with_suffix(".ipynb")
_PLACEHOLDER = "RECORDING"


def _in_code(name: str) -> str:
    """A stranger may have named the file: its name is one text in Python, whatever is in it."""
    return json.dumps(name, ensure_ascii=False)


def _in_words(name: str) -> str:
    """The same in Markdown, without any markup of its own."""
    return re.sub(r"[\\`*_\[\]<>$|~&]", r"\\\g<0>", re.sub(r"\s", " ", name))


def triage(recording: str | os.PathLike[str]) -> Path:
    """Write a notebook next to a recording (or a bundle, ``.bpz``) that opens the recording and
    shows what happened. Returns the notebook's path. Existing files are not overwritten.

    :raises OSError: when the notebook cannot be written.
    """
    source = Path(recording)
    text = json.loads(_TEMPLATE.read_text("utf-8"))
    for cell in text["cells"]:
        name = _in_code(source.name) if cell["cell_type"] == "code" else _in_words(source.name)
        placeholder = f'"{_PLACEHOLDER}"' if cell["cell_type"] == "code" else _PLACEHOLDER
        cell["source"] = [line.replace(placeholder, name) for line in cell["source"]]
    body = json.dumps(text, indent=1) + "\n"
    number = 1
    while True:
        ending = "" if number == 1 else f"-{number}"
        path = source.with_name(f"{source.stem}-triage{ending}.ipynb")
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(body)
        except FileExistsError:
            number += 1
        else:
            return path
