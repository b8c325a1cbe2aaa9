"""The keys of the compose specification: supported, accepted without effect, or refused.

Every key of the specification is listed here; any other key is an error. No key is ignored
silently. The page of the manual is made from this (:mod:`page`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Keys:
    """The keys of one part of a compose file."""

    done: Mapping[str, str]
    """What happens differs from what the specification says in this; "": in nothing.

    It may begin with "no effect: " or "refused: ", where the key is read only to check its value.
    """
    noted: Mapping[str, str] = field(default_factory=dict)
    """Accepted with a note: they cannot change what runs inside the machine, for this reason."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """An error, with what to do instead."""

    @property
    def accepted(self) -> list[str]:
        return [*self.done, *self.noted]


def _alike(names: str, reason: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


def _plainly(names: str) -> dict[str, str]:
    return _alike(names, "")


SERVICE = Keys(
    done={
        "build": "docker or podman builds it; without them, the machine does: RUN has no network",
        "cap_add": "",
        "cap_drop": "",
        "command": "",
        "configs": "read-only files, from file, content or environment",
        "container_name": "events and commands know the container by this name",
        "cpu_period": "",
        "cpu_quota": "",
        "cpu_shares": "",
        "cpus": "",
        "depends_on": "",
        "deploy": "see below",
        "dns": "servers in the system are asked; outside there are none",
        "dns_opt": "",
        "dns_search": "",
        "devices": "/dev/fuse and /dev/net/tun",
        "domainname": "",
        "entrypoint": "",
        "env_file": "",
        "environment": "",
        "extends": "",
        "extra_hosts": "host-gateway is the machine itself",
        "group_add": "",
        "healthcheck": "",
        "hostname": "",
        "image": "from docker, podman, an archive, or Debian packages; never pulled",
        "init": "",
        "ipc": "private; host is the machine's own",
        "links": "names for other services",
        "mac_address": "",
        "mem_limit": "",
        "network_mode": "bridge, none, service:, container:; host is the machine's own network",
        "networks": "see below",
        "oom_score_adj": "",
        "pids_limit": "",
        "platform": "linux/amd64 only",
        "post_start": "",
        "privileged": "within the machine",
        "profiles": "",
        "read_only": "",
        "restart": "pauses before restarts begin with 100 ms and double",
        "scale": "",
        "secrets": "as configs; they are in the recording",
        "security_opt": (
            "no-new-privileges; seccomp:unconfined, which also makes each system call about "
            "150 instructions shorter; apparmor:unconfined and label:disable give a note"
        ),
        "shm_size": "",
        "stop_grace_period": "",
        "stop_signal": "",
        "sysctls": "",
        "tmpfs": "",
        "ulimits": "",
        "user": "",
        "volumes": (
            "a writable bind is a private copy: what is written stays in the machine; a missing "
            "directory is empty; the engine's socket is not there"
        ),
        "volumes_from": "",
        "working_dir": "",
    },
    noted={
        "annotations": "nothing reads them in the machine",
        "attach": "all output is recorded",
        "blkio_config": "there is no block device in the machine",
        "cgroup": "every container has its own cgroup namespace",
        "cgroup_parent": "all containers of the machine are in one control group",
        "cpu_count": "it is for Windows containers",
        "cpu_percent": "it is for Windows containers",
        "cpuset": "the machine has one processor",
        "develop": "it concerns editing, not running",
        "device_cgroup_rules": "the machine has no devices for containers",
        "expose": "all ports are reachable inside the system's networks",
        "isolation": "it is for Windows containers",
        "label_file": "nothing reads labels in the machine",
        "labels": "nothing reads labels in the machine",
        "logging": "all output is recorded",
        "mem_reservation": "the machine's memory is not shared with others",
        "mem_swappiness": "there is no swap in the machine",
        "memswap_limit": "there is no swap in the machine",
        "oom_kill_disable": "control groups of today have no such setting",
        "pid": "every container has its own PID namespace",
        "ports": "the machine has no network outside; run commands on a branch to reach services",
        "pre_stop": "no compose command stops containers in the machine",
        "pull_policy": "images are never pulled",
        "stdin_open": (
            "standard input is at its end from the start; a shell that reads it ends at once"
        ),
        "storage_opt": 'the writable layer\'s size is "upper" in the top-level "x-branchpoint"',
        "tty": "output goes through pipes; a terminal can be opened on a branch",
        "use_api_socket": "there is no engine in the machine",
        "userns_mode": "containers share the machine's users",
        "uts": "every container has its own host name",
    },
    refused={
        "cpu_rt_period": "containers cannot get real-time CPU time: remove it",
        "cpu_rt_runtime": "containers cannot get real-time CPU time: remove it",
        "credential_spec": "it is for Windows containers: remove it",
        "external_links": "nothing outside the machine can be reached: define the service here",
        "gpus": "the machine has no GPU: remove it",
        "models": "run the model as a service",
        "provider": "run it as a service",
        "runtime": "containers are run by crun: remove it",
    },
)

BUILD = Keys(
    done={
        **_plainly("context dockerfile dockerfile_inline args target"),
        "additional_contexts": "directories, images, `service:NAME`",
        "secrets": "for `RUN --mount=type=secret`",
    },
    noted=_alike(
        "cache_from cache_to extra_hosts labels network no_cache platforms provenance pull sbom "
        "shm_size tags ulimits",
        "the program that builds decides it",
    ),
    refused=_alike(
        "entitlements isolation privileged ssh",
        "build the image yourself and name it",
    ),
)

DEPLOY = Keys(
    done={
        "mode": "there is one machine, so that global is one replica",
        "replicas": "at most 64",
        "resources": "limits; reservations are a note",
        "restart_policy": "condition and max_attempts; delay and window are a note",
    },
    noted={
        "endpoint_mode": "service names resolve to all replicas",
        "labels": "nothing reads labels in the machine",
        "placement": "there is one machine",
        "rollback_config": "nothing is updated while the system runs",
        "update_config": "nothing is updated while the system runs",
    },
)

ATTACHMENT = Keys(
    done=_plainly("aliases gw_priority ipv4_address ipv6_address mac_address priority"),
    refused=_alike("driver_opts interface_name link_local_ips", "remove it"),
)

NETWORK = Keys(
    done={
        "driver": "there is one machine, and every network is a bridge",
        "driver_opts": "no effect: `com.docker.network.*` concerns the host; others are an error",
        "enable_ipv6": "where `ipam` has no IPv6 subnet, it is `fd00:10:89:N::/64`",
        "external": "it is made, with a note",
        "internal": "",
        "ipam": "one IPv4 subnet, and one for IPv6",
    },
    noted={
        "attachable": "there is one machine",
        "enable_ipv4": "IPv4 is always on",
        "labels": "nothing reads labels in the machine",
        "name": "there is one system in the machine",
    },
)

VOLUME = Keys(
    done={
        "driver": "local only",
        "driver_opts": "a tmpfs, or a copy of a directory (`o: bind`)",
        "external": "an empty one is made, with a note",
    },
    noted=_alike("labels name", "nothing in the machine reads it"),
)

GRANT = Keys(
    done={
        "content": "",
        "environment": "",
        "external": (
            "refused: nothing outside can be reached: use `file`, `content` or `environment`"
        ),
        "file": "",
        "labels": "no effect: nothing in the machine reads it; without a note",
        "name": "no effect: nothing in the machine reads it; without a note",
    },
    refused={"template_driver": "write the text as it is to be"},
)

TOP = Keys(
    done=_plainly("configs include name networks secrets services volumes"),
    noted={"version": "the current compose specification applies to every file"},
    refused={"models": "run the model as a service"},
)
