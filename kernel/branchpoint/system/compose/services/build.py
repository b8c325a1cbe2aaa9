"""``build`` of a service: a Dockerfile, its context, and what else its build is given."""

from __future__ import annotations

import re
from collections.abc import Mapping as Variables
from pathlib import Path

from branchpoint.system.compose.grants import Granted, read_grants
from branchpoint.system.compose.keys import BUILD
from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.yamltree import Mapping, Value
from branchpoint.system.model import SERVICE, Build, BuildSecret, Note

_REMOTE = re.compile(r"[a-z+]+://|git@|github\.com/")
_IMAGE, _LAYOUT = "docker-image://", "oci-layout://"


def read_build(
    value: Value, variables: Variables[str, str], granted: Granted, notes: list[Note]
) -> Build:
    """What a Dockerfile is built with; ``variables`` give arguments that are only named.

    :raises ComposeError: with file and line.
    """
    if not isinstance(value, Mapping):
        return Build(_directory(value, '"context"'), value.line)
    notes += fields.check(value, BUILD, '"build"')
    entries = value.entries
    args: dict[str, str] = {}
    for key, given, _ in fields.pairs(entries["args"], '"args"') if "args" in entries else []:
        if given is not None or key in variables:
            args[key] = given if given is not None else variables[key]
    read = {
        key: fields.text(entries[key], f'"{key}"')
        for key in ("dockerfile", "dockerfile_inline", "target")
        if key in entries
    }
    secrets = []
    for grant in read_grants(entries["secrets"], "secrets") if "secrets" in entries else ():
        entry = granted.entry(grant)
        name = entry.target.rpartition("/")[2]
        secrets.append(BuildSecret(name, entry.source, entry.text))
    return Build(
        _directory(entries["context"], '"context"') if "context" in entries else str(value.folder),
        value.line,
        read.get("dockerfile"),
        read.get("dockerfile_inline"),
        read.get("target"),
        args,
        _contexts(entries["additional_contexts"]) if "additional_contexts" in entries else {},
        tuple(secrets),
    )


def _contexts(value: Value) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, written, where in fields.pairs(value, '"additional_contexts"'):
        if not written:
            raise where.error(
                f'"{name}" of "additional_contexts" names nothing', "write NAME: ./DIRECTORY"
            )
        if written.startswith((SERVICE, _IMAGE)):
            found[name] = written.removeprefix(_IMAGE)
        elif written.startswith(_LAYOUT):
            found[name] = f"oci:{where.folder / written.removeprefix(_LAYOUT)}"
        else:
            found[name] = _local(where, written)
            if not Path(found[name]).is_dir():
                raise where.error(
                    f"there is no directory {found[name]}",
                    "paths are relative to the compose file",
                )
    return found


def _directory(value: Value, what: str) -> str:
    return _local(value, fields.text(value, what))


def _local(where: Value, written: str) -> str:
    if _REMOTE.match(written):
        raise where.error(
            f"{written} is not a local directory", "fetch it, and write its path here"
        )
    return str((where.folder / Path(written).expanduser()).resolve())
