"""Networks with IPv6: addresses, ways, names, faults and packets, and networks without it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

import branchpoint as bp
from branchpoint import bash

COMPOSE = """
name: six
x-branchpoint: {ram: 512m}
x-branchpoint-debian: {packages: [python3-minimal, busybox-static]}
services:
  server:
    command: [python3, -c, "import socket;
s = socket.create_server(('::', 80), family=socket.AF_INET6, dualstack_ipv6=True);
n = [c.sendall(a[0].encode()) or c.close() for c, a in iter(s.accept, None)]"]
    networks: {front: {ipv6_address: "fd00:5::9"}}
  client: {command: [sleep, infinity], networks: [front, plain]}
  many: {command: [sleep, infinity], networks: [front], scale: 2}
  lone: {command: [sleep, infinity], networks: [plain]}
  hidden: {command: [sleep, infinity], networks: [inner]}
networks:
  front:
    enable_ipv6: true
    ipam: {config: [{subnet: "fd00:5::/64"}, {subnet: 10.5.0.0/24}]}
  plain:
  inner: {internal: true, enable_ipv6: true}
"""
CLIENT, SERVER, LONE, HIDDEN = "client.1", "server.1", "lone.1", "hidden.1"
CONNECT = """
import json, socket
def connect(host, version=socket.AF_UNSPEC):
    "The address that the server sees, or what went wrong."
    error = ""
    for family, *_, place in socket.getaddrinfo(host, 80, version, socket.SOCK_STREAM):
        with socket.socket(family) as s:
            s.settimeout(2)
            try:
                s.connect(place)
                return s.recv(99).decode()
            except OSError as failed:
                error = type(failed).__name__
    return error
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    folder = tmp_path_factory.mktemp("six")
    (folder / "compose.yaml").write_text(COMPOSE)
    with bp.record(folder, folder / "six.branchpoint", seed=1, duration=0.5) as run:
        yield run


@pytest.fixture
def branch(run: bp.Recording) -> bp.Branch:
    return run.end.branch()


def said(branch: bp.Branch, command: str, container: str = CLIENT) -> str:
    return bash(command).run(branch, container).output


def told(branch: bp.Branch, expression: str, container: str = CLIENT) -> Any:
    """The value of an expression of Python there."""
    script = f"{CONNECT}\nprint(json.dumps({expression}))"
    return json.loads(said(branch, f"python3 - <<'END'\n{script}\nEND", container))


def addresses(branch: bp.Branch, container: str) -> list[str]:
    """Each IPv6 address with its interface, scope and flags; without ::1."""
    lines = said(branch, "ip -6 -o addr", container).splitlines()
    words = [line.partition("\\")[0].split() for line in lines]
    return [" ".join([interface, *rest]) for _, interface, _, *rest in words if interface != "lo"]


def test_addresses_and_ways_of_ipv6(branch: bp.Branch) -> None:
    assert addresses(branch, CLIENT) == [
        "eth0 fd00:5::2/64 scope global nodad",
        "eth0 fe80::42:aff:fe05:3/64 scope link nodad",
    ]
    assert addresses(branch, SERVER)[0] == "eth0 fd00:5::9/64 scope global nodad"
    assert addresses(branch, HIDDEN)[0] == "eth0 fd00:10:89::2/64 scope global nodad"
    assert addresses(branch, LONE) == []
    way = "ip -6 route show default"
    assert said(branch, way).startswith("default via fd00:5::1 dev eth0 ")
    assert said(branch, way, HIDDEN) == said(branch, way, LONE) == ""
    assert said(branch, "grep fd00 /etc/hosts") == "fd00:5::2 client-1\n"
    assert branch.containers()[CLIENT].address == "10.5.0.3,fd00:5::2,10.89.0.2"


def test_containers_reach_each_other_over_ipv6(branch: bp.Branch) -> None:
    assert told(branch, "[connect('server'), connect('server', socket.AF_INET)]") == [
        "fd00:5::2", "::ffff:10.5.0.3",
    ]  # fmt: skip
    assert "64 bytes from server.1.front (fd00:5::9)" in said(branch, "ping -6 -c 1 server")
    link = "ping -6 -c 1 fe80::42:aff:fe05:2%eth0"
    assert " 1 received" in said(branch, link)


def test_a_partition_cuts_ipv6(branch: bp.Branch) -> None:
    before = branch.end.branch()
    fault = branch.faults.partition("client", "server")
    branch.wait(0.05)
    assert told(branch, "connect('fd00:5::9')") == "TimeoutError"
    assert " 0 received" in said(branch, "ping -6 -c 3 -i 0.05 -W 0.3 server")
    assert " 3 received" in said(branch, "ping -6 -c 3 -i 0.05 -W 0.3 many")
    fault.heal()
    branch.wait(1)  # the request for its hardware address that was under way has to fail first
    assert told(branch, "connect('fd00:5::9')") == "fd00:5::2"
    assert told(before, "connect('fd00:5::9')") == "fd00:5::2"


def test_latency_and_loss_over_ipv6(branch: bp.Branch) -> None:
    branch.faults.latency("client", "80ms", jitter="0ms", for_=3)
    branch.wait(0.05)
    said(branch, "ping -6 -c 1 server")  # the first one also asks for the hardware address
    times = re.findall(r"time=([0-9.]+) ms", said(branch, "ping -6 -c 2 -i 0.1 server"))
    assert [float(ms) for ms in times] == pytest.approx([80, 80], abs=5)
    branch.wait(3)
    branch.faults.loss("server", "100%")
    branch.wait(0.05)
    assert " 0 received" in said(branch, "ping -6 -c 3 -i 0.05 -W 0.3 server")


def test_what_leaves_the_system_over_ipv6(branch: bp.Branch) -> None:
    for other in ("2001:db8::1", "fd00:10:89::2"):  # outside, and in another network
        back = said(branch, f"ping -6 -c 1 -W 0.3 {other}")
        assert "From fd00:5::1 icmp_seq=1 Destination unreachable: No route" in back
    assert "Network is unreachable" in said(branch, "ping -6 -c 1 fd00:5::9", HIDDEN)
    assert "Network is unreachable" in said(branch, "ping -6 -c 1 fd00:5::9", LONE)


DNS = r"""
import struct
def ask(name, kind):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1)
    s.sendto(struct.pack(">6H", 7, 256, 1, 0, 0, 0) + labels + struct.pack(">B2H", 0, kind, 1),
             ("127.0.0.11", 53))
    data = s.recv(9999)
    at, found = 12 + len(labels) + 5, []
    for _ in range(data[7]):
        kind, _, _, size = struct.unpack(">2HIH", data[at + 2:at + 12])
        rest = data[at + 12:at + 12 + size]
        families = {1: socket.AF_INET, 28: socket.AF_INET6}
        found.append(socket.inet_ntop(families[kind], rest) if kind in families
                     else rest[1:].decode(errors="replace"))
        at += 12 + size
    return found if data[3] & 15 == 0 else data[3] & 15
"""
AAAA, ANY, PTR = 28, 255, 12
REVERSED = "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.5.0.0.0.0.0.d.f.IP6.arpa"


def asked(branch: bp.Branch, *questions: tuple[str, int], container: str = CLIENT) -> Any:
    return told(branch, f"(exec({DNS!r}, globals()), [ask(*q) for q in {questions}])[1]", container)


def test_names_have_ipv6_addresses(branch: bp.Branch) -> None:
    assert asked(branch, ("server", AAAA), ("SERVER.front", AAAA), ("server", 1), ("server", ANY),
                 ("lone", AAAA), ("lone", 1), ("nobody", AAAA), ("hidden", AAAA)) == [
        ["fd00:5::9"], ["fd00:5::9"], ["10.5.0.2"], ["10.5.0.2", "fd00:5::9"],
        [], ["10.89.0.3"], 3, 3,
    ]  # fmt: skip
    # It is also in a network without IPv6, which its own container asks of.
    assert asked(branch, ("client", AAAA), container=LONE) == [[]]


def test_replicas_take_turns_in_each_version(branch: bp.Branch) -> None:
    said = asked(branch, *[("many", 1), ("many", AAAA)] * 4)
    four, six = [each[0] for each in said[::2]], [each[0] for each in said[1::2]]
    assert sorted(said[0]) == ["10.5.0.4", "10.5.0.5"]
    assert sorted(said[1]) == ["fd00:5::3", "fd00:5::4"]
    assert four[0] != four[1] and four[:2] == four[2:]
    assert six[0] != six[1] and six[:2] == six[2:]


def test_ipv6_addresses_have_names(branch: bp.Branch) -> None:
    other, long = "8" + REVERSED[1:], "9." + REVERSED
    questions = [(name, PTR) for name in (other, long, "g" + REVERSED[1:])]
    said = asked(branch, (REVERSED, PTR), (REVERSED, 1), *questions)
    assert said == [["server\x011\x05front\0"], [], 3, 3, 3]
    assert told(branch, "socket.gethostbyaddr('fd00:5::9')[0]") == "server.1.front"


def test_faults_of_names_concern_ipv6_too(branch: bp.Branch) -> None:
    fault = branch.faults.dns_fail("client")
    branch.wait(0.05)
    assert asked(branch, ("server", AAAA), (REVERSED, PTR)) == [2, 2]
    fault.heal()
    branch.faults.kill(SERVER)
    branch.wait(0.3)
    assert asked(branch, ("server", AAAA), (REVERSED, PTR)) == [3, 3]


def test_packets_of_ipv6(branch: bp.Branch) -> None:
    bash("sleep 0.2; ping -6 -c 1 server; nc fd00:5::9 80").run_in_background(branch, CLIENT)
    packets = branch.end.extract_pcap(CLIENT, 1, "ip6")
    frame = packets.frame()
    assert {"ICMPv6", "TCP"} <= set(frame.protocol)
    (first, *_) = [p for p in packets if p.protocol == "TCP"]
    assert (first.source, first.receiver, first.flags) == ("fd00:5::2", "[fd00:5::9]:80", "SYN")
    assert "[fd00:5::9]:80" in repr(packets)


def test_ipv6_has_the_same_history(run: bp.Recording) -> None:
    ends = []
    for _ in range(2):
        branch = run.end.branch(5)
        told(branch, "[connect('server'), connect('many')]")
        branch.wait(1)
        history = branch._history
        digest = branch.run.replayer.bring(history, history.tip).computer.digest()
        ends.append((digest, branch.events.map(str)))
    assert ends[0] == ends[1]
