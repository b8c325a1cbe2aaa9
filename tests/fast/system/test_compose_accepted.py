"""What compose files in the wild ask for, and the machine does or says that it does not matter."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from composefiles import read, service

from branchpoint.errors import ComposeError
from branchpoint.system.compose.tree.numbers import printed
from branchpoint.system.model import (
    GATEWAY,
    MACHINE,
    Dependency,
    FileEntry,
    Link,
    Resolver,
    System,
)


def notes(system: System) -> str:
    return "\n".join(note.text for note in system.notes)


# -- files


@pytest.mark.parametrize(
    "written", ["./data:/d", "{type: bind, source: ./data, target: /d}", "./data:/d:rw,z"]
)
def test_writable_binds_are_copies(tmp_path: Path, written: str) -> None:
    (tmp_path / "data").mkdir()
    (mount,) = service(
        tmp_path, f"volumes: [{written!r}]".replace("'{", "{").replace("}'", "}")
    ).mounts
    assert (mount.kind, mount.source, mount.target) == ("bind", str(tmp_path / "data"), "/d")
    assert not mount.read_only


@pytest.mark.parametrize(
    ("options", "at", "read_only"),
    [
        ("{type: none, o: bind, device: ./data}", "v:/d", False),
        ("{type: bind, o: 'rbind,ro', device: $PWD/data}", "v:/d", True),
        ("[o=bind, device=./data]", "v:/d:ro", True),
    ],
)
def test_a_volume_that_is_a_directory_is_a_bind(
    tmp_path: Path, options: str, at: str, read_only: bool
) -> None:
    (tmp_path / "data").mkdir()
    text = f"services: {{a: {{image: x, volumes: ['{at}']}}}}\nvolumes: {{v: {{driver_opts: "
    system = read(tmp_path, f"{text}{options}}}}}", PWD=str(tmp_path))
    (mount,) = system.services["a"].mounts
    assert (mount.kind, mount.source, mount.target) == ("bind", str(tmp_path / "data"), "/d")
    assert mount.read_only == read_only
    assert not system.volumes and system.containers[0].volumes == ()
    assert ("what is written to /d stays in the machine" in notes(system)) != read_only


def test_what_is_missing_is_an_empty_directory_as_with_the_engines(tmp_path: Path) -> None:
    system = read(tmp_path, "services: {a: {image: x, volumes: ['./gone:/d', './lost:/e:ro']}}")
    assert [m.source for m in system.services["a"].mounts] == [
        str(tmp_path / "gone"),
        str(tmp_path / "lost"),
    ]
    assert "./gone does not exist: an empty directory takes its place" in notes(system)
    assert not (tmp_path / "gone").exists(), "nothing is written here"


def test_the_engines_socket_is_not_there(tmp_path: Path) -> None:
    system = read(
        tmp_path,
        "services: {a: {image: x, volumes: ['/var/run/docker.sock:/var/run/docker.sock']}}",
    )
    assert system.services["a"].mounts == ()
    assert "nothing is mounted at /var/run/docker.sock: there is no engine" in notes(system)


def test_places_of_the_computer_are_those_of_the_machine(tmp_path: Path) -> None:
    system = read(tmp_path, "services: {a: {image: x, volumes: ['/proc:/host/proc:ro', /:/h]}}")
    assert [(m.kind, m.source, m.read_only) for m in system.services["a"].mounts] == [
        ("machine", "/proc", True),
        ("machine", "/", True),
    ]
    assert "/host/proc shows /proc of the machine, read-only" in notes(system)


def test_devices_of_the_machine_can_be_mounted(tmp_path: Path) -> None:
    system = read(
        tmp_path,
        "services: {a: {image: x, volumes: ['/dev/urandom:/dev/random', '/dev/net/tun:/t:ro']}}",
    )
    assert [(m.kind, m.target, m.source) for m in system.services["a"].mounts] == [
        ("machine", "/dev/random", "/dev/urandom"),
        ("machine", "/t", "/dev/net/tun"),
    ]
    assert "/dev/random shows /dev/urandom of the machine" in notes(system)
    assert "read-only" not in notes(system)


def test_only_files_and_directories_can_be_mounted(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s"))
        with pytest.raises(ComposeError, match="neither a file nor a directory") as caught:
            service(tmp_path, "volumes: ['./s:/s']")
    assert caught.value.line == 4


def test_mounts_of_another_service(tmp_path: Path) -> None:
    system = read(
        tmp_path,
        """\
        services:
          a: {image: x, volumes: ['v:/v', '/own'], container_name: box}
          b: {image: x, volumes_from: ['a:ro'], volumes: ['w:/own']}
          c: {image: x, volumes_from: ['container:box', b]}
        volumes: {v: , w: }
        """,
    )
    b, c = system.services["b"], system.services["c"]
    assert [(m.target, m.source, m.read_only) for m in b.mounts] == [
        ("/own", "w", False),
        ("/v", "v", True),
    ]
    assert [(m.target, m.source, m.read_only) for m in c.mounts] == [
        ("/v", "v", False),
        ("/own", "", False),
    ]
    assert [d.name for d in c.depends] == ["a", "b"]
    assert [c.service for c in system.containers] == ["a", "b", "c"]


def test_mounts_in_a_circle_are_refused(tmp_path: Path) -> None:
    text = "services: {a: {image: x, volumes_from: [b]}, b: {image: x, volumes_from: [a]}}"
    with pytest.raises(ComposeError, match="in a circle: a -> b -> a"):
        read(tmp_path, text)


GRANTS = """\
services:
  a:
    image: x
    secrets: [token, {source: cert, target: tls.pem, uid: "5", gid: "6", mode: 0440}]
    configs: [{source: app, target: /etc/app.conf}, page]
