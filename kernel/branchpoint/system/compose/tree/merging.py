"""Two trees of compose files -> one, as the specification merges them.

Mappings are merged key by key, lists are joined, and single values of the later file win. Some keys
of a service have rules of their own: what names the same thing (a variable, a place in a container)
is there once, and commands are replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.yamltree import Mapping, Scalar, Sequence, Value
from branchpoint.system.images.recipe import KEY as RECIPE_KEY

Path = tuple[str, ...]
"""The keys that lead to a value; ``*`` stands for any."""
_IMAGE = ("image", "build", RECIPE_KEY)
_OF_ITS_OWN = ("container_name", "profiles", "scale")
"""What a service that is a version says of itself alone."""
_Merge = Callable[[Value, Value, Path], Value]


def merge(base: Value, over: Value, path: Path = ()) -> Value:
    """``base`` with what ``over``, which comes later, says.

    :raises ComposeError: where they cannot be merged, such as a list and a mapping.
    """
    if over.tag or fields.is_null(base):
        return over
    for pattern, special in _SPECIAL.items():
        if _matches(path, pattern):
            return special(base, over, path)
    if fields.is_null(over):
        return base
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return _mappings(base, over, path)
    if isinstance(base, Sequence) and isinstance(over, Sequence):
        return _joined(base, over, path)
    if isinstance(base, Scalar) and isinstance(over, Scalar):
        return over
    raise over.error(
        f'"{path[-1]}" is {over.shape} here, and {base.shape} in {base.files.said(base.line)}',
        "write both in the same form, or mark this one with !override",
    )


def as_version(base: Mapping, over: Mapping) -> Mapping:
    """A service's body with what another service says, whose image it takes over."""
    kept = {k: v for k, v in base.entries.items() if k not in (*_IMAGE, *_OF_ITS_OWN)}
    said = {k: v for k, v in over.entries.items() if k not in _OF_ITS_OWN}
    if not said.keys() & set(_IMAGE):
        kept |= {k: base.entries[k] for k in _IMAGE if k in base.entries}
    own, other = replace(base, entries=kept), replace(over, entries=said)
    return fields.mapping(merge(own, other, ("services", "*")), "a service")


def settled(value: Value) -> Value:
    """The tree without what is marked ``!reset``."""
    if isinstance(value, Mapping):
        kept = {k: settled(v) for k, v in value.entries.items() if v.tag != "reset"}
        return replace(value, entries=kept, tag="")
    if isinstance(value, Sequence):
        kept_items = [settled(item) for item in value.items if item.tag != "reset"]
        return replace(value, items=kept_items, tag="")
    return value


def _matches(path: Path, pattern: Path) -> bool:
    return len(path) == len(pattern) and all(
        wanted in (key, "*") for key, wanted in zip(path, pattern, strict=True)
    )


def _mappings(base: Mapping, over: Mapping, path: Path) -> Mapping:
    entries, lines = dict(base.entries), dict(base.key_lines)
    for key, value in over.entries.items():
        entries[key] = merge(entries[key], value, (*path, key)) if key in entries else value
        lines[key] = over.key_lines[key]
    return replace(base, entries=entries, key_lines=lines)


def _joined(base: Sequence, over: Sequence, path: Path) -> Sequence:
    """Both lists; what has the same name as something before takes its place."""
    name = next((n for pattern, n in _NAMES.items() if _matches(path, pattern)), None)
    items = [*base.items, *over.items]
    if name is not None:
        named: dict[str, Value] = {}
        for item in items:
            named[name(item)] = item
        items = list(named.values())
    return replace(base, items=items)


# -- keys with rules of their own


def _replaced(base: Value, over: Value, path: Path) -> Value:
    return over


def _as_variables(base: Value, over: Value, path: Path) -> Value:
    """``[K=V]`` or ``{K: V}``; a name alone counts in place of a value, too."""
    if fields.is_null(over):
        return base
    first, last = _variables(base, path), _variables(over, path)
    entries, lines = first.entries | last.entries, first.key_lines | last.key_lines
    return replace(first, entries=entries, key_lines=lines)


def _as_names(base: Value, over: Value, path: Path) -> Value:
    """``[NAME]`` or ``{NAME: ...}``."""
    return _mappings(_named(base, path), _named(over, path), path)


def _as_lists(base: Value, over: Value, path: Path) -> Value:
    """One value, or a list of them."""
    return _joined(_listed(base), _listed(over), path)


def _as_builds(base: Value, over: Value, path: Path) -> Value:
    return _mappings(_build(base), _build(over), path)


