"""What a service is, in the same plain form, whoever has read the compose file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from branchpoint.system.compose.services.mounts import OF_THE_MACHINE
from branchpoint.system.model import MACHINE, SECOND, Mount, Service, System

Model = dict[str, Any]
"""Values by their key in the compose file; sizes in bytes, times in ns."""

_Place = tuple[str, str, str, bool]
"""Of a mount: target, kind, source, whether it is read-only."""

_UNITS = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_CONDITIONS = {
    "service_started": "started",
    "service_healthy": "healthy",
    "service_completed_successfully": "completed",
}
_GRACE = 10 * SECOND
_SHM = 64 << 20
_NOT_IN_THE_MACHINE = "docker.sock"
"""There is no engine in the machine; a note says so, and the mount is left out."""
_FOLDERS = {"secrets": "/run/secrets/", "configs": "/"}


def differences(system: System, project: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between our reading of a file and the reference's, by ``service.key``."""
    services = project.get("services") or {}
    found = {
        name: (name in system.services, name in services)
        for name in system.services.keys() ^ services.keys()
    }
    for name in system.services.keys() & services.keys():
        mine, theirs = _ours(system.services[name]), _reference(services[name], project)
        found |= {f"{name}.{key}": (mine[key], theirs[key]) for key in mine
                  if mine[key] != theirs[key]}  # fmt: skip
    return found


def _ours(service: Service) -> Model:
    health = service.healthcheck
    return {
        "image": service.image or None,
        "command": _words(service.command),
        "entrypoint": _words(service.entrypoint),
        "environment": service.environment,
        "working_dir": service.working_dir,
        "user": service.user,
        "group_add": list(service.group_add),
        "hostname": service.hostname,
        "domainname": service.domainname,
        "container_name": service.container_name,
        "depends_on": {each.name: (each.condition, each.required) for each in service.depends},
        "restart": service.restart.policy
        + (f":{service.restart.limit}" if service.restart.limit else ""),
        "replicas": service.replicas,
        "networks": {
            each.network: (each.address, each.address6, list(each.aliases))
            for each in service.networks
            if each.network != "bridge"  # network_mode
        },
        "network_mode": service.network_of == MACHINE,
        "volumes": {_mount(mount) for mount in service.mounts},
        "files": {file.target for file in service.files},
        "healthcheck": None if health is None else "disabled" if health.disabled else (
            _words(health.test), health.interval, health.timeout, health.retries,
            health.start_period,
        ),
        "cap_add": sorted(service.cap_add),
        "cap_drop": sorted(service.cap_drop),
        "privileged": service.privileged,
        "init": service.init,
        "read_only": service.read_only,
        "stop_signal": service.stop_signal,
        "stop_grace_period": service.stop_grace,
        "ulimits": {each.name: (each.soft, each.hard) for each in service.ulimits},
        "mem_limit": service.memory,
        "cpus": service.cpus,
        "shm_size": service.shm_size,
        "sysctls": service.sysctls,
        "extra_hosts": set(service.extra_hosts),
        "links": {
            link.service if link.service == link.alias else f"{link.service}:{link.alias}"
            for link in service.links
        },
        "dns": list(service.resolver.servers),
    }  # fmt: skip


