"""The name server of the containers: what it answers, whatever it is asked, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import branchpoint as bp
from branchpoint import bash

COMPOSE = """
name: names
x-branchpoint: {ram: 512m}
x-branchpoint-debian: {packages: [python3-minimal, busybox-static]}
services:
  client:
    command: [sleep, infinity]
    networks: [front]
    links: ["web:site"]
    extra_hosts: {up: 192.0.2.1}
  web:
    command: [sleep, infinity]
    stop_signal: SIGKILL
    networks: {front: {aliases: [shop, Shop.Example]}}
    scale: 3
  db:
    command: [sleep, infinity]
    stop_signal: SIGKILL
    networks: [front, back]
    hostname: data
  hidden: {command: [sleep, infinity], networks: [back]}
  last: {command: [sleep, infinity], networks: [front], depends_on: [db]}
  side: {command: [sleep, infinity], network_mode: "service:client"}
  own:
    command: [python3, -c, "import socket, threading;
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('0.0.0.0', 53));
t = socket.create_server(('0.0.0.0', 53));
print('bound', flush=True);
m, a = u.recvfrom(999); u.sendto(m[:2] + bytes.fromhex('8183') + m[4:], a);
threading.Event().wait()"]
    networks: [front]
  asks: {command: [sleep, infinity], networks: [front], dns: OWN, links: ["web:site"]}
  alone: {command: [sleep, infinity], network_mode: none}
networks:
  front: {ipam: {config: [{subnet: 10.5.0.0/24}]}}
  back:
"""
# What runs in a container: `ask` makes a question of a name, `answer` reads what came back.
TOOLS = r"""
import json, os, socket, struct, sys, time
SERVER = ("127.0.0.11", 53)

def question(name, kind=1, tail=b"", count=0, flags=0x0100, number=7):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
    head = struct.pack(">6H", number, flags, 1, 0, 0, count)
    return head + labels + b"\0" + struct.pack(">2H", kind, 1) + tail

def udp(message, wait=1.0):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(wait)
    s.connect(SERVER)
    s.send(message)
    try:
        return s.recv(65535)
    except TimeoutError:
        return None

def exactly(s, size):
    found = b""
    while len(found) < size and (more := s.recv(size - len(found))):
        found += more
    return found

def tcp(message, wait=1.0):
    with socket.create_connection(SERVER, wait) as s:
        s.sendall(struct.pack(">H", len(message)) + message)
        return exactly(s, struct.unpack(">H", exactly(s, 2))[0])

def name_at(data, at):
    labels = []
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(labels), at + 1

def answer(data):
    if data is None:
        return None
    number, flags, asked, count, *_ = struct.unpack(">6H", data[:12])
    at, name, found, ttls = 12, "", [], set()
    if asked:
        name, at = name_at(data, at)
        at += 4
    for _ in range(count):
        where, kind, group, ttl, size = struct.unpack(">3HIH", data[at:at + 12])
        rest = data[at + 12:at + 12 + size]
        found.append(socket.inet_ntoa(rest) if kind == 1 else name_at(rest, 0)[0])
        ttls.add(ttl)
        at += 12 + size
    return {"number": number, "code": flags & 15, "flags": flags & 0xfff0, "name": name,
            "found": found, "ttls": sorted(ttls), "size": len(data), "left": data[at:].hex()}

def ask(name, kind=1, **more):
    return answer(udp(question(name, kind, **more)))

def by_name(name):
    try:
        return sorted({i[4][0] for i in socket.getaddrinfo(name, 80, socket.AF_INET)})
    except socket.gaierror as error:
        return error.args[0]

def tell(*values):
    print(json.dumps(values if len(values) != 1 else values[0]))
