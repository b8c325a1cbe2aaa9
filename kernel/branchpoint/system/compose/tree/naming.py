"""The project's name, which compose files may use as a variable."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping as Variables
from collections.abc import Sequence
from pathlib import Path

from branchpoint.errors import ComposeError
from branchpoint.system.compose.tree.interpolation import Interpolator
from branchpoint.system.compose.tree.yamltree import Document

PROJECT_NAME = "COMPOSE_PROJECT_NAME"


def project_name(documents: Sequence[Document], variables: Variables[str, str]) -> str:
    """What the variable says; else the last ``name`` of the files; else the first one's folder.

    :raises ComposeError: for a variable that the engine refuses.
    """
    given = variables.get(PROJECT_NAME, "")
    if given != _normal(given):
        raise ComposeError(
            f'the variable {PROJECT_NAME} is "{given}", which cannot be the name of a project',
            documents[0].path,
            hint="use small letters, digits, - and _, with a letter or a digit first",
        )
    folder = Path(os.path.normpath(documents[0].path.parent)).name  # a link's own name counts
    written = [_normal(_written(document, variables)) for document in documents]
    return next(filter(None, (given, *reversed(written), _normal(folder))), "system")


def _written(document: Document, variables: Variables[str, str]) -> str:
    def error(line: int, message: str, hint: str) -> ComposeError:
        return ComposeError(message, document.path, line, hint)

    return Interpolator(variables, error)(*document.top("name"))


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "", name.lower()).lstrip("_-")
