"""A new notebook for a recording, from a template: a double click in JupyterLab opens the same."""

from __future__ import annotations

import json
import os
from pathlib import Path

_TEMPLATE = Path(__file__).with_suffix(".ipynb")
_PLACEHOLDER = "RECORDING"


def triage(recording: str | os.PathLike[str]) -> Path:
    """Write a notebook next to a recording (or a bundle, ``.bpz``) that opens the recording and
    shows what happened. Returns the notebook's path. Existing files are not overwritten.

    :raises OSError: when the notebook cannot be written.
    """
    source = Path(recording)
    text = json.loads(_TEMPLATE.read_text("utf-8"))
    for cell in text["cells"]:
        cell["source"] = [line.replace(_PLACEHOLDER, source.name) for line in cell["source"]]
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