def _reference(service: Model, project: Model) -> Model:
    deploy = service.get("deploy") or {}
    limits = (deploy.get("resources") or {}).get("limits") or {}
    health = service.get("healthcheck")
    memory = service.get("mem_limit") or limits.get("memory")
    cpus = service.get("cpus") or limits.get("cpus")
    networks = {} if "network_mode" in service else service.get("networks") or {}
    given = service.get("environment") or {}
    return {
        "image": service.get("image"),
        "command": service.get("command"),
        "entrypoint": service.get("entrypoint"),
        "environment": {key: value for key, value in given.items() if value is not None},
        "working_dir": service.get("working_dir"),
        "user": service.get("user"),
        "group_add": service.get("group_add") or [],
        "hostname": service.get("hostname"),
        "domainname": service.get("domainname"),
        "container_name": service.get("container_name"),
        "depends_on": {
            name: (_CONDITIONS[each["condition"]], each.get("required", True))
            for name, each in (service.get("depends_on") or {}).items()
        },
        "restart": service.get("restart") or _restart(deploy.get("restart_policy")),
        "replicas": deploy.get("replicas", service.get("scale", 1)),
        "networks": {
            name: (each.get("ipv4_address"), each.get("ipv6_address"), each.get("aliases") or [])
            for name, each in ((name, each or {}) for name, each in networks.items())
        },
        "network_mode": service.get("network_mode") == "host",
        "volumes": _mounts(service, project),
        "files": {
            str(Path(folder, each.get("target") or each["source"]))
            for key, folder in _FOLDERS.items()
            for each in service.get(key) or []
        },
        "healthcheck": health and _health(health),
        "cap_add": _capabilities(service.get("cap_add")),
        "cap_drop": _capabilities(service.get("cap_drop")),
        "privileged": service.get("privileged", False),
        "init": service.get("init", False),
        "read_only": service.get("read_only", False),
        "stop_signal": service.get("stop_signal"),
        "stop_grace_period": _ns(service.get("stop_grace_period")) or _GRACE,
        "ulimits": {
            name: (each, each) if isinstance(each, int) else (each["soft"], each["hard"])
            for name, each in (service.get("ulimits") or {}).items()
        },
        "mem_limit": int(memory) if memory else None,
        "cpus": float(cpus) if cpus else None,
        "shm_size": int(service.get("shm_size", _SHM)),
        "sysctls": service.get("sysctls") or {},
        "extra_hosts": {
            tuple(each.replace("=", ":", 1).split(":", 1))
            for each in service.get("extra_hosts") or []
        },
        "links": {_link(each) for each in service.get("links") or []},
        "dns": service.get("dns") or [],
    }


def _words(words: tuple[str, ...] | None) -> list[str] | None:
    return None if words is None else list(words)


def _restart(policy: Model | None) -> str:
    """``deploy.restart_policy``, as the engine's own command takes it when there is no other."""
    if policy is None:
        return "no"
    condition = policy.get("condition", "")
    name = {"any": "always", "none": "no", "": "no"}.get(condition, condition)
    attempts = policy.get("max_attempts")
    return f"{name}:{attempts}" if attempts and name == "on-failure" else name


def _capabilities(names: list[str] | None) -> list[str]:
    return sorted(name.upper().removeprefix("CAP_") for name in names or [])


def _link(written: str) -> str:
    name, _, alias = written.partition(":")
    return written if alias != name else name


def _health(health: Model) -> Any:
    if health.get("disable") or health.get("test") == ["NONE"]:
        return "disabled"
    times = [_ns(health.get(key)) for key in ("interval", "timeout", "start_period")]
    return health.get("test"), *times[:2], health.get("retries"), times[2]


def _mount(mount: Mount) -> _Place:
    kind = "bind" if mount.kind == "machine" else mount.kind
    return _place(mount.target, kind, mount.source, mount.read_only)


def _mounts(service: Model, project: Model) -> set[_Place]:
    found = set()
    for each in service.get("volumes") or []:
        kind, source = each["type"], each.get("source") or ""
        read_only = each.get("read_only", False)
        options = ((project.get("volumes") or {}).get(source) or {}).get("driver_opts") or {}
        flags = options.get("o", "").split(",")
        if "bind" in flags:  # a volume that is a directory
            kind, source, read_only = "bind", options["device"], read_only or "ro" in flags
        if not source.endswith(_NOT_IN_THE_MACHINE):
            found.add(_place(each["target"], kind, source, read_only))
    for each in service.get("tmpfs") or []:
        target, _, options = each.partition(":")
        found.add(_place(target, "tmpfs", "", "ro" in options.split(",")))
    for each in service.get("volumes_from") or []:
        other = project["services"].get(each.split(":")[0])
        found |= _mounts(other, project) if other else set()
    return found


def _place(target: str, kind: str, source: str, read_only: bool) -> _Place:
    if source in OF_THE_MACHINE:  # always read-only, and a note says so
        read_only = True
    if kind == "bind":
        source = os.path.realpath(source)  # we copy what a symbolic link leads to
    return target.rstrip("/") or "/", kind, source if kind != "tmpfs" else "", read_only


def _ns(duration: str | None) -> int | None:
    """A duration as Go prints it."""
    if duration is None:
        return None
    parts = re.findall(r"([\d.]+)(h|ms|us|µs|ns|m|s)", duration)
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts) * SECOND)
