"""What a compose file describes: services, containers, networks, volumes, faults.

All times are nanoseconds of virtual time, all sizes bytes. The classes hold plain values only, so
that a recording can keep them (``msgspec.json.encode(system)``) and know its system without the
compose file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from branchpoint.debian.apt import SUITE
from branchpoint.faults.settings import NOTHING, Settings
from branchpoint.machine.spec import Hardware, Mhz

SECOND = 1_000_000_000
MACHINE = "/"
"""In place of a container's name: the machine itself."""
GATEWAY = "host-gateway"
"""In place of an address: that of the machine in the container's first network."""

Condition = Literal["started", "healthy", "completed"]
RestartPolicy = Literal["no", "always", "on-failure", "unless-stopped"]


@dataclass(frozen=True)
class Note:
    """Something in the compose file that was accepted but cannot matter in the machine."""

    line: int
    text: str


@dataclass(frozen=True)
class Healthcheck:
    """How to check the health of a container; None means: as the image says."""

    test: tuple[str, ...] | None = None
    interval: int | None = None
    timeout: int | None = None
    retries: int | None = None
    start_period: int | None = None
    start_interval: int | None = None
    disabled: bool = False


@dataclass(frozen=True)
class Restart:
    """When a container is restarted after its end; ``limit`` 0 means any number of times."""

    policy: RestartPolicy = "no"
    limit: int = 0


@dataclass(frozen=True)
class Hook:
    """A command that runs in a container after its start; None: as the container has it."""

    command: tuple[str, ...]
    user: str | None = None
    privileged: bool = False
    working_dir: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Dependency:
    """``name`` (Service: a service; ContainerSpec: a container) must meet ``condition`` first."""

    name: str
    condition: Condition
    line: int
    required: bool = True


@dataclass(frozen=True)
class Attachment:
    """A service's place in one network."""

    network: str
    line: int
    address: str | None = None
    aliases: tuple[str, ...] = ()
    mac: str | None = None
    address6: str | None = None
    line6: int = 0  # of ``address6``


@dataclass(frozen=True)
class Mount:
    """A directory or file placed into a container.

    ``source`` is a volume's name, or the absolute path of a file or directory of the project
    (``bind``, of which the machine has a copy) or of the machine itself (``machine``), or empty
    for an anonymous volume and for a tmpfs.
    """

    kind: Literal["volume", "bind", "tmpfs", "machine"]
    target: str
    line: int
    source: str = ""
    read_only: bool = False
    copy: bool = True  # a new volume starts with what the image has at that place
    options: tuple[str, ...] = ()  # of a tmpfs, as mount(8) writes them


@dataclass(frozen=True)
class MountsOf:
    """All mounts of another service, or of a container, that a service has too."""

    name: str
    line: int
    read_only: bool = False


@dataclass(frozen=True)
class Ulimit:
    """A resource limit, without ``RLIMIT_``; -1 means unlimited."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True)
class FileEntry:
    """One file, directory or tree that a recipe places: ``source`` on this computer or ``text``.

    ``owner`` is the name of a user that only the packages know; else it is ``uid`` and ``gid``.
    """

    target: str
    line: int
    source: str | None = None
    text: str | None = None
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    directory: bool = False
    owner: str = ""


@dataclass(frozen=True)
class UserEntry:
    """One account that a recipe adds to /etc/passwd and /etc/group."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


@dataclass(frozen=True)
class Recipe:
    """``x-branchpoint-debian``: an image made of Debian packages and project files.

    ``commands`` are run once, when the image is built: as root in the image's file system, but in
    a machine, so that this needs no root here and does not depend on this computer.
    """

    line: int
    suite: str = SUITE  # Debian's release
    packages: tuple[str, ...] = ()
    files: tuple[FileEntry, ...] = ()
    symlinks: dict[str, str] = field(default_factory=dict)
    users: tuple[UserEntry, ...] = ()
    commands: tuple[str, ...] = ()


SERVICE = "service:"
"""Before the name of a service whose image a Dockerfile's context is."""


@dataclass(frozen=True)
class BuildSecret:
    """What a RUN of a Dockerfile may see under this name: a file, or a text."""

    name: str
    source: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class Build:
    """``build:``: an image made from a Dockerfile, by docker, podman or buildah, or here."""

    context: str
    line: int
    dockerfile: str | None = None
    dockerfile_text: str | None = None
    target: str | None = None
    args: dict[str, str] = field(default_factory=dict)
    contexts: dict[str, str] = field(default_factory=dict)
    """What names in the Dockerfile mean: directories (absolute), images, ``service:NAME``."""
    secrets: tuple[BuildSecret, ...] = ()


@dataclass(frozen=True)
class Link:
    """Another service that a service finds under a name of its own."""

    service: str
    alias: str
    line: int


