"""Service + image -> what runs: a process, its mounts, and the OCI bundle for crun.

The defaults are Docker's: capabilities, masked paths, mounts, limits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from branchpoint.errors import ImageError
from branchpoint.guest.tree import Tree
from branchpoint.system.bundle import seccomp
from branchpoint.system.images.accounts import Identity, identify
from branchpoint.system.images.archive import ImageConfig
from branchpoint.system.linux import CAPABILITIES, DEVICES, signal_number
from branchpoint.system.model import MACHINE, SECOND, ContainerSpec, Healthcheck, Mount, Service

RUN = "/run/branchpoint"  # in the guest: everything that a system makes at run time
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEFAULT_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
_MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
]
_READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
_NOFILE = (1024, 524288)  # soft, hard: what systemd gives services
_UNLIMITED = 2**64 - 1
INIT_PATH = "/sbin/docker-init"  # where docker has it


@dataclass(frozen=True)
class Process:
    """The process of a container; defaults fill in what image and service leave open."""

    args: tuple[str, ...]
    environment: tuple[str, ...]  # K=V
    working_dir: str
    identity: Identity
    stop_signal: int
    healthcheck: Healthcheck | None  # all its fields are set; ``test`` is an argv


@dataclass(frozen=True)
class Bind:
    """A directory or file of the guest that appears in the container.

    ``recursive``: what is mounted below it is read-only, too.
    """

    source: str
    target: str
    read_only: bool
    recursive: bool = False


def process_of(
    service: Service, container: ContainerSpec, config: ImageConfig, tree: Tree
) -> Process:
    """Merge what the service says with what the image says, as docker does.

    :raises ImageError: when there is no command, or no such user, group or signal.
    """
    entrypoint = config.entrypoint if service.entrypoint is None else service.entrypoint
    command = service.command or ()
    if not service.entrypoint and not command:
        command = config.command  # a new entrypoint takes no arguments from the image
    if entrypoint == ("",):
        entrypoint = ()
    args = (*entrypoint, *command)
    if not args:
        raise ImageError("there is no command to run", 'give the service a "command"')
    if service.init:
        args = (INIT_PATH, "--", *args)
    user = config.user if service.user is None else service.user
    identity = identify(tree, user, service.group_add)
    environment = {"PATH": _PATH, "HOSTNAME": container.hostname}
    for entry in config.environment:
        key, _, value = entry.partition("=")
        environment[key] = value
    environment |= service.environment
    environment = {key: value for key, value in environment.items() if key not in service.unset}
    environment.setdefault("HOME", identity.home)
    signal_name = service.stop_signal or config.stop_signal
    stop_signal = signal_number(signal_name)
    if stop_signal is None:
        raise ImageError(f'the image\'s stop signal "{signal_name}" does not exist')
    return Process(
        args,
        tuple(f"{key}={value}" for key, value in environment.items()),
        service.working_dir or config.working_dir,
        identity,
        stop_signal,
        _healthcheck(service.healthcheck, config),
    )


def _healthcheck(own: Healthcheck | None, config: ImageConfig) -> Healthcheck | None:
    """The service's settings, completed by the image's and then by docker's defaults."""
    own = own or Healthcheck()
    image = config.healthcheck or Healthcheck()
    test = own.test or image.test
    if own.disabled or (own.test is None and image.disabled) or not test:
        return None
    argv = (*config.shell, *test[1:]) if test[0] == "CMD-SHELL" else test[1:]
    return Healthcheck(
        argv,
        own.interval or image.interval or 30 * SECOND,
        own.timeout or image.timeout or 30 * SECOND,
        own.retries or image.retries or 3,
        image.start_period or 0 if own.start_period is None else own.start_period,
        own.start_interval or image.start_interval or 5 * SECOND,
    )


def capabilities(service: Service) -> list[str]:
    """Names with CAP_: Docker's default set, plus what is added, minus what is dropped."""
    if service.privileged:
        chosen = set(CAPABILITIES)
    else:
        chosen = set() if "ALL" in service.cap_drop else set(_DEFAULT_CAPABILITIES)
        chosen |= set(CAPABILITIES) if "ALL" in service.cap_add else set(service.cap_add)
        chosen -= set(service.cap_drop) - set(service.cap_add) - {"ALL"}
    return [f"CAP_{name}" for name in CAPABILITIES if name in chosen]


def network_namespace(container: ContainerSpec) -> str:
    """The name of its network namespace in the guest."""
    return container.name if container.network_of in ("", MACHINE) else container.network_of