"""
CLIENT, DB = "client.1", "db.1"
WEB = ["10.5.0.3", "10.5.0.4", "10.5.0.5"]
UNKNOWN, REFUSED, FAILED, MALFORMED = 3, 5, 2, 1


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    folder = tmp_path_factory.mktemp("names")
    (folder / "compose.yaml").write_text(COMPOSE.replace("OWN", "10.5.0.8"))
    with bp.record(folder, folder / "names.branchpoint", seed=1, duration=0.5) as run:
        yield run


@pytest.fixture
def branch(run: bp.Recording) -> bp.Branch:
    return run.end.branch()


def told(branch: bp.Branch, script: str, container: str = CLIENT) -> Any:
    """What the script tells, in Python and with the tools above."""
    process = bash(f"python3 - <<'END'\n{TOOLS}\n{script}\nEND").run(branch, container)
    assert process.exit_code == 0, process.output
    return json.loads(process.stdout)


def found(branch: bp.Branch, name: str, container: str = CLIENT, kind: int = 1) -> Any:
    """The addresses of a name, or the code of a refusal."""
    said = told(branch, f"tell(ask({name!r}, {kind}))", container)
    return said["found"] if said["code"] == 0 else said["code"]


def test_names_of_services_containers_aliases_and_links(branch: bp.Branch) -> None:
    names = ["web", "web.1", "shop", "SHOP.example", "site", "db", "data", "web.front", "up",
             "client", "client-1", "client.1", "localhost"]  # fmt: skip
    said = dict(told(branch, f"tell(*[(n, by_name(n)) for n in {names}])"))
    assert said == {
        **dict.fromkeys(("web", "shop", "SHOP.example", "site", "web.front"), WEB),
        "web.1": WEB[:1], "db": ["10.5.0.6"], "data": ["10.5.0.6"], "up": ["192.0.2.1"],
        **{name: ["10.5.0.2"] for name in ("client", "client-1", "client.1")},
        "localhost": ["127.0.0.1"],
    }  # fmt: skip


def test_a_question_and_its_answer(branch: bp.Branch) -> None:
    said = told(branch, "tell(ask('dB'))")
    assert said == {"number": 7, "code": 0, "flags": 0x8180, "name": "dB", "found": ["10.5.0.6"],
                    "ttls": [600], "size": 36, "left": ""}  # fmt: skip
    assert told(branch, "tell(ask('db', flags=0))")["flags"] == 0x8080
    assert told(branch, "tell(ask('db', 255))")["found"] == ["10.5.0.6"]
    for kind in (28, 33, 15, 16, 12):  # AAAA, SRV, MX, TXT, PTR
        other = told(branch, f"tell(ask('db', {kind}))")
        assert (other["code"], other["found"]) == (0, [])


def test_replicas_take_turns(branch: bp.Branch) -> None:
    said = told(
        branch, "tell(*[ask(n)['found'] for n in ('web', 'db', 'web', 'db', 'web', 'web')])"
    )
    turns = [each for each in said if len(each) > 1]
    assert all(sorted(each) == WEB for each in turns)
    first = [WEB.index(each[0]) for each in turns]
    assert first == [(first[0] + i) % 3 for i in range(4)]
    assert all(each == WEB[i:] + WEB[:i] for i, each in zip(first, turns, strict=True))


def test_what_is_unknown_is_told_at_once(branch: bp.Branch) -> None:
    names = ["nobody", "web.2.web", "hidden", "hidden.back", "site.back", "db.back", "example.org"]
    script = f"t = time.monotonic(); tell([ask(n)['code'] for n in {names}], time.monotonic() - t)"
    codes, took = told(branch, script)
    assert codes == [UNKNOWN] * len(names)
    assert took < 0.1
    assert told(branch, "tell(by_name('nobody'))") == -2
    assert found(branch, "site", DB) == UNKNOWN, "a link is for its own container only"
    assert found(branch, "hidden", DB) == ["10.89.0.3"]
    assert found(branch, "alone") == UNKNOWN


def test_addresses_have_names(branch: bp.Branch) -> None:
    assert found(branch, "6.0.5.10.in-addr.arpa", kind=12) == ["db.1.front"]
    assert found(branch, "2.0.5.10.IN-ADDR.arpa", kind=12) == ["client.1.front"]
    assert found(branch, "6.0.5.10.in-addr.arpa") == []
    for name in ("3.0.89.10.in-addr.arpa", "99.0.5.10.in-addr.arpa", "6.0.5.10.in-addr.arpa.x",
                 "300.0.5.10.in-addr.arpa", "0.5.10.in-addr.arpa"):  # fmt: skip
        assert found(branch, name, kind=12) == UNKNOWN
    assert told(branch, "tell(socket.gethostbyaddr('10.5.0.6')[0])") == "db.1.front"


def test_a_name_lasts_as_long_as_its_container(branch: bp.Branch) -> None:
    branch.control("stop", "web.2")
    branch.control("stop", "last")  # which does not heed the signal
    branch.control("pause", "web.3")
    branch.faults.kill(DB)
    branch.wait(0.3)
    assert sorted(found(branch, "web")) == [WEB[0], WEB[2]]
    assert found(branch, "web.2") == found(branch, "db") == UNKNOWN
    assert found(branch, "4.0.5.10.in-addr.arpa", kind=12) == UNKNOWN
    assert found(branch, "last") == ["10.5.0.7"]
    branch.control("start", "web.2")
    branch.control("start", DB)
    branch.wait(0.3)
    assert sorted(found(branch, "web")) == WEB
    assert found(branch, "db") == ["10.5.0.6"]


def test_over_tcp(branch: bp.Branch) -> None:
    said = told(branch, "tell([answer(tcp(question(n)))['found'] for n in ('db', 'web')])")
    assert (said[0], sorted(said[1])) == (["10.5.0.6"], WEB)
    several = """
