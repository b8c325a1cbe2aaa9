"""One entry of ``services`` -> Service."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as Variables
from dataclasses import replace
from typing import Any

from branchpoint.system.compose.declared import KEY, read_own
from branchpoint.system.compose.grants import Granted, read_grants
from branchpoint.system.compose.keys import DEPLOY, SERVICE
from branchpoint.system.compose.services import attachments, commands, lifecycle, limits, mounts
from branchpoint.system.compose.services.attachments import BRIDGE
from branchpoint.system.compose.services.build import read_build
from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.environment import read_variables
from branchpoint.system.compose.tree.yamltree import Mapping, Scalar, Sequence, Value
from branchpoint.system.images.recipe import KEY as RECIPE_KEY
from branchpoint.system.images.recipe import read_recipe
from branchpoint.system.linux import signal_number
from branchpoint.system.model import (
    MACHINE,
    Attachment,
    FileEntry,
    Mount,
    Note,
    Resolver,
    Service,
)

_MAX_REPLICAS = 64
_UNSAID_IF_EMPTY = (
    *("container_name", "domainname", "hostname", "image", "mac_address", "stop_signal", "user"),
    "working_dir",
)
"""Keys whose empty text, as of a variable without a value, says nothing, as for the engine."""
_NOTHING = ("", "default", "false", "private", "shareable")  # values that ask for nothing special
_MODES = ["replicated", "global", "replicated-job", "global-job", ""]  # alike for one machine
_AMD64 = re.compile(r"linux|(linux/)?(amd64|x86_64)(/v[12])?", re.IGNORECASE)
_CPU_PERIOD = 100_000  # µs, Linux's default
_LONGEST_PERIOD = 1 << 40
_SAID_TWICE = [  # a service's key, the argument that it gives, and the key of "deploy"
    ("scale", "replicas", "replicas"),
    ("cpus", "cpus", "cpus"),
    ("mem_limit", "memory", "memory"),
    ("pids_limit", "pids", "pids"),
]
_Reader = Callable[[Value, str], None]  # the value, and its key in quotes


class ServiceReader:
    """Reads one service; keys that have no effect are added to ``notes``."""

    def __init__(
        self,
        name: str,
        body: Mapping,
        variables: Variables[str, str],
        granted: Granted,
        notes: list[Note],
    ) -> None:
        self.name = name
        self.body = _said(body)
        self.variables = variables
        self.granted = granted
        self.notes = notes
        self.found: dict[str, Any] = {}  # arguments of Service
        self.deployed: dict[str, Any] = {}  # those that "deploy" gives; they win over other keys
        self.limited = False  # whether "deploy" has limits

    def read(self, line: int) -> Service:
        """The service, whose name is in ``line``.

        :raises ComposeError: with file and line, for what cannot be done.
        """
        check_keys(self.name, self.body)
        readers = self._readers()
        where = f'service "{self.name}"'
        for key, value in self.body.entries.items():
            if key in readers:
                if key == "networks" or not fields.is_null(value):
                    readers[key](value, f'"{key}"')
            elif key in SERVICE.refused:
                if not _switched_off(value):
                    message = f'"{key}" is not supported ({where})'
                    raise self.body.key_error(key, message, SERVICE.refused[key])
            elif key in SERVICE.noted and not _switched_off(value):
                self._note(key, SERVICE.noted[key])
        self._check()
        return Service(self.name, line, dict(self.body.key_lines), **self.found)

    def _readers(self) -> dict[str, _Reader]:
        def at_most(low: int, high: int) -> Callable[[Value, str], int]:
            return lambda value, what: fields.integer(value, what, low, high)

        keep = self._keep
        return {
            "build": keep(
                "build", lambda v, _: read_build(v, self.variables, self.granted, self.notes)
            ),
            "cap_add": keep("cap_add", limits.read_capabilities),
            "cap_drop": keep("cap_drop", limits.read_capabilities),
            "command": keep("command", self._argv),
            "configs": self._granted("configs"),
            "container_name": keep("container_name", _container_name),
            "cpu_period": self._cpu_quota,
            "cpu_quota": self._cpu_quota,
            "cpu_shares": keep("cpu_shares", limits.read_cpu_shares),
            "cpus": keep("cpus", limits.read_cpus),
            "depends_on": keep("depends", lambda v, _: lifecycle.read_depends(v, self.notes)),
            "deploy": self._deploy,
            "dns": self._resolver("servers", attachments.read_name_servers),
            "dns_opt": self._resolver("options", fields.words),
            "dns_search": self._resolver("search", fields.words),
            "devices": keep("devices", lambda v, _: limits.read_devices(v)),
            "domainname": keep("domainname", attachments.host_name),
            "entrypoint": keep("entrypoint", self._argv),
            "env_file": self._environment,
            "environment": self._environment,
            "extra_hosts": keep(
                "extra_hosts", lambda v, _: attachments.read_extra_hosts(v, self.notes)
            ),
            "group_add": keep("group_add", lambda v, what: tuple(fields.texts(v, what))),
            "healthcheck": keep("healthcheck", lambda v, _: lifecycle.read_healthcheck(v)),
            "hostname": keep("hostname", attachments.host_name),
            "image": keep("image", fields.text),
            "init": keep("init", fields.boolean),
            "ipc": self._ipc,
            "links": keep("links", lambda v, _: attachments.read_links(v)),
            "mac_address": keep("mac_address", lambda v, _: attachments.mac_address(v)),
            "mem_limit": keep("memory", limits.read_memory),
            "network_mode": self._network_mode,
            "networks": self._networks,
            "oom_score_adj": keep("oom_score_adj", at_most(-1000, 1000)),
            "pids_limit": keep("pids", limits.read_pids),
            "platform": self._platform,
            "post_start": keep("post_start", lambda v, _: lifecycle.read_post_start(v, self.notes)),
            "privileged": keep("privileged", fields.boolean),
            "profiles": lambda value, what: None,  # see read_profiles
            "read_only": keep("read_only", fields.boolean),
            "restart": keep("restart", lambda v, _: lifecycle.read_restart(v)),
            "scale": keep("replicas", at_most(0, _MAX_REPLICAS)),
            "secrets": self._granted("secrets"),
            "security_opt": lambda value, what: self.found.update(
                limits.read_security_opt(value, self.notes)
            ),
            "shm_size": keep("shm_size", fields.size),
            "stop_grace_period": keep("stop_grace", fields.duration),
            "stop_signal": keep("stop_signal", _stop_signal),
            "sysctls": keep("sysctls", lambda v, _: limits.read_sysctls(v)),
            "tmpfs": self._mounts(mounts.read_tmpfs),
            "ulimits": keep("ulimits", lambda v, _: limits.read_ulimits(v)),
            "user": keep("user", fields.text),
            "volumes": self._mounts(lambda v: mounts.read_volumes(v, self.notes)),
            "volumes_from": keep("mounts_of", lambda v, _: mounts.read_volumes_from(v)),
            "working_dir": keep("working_dir", fields.path),
            KEY: lambda value, what: self.found.update(read_own(value)),
            RECIPE_KEY: keep("recipe", lambda v, _: read_recipe(v)),
        }

    def _keep(self, name: str, read: Callable[[Value, str], Any]) -> _Reader:
        def store(value: Value, what: str) -> None:
            self.found[name] = read(value, what)

        return store

    def _granted(self, key: str) -> _Reader:
        def store(value: Value, what: str) -> None:
            grants = [self.granted.entry(grant) for grant in read_grants(value, key)]
            self.found["files"] = (*self.found.get("files", ()), *grants)

        return store

    def _resolver(self, name: str, read: Callable[[Value, str], tuple[str, ...]]) -> _Reader:
        def store(value: Value, what: str) -> None:
            before = self.found.get("resolver", Resolver())
            self.found["resolver"] = replace(before, **{name: read(value, what)})

        return store

    def _mounts(self, read: Callable[[Value], list[Mount]]) -> _Reader:
        def store(value: Value, what: str) -> None:
            self.found["mounts"] = (*self.found.get("mounts", ()), *read(value))

        return store

    def _note(self, key: str, reason: str) -> None:
        text = f'"{key}" of service "{self.name}" has no effect: {reason}'
        self.notes.append(Note(self.body.key_lines[key], text))

    def _check(self) -> None:
        """Check what depends on several keys."""
        found = self.found
        self._check_deployed()
        found |= self.deployed
        if "build" in found and "recipe" in found:
            message = f'"build" and "{RECIPE_KEY}" cannot be used together'
            raise self.body.key_error(RECIPE_KEY, message, "keep one")
        replicas = found.get("replicas", 1)
        if replicas > 1:
            lines: dict[str, int] = {}
            for attachment in reversed(found.get("networks", ())):
                lines |= {"ipv4_address": attachment.line} if attachment.address else {}
                lines |= {"ipv6_address": attachment.line6} if attachment.address6 else {}
            lines |= self.body.key_lines
            for key in ("container_name", "hostname", "ipv4_address", "ipv6_address"):
                if key in lines:
                    message = f'"{key}" cannot be shared by {replicas} replicas'
                    raise Value(self.body.files, lines[key]).error(message, "remove it")
        targets: dict[str, Mount | FileEntry] = {}
        for mount in (*found.get("mounts", ()), *found.get("files", ())):
            other = targets.setdefault(mount.target, mount)
            if other is not mount:
                raise Value(self.body.files, mount.line).error(
                    f'two things are mounted at "{mount.target}"',
                    f"the other one is on {self.body.files.said(other.line)}",
                )

    def _check_deployed(self) -> None:
        """Refuse what is said twice, but not alike: as in the engine, limits stay together."""
        for key, name, other in _SAID_TWICE:
            value = self.body.entries.get(key)
            if value is None or fields.is_null(value):
                continue
            own, deployed = self.found.get(name), self.deployed.get(name)
            if key == "scale":
                differs = deployed is not None and own != deployed
            else:
                differs = own is not None and self.limited and own != deployed
            if differs:
                message = f'"{key}" and "{other}" of "deploy" are not the same'
                raise value.error(message, 'write it under "deploy" only')

    # --- image -------------------------------------------------------------------------------

    def _platform(self, value: Value, what: str) -> None:
        written = fields.text(value, what)
        if not written:
            return
        if not _AMD64.fullmatch(written):
            raise value.error(
                f'platform "{written}" is not supported: the machine is linux/amd64',
                "remove it, if the image is there for linux/amd64, too",
            )
        self._note("platform", "the machine is linux/amd64")

    # --- process -----------------------------------------------------------------------------

    def _argv(self, value: Value, what: str) -> tuple[str, ...]:
        return commands.argv(value, what, self.notes)

    def _environment(self, value: Value, what: str) -> None:
        """Both keys together, as files may use what "environment" says."""
        self.found["environment"], self.found["unset"] = read_variables(self.body, self.variables)

    # --- the rest ----------------------------------------------------------------------------

    def _networks(self, value: Value, what: str) -> None:
        if fields.is_null(value):
            raise value.error(f"{what} has no value", "remove it, or list networks below it")
        if found := attachments.read_attachments(value, self.name):  # none mean the default one
            self.found["networks"] = found

    def _network_mode(self, value: Value, what: str) -> None:
        mode = fields.text(value, what)
        listed = self.body.entries.get("networks")
        if listed is not None and attachments.read_attachments(listed, self.name):
            raise value.error('"network_mode" and "networks" cannot be used together', "remove one")
        kind, colon, name = mode.partition(":")
        if mode == "none":
            self.found["networks"] = ()
        elif mode in ("bridge", "default"):
            self.found["networks"] = (Attachment(BRIDGE, value.line),)
        elif mode == "host":
            self._note("network_mode", "the network is the machine's own, not this computer's")
            self.found |= {"networks": (), "network_of": MACHINE}
        elif kind in ("service", "container") and colon and name:
            self.found |= {"networks": (), "network_of": name}
        else:
            raise value.error(
                f'network_mode "{mode}" is not supported',
                'remove it and list the shared network under "networks"',
            )

    def _ipc(self, value: Value, what: str) -> None:
        mode = fields.text(value, what)
        if mode == "host":
            self._note("ipc", "it is the machine's own, not this computer's")
            self.found["own_ipc"] = False
        elif mode not in ("private", "shareable", "none", ""):
            raise value.error(
                f'ipc "{mode}" is not supported',
                'remove it, or give all that share memory "ipc: host", the machine\'s own',
            )

    def _cpu_quota(self, value: Value, what: str) -> None:
        """Both keys (µs) together are what "cpus" says."""
        entries = self.body.entries
        quota, period = (
            fields.integer(entries[key], f'"{key}"', -1, _LONGEST_PERIOD) if key in entries else 0
            for key in ("cpu_quota", "cpu_period")
        )
        if quota > 0:
            self.found["cpus"] = quota / (period or _CPU_PERIOD)

    def _deploy(self, value: Value, what: str) -> None:
        body = fields.mapping(value, what)
        self.notes += fields.check(body, DEPLOY, what)
        entries = body.entries
        if "mode" in entries:
            fields.choice(entries["mode"], '"mode"', _MODES)
        if "replicas" in entries:
            count = fields.integer(entries["replicas"], '"replicas"', 0, _MAX_REPLICAS)
            self.deployed["replicas"] = count
        if "resources" in entries:
            self._resources(fields.mapping(entries["resources"], '"resources"'))
        if "restart_policy" in entries:
            policy = fields.mapping(entries["restart_policy"], '"restart_policy"')
            self.deployed["restart"] = lifecycle.read_restart_policy(policy, self.notes)

    def _resources(self, body: Mapping) -> None:
        fields.check_keys(body, ["limits", "reservations"], '"resources"')
        if "reservations" in body.entries:
            text = '"reservations" has no effect: the machine is not shared with others'
            self.notes.append(Note(body.key_lines["reservations"], text))
        if "limits" not in body.entries:
            return
        section = fields.mapping(body.entries["limits"], '"limits"')
        fields.check_keys(section, ["cpus", "memory", "pids"], '"limits"')
        readers = {
            "cpus": limits.read_cpus,
            "memory": limits.read_memory,
            "pids": limits.read_pids,
        }
        self.limited = True
        for key, value in section.entries.items():
            if key in readers:
                self.deployed[key] = readers[key](value, f'"{key}"')


def check_keys(name: str, body: Mapping) -> None:
    """Refuse keys that no service has; of one that is not enabled, nothing else is looked at.

    :raises ComposeError: with file and line.
    """
    known = [*SERVICE.accepted, *SERVICE.refused, KEY, RECIPE_KEY]
    for key in body.entries:
        if key not in known and (not key.startswith("x-") or key.startswith("x-branchpoint")):
            hint = fields.nearest(key, known) or "remove it, or name it x-..."
            raise body.key_error(key, f'unknown key "{key}" in service "{name}"', hint)


def read_profiles(body: Mapping) -> list[str]:
    """The profiles of a service; without any, it always runs."""
    value = body.entries.get("profiles")
    return [] if value is None else fields.texts(value, '"profiles"')


def _said(body: Mapping) -> Mapping:
    """Without the keys that say nothing."""
    unsaid = [k for k in _UNSAID_IF_EMPTY if k in body.entries and fields.is_empty(body.entries[k])]
    return replace(
        body,
        entries={key: value for key, value in body.entries.items() if key not in unsaid},
        key_lines={key: line for key, line in body.key_lines.items() if key not in unsaid},
    )


def _switched_off(value: Value) -> bool:
    """Whether it asks for nothing, as ``tty: false``, ``ipc: private`` and ``devices: []`` do."""
    if isinstance(value, Scalar):
        return value.kind == "null" or value.text.lower() in _NOTHING
    return isinstance(value, Sequence) and not value.items


def _container_name(value: Value, what: str) -> str:
    name = fields.text(value, what)
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}", name):
        raise value.error(
            f'"{name}" cannot be the name of a container',
            "begin with a letter or digit; then letters, digits and _ . - are possible",
        )
    return name


def _stop_signal(value: Value, what: str) -> str:
    name = fields.text(value, what)
    if signal_number(name) is None:
        raise value.error(f'there is no signal "{name}"', "for example SIGTERM")
    return name