def _variables(value: Value, path: Path) -> Mapping:
    if isinstance(value, Mapping):
        return value
    entries: dict[str, Value] = {}
    lines: dict[str, int] = {}
    for key, given, where in fields.pairs(value, f'"{path[-1]}"'):
        kind = "null" if given is None else "str"
        entries[key] = Scalar(where.files, where.line, given or "", kind)
        lines[key] = where.line
    return Mapping(value.files, value.line, entries, lines)


def _named(value: Value, path: Path) -> Mapping:
    if isinstance(value, Mapping):
        return value
    entries: dict[str, Value] = {}
    lines: dict[str, int] = {}
    for item in fields.sequence(value, f'"{path[-1]}"').items:
        name = fields.text(item, f'each of "{path[-1]}"')
        entries[name] = Scalar(item.files, item.line, "", "null")
        lines[name] = item.line
        if path[-1] == "depends_on":
            started = Scalar(item.files, item.line, "service_started", "str")
            entries[name] = Mapping(
                item.files, item.line, {"condition": started}, {"condition": item.line}
            )
    return Mapping(value.files, value.line, entries, lines)


def _listed(value: Value) -> Sequence:
    if isinstance(value, Sequence):
        return value
    if isinstance(value, Mapping):  # {NAME: ADDRESS}
        items: list[Value] = [
            Scalar(each.files, value.key_lines[key], f"{key}={text or ''}", "str")
            for key, text, each in fields.pairs(value, "a mapping")
        ]
        return Sequence(value.files, value.line, items)
    return Sequence(value.files, value.line, [value])


def _build(value: Value) -> Mapping:
    if isinstance(value, Mapping):
        return value
    return Mapping(value.files, value.line, {"context": value}, {"context": value.line})


# -- when two entries of a list are the same thing


def _whole(item: Value) -> str:
    return item.text if isinstance(item, Scalar) else f"{item.line}"


def _target(item: Value) -> str:
    """Where a volume is mounted."""
    if isinstance(item, Mapping):
        return _entry(item, "target")
    parts = _whole(item).split(":")
    return parts[1] if len(parts) > 1 else parts[0]


def _granted(folder: str) -> Callable[[Value], str]:
    """Where a secret or config is placed."""

    def name(item: Value) -> str:
        if isinstance(item, Mapping):
            return _entry(item, "target") or f"{folder}/{_entry(item, 'source')}"
        return f"{folder}/{_whole(item)}"

    return name


def _env_file(item: Value) -> str:
    return _entry(item, "path") if isinstance(item, Mapping) else _whole(item)


def _entry(item: Mapping, key: str) -> str:
    value = item.entries.get(key)
    return value.text if isinstance(value, Scalar) else ""


_SERVICE = ("services", "*")
_SPECIAL: dict[Path, _Merge] = {
    (*_SERVICE, "command"): _replaced,
    (*_SERVICE, "entrypoint"): _replaced,
    (*_SERVICE, "healthcheck", "test"): _replaced,
    (*_SERVICE, "ulimits", "*"): _replaced,
    (*_SERVICE, "build"): _as_builds,
    (*_SERVICE, "depends_on"): _as_names,
    (*_SERVICE, "networks"): _as_names,
    **{
        (*_SERVICE, *keys): _as_variables
        for keys in [
            ("annotations",), ("environment",), ("labels",), ("sysctls",),
            ("build", "additional_contexts"), ("build", "args"), ("build", "labels"),
            ("deploy", "labels"),
        ]
    },
    **{
        (*_SERVICE, key): _as_lists
        for key in (
            "dns", "dns_opt", "dns_search", "env_file", "extra_hosts", "label_file", "tmpfs",
        )
    },
    ("networks", "*", "labels"): _as_variables,
    ("volumes", "*", "labels"): _as_variables,
}  # fmt: skip
_NAMES: dict[Path, Callable[[Value], str]] = {
    **{
        (*_SERVICE, key): _whole
        for key in (
            "cap_add", "cap_drop", "dns", "dns_opt", "dns_search", "expose", "extra_hosts",
            "group_add", "links", "ports", "profiles", "security_opt", "tmpfs",
        )
    },
    (*_SERVICE, "networks", "*", "aliases"): _whole,
    (*_SERVICE, "env_file"): _env_file,
    (*_SERVICE, "volumes"): _target,
    (*_SERVICE, "devices"): _target,
    (*_SERVICE, "secrets"): _granted("/run/secrets"),
    (*_SERVICE, "build", "secrets"): _granted("/run/secrets"),
    (*_SERVICE, "configs"): _granted(""),
}  # fmt: skip