s = socket.create_connection(SERVER, 1)
m = question("db")
for byte in struct.pack(">H", len(m)) + m: s.send(bytes([byte]))
s.send((struct.pack(">H", len(m)) + m) * 3)
tell([answer(exactly(s, struct.unpack(">H", exactly(s, 2))[0]))["found"] for _ in range(4)])"""
    assert told(branch, several) == [["10.5.0.6"]] * 4


def test_who_says_nothing_is_left_after_a_while(branch: bp.Branch) -> None:
    many = """
idle = [socket.create_connection(SERVER, 30) for _ in range(40)]
assert answer(tcp(question("db")))["found"] == ["10.5.0.6"]
t = time.monotonic()
ends = [s.recv(1) for s in idle]
tell(ends == [b""] * 40, time.monotonic() - t)"""
    ended, took = told(branch, many)
    assert ended and 5 < took < 12


def test_long_names_and_askers_that_take_long_datagrams(branch: bp.Branch) -> None:
    name = ".".join(["x" * 63, "y" * 63, "z" * 63, "w" * 50])
    said = told(branch, f"tell(ask({name!r}))")
    assert said["code"] == UNKNOWN and said["name"] == name
    option = "tail=b'\\0' + struct.pack('>HHIH', 41, {}, 0, {}) + bytes({}), count=1"
    for takes, extra in ((1232, 0), (4096, 12), (0, 0)):
        said = told(branch, f"tell(ask('web', {option.format(takes, extra, extra)}))")
        assert sorted(said["found"]) == WEB
        assert said["left"] == "0000291000000000000000"


RUBBISH = r"""
import random
chance = random.Random(SEED)
good = question("web")
for _ in range(300):
    udp_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp_socket.connect(SERVER)
    damaged = bytearray(good)
    for _ in range(chance.randrange(1, 6)):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    for m in (damaged, chance.randbytes(chance.randrange(80)), good[:chance.randrange(len(good))],
              good + chance.randbytes(chance.randrange(60))):
        try:
            udp_socket.send(m)
        except ConnectionRefusedError:
            pass
tell(ask("db")["found"])"""


@pytest.mark.parametrize("seed", [1, 2])
def test_rubbish_does_no_harm(branch: bp.Branch, seed: int) -> None:
    assert told(branch, f"SEED = {seed}\n{RUBBISH}") == ["10.5.0.6"]
    assert [str(e) for e in branch.events.where(type=["error", "machine.end"])] == []


def test_what_is_no_question(branch: bp.Branch) -> None:
    script = r"""