def bundle_config(
    service: Service,
    container: ContainerSpec,
    process: Process,
    binds: list[Bind],
    tmpfs: list[Mount],
) -> dict[str, Any]:
    """The OCI runtime configuration (``config.json``)."""
    allowed = capabilities(service)
    effective = allowed if process.identity.uid == 0 else []
    config: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {
                "uid": process.identity.uid,
                "gid": process.identity.gid,
                "additionalGids": list(process.identity.groups),
            },
            "args": list(process.args),
            "env": list(process.environment),
            "cwd": process.working_dir,
            "capabilities": {
                "bounding": allowed,
                "effective": effective,
                "permitted": effective,
                "inheritable": [],
                "ambient": [],
            },
            "rlimits": [
                {"type": f"RLIMIT_{name.upper()}", "soft": soft, "hard": hard}
                for name, (soft, hard) in resource_limits(service).items()
            ],
            "noNewPrivileges": service.no_new_privileges,
        },
        "root": {"path": f"{RUN}/c/{container.name}/rootfs", "readonly": service.read_only},
        "hostname": container.hostname,
        "mounts": _mounts(service, binds, tmpfs),
        "linux": {
            "namespaces": [
                {"type": "pid"},
                *([{"type": "ipc"}] if service.own_ipc else []),
                {"type": "uts"},
                {"type": "mount"},
                {"type": "cgroup"},
                {"type": "network", "path": f"/run/netns/{network_namespace(container)}"},
            ],
            "cgroupsPath": f"/branchpoint/{container.name}",
            "resources": _resources(service),
            "sysctl": {**({} if container.network_of else _SYSCTLS), **service.sysctls},
            "maskedPaths": [] if service.privileged else _MASKED,
            "readonlyPaths": [] if service.privileged else _READ_ONLY,
        },
    }
    if service.confined and not service.privileged:
        config["linux"]["seccomp"] = seccomp.profile(allowed)
    if devices := list(DEVICES) if service.privileged else service.devices:
        config["linux"]["devices"] = [_device(path) for path in devices]
    if service.domainname:
        config["domainname"] = service.domainname
    if service.oom_score_adj is not None:
        config["process"]["oomScoreAdj"] = service.oom_score_adj
    return config


def _device(path: str) -> dict[str, Any]:
    major, minor = DEVICES[path]
    return {"path": path, "type": "c", "major": major, "minor": minor, "fileMode": 0o666}


def resource_limits(service: Service) -> dict[str, tuple[int, int]]:
    """The soft and the hard limit of each resource that has one (``nofile``), as Linux has them."""
    limits = {"nofile": _NOFILE, "core": (0, -1)}  # core dumps would only fill the writable layer
    limits |= {limit.name: (limit.soft, limit.hard) for limit in service.ulimits}
    return {
        name: (_UNLIMITED if soft == -1 else soft, _UNLIMITED if hard == -1 else hard)
        for name, (soft, hard) in sorted(limits.items())
    }


def _resources(service: Service) -> dict[str, Any]:
    allowed = [
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
        for major, minor in (DEVICES[path] for path in service.devices)
    ]
    resources: dict[str, Any] = {
        "devices": [{"allow": service.privileged, "access": "rwm"}, *allowed]
    }
    if service.memory is not None:
        resources["memory"] = {"limit": service.memory}
    cpu: dict[str, int] = {}
    if service.cpus is not None:
        cpu = {"period": 100_000, "quota": max(1000, round(service.cpus * 100_000))}  # in µs
    if service.cpu_shares is not None:
        cpu["shares"] = service.cpu_shares
    if cpu:
        resources["cpu"] = cpu
    if service.pids is not None:
        resources["pids"] = {"limit": service.pids}
    return resources


def _mounts(service: Service, binds: list[Bind], tmpfs: list[Mount]) -> list[dict[str, Any]]:
    def mount(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
        return {"destination": target, "type": kind, "source": source, "options": list(options)}

    writable = "rw" if service.privileged else "ro"
    fixed = [
        mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount(
            "/dev/pts", "devpts", "devpts",
            "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5",
        ),
        mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", writable),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", writable),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        mount(
            "/dev/shm", "tmpfs", "shm",
            "nosuid", "noexec", "nodev", "mode=1777", f"size={service.shm_size}",
        ),
    ]  # fmt: skip

    def access(bind: Bind) -> str:
        read_only = "rro" if bind.recursive else "ro"
        return read_only if bind.read_only else "rw"

    own = [mount(b.target, "bind", b.source, "rbind", "rprivate", access(b)) for b in binds]
    for entry in tmpfs:
        options = [o for o in entry.options if not re.fullmatch(r"(no)?(suid|exec|dev)", o)]
        chosen = [o for o in entry.options if o not in options]
        for default in ("nosuid", "nodev", "noexec"):
            if default not in chosen and default.removeprefix("no") not in chosen:
                chosen.append(default)
        own.append(mount(entry.target, "tmpfs", "tmpfs", *chosen, *options))
    taken = {entry["destination"] for entry in own}
    everything = [entry for entry in fixed if entry["destination"] not in taken] + own
    # a mount inside another one must come after it; the sort is stable, so other orders stay
    return sorted(everything, key=lambda entry: entry["destination"].rstrip("/").count("/"))