secrets:
  token: {environment: TOKEN}
  cert: {file: ./cert.pem}
configs:
  app: {content: "port=${PORT:-80}\\n"}
  page: {file: ./page}
"""


def test_secrets_and_configs_are_files(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("c")
    (tmp_path / "page").mkdir()
    files = read(tmp_path, GRANTS, TOKEN="t").services["a"].files
    found = {each.target: each for each in files}
    assert set(found) == {"/run/secrets/token", "/run/secrets/tls.pem", "/etc/app.conf", "/page"}
    assert found["/run/secrets/token"] == FileEntry("/run/secrets/token", 4, text="t", mode=0o444)
    tls = found["/run/secrets/tls.pem"]
    assert (tls.source, tls.mode, tls.uid, tls.gid) == (str(tmp_path / "cert.pem"), 0o440, 5, 6)
    assert found["/etc/app.conf"].text == "port=80\n"
    assert found["/page"].source == str(tmp_path / "page")


@pytest.mark.parametrize(
    ("keys", "top", "message"),
    [
        ("secrets: [tken]", "secrets: {token: {content: x}}", 'no secret "tken".*mean "token"'),
        ("configs: [c]", "", 'no config "c"'),
        ("secrets: [s]", "secrets: {s: {file: ./gone}}", "./gone, the secret .* does not exist"),
        ("secrets: [s]", "secrets: {s: {environment: GONE}}", "the variable GONE, which has no"),
        ("secrets: [s]", "secrets: {s: {external: true}}", "is external"),
        ("secrets: [s]", "secrets: {s: {}}", "needs one of: file, content, environment"),
        ("configs: [{target: x}]", "", 'lacks "source"'),
        ("secrets: [{source: s, target: ../s}]", "secrets: {s: {content: x}}", "must not contain"),
        ("secrets: [../s]", "secrets: {../s: {content: x}}", "must not contain"),
        ("secrets: [s, s]", "secrets: {s: {content: x}}", 'mounted at "/run/secrets/s"'),
    ],
)
def test_bad_secrets_and_configs(tmp_path: Path, keys: str, top: str, message: str) -> None:
    with pytest.raises(ComposeError, match=f"(?s){message}"):
        read(tmp_path, f"services:\n  a:\n    image: x\n    {keys}\n{top}\n")


# -- names and networks


def test_links_are_names_and_dependencies(tmp_path: Path) -> None:
    system = read(tmp_path, "services: {a: {image: x, links: [b, 'b:db']}, b: {image: x}}")
    a = system.services["a"]
    assert a.links == (Link("b", "b", 1), Link("b", "db", 1))
    assert a.depends == (Dependency("b", "started", 1),)
    assert [c.service for c in system.containers] == ["b", "a"]
    with pytest.raises(ComposeError, match='no service "c"'):
        read(tmp_path, "services: {a: {image: x, links: [c]}}")


def test_written_dependencies_win_over_links(tmp_path: Path) -> None:
    a = read(
        tmp_path,
        "services: {a: {image: x, links: [b], depends_on: {b: {condition: service_healthy}}},"
        " b: {image: x}}",
    ).services["a"]
    assert [d.condition for d in a.depends] == ["healthy"]


def test_network_modes(tmp_path: Path) -> None:
    system = read(
        tmp_path,
        """\
        services:
          web: {image: x, container_name: front}
          side: {image: x, network_mode: "service:web"}
          other: {image: x, network_mode: "container:front"}
          host: {image: x, network_mode: host}
          old: {image: x, network_mode: bridge}
        """,
    )
    made = {c.service: c for c in system.containers}
    assert [made[name].network_of for name in ("web", "side", "other", "host", "old")] == [
        "", "front", "front", MACHINE, "",
    ]  # fmt: skip
    assert [len(made[name].endpoints) for name in ("web", "side", "host")] == [1, 0, 0]
    assert made["old"].endpoints[0].network == "bridge"
    assert "the network is the machine's own, not this computer's" in notes(system)
    for mode, message in (
        ("service:gone", 'no service "gone"'),
        ("service:b", "no network of its"),
    ):
        with pytest.raises(ComposeError, match=message):
            read(
                tmp_path,
                f"services: {{a: {{image: x, network_mode: '{mode}'}},"
                " b: {image: x, network_mode: host}}",
            )


def test_what_is_external_is_made(tmp_path: Path) -> None:
    system = read(
        tmp_path,
        """\
        services: {a: {image: x, networks: [n, m], volumes: ['v:/v']}}
        networks: {n: {external: true}, m: {driver: overlay}}
        volumes: {v: {external: {name: outside}}}
        """,
    )
    assert list(system.networks) == ["n", "m"] and list(system.volumes) == ["v"]
    said = notes(system)
    assert 'the network "n" is external: the machine has one of this name' in said
    assert 'the volume "v" is external: the machine has a new, empty one' in said
    assert 'the driver of the network "m" has no effect' in said


@pytest.mark.parametrize(
    ("addresses", "subnet", "gateway"),
    [
        (["172.20.0.5"], "172.20.0.0/24", "172.20.0.1"),
        (["172.20.0.1", "172.20.0.2"], "172.20.0.0/24", "172.20.0.3"),
        (["172.20.0.5", "172.20.9.5"], "172.20.0.0/20", "172.20.0.1"),
        (["172.20.0.255"], "172.20.0.0/23", "172.20.0.1"),
        (["10.89.0.9"], "10.89.0.0/24", "10.89.0.1"),
    ],
)
def test_an_external_network_has_the_fixed_addresses(
    tmp_path: Path, addresses: list[str], subnet: str, gateway: str
) -> None:
    services = [
        f"s{n}: {{image: x, networks: {{n: {{ipv4_address: {address}}}, default: }}}}"
        for n, address in enumerate(addresses)
    ]
    text = f"services: {{{', '.join(services)}}}\nnetworks: {{n: {{external: true}}}}"
    networks = read(tmp_path, text).networks
    assert (networks["n"].subnet, networks["n"].gateway) == (subnet, gateway)
    assert networks["default"].subnet != subnet


def test_an_external_network_may_have_ipv6(tmp_path: Path) -> None:
    text = "services: {a: {image: x, networks: {n: {ipv6_address: 'fd00:5::9'}}}}\n"
    (network,) = read(tmp_path, text + "networks: {n: {external: true}}").networks.values()
    assert (network.subnet, network.subnet6) == ("10.89.0.0/24", "fd00:5::/64")


@pytest.mark.parametrize("address", ["127.0.0.5", "10.1.0.9"])
@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_addresses_that_an_external_network_cannot_have(
    tmp_path: Path, address: str, order: slice
) -> None:
    text = f"services: {{a: {{image: x, networks: {{n: {{ipv4_address: {address}}}}}}}}}\n"
    networks = ["m: {ipam: {config: [{subnet: 10.1.0.0/16}]}}", "n: {external: true}"]
    text += f"networks: {{{', '.join(networks[order])}}}"
    with pytest.raises(ComposeError, match="is not an address of the network") as told:
        read(tmp_path, text)
    assert '"ipam"' in told.value.hint


def test_name_servers(tmp_path: Path) -> None:
    keys = "dns: 10.0.0.53\ndns_search: [a.test, b.test]\ndns_opt: ['ndots:2']"
    assert service(tmp_path, keys).resolver == Resolver(
        ("10.0.0.53",), ("a.test", "b.test"), ("ndots:2",)
    )
    with pytest.raises(ComposeError, match='must be IP addresses, not "ns1"'):
        service(tmp_path, "dns: [ns1]")
    with pytest.raises(ComposeError, match="words without spaces"):
        service(tmp_path, "dns_search: ['a b']")


def test_the_computer_is_the_machine(tmp_path: Path) -> None:
    system = read(tmp_path, "services: {a: {image: x, extra_hosts: ['h:host-gateway']}}")
    assert system.services["a"].extra_hosts == (("h", GATEWAY),)
    assert '"h" is the machine' in notes(system)


# -- what does not matter


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tty", "true"),
        ("stdin_open", "true"),
        ("pid", "host"),
        ("uts", "host"),
        ("cgroup", "host"),
        ("userns_mode", "host"),
        ("pre_stop", "[{command: x}]"),
        ("oom_kill_disable", "true"),
    ],
)
def test_keys_without_effect_are_noted(tmp_path: Path, key: str, value: str) -> None:
    system = read(tmp_path, f"services: {{a: {{image: x, {key}: {value}}}}}")
    assert [n.text.partition(":")[0] for n in system.notes] == [
        f'"{key}" of service "a" has no effect'
    ]


@pytest.mark.parametrize("value", ["false", "", '""'])
def test_what_asks_for_nothing_is_not_noted(tmp_path: Path, value: str) -> None:
    assert read(tmp_path, f"services: {{a: {{image: x, tty: {value} }}}}").notes == ()


@pytest.mark.parametrize("mode", ["global", "replicated", "global-job"])
def test_every_mode_means_one_computer(tmp_path: Path, mode: str) -> None:
    assert service(tmp_path, f"deploy: {{mode: {mode}}}").replicas == 1


@pytest.mark.parametrize(
    ("keys", "cpus"),
    [
        ("cpu_quota: 50000", 0.5),
        ("cpu_quota: 50000\ncpu_period: 200000", 0.25),
        ("cpu_period: 5", None),
    ],
)
def test_quotas(tmp_path: Path, keys: str, cpus: float | None) -> None:
    assert service(tmp_path, keys).cpus == cpus


@pytest.mark.parametrize(
    ("keys", "name", "value"),
    [
        ("cpu_shares: 0", "cpu_shares", None),
        ("cpu_shares: 1", "cpu_shares", 2),
        ("cpu_quota: -1", "cpus", None),
        ("mem_limit: -1", "memory", None),
    ],
)
def test_no_limits(tmp_path: Path, keys: str, name: str, value: int | None) -> None:
    assert getattr(service(tmp_path, keys), name) == value


@pytest.mark.parametrize("written", ["amd64", "linux/amd64/v2", "linux/x86_64", "Linux/AMD64"])
def test_names_of_the_platform(tmp_path: Path, written: str) -> None:
    assert service(tmp_path, f"platform: {written}").name == "a"


def test_an_empty_platform_is_any(tmp_path: Path) -> None:
    assert service(tmp_path, "platform: ${P:-}").name == "a"


# -- YAML


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("010", "8"), ("1.0", "1"), ("1_000", "1000"), ("1e3", "1000"), ("0x10", "16"),
        ("0b11", "3"), ("0o17", "15"), ("-010", "-8"), ("08", "8"), ("1.50", "1.5"),
        ("1e21", "1e+21"), ("1e20", "100000000000000000000"), ("0.00001", "1e-05"),
        ("0.0001", "0.0001"), (".5", "0.5"), ("-0.0", "-0"), ("1.25e-7", "1.25e-07"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "18446744073709552000"),
        ("1:30", "1:30"), ("0x", "0x"), ("1e999", "1e999"), ("", ""), ("-", "-"),
    ],
)  # fmt: skip
def test_numbers_are_printed_as_the_reference_implementation_does(written: str, text: str) -> None:
    assert printed(written) == text


def test_numbers_in_an_environment(tmp_path: Path) -> None:
    keys = """\
    environment:
      A: 010
      B: "010"
      C: ${V}
      D: True
      E: yes
      F: 1_0
      G: 1.10
    """
    assert service(tmp_path, keys, V="010").environment == {
        "A": "8", "B": "010", "C": "010", "D": "true", "E": "yes", "F": "10", "G": "1.1",
    }  # fmt: skip
    assert service(tmp_path, "environment: [A=010]").environment == {"A": "010"}


@pytest.mark.parametrize(
    "written", ["$(date)", "abc$", "{print $1}", "ready$", "$5", "$", "a $ b", "$-", "^x$|y"]
)
def test_a_dollar_without_a_name_is_plain(tmp_path: Path, written: str) -> None:
    found = read(tmp_path, f"services: {{a: {{image: x, command: ['{written}']}}}}")
    assert found.services["a"].command == (written,)


@pytest.mark.parametrize(
    "written",
    [
        "image:\tx", "image: x\t", "image: x\t# y", "image: x \t #y", "image: 'x'\t", "image:\t'x'",
        "image\t: x", "image: &i\tx", "image: x\n\t", "image: x\n  \t# y", "image:\t\n      x\t",
        "command: [a,\tb\t]\t# y\n    image:\tx",
    ],
)  # fmt: skip
def test_tabs_between_words(tmp_path: Path, written: str) -> None:
    system = read(
        tmp_path, f"services:\t\n  a:\n    {written}\n    user: u\tv\n  b: {{image: y}}\n"
    )
    a = system.services["a"]
    assert (a.image, a.user, list(system.services)) == ("x", "u\tv", ["a", "b"])


@pytest.mark.parametrize("lines", ["  a:\n\timage: x", "\ta: {image: x}", "  a:\n  \t  image: x"])
def test_tabs_are_no_indentation(tmp_path: Path, lines: str) -> None:
    with pytest.raises(ComposeError, match="a tab is not allowed as indentation") as told:
        read(tmp_path, f"services:\n{lines}\n")
    assert told.value.line == 2 + lines.count("\n")


@pytest.mark.filterwarnings("error")
def test_an_anchor_may_be_used_again(tmp_path: Path) -> None:
    system = read(
        tmp_path,
        """\
        services:
          a: {image: &i one}
          b: {image: *i}
          c: {image: &i two}
          d: {image: *i}
        """,
    )
    assert [s.image for s in system.services.values()] == ["one", "one", "two", "two"]