good = question("web")
header, rest = good[:12], good[12:]
def counts(*numbers): return good[:4] + struct.pack(">4H", *numbers) + rest
def code(m): a = answer(udp(m, 0.2)); return a and (a["code"], a["size"])
tell(
    code(header + b"\xc0\x0c" + rest[-4:]),                      # a pointer to itself
    code(header + b"\x03web\xc0\x0c" + rest[-4:]),               # ... behind a label
    code(header + b"\x40" + b"a" * 64 + b"\0" + rest[-4:]),      # a label that is too long
    code(header + (b"\x3f" + b"a" * 63) * 4 + b"\0" + rest[-4:]), # a name that is too long
    code(header + b"\x03web\0\0\1"),                             # an end in the class
    code(header + b"\x07web"),                                   # ... in a label
    code(counts(0, 0, 0, 0)), code(counts(2, 0, 0, 0)), code(counts(1, 1, 0, 0)),
    code(good[:2] + b"\x28\0" + good[4:]),                       # an update
    code(good[:-1] + b"\3"),                                     # another class
    code(good[:2] + b"\x81\0" + good[4:]),                       # an answer
    code(header[:-1]), code(b""), code(question("web") + b"x" * 5000),
)"""
    said = told(branch, script)
    assert said[:9] == [[MALFORMED, 12]] * 9
    assert said[9:11] == [[4, 12], [REFUSED, 21]]
    assert said[11:] == [None] * 4
    assert found(branch, "db") == ["10.5.0.6"]


def test_rubbish_over_tcp(branch: bp.Branch) -> None:
    script = r"""
def send(data):
    with socket.create_connection(SERVER, 5) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            return len(s.recv(100000))
        except OSError:
            return 0
whole = question("web")
tell([send(d) for d in (b"x" * 70000, b"\xff\xff" + bytes(70000), b"\0\0", b"\0", b"",
    b"\0\5hello", struct.pack(">H", len(whole)) + whole[:-3], b"\x10\1" + whole, bytes(9999))],
    ask("db")["found"], answer(tcp(whole))["code"])"""
    got, datagram, code = told(branch, script)
    assert got == [0] * 9
    assert (datagram, code) == (["10.5.0.6"], 0)


def test_who_asks_and_does_not_listen_holds_up_nobody(branch: bp.Branch) -> None:
    script = r"""
m = question("web")
slow = socket.create_connection(SERVER, 1)
slow.setblocking(False)
sent = 0
try:
    while sent < 1 << 26:
        sent += slow.send((struct.pack(">H", len(m)) + m) * 100)
except BlockingIOError:
    pass
tell(sent, ask("db")["found"], answer(tcp(question("db")))["found"])"""
    sent, *others = told(branch, script)
    assert sent < 1 << 26
    assert others == [["10.5.0.6"]] * 2


def test_containers_that_share_a_network_or_have_none(branch: bp.Branch) -> None:
    assert told(branch, "tell(by_name('site'))", "side.1") == WEB
    script = "tell(by_name('web'), open('/etc/resolv.conf').read()[:16])"
    assert told(branch, script, "alone.1") == [-3, "# No name server"]


def test_a_name_server_of_the_system(branch: bp.Branch) -> None:
    """It has port 53 of all addresses, and whoever names it asks it after all but its hosts."""
    assert [e.text for e in branch.events.where(container="own.1", type="log")] == ["bound"]
    assert told(branch, "tell(by_name('web'), by_name('site'))", "asks.1") == [WEB, WEB]
    assert told(branch, "tell(by_name('nobody'))", "asks.1") == -2
    assert found(branch, "nobody", "own.1") == UNKNOWN, "the agent's is there, too"


# -- faults


def test_dns_slow(branch: bp.Branch) -> None:
    script = """
def timed(f, *a):
    t = time.monotonic(); f(*a); return time.monotonic() - t
tell(timed(udp, question("db"), 3), timed(tcp, question("db"), 3), timed(by_name, "up"))"""
    branch.faults.dns_slow("client", 0.4, for_=5)
    other = branch.faults.dns_slow("client", "300ms")
    branch.wait(0.05)
    assert told(branch, script) == pytest.approx([0.7, 0.7, 0], abs=0.05)
    assert told(branch, script, DB) == pytest.approx([0, 0, 0], abs=0.05)
    other.heal()
    branch.wait(0.05)
    assert told(branch, script) == pytest.approx([0.4, 0.4, 0], abs=0.05)
    branch.wait(5)
    assert told(branch, script) == pytest.approx([0, 0, 0], abs=0.05)


def test_an_answer_may_come_after_the_fault(branch: bp.Branch) -> None:
    """Many at once: those that it has no place for are lost."""
    script = r"""
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(SERVER); s.settimeout(2); t = time.monotonic(); n = 0
for i in range(400): s.send(question("db", number=i))
try:
    while s.recv(999): n += 1
