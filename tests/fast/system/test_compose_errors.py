"""Malformed compose files: each is refused with the file, the line and what to do."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchpoint.errors import BranchpointError, ComposeError
from branchpoint.system.compose.reading import load

# (test name, file, message, hint); "" where there is none. The line of the file that ends in "#!"
# is the one that must be named.
CASES = [
    ("tab", "services:\n\ta: {image: x} #!", "a tab is not allowed", "indent with spaces"),
    ("unclosed list", "services: {a: [1", "expected ',' or ']'", ""),
    ("undefined alias", "services: *nobody #!", "undefined alias", "define the anchor"),
    ("two documents", "name: x\n--- #!\na: 1", "another document", "one document"),
    ("unclosed quote", "name: 'x", "unexpected end of stream", ""),
    (
        "indentation",
        "services:\n  a:\n    image: x\n   user: y #!",
        "does not fit those above",
        "same column",
    ),
    (
        "faults",
        "services: {a: {image: x}}\nx-branchpoint:\n  faults: [{kind: kill}] #!",
        '"faults" must be a mapping, not a list',
        "kill: {every: 30s}",
    ),
    ("not a mapping", "- a #!", "a compose file must be a mapping, not a list", ""),
    ("no services", "name: x #!", 'there are no "services"', ""),
    ("null services", "name: x\nservices: #!", '"services" must be a mapping, not nothing', ""),
    ("services a list", "services:\n  - a #!", '"services" must be a mapping, not a list', ""),
    ("no service", "services: {} #!", "no service is active", ""),
    ("service is text", "services:\n  a: text #!", 'service "a" must be a mapping, not text', ""),
    (
        "service name",
        "services:\n  a b: {image: x} #!",
        '"a b" cannot be the name of a service',
        "",
    ),
    ("unknown top key", "servces: {} #!", 'unknown key "servces"', 'did you mean "services"?'),
    ("includes", "include: [x.yaml] #!\nservices: {a: {image: x}}", "no file x.yaml", "looked"),
    (
        "a key twice",
        "services:\n  a:\n    image: x\n    image: y #!",
        '"image" is written twice (first in line 3)',
        "",
    ),
    (
        "an alias in itself",
        "services: &a\n  b: *a",
        "an alias contains itself",
        "",
    ),
    ("merge of text", "services:\n  a:\n    <<: text #!", '"<<" can merge only mappings', ""),
    ("own tag", "services:\n  a: {image: !mine x} #!", "the tag !mine is not supported", "remove"),
    ("merge conflict", "services:\n  ? [a]\n  : {}", "a key must be plain text", ""),
    ("no image", "services:\n  a: {command: x} #!", 'service "a" has no image', 'give it "image"'),
    ("name of the system", 'name: "a b" #!\nservices: {a: {image: x}}', "cannot be the name", ""),
    (
        "recorder options misspelt",
        "x-branchpont: {}\nx-branchpoint-debain: {} #!\nservices: {a: {image: x}}",
        'unknown key "x-branchpoint-debain"',
        'did you mean "x-branchpoint-debian"?',
    ),
]

# Keys of one service, which has an image already.
SERVICE_CASES = [
    ("unknown key", "commnd: x", 'unknown key "commnd" in service "a"', 'did you mean "command"?'),
    ("far-off key", "wibble: x", 'unknown key "wibble"', "name it x-..."),
    ("extends", "extends: {service: bb}", 'there is no service "bb"', 'did you mean "b"?'),
    ("devices", "devices: [/dev/kvm]", "the machine has no /dev/kvm", "/dev/fuse"),
    ("a device of none", "devices: [{target: /dev/fuse}]", 'needs "source"', ""),
    ("a device elsewhere", "devices: [/dev/fuse:/dev/x]", "cannot be at another place", "once"),
    ("mac", "mac_address: 02:42:ac:11:65", '"02:42:ac:11:65" cannot be the MAC', "02:42:"),
    ("mac of a group", "mac_address: 03:42:ac:11:65:43", "cannot be the MAC address", "02:42:"),
    ("ipc", "ipc: service:b", 'ipc "service:b" is not supported', "ipc: host"),
    ("hook", "post_start: [{user: x}]", 'needs "command"', ""),
    ("hook of nothing", "post_start: [{command: []}]", '"command" is empty', ""),
    ("hook key", "post_start: [{command: x, users: y}]", 'unknown key "users"', '"user"'),
    ("version", "x-branchpoint: {versions: [bb]}", 'no service "bb"', 'did you mean "b"?'),
    ("version of itself", "x-branchpoint: {versions: [a]}", "another version of itself", "remove"),
    ("runtime", "runtime: nvidia", '"runtime" is not supported', "by crun"),
    ("network mode", "network_mode: macvlan", 'network_mode "macvlan" is not', "networks"),
    ("image a list", "image: [x]", '"image" must be text, not a list', ""),
    ("quotes", "command: \"echo 'x\"", '"command": a quote is never closed', "check the quotes"),
    ("command a mapping", "command: {a: b}", '"command" must be text, not a mapping', ""),
    ("nested command", "command: [a, [b]]", 'each of "command" must be text, not a list', ""),
    ("bad boolean", "init: maybe", '"init" must be true or false, not "maybe"', ""),
    ("bad duration", "stop_grace_period: 1m30", "must be a duration", '"1m30s"'),
    ("negative duration", "stop_grace_period: -1s", "must not be negative", ""),
    ("bad unit", "stop_grace_period: 1 minute", 'a duration, not "1 minute"', '"1m30s"'),
    ("bad size", "mem_limit: lots", 'must be a size, not "lots"', '"256m"'),
    ("tiny memory", "mem_limit: 1m", "at least 6m", ""),
    ("negative cpus", "cpus: -1", '"cpus" must be between 0 and 1024', ""),
    ("cpus not a number", "cpus: many", '"cpus" must be a number, not "many"', ""),
    ("nan", "cpus: nan", '"cpus" must be a number', ""),
    ("replicas", "deploy: {replicas: few}", 'must be a whole number, not "few"', ""),
    ("too many", "deploy: {replicas: 1000}", "between 0 and 64", ""),
    ("deploy key", "deploy: {replica: 1}", 'unknown key "replica"', 'did you mean "replicas"?'),
    ("signal", "stop_signal: SIGFOO", 'there is no signal "SIGFOO"', "SIGTERM"),
    ("capability", "cap_add: [NET_ADMN]", 'no capability "NET_ADMN"', '"NET_ADMIN"?'),
    ("ulimit", "ulimits: {nofiles: 10}", 'no ulimit "nofiles"', 'did you mean "nofile"?'),
    ("ulimit order", "ulimits: {nofile: {soft: 9, hard: 5}}", "above the hard one", ""),
    ("ulimit half", "ulimits: {nofile: {soft: 9}}", 'needs "soft" and "hard"', ""),
    ("sysctl", "sysctls: {vm.swappiness: 1}", "belongs to the whole machine", "net."),
    ("restart", "restart: allways", '"restart" cannot be "allways"', 'did you mean "always"?'),
    ("restart count", "restart: always:3", '"restart" cannot be "always:3"', ""),
    ("hostname", "hostname: a_b!", '"a_b!" cannot be a host name', ""),
    ("container name", "container_name: a/b", '"a/b" cannot be the name of a container', ""),
    ("platform", "platform: linux/arm64", '"linux/arm64" is not supported', "linux/amd64"),
    ("working dir", "working_dir: here", 'must be an absolute path, not "here"', ""),
    ("dots", "working_dir: /a/../b", 'must not contain ".."', ""),
    ("windows", "volumes: [{type: bind, source: 'C:\\a', target: /a}]",
     r'"C:\a" is a path of Windows', "this computer"),
    ("empty source", 'volumes: ["$NONE:/data"]', "not of the form", "no value?"),
    ("environment", "environment: text", "must be a mapping or a list, not text", ""),
    ("environment value", "environment: {A: [1]}", '"A" in "environment" must be text', ""),
    ("env_file", "env_file: gone.env", 'env_file "gone.env" does not exist', "looked at"),
    ("variable", 'command: "${FOO:?set it}"', "FOO is required: set it", "set FOO in .env"),
    ("open variable", 'command: "${FOO"', '"${" is never closed', "$$"),
    ("operator", 'command: "${FOO!x}"', "is not a variable", ":-default"),
    ("slack", "x-branchpoint: {timer_slack: 2s}", "between 1ns and 1s", "500us"),
    ("slack of 0", "x-branchpoint: {timer_slack: 0s}", "between 1ns and 1s", "500us"),
    ("key of all", "x-branchpoint: {ram: 1g}", 'unknown key "ram"', ""),
    ("depends", "depends_on: [bb]", 'there is no service "bb"', 'did you mean "b"?'),
    ("depends on itself", "depends_on: [a]", "depends on itself", ""),
    ("condition", "depends_on: {b: {condition: healthy}}", 'cannot be "healthy"', "_healthy"),
    ("no condition", "depends_on: {b: {}}", 'lacks "condition"', "service_started"),
    ("health test", "healthcheck: {test: [curl, x]}", "starts with CMD", '["CMD", "curl", ...]'),
    ("health interval", "healthcheck: {interval: soon}", '"interval" must be a duration', ""),
    ("health key", "healthcheck: {tst: x}", 'unknown key "tst"', 'did you mean "test"?'),
    ("start interval", "healthcheck: {start_interval: 1us}", '"start_interval" must be at', ""),
    ("bad network", "networks: [bakbone]", 'no network "bakbone"', 'did you mean "backbone"?'),
    ("network twice", "networks: [backbone, backbone]", "is listed twice", ""),
    ("outside", "networks: {backbone: {ipv4_address: 10.1.0.9}}", "10.1.0.9 is not an address", ""),
    ("gateway", "networks: {backbone: {ipv4_address: 10.89.5.1}}", "is the gateway", ""),
    ("no ip", "networks: {backbone: {ipv4_address: 10.89.5}}", "must be an IPv4 address", ""),
    ("taken", "networks: {backbone: {ipv4_address: 10.89.5.9}}", 'address of service "b"', ""),
    ("volume", "volumes: ['dta:/x']", 'there is no volume "dta"', 'did you mean "data"?'),
    (
        "no source",
        "volumes: [{type: bind, source: ./gone, target: /x, bind: {create_host_path: false}}]",
        "./gone does not exist",
        "make it",
    ),
    ("volume flag", "volumes: ['data:/x:rx']", 'no option "rx"', "known: ro"),
    ("relative", "volumes: ['data:x']", "must be an absolute path", ""),
    ("long volume", "volumes: [{type: volume}]", 'lacks "target"', ""),
    ("volume type", "volumes: [{type: npipe, target: /x}]", '"npipe" are not', "named volume"),
    ("same place", "volumes: ['data:/x', '/x']", 'two things are mounted at "/x"', "on line"),
    ("tmpfs option", "tmpfs: ['/x:siz=1m']", 'a tmpfs has no option "siz=1m"', "size="),
    ("extra host", "extra_hosts: ['a:b']", 'the address of "a" must be an IP', ""),
    ("profile", "profiles: x", '"profiles" must be a list, not text', ""),
    ("build key", "build: {contxt: .}", 'unknown key "contxt"', 'did you mean "context"?'),
    ("two recipes", "build: .\n    x-branchpoint-debian: {}", "be used together", "keep one"),
    ("package", "x-branchpoint-debian: {packages: [A/b]}", "cannot be the name of a Debian", ""),
    ("recipe key", "x-branchpoint-debian: {package: []}", 'unknown key "package"', "packages"),
    ("recipe file", "x-branchpoint-debian: {files: {/x: gone}}", "gone does not exist", "compose"),
    ("recipe user", "x-branchpoint-debian: {users: {bus: {}}}", 'lacks "uid"', "uid: 1000"),
    (
        "recipe mode",
        "x-branchpoint-debian: {files: {/x: {content: y, mode: rw}}}",
        '"mode" must be octal like "0644", not "rw"',
        "",
    ),
    (
        "recipe owner",
        "x-branchpoint-debian: {files: {/x: {content: y, owner: Bob}}}",
        '"Bob" is not an owner',
        "the name of a user",
    ),
    ("replicas share", "container_name: x\n    scale: 2", "shared by 2 replicas", "remove it"),
]  # fmt: skip

BODY = """\
services:
  b: {image: y, networks: {backbone: {ipv4_address: 10.89.5.9}}}
  a:
    image: x
    %s
