"""What a container may do and use: capabilities, limits, sysctls."""

from __future__ import annotations

from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.yamltree import Mapping, Scalar, Value
from branchpoint.system.linux import CAPABILITIES, DEVICES, EVERYWHERE, RLIMITS
from branchpoint.system.model import Note, Ulimit

_LEAST_SHARES, _MOST_SHARES = 2, 262144
_LEAST_MEMORY = 6 << 20  # as in docker
_HIGHEST_LIMIT = 1 << 53
_SYSCTLS = ("net.", "kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")


def read_capabilities(value: Value, what: str) -> tuple[str, ...]:
    """Names without CAP_; ALL means all of them."""
    names = []
    for item in fields.sequence(value, what).items:
        name = fields.text(item, f"each of {what}").upper().removeprefix("CAP_")
        if name not in (*CAPABILITIES, "ALL"):
            hint = fields.nearest(name, CAPABILITIES)
            raise item.error(f'there is no capability "{name}"', hint)
        names.append(name)
    return tuple(names)


def read_devices(value: Value) -> tuple[str, ...]:
    """``devices``: those of the machine, which has few."""
    found = []
    for item in fields.sequence(value, '"devices"').items:
        if isinstance(item, Mapping):
            fields.check_keys(item, ["source", "target", "permissions"], 'each of "devices"')
            if "source" not in item.entries:
                raise item.error('each of "devices" needs "source"')
            parts = [
                fields.text(item.entries[key], f'"{key}"')
                for key in ("source", "target")
                if key in item.entries
            ]
        else:
            parts = fields.text(item, 'each of "devices"').split(":")[:2]
        path, place = parts[0], parts[-1]
        if place not in (path, "rw", "rwm", "r"):
            raise item.error(f"the machine's {path} cannot be at another place", "name it once")
        if path in DEVICES:
            found.append(path)
        elif path.removeprefix("/dev/") not in EVERYWHERE:
            raise item.error(f"the machine has no {path}", f"it has {', '.join(DEVICES)}")
    return tuple(dict.fromkeys(found))


def read_ulimits(value: Value) -> tuple[Ulimit, ...]:
    """``ulimits``: one number, or "soft" and "hard"; -1 is unlimited."""
    limits = []
    for name, entry in fields.items(value, '"ulimits"'):
        if name not in RLIMITS:
            hint = fields.nearest(name, RLIMITS) or f"one of: {', '.join(RLIMITS)}"
            raise entry.error(f'there is no ulimit "{name}"', hint)
        if isinstance(entry, Mapping):
            fields.check_keys(entry, ["soft", "hard"], f'the ulimit "{name}"')
            if len(entry.entries) != 2:
                raise entry.error(f'the ulimit "{name}" needs "soft" and "hard"')
            soft = fields.integer(entry.entries["soft"], '"soft"', -1, _HIGHEST_LIMIT)
            hard = fields.integer(entry.entries["hard"], '"hard"', -1, _HIGHEST_LIMIT)
        else:
            soft = hard = fields.integer(entry, f'the ulimit "{name}"', -1, _HIGHEST_LIMIT)
        if hard != -1 and (soft == -1 or soft > hard):
            raise entry.error(f'the soft limit of "{name}" is above the hard one')
        limits.append(Ulimit(name, soft, hard))
    return tuple(limits)


def read_sysctls(value: Value) -> dict[str, str]:
    """``sysctls``; only those that belong to a container's own namespaces are allowed."""
    found: dict[str, str] = {}
    for key, text, where in fields.pairs(value, '"sysctls"'):
        if not key.startswith(_SYSCTLS):
            raise where.error(
                f'the sysctl "{key}" belongs to the whole machine, not to a container',
                f"a container can set only these: {', '.join(_SYSCTLS)}",
            )
        if text is None:
            raise where.error(f'the sysctl "{key}" lacks a value')
        found[key] = text
    return found


def read_memory(value: Value, what: str) -> int | None:
    """Bytes; None for 0 and -1, which mean no limit."""
    if isinstance(value, Scalar) and value.text == "-1":
        return None
    limit = fields.size(value, what)
    if 0 < limit < _LEAST_MEMORY:
        raise value.error("a memory limit must be at least 6m")
    return limit or None


def read_pids(value: Value, what: str) -> int | None:
    """A number of processes; None for -1 and 0, which mean no limit."""
    limit = fields.integer(value, what, -1, 1 << 22)
    return limit if limit > 0 else None


def read_cpu_shares(value: Value, what: str) -> int | None:
    """A weight; None for 0, which means Linux's own."""
    shares = fields.integer(value, what, 0, _MOST_SHARES)
    return max(shares, _LEAST_SHARES) if shares else None


def read_cpus(value: Value, what: str) -> float | None:
    """A share of the one processor; None for 0, which means no limit."""
    return fields.number(value, what, 0, 1024) or None


def read_security_opt(value: Value, notes: list[Note]) -> dict[str, bool]:
    """Arguments of a service; options that lift a confinement that nobody has get a note."""
    found: dict[str, bool] = {}
    for item in fields.sequence(value, '"security_opt"').items:
        option = fields.text(item, 'each of "security_opt"').replace("=", ":", 1)
        if option in ("no-new-privileges", "no-new-privileges:true"):
            found["no_new_privileges"] = True
        elif option == "seccomp:unconfined":
            found["confined"] = False
        elif option in ("seccomp:builtin", "no-new-privileges:false"):
            continue
        elif option in ("apparmor:unconfined", "label:disable"):
            text = f'"{option}" has no effect: containers are never confined in this way'
            notes.append(Note(item.line, text))
        else:
            hint = "seccomp:unconfined lifts the usual profile" if option[:7] == "seccomp" else ""
            raise item.error(f'"{option}" is not supported', hint or "remove it")
    return found
