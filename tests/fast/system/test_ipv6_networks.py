"""IPv6 of networks: what a compose file says, and what the machine is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from imagefiles import TestImage, layer, member

from branchpoint.errors import ComposeError
from branchpoint.guest.tree import Tree
from branchpoint.system.bundle import layout
from branchpoint.system.bundle.runtime_files import hosts, resolv_conf
from branchpoint.system.compose.reading import load
from branchpoint.system.images.finding import find_images
from branchpoint.system.model import System

TWO = """\
services:
  fixed: {image: ./i.tar, networks: {front: {ipv6_address: "FD00:5:0::9"}}}
  plain: {image: ./i.tar, networks: [back, front, inner]}
  more: {image: ./i.tar, networks: [front], scale: 2}
networks:
  front:
    enable_ipv6: true
    ipam:
      config:
        - {subnet: "fd00:5::/64", gateway: "fd00:5:0::1:1", ip_range: "fd00:5::/112"}
        - {subnet: 10.5.0.0/24, gateway: 10.5.0.254}
  back:
  inner: {enable_ipv6: true, internal: true}
"""
PAIR = """\
services:
  a:
    image: x
    networks: %s
  b: {image: y, networks: [n]}
networks:
  n: %s
"""


def system_tree(project: Path, text: str) -> Tree:
    TestImage([layer(member("x", b"x"))], {"Cmd": ["/x"]}).docker(project / "i.tar")
    system = loaded(project, text)
    return layout.system_tree(system, find_images(system))


def loaded(folder: Path, text: str) -> System:
    (folder / "compose.yaml").write_text(text)
    return load(folder, profiles=[], environ={})


def test_ipv6_addresses_are_given_out_in_order(tmp_path: Path) -> None:
    system = loaded(tmp_path, TWO)
    front, back, inner = (system.networks[name] for name in ("front", "back", "inner"))
    assert (front.subnet, front.gateway) == ("10.5.0.0/24", "10.5.0.254")
    assert (front.subnet6, front.gateway6, front.pool6) == (
        "fd00:5::/64", "fd00:5::1:1", "fd00:5::/112",
    )  # fmt: skip
    assert (back.subnet6, back.gateway6) == ("", "")
    assert (inner.subnet6, inner.gateway6) == ("fd00:10:89::/64", "fd00:10:89::1")
    given = {c.name: [e.addresses for e in c.endpoints] for c in system.containers}
    assert given == {
        "fixed.1": [("10.5.0.1", "fd00:5::9")],
        "plain.1": [("10.89.0.2",), ("10.5.0.2", "fd00:5::1"), ("10.89.1.2", "fd00:10:89::2")],
        "more.1": [("10.5.0.3", "fd00:5::2")],
        "more.2": [("10.5.0.4", "fd00:5::3")],
    }


def test_default_ipv6_subnets_avoid_written_ones(tmp_path: Path) -> None:
    text = PAIR % ("[n, m]", '{enable_ipv6: true, ipam: {config: [{subnet: "fd00:10:89::/63"}]}}')
    system = loaded(tmp_path, text + "  m: {enable_ipv6: true}\n")
    assert [n.subnet6 for n in system.networks.values()] == ["fd00:10:89::/63", "fd00:10:89:2::/64"]
    assert [n.subnet for n in system.networks.values()] == ["10.89.0.0/24", "10.89.1.0/24"]


def test_an_ipv6_subnet_that_is_not_enabled_has_no_effect(tmp_path: Path) -> None:
    """As with the engine, which does not look at the rest of the block."""
    block = '{ipam: {config: [{subnet: "fd00:5::/64", gateway: "fd00:6::1"}]}}'
    system = loaded(tmp_path, PAIR % ("[n]", block))
    assert (system.networks["n"].subnet6, system.containers[0].endpoints[0].address6) == ("", "")
    (note,) = system.notes
    assert 'fd00:5::/64 of the network "n" has no effect without "enable_ipv6: true"' in note.text
    assert note.line == 7


SIX = '{enable_ipv6: true, ipam: {config: [{subnet: "fd00:5::/64"%s}]}}'


@pytest.mark.parametrize(
    ("networks", "network", "line", "message", "hint"),
    [
        ('{n: {ipv6_address: "fd00:6::2"}}', SIX % "", 4, 'the network "n" (fd00:5::/64)', ""),
        ('{n: {ipv6_address: "fd00:5::"}}', SIX % "", 4, "fd00:5:: is not an address", ""),
        ('{n: {ipv6_address: "fd00:5::1"}}', SIX % "", 4, "fd00:5::1 is the gateway", ""),
        ('{n: {ipv6_address: "fd00:5::2%eth0"}}', SIX % "", 4, "must be an IPv6 address", ""),
        ("{n: {ipv6_address: 10.0.0.1}}", SIX % "", 4, "must be an IPv6 address", ""),
        ('{n: {ipv4_address: "fd00:5::2"}}', SIX % "", 4, "must be an IPv4 address", ""),
        ('{n: {ipv6_address: "fd00:5::2"}}', "", 4, "which has no IPv6", "enable_ipv6: true"),
        ('{n: {ipv6_address: "fd00:5::2"}}\n    scale: 2', SIX % "", 4, "2 replicas", "remove it"),
        ("[n]", SIX % ', gateway: "fd00:6::1"', 7, 'the gateway "fd00:6::1" is not in', ""),
        ("[n]", SIX % ', gateway: "fd00:5::1%x"', 7, "is not in fd00:5::/64", ""),
        ("[n]", SIX % ', ip_range: "fd00:6::/80"', 7, "fd00:6::/80 is not a part of", ""),
        ("[n]", SIX % ", ip_range: 10.0.0.0/24", 7, "10.0.0.0/24 is not a part of", ""),
        ("[n]", SIX % '}, {subnet: "fd00:6::/64"', 7, "only one IPv6 subnet", "the others"),
        ("[n]", (SIX % "").replace("/64", "/127"), 7, "between /8 and /126", ""),
        ("[n]", (SIX % "").replace("fd00:5::", "fe80::"), 7, "cannot be used by a network", ""),
        ("[n]", (SIX % "").replace("fd00:5::", "ff02::"), 7, "cannot be used by a network", ""),
        ("[n]", (SIX % "").replace("fd00:5::", "fd00:5"), 7, "IPv4 or IPv6 network", "fd00:5::/64"),
        ("[n]", f"{SIX % ''}\n  m: {SIX % ''}", 8, "fd00:5::/64 overlaps", ""),
        ("[n]", SIX % ', ip_range: "fd00:5::/127"', 4, "has no address left", "larger subnet"),
    ],
)  # fmt: skip
def test_what_ipv6_cannot_be(
    tmp_path: Path, networks: str, network: str, line: int, message: str, hint: str
) -> None:
    with pytest.raises(ComposeError) as caught:
        loaded(tmp_path, PAIR % (networks, network))
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.line == line


def test_an_ipv6_address_is_one_containers(tmp_path: Path) -> None:
    text = PAIR.replace("[n]", '{n: {ipv6_address: "fd00:5::7"}}')
    with pytest.raises(ComposeError, match='fd00:5::7 is already the address of service "a"'):
        loaded(tmp_path, text % ('{n: {ipv6_address: "fd00:5:0::7"}}', SIX % ""))


def test_what_the_machine_is_told_of_ipv6(tmp_path: Path) -> None:
    tree = system_tree(tmp_path, TWO)
    assert tree.read("branchpoint/network/host6").decode().splitlines() == [
        "route add unreachable default table 99",
        "addr add fe80::42:aff:fe05:fe/64 dev br-front nodad",
        "addr add fd00:5::1:1/64 dev br-front nodad",
        "rule add iif br-front lookup 99",
        "addr add fe80::42:aff:fe59:101/64 dev br-inner nodad",
        "addr add fd00:10:89::1/64 dev br-inner nodad",
        "rule add iif br-inner lookup 99",
    ]
    inside = tree.read("branchpoint/network/containers/plain.1").decode().splitlines()
    assert inside[3:] == [
        "addr add 10.5.0.2/24 broadcast + dev eth1",
        "link set eth1 up",
        "addr add fe80::42:aff:fe05:2/64 dev eth1 nodad",
        "addr add fd00:5::1/64 dev eth1 nodad",
        "addr add 10.89.1.2/24 broadcast + dev eth2",
        "link set eth2 up",
        "addr add fe80::42:aff:fe59:102/64 dev eth2 nodad",
        "addr add fd00:10:89::2/64 dev eth2 nodad",
        "route add default via 10.89.0.1 dev eth0",
        "route add ::/0 via fd00:5::1:1 dev eth1",  # the first one with IPv6 that is not internal
    ]
    text = tree.read("branchpoint/setup.sh").decode()
    order = ["default/accept_ra", 'network/host"', 'network/host6"', "network/names"]
    assert sorted(order, key=text.index) == order
    configuration = tree.read("branchpoint/system.conf").decode()
    assert "address front 10.5.0.1 fixed fixed.1 fixed-1\naddress6 fd00:5::9\n" in configuration
    assert "address back 10.89.0.2 plain plain.1 plain-1\naddress front" in configuration


def test_a_system_without_ipv6_is_told_nothing_of_it(tmp_path: Path) -> None:
    text = TWO.replace("enable_ipv6: true", "enable_ipv6: false")
    tree = system_tree(tmp_path, text.replace("ipv6_address", "x-address"))
    assert tree.get("branchpoint/network/host6") is None
    assert "accept_ra" not in tree.read("branchpoint/setup.sh").decode()
    assert "address6" not in tree.read("branchpoint/system.conf").decode()


def test_hosts_and_name_servers_of_ipv6(tmp_path: Path) -> None:
    system_tree(tmp_path, TWO.replace("[front], scale", '[front], dns: "fd00:5::9", scale'))
    system = load(tmp_path, environ={})
    fixed, _, more, _ = system.containers
    assert hosts(system, fixed).splitlines()[4:] == ["10.5.0.1 fixed-1", "fd00:5::9 fixed-1"]
    assert resolv_conf(system, fixed).startswith("nameserver 127.0.0.11\n")
    assert resolv_conf(system, more) == "nameserver fd00:5::9\n"
    lines = hosts(system, more).splitlines()
    assert "fd00:5::9 fixed fixed.1 fixed-1" in lines and "10.5.0.1 fixed fixed.1 fixed-1" in lines