@dataclass(frozen=True)
class Resolver:
    """What /etc/resolv.conf is to say: name servers, search domains, options."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Service:
    """One entry of ``services``, checked; None means: as the image says."""

    name: str
    line: int
    lines: dict[str, int]  # of each key, for errors found once the image is known
    image: str | None = None
    build: Build | None = None
    recipe: Recipe | None = None
    replicas: int = 1
    container_name: str | None = None
    hostname: str | None = None
    domainname: str | None = None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()  # variables that it does not have, though the image may
    working_dir: str | None = None
    user: str | None = None
    group_add: tuple[str, ...] = ()
    depends: tuple[Dependency, ...] = ()
    networks: tuple[Attachment, ...] = ()
    mac_address: str | None = None  # in its first network
    network_of: str | None = None  # MACHINE, or the service or container whose network it shares
    links: tuple[Link, ...] = ()
    resolver: Resolver = Resolver()
    mounts: tuple[Mount, ...] = ()
    mounts_of: tuple[MountsOf, ...] = ()
    files: tuple[FileEntry, ...] = ()  # secrets and configs
    healthcheck: Healthcheck | None = None
    restart: Restart = Restart()
    stop_signal: str | None = None
    stop_grace: int = 10 * SECOND
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    no_new_privileges: bool = False
    confined: bool = True  # some system calls are refused
    init: bool = False
    read_only: bool = False
    ulimits: tuple[Ulimit, ...] = ()
    memory: int | None = None
    timer_slack: int | None = None  # ns
    versions: tuple[tuple[str, int], ...] = ()
    """Other services, each with its line, whose image and settings a container may take over."""
    version: str = ""
    """Of what a container becomes: the service whose image and settings it takes over."""
    post_start: tuple[Hook, ...] = ()
    devices: tuple[str, ...] = ()  # of linux.DEVICES
    own_ipc: bool = True  # False: the machine's
    cpus: float | None = None
    cpu_shares: int | None = None
    pids: int | None = None
    oom_score_adj: int | None = None
    shm_size: int = 64 << 20
    sysctls: dict[str, str] = field(default_factory=dict)
    extra_hosts: tuple[tuple[str, str], ...] = ()  # (name, address or GATEWAY)

    @property
    def title(self) -> str:
        """Its name; of a version, also which one it is."""
        return f"{self.name} as {self.version}" if self.version else self.name


@dataclass(frozen=True)
class Network:
    """One bridge in the machine; ``internal`` ones give their containers no default route."""

    name: str
    line: int
    bridge: str
    subnet: str
    gateway: str
    internal: bool = False
    pool: str = ""  # the part of the subnet from which addresses are given out; "": all of it
    subnet6: str = ""  # "": it has no IPv6
    gateway6: str = ""
    pool6: str = ""


@dataclass(frozen=True)
class Volume:
    """A directory that containers share, of at most ``size`` bytes."""

    name: str
    line: int
    size: int
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """A container's interface in a network; ``veth`` is its other end, on the bridge."""

    network: str
    interface: str
    veth: str
    address: str
    mac: str
    names: tuple[str, ...]  # other containers in this network find it by these
    address6: str = ""  # "": the network has no IPv6

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of IPv4, and of IPv6 where it has one."""
        return (self.address, self.address6) if self.address6 else (self.address,)


@dataclass(frozen=True)
class ContainerSpec:
    """One container of the system, as it will run."""

    name: str
    service: str
    number: int
    hostname: str
    endpoints: tuple[Endpoint, ...]
    depends: tuple[Dependency, ...]
    volumes: tuple[str, ...]  # the named ones that it may write to
    network_of: str = ""  # MACHINE, or the container whose network it shares; "": its own
    versions: tuple[str, ...] = ()  # services that it may become

    @property
    def links(self) -> tuple[Endpoint, ...]:
        """Its endpoints, as faults know them."""
        return self.endpoints


@dataclass(frozen=True)
class Noise:
    """Scheduling noise: about every ``every`` ns something takes the processor for up to
    ``longest`` ns.
    """

    every: int = 10_000_000
    longest: int = 1_000_000


@dataclass(frozen=True)
class System:
    """A whole system. ``containers`` come in the order in which they start."""

    name: str
    file: str
    services: dict[str, Service]
    containers: tuple[ContainerSpec, ...]
    networks: dict[str, Network]
    volumes: dict[str, Volume]
    faults: Settings = NOTHING
    noise: Noise | None = None
    setup: str = "healthy"  # or "sdk": what must also happen before it is complete
    ram: int = 1 << 30
    mhz: Mhz = 1000  # of the processor
    upper: int = 256 << 20  # of each container's writable layer
    images: dict[str, str] = field(default_factory=dict)  # image name -> archive to use for it
    properties: dict[str, tuple[str, int]] = field(default_factory=dict)
    """What must not happen, by name: a failure in its short form, and the line where it stands."""
    versions: tuple[Service, ...] = ()
    """What containers may become: a service for each pair of their own one and its version."""
    notes: tuple[Note, ...] = ()
    files: tuple[tuple[str, int], ...] = ()  # all that were read, each with the lines before it

    @property
    def hardware(self) -> Hardware:
        """The computer that it asks for."""
        return Hardware(self.ram, self.mhz)

    def versions_of(self, container: ContainerSpec) -> list[Service]:
        """What a container is at first, and then all that it may become."""
        first = self.services[container.service]
        return [first, *(each for each in self.versions if each.name == container.service)]

    def place(self, line: int) -> tuple[str, int]:
        """The file that a line is in, and its number there."""
        before = [(path, first) for path, first in self.files if first < line]
        path, first = before[-1] if before else (self.file, 0)
        return path, line - first

    def container(self, name: str) -> ContainerSpec | None:
        """The container of that name, or the only one of the service of that name."""
        for container in self.containers:
            if container.name == name:
                return container
        same = [c for c in self.containers if c.service == name]
        return same[0] if len(same) == 1 else None