networks:
  backbone: {ipam: {config: [{subnet: 10.89.5.0/24}]}}
volumes:
  data:
"""

# Keys at the top level, beside a service that uses them.
TOP_CASES = [
    ("driver", "networks: {n: {driver: macvlan}}", '"macvlan" of the network "n"', "bridge"),
    (
        "subnet",
        "networks: {n: {ipam: {config: [{subnet: 10.0.0.300/24}]}}}",
        "IPv4 or IPv6 network",
        "",
    ),
    ("tiny", "networks: {n: {ipam: {config: [{subnet: 10.0.0.0/31}]}}}", "/8 and /30", ""),
    (
        "far gateway",
        "networks: {n: {ipam: {config: [{subnet: 10.0.0.0/24, gateway: 10.0.1.1}]}}}",
        'the gateway "10.0.1.1" is not in 10.0.0.0/24',
        "",
    ),
    (
        "overlap",
        "networks: {n: {ipam: {config: [{subnet: 10.0.0.0/24}]}},"
        " m: {ipam: {config: [{subnet: 10.0.0.128/25}]}}}",
        "overlaps",
        "",
    ),
    ("volume driver", "networks: {n: }\nvolumes: {v: {driver: nfs}} #!", 'cannot be "nfs"', ""),
    (
        "bind volume",
        "networks: {n: }\nvolumes: {v: {driver_opts: {type: none, o: bind}}} #!",
        'the volume "v" has no "device"',
        "which directory",
    ),
    (
        "bind volume's option",
        "networks: {n: }\nvolumes: {v: {driver_opts: {o: 'bind,rr', device: /x}}} #!",
        '"rr" of the volume "v" is not supported',
        "known: bind, rbind, ro, rw",
    ),
    (
        "network volume",
        "networks: {n: }\nvolumes: {v: {driver_opts: {type: nfs, o: addr=a, device: ':/x'}}} #!",
        '"type: nfs" of the volume "v" is not supported',
        "a tmpfs",
    ),
    ("ram", "networks: {n: }\nx-branchpoint: {ram: 100m} #!", "a multiple of 64m", ""),
    ("speed", "networks: {n: }\nx-branchpoint: {cpu: 2GHz} #!", '"cpu" cannot be "2GHz"', "1GHz"),
    ("slack", "networks: {n: }\nx-branchpoint: {timer_slack: 1ms} #!", "timer_slack", ""),
    ("a step above 3 GiB", "networks: {n: }\nx-branchpoint: {ram: 3136m} #!", "256m and 3g", ""),
    ("4 GiB", "networks: {n: }\nx-branchpoint: {ram: 4g} #!", "between 256m and 3g", ""),
    ("64 GiB", "networks: {n: }\nx-branchpoint: {ram: 64g} #!", "between 256m and 3g", ""),
    ("option", "networks: {n: }\nx-branchpoint: {rma: 1g} #!", 'unknown key "rma"', '"ram"'),
    (
        "fault without a window",
        "networks: {n: }\nx-branchpoint: {fault: {kill: a}} #!",
        '"fault" lacks "between"',
        "",
    ),
    (
        "fault of nobody",
        "networks: {n: }\nx-branchpoint:\n  fault:\n    kill: aa #!\n    between: [1s, 2s]",
        'there is no container "aa"',
        "did you mean",
    ),
    (
        "fault backwards",
        "networks: {n: }\nx-branchpoint: {fault: {kill: a, between: [2s, 1s]}} #!",
        "ends before it begins",
        "",
    ),
]


def refused(tmp_path: Path, text: str) -> ComposeError:
    file = tmp_path / "compose.yaml"
    file.write_text(text)
    with pytest.raises(ComposeError) as caught:
        load(file, profiles=[], environ={})
    error = caught.value
    assert error.file == file
    assert error.line is not None
    assert str(error).startswith(f"{file}:{error.line}: ")
    return error


@pytest.mark.parametrize(("_", "text", "message", "hint"), CASES, ids=[c[0] for c in CASES])
def test_files(tmp_path: Path, _: str, text: str, message: str, hint: str) -> None:
    error = refused(tmp_path, text)
    assert message in error.message
    assert hint in error.hint
    marked = [n for n, line in enumerate(text.splitlines(), 1) if line.endswith("#!")]
    assert not marked or error.line in marked


@pytest.mark.parametrize(
    ("_", "key", "message", "hint"), SERVICE_CASES, ids=[c[0] for c in SERVICE_CASES]
)
def test_services(tmp_path: Path, _: str, key: str, message: str, hint: str) -> None:
    body = BODY.replace("    image: x\n", "") if key.startswith("image") else BODY
    text = body % key
    error = refused(tmp_path, text)
    assert message in error.message
    assert hint in error.hint
    first = text.splitlines().index("    " + key.splitlines()[0]) + 1
    assert first <= error.line <= first + key.count("\n")


@pytest.mark.parametrize(("_", "top", "message", "hint"), TOP_CASES, ids=[c[0] for c in TOP_CASES])
def test_sections(tmp_path: Path, _: str, top: str, message: str, hint: str) -> None:
    networks = "[n, m]" if "m:" in top.split("ipam")[-2:][0] and "overlaps" in message else "[n]"
    text = f"{top}\nservices:\n  a: {{image: x, networks: {networks}}}\n"
    error = refused(tmp_path, text)
    assert message in error.message
    assert hint in error.hint
    marked = [n for n, line in enumerate(text.splitlines(), 1) if line.endswith("#!")]
    assert error.line in (marked or [1])


def test_a_circle_is_shown(tmp_path: Path) -> None:
    text = textwrap.dedent("""\
        services:
          a: {image: x, depends_on: [b]}
          b: {image: x, depends_on: [c]}
          c:
            image: x
            depends_on:
              - a
        """)
    error = refused(tmp_path, text)
    assert "in a circle: a -> b -> c -> a" in error.message
    assert error.line == 7


def test_a_sleeping_profile_is_named(tmp_path: Path) -> None:
    text = "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, profiles: [debug]}\n"
    error = refused(tmp_path, text)
    assert 'depends on "b", whose profile is not enabled' in error.message
    assert "required: false" in error.hint


def test_two_containers_of_one_name(tmp_path: Path) -> None:
    text = "services:\n  a: {image: x, container_name: n}\n  b:\n    image: x\n"
    text += "    container_name: n\n"
    error = refused(tmp_path, text)
    assert '"n" is already the name of a container of "a"' in error.message
    assert error.line == 5


def test_a_full_subnet(tmp_path: Path) -> None:
    text = (
        "networks: {default: {ipam: {config: [{subnet: 10.0.0.0/29}]}}}\n"
        "services:\n  a: {image: x, scale: 6}\n"
    )
    error = refused(tmp_path, text)
    assert "has no address left" in error.message
    assert error.line == 3


def test_a_volume_that_is_a_directory_that_is_not_there(tmp_path: Path) -> None:
    text = """\
        services: {a: {image: x, volumes: ["v:/v"]}}
        volumes:
          v: {driver_opts: {o: bind, device: ./gone}} #!
        """
    error = refused(tmp_path, textwrap.dedent(text))
    assert "./gone does not exist" in error.message and error.hint == "make it"
    assert error.line == 3


def test_variables_in_env_files_are_located(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("A=1\n\nthis is no pair\n")
    (tmp_path / "compose.yaml").write_text("services:\n  a: {image: x, env_file: a.env}\n")
    with pytest.raises(ComposeError, match=r"a\.env:3: .*not of the form KEY=VALUE"):
        load(tmp_path, environ={})
    (tmp_path / "a.env").write_text("A='1\n")
    with pytest.raises(ComposeError, match=r"a\.env:1: the quote ' is never closed"):
        load(tmp_path, environ={})


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match="no compose file here"):
        load(tmp_path)
    with pytest.raises(ComposeError, match=r"gone\.yaml: cannot be read"):
        load(tmp_path / "gone.yaml")
    file = tmp_path / "compose.yaml"
    file.write_bytes(b"services:\n  \xff\xfe\n")
    with pytest.raises(ComposeError, match=r"compose\.yaml:2: is not UTF-8"):
        load(file)
    file.write_bytes(b"a: \x00")
    with pytest.raises(ComposeError, match=r"compose\.yaml: is not YAML"):
        load(file)
    file.write_bytes(b"# nothing\n")
    with pytest.raises(ComposeError, match="is empty"):
        load(file)


def test_bombs_are_bounded(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    for n in range(1, 12):
        levels.append(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]")
    file = tmp_path / "compose.yaml"
    file.write_text("\n".join(levels))
    with pytest.raises(ComposeError, match="more than 50000 values"):
        load(file)
    file.write_text("a: " + "[" * 5000)
    with pytest.raises(ComposeError, match="nested deeper"):
        load(file)
    file.write_text("a: " + "[" * 80 + "]" * 80)
    with pytest.raises(ComposeError, match="nested deeper"):
        load(file)
    file.write_text("#" * (600 << 10))
    with pytest.raises(ComposeError, match="larger than 512 KiB"):
        load(file)


WORDS = st.sampled_from(
    """services a b image x networks volumes depends_on healthcheck test interval 10s {a: b} [a]
    - : { } [ ] , ' " | > & * << !!int 1 -1 0.5 null true $ ${A} ${A:-b} x-branchpoint fault kill
    between ports deploy replicas command environment ipv4_address subnet ipam config""".split()  # noqa: SIM905
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.lists(WORDS, min_size=1, max_size=5)), max_size=12))
def test_any_text_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[int, list[str]]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text("\n".join("  " * depth + " ".join(words) for depth, words in lines))
    try:
        load(file, environ={})
    except BranchpointError as error:
        assert str(error).startswith(str(file))