except TimeoutError: pass
tell(n)"""
    branch.faults.dns_slow("client", 0.5, for_=0.3)
    branch.wait(0.05)
    assert told(branch, script) == 256
    assert branch.faults.active == []
    assert told(branch, "tell(ask('db')['code'])") == 0


def test_dns_fail(branch: bp.Branch) -> None:
    fault = branch.faults.dns_fail("client")
    branch.wait(0.05)
    script = "tell([ask(n)['code'] for n in ('db', 'nobody')], answer(tcp(question('db')))['code'])"
    assert told(branch, script) == [[FAILED, FAILED], FAILED]
    assert told(branch, "tell(by_name('db'), by_name('up'))") == [-3, ["192.0.2.1"]]
    assert told(branch, "tell(by_name('db'))", "side.1") == -3, "it has the other's server"
    assert found(branch, "client", DB) == ["10.5.0.2"]
    fault.heal()
    branch.wait(0.05)
    assert found(branch, "db") == ["10.5.0.6"]


def test_dns_silent(branch: bp.Branch) -> None:
    branch.faults.dns_silent("client", for_=3)
    branch.wait(0.05)
    assert told(branch, "tell(ask('db'), ask('nobody'))") == [None, None]
    assert found(branch, "client", DB) == ["10.5.0.2"]
    branch.wait(3)
    assert found(branch, "db") == ["10.5.0.6"]


def test_dns_stale(branch: bp.Branch) -> None:
    branch.control("stop", "web.1")
    branch.wait(0.2)
    fault = branch.faults.dns_stale("client")
    branch.wait(0.05)
    branch.control("start", "web.1")
    branch.control("stop", "web.2")
    branch.control("stop", DB)
    branch.wait(0.3)
    assert sorted(found(branch, "web")) == WEB[1:]
    assert found(branch, "web.1") == UNKNOWN
    assert found(branch, "db") == ["10.5.0.6"]
    assert found(branch, "6.0.5.10.in-addr.arpa", kind=12) == ["db.1.front"]
    assert sorted(found(branch, "web", "last.1")) == [WEB[0], WEB[2]]
    fault.heal()
    branch.wait(0.05)
    assert sorted(found(branch, "web")) == [WEB[0], WEB[2]]
    assert found(branch, "db") == UNKNOWN


def test_faults_of_names_are_told_drawn_and_refused(branch: bp.Branch) -> None:
    branch.faults.settings = {
        "dns_slow": {"every": 0.2, "for": 0.1, "delay": "5ms", "containers": "web"},
        **{kind: {"every": 0.3, "for": 0.1} for kind in ("dns_fail", "dns_silent", "dns_stale")},
    }
    branch.wait(3)
    branch.faults.pause()
    branch.wait(0.2)
    begun = list(branch.events.where(type="fault.start"))
    assert {e.fields["type"] for e in begun} == {"dns_slow", "dns_fail", "dns_silent", "dns_stale"}
    (slow, *_) = (e for e in begun if e.fields["type"] == "dns_slow")
    assert slow.text == f"dns_slow {slow.container}: delay 5ms, for 100ms"
    assert branch.faults.active == []
    assert branch.events.where(type="error").first is None
    assert found(branch, "db") == ["10.5.0.6"]
    with pytest.raises(bp.BranchpointError, match="not in any network"):
        branch.faults.dns_fail("alone")


def test_the_same_questions_have_the_same_history(run: bp.Recording) -> None:
    ends = []
    for _ in range(2):
        branch = run.end.branch(5)
        branch.faults.dns_slow("client", 0.02, for_=0.5)
        told(
            branch,
            "tell([ask(n) for n in ('web', 'nobody', 'db') * 20], tcp(question('web')).hex())",
        )
        branch.wait(1)
        replayer, history = branch.run.replayer, branch._history
        digest = replayer.bring(history, history.tip).computer.digest()
        ends.append((digest, branch.events.map(str)))
    assert ends[0] == ends[1]
