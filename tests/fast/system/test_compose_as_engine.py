"""Where compose files mean something else than one may think: as the engine has it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from composefiles import read, service

from branchpoint.errors import ComposeError
from branchpoint.system.model import Restart

# -- services that are not enabled


@pytest.mark.parametrize("keys", ["env_file: gone", "gpus: all", "user: [1]", "deploy: 3"])
def test_what_is_not_enabled_is_not_read(tmp_path: Path, keys: str) -> None:
    text = f"services: {{a: {{image: x}}, b: {{{keys}, profiles: [p]}}}}"
    assert list(read(tmp_path, text).services) == ["a"]
    with pytest.raises(ComposeError, match="did you mean"):
        read(tmp_path, f"services: {{a: {{image: x}}, b: {{{keys}, imag: x, profiles: [p]}}}}")


# -- networks


@pytest.mark.parametrize("empty", ["[]", "{}"])
def test_no_networks_mean_the_default_one(tmp_path: Path, empty: str) -> None:
    system = read(tmp_path, f"services: {{a: {{image: x, networks: {empty}}}}}")
    assert [e.network for e in system.containers[0].endpoints] == ["default"]
    text = "services: {a: {image: x, network_mode: none, networks: %s}}"
    assert read(tmp_path, text % empty).containers[0].endpoints == ()
    text = "services: {a: {image: x, networks: %s, network_mode: bridge}}"
    (endpoint,) = read(tmp_path, text % empty).containers[0].endpoints
    assert endpoint.network == "bridge"


def test_networks_without_a_value_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match=r'compose\.yaml:4: "networks" has no value') as told:
        service(tmp_path, "networks:")
    assert "remove it" in told.value.hint


# -- what "deploy" says, too


@pytest.mark.parametrize(
    ("written", "restart"),
    [
        ("restart: any", Restart("always")),
        ("restart: none", Restart()),
        ("restart: ${NONE:-}", Restart()),
        ("deploy: {restart_policy: {condition: none}}\nrestart: always", Restart()),
        ("restart: always\ndeploy: {restart_policy: {condition: none}}", Restart()),
        ("deploy: {restart_policy: {condition: 'no'}}", Restart()),
        ("deploy: {restart_policy: {condition: unless-stopped}}", Restart("unless-stopped")),
        ("deploy: {restart_policy: {condition: always, max_attempts: 0}}", Restart("always")),
        (
            "deploy: {restart_policy: {condition: on-failure, max_attempts: 3}}\nrestart: 'no'",
            Restart("on-failure", 3),
        ),
    ],
)
def test_policies_of_restarts(tmp_path: Path, written: str, restart: Restart) -> None:
    assert service(tmp_path, written).restart == restart


def test_a_policy_without_a_condition_restarts_nothing(tmp_path: Path) -> None:
    text = "services: {a: {image: x, restart: always, deploy: {restart_policy: {%s}}}}"
    system = read(tmp_path, text % "max_attempts: 3")
    assert system.services["a"].restart == Restart()
    (note,) = system.notes
    assert "restarts nothing" in note.text


@pytest.mark.parametrize("condition", ["any", "none", "unless-stopped"])
def test_attempts_are_counted_on_failure_only(tmp_path: Path, condition: str) -> None:
    policy = f"deploy:\n  restart_policy:\n    condition: {condition}\n    max_attempts: 2"
    with pytest.raises(ComposeError, match=r'compose\.yaml:7: "max_attempts" is for') as told:
        service(tmp_path, policy)
    assert "write that condition" in told.value.hint


LIMITS = "deploy: {replicas: 2, resources: {limits: {cpus: '0.5', memory: 64m, pids: 9}}}"


@pytest.mark.parametrize(
    ("key", "same", "other"),
    [
        ("scale", "2", "3"),
        ("cpus", ".5", "0.6"),
        ("mem_limit", "65536k", "63m"),
        ("pids_limit", "9", "8"),
    ],
)
def test_what_is_said_twice_has_to_be_the_same(
    tmp_path: Path, key: str, same: str, other: str
) -> None:
    for keys in (f"{LIMITS}\n{key}: %s", f"{key}: %s\n{LIMITS}"):
        a = service(tmp_path, keys % same)
        assert (a.replicas, a.cpus, a.memory, a.pids) == (2, 0.5, 64 << 20, 9)
        with pytest.raises(ComposeError, match=f'"{key}" and "[a-z]+" of "deploy" are not'):
            service(tmp_path, keys % other)


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ("scale: 3\ndeploy: {mode: replicated}", (3, None, None)),
        ("mem_limit: 64m\ndeploy: {replicas: 2}", (2, 64 << 20, None)),
        ("mem_limit: 0\ndeploy: {resources: {limits: {memory: 64m}}}", (1, 64 << 20, None)),
        ("cpu_quota: 50000\ndeploy: {resources: {limits: {memory: 64m}}}", (1, 64 << 20, 0.5)),
    ],
)
def test_what_is_said_once_counts(tmp_path: Path, keys: str, found: tuple[object, ...]) -> None:
    a = service(tmp_path, keys)
    assert (a.replicas, a.memory, a.cpus) == found


def test_a_limit_beside_other_limits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match=r'compose\.yaml:4: "mem_limit" and "memory"') as told:
        service(tmp_path, "mem_limit: 64m\ndeploy: {resources: {limits: {cpus: 1}}}")
    assert told.value.hint == 'write it under "deploy" only'


# -- mounts


@pytest.mark.parametrize("wanted", ["shared", "rshared", "slave", "rslave", "private", "rprivate"])
@pytest.mark.parametrize(
    "written",
    ["/etc:/d:ro,%s", "{type: bind, source: /etc, target: /d, read_only: true, bind: {%s}}"],
    ids=["short", "long"],
)
def test_mounts_are_private(tmp_path: Path, wanted: str, written: str) -> None:
    option = f"propagation: {wanted}" if written.startswith("{") else wanted
    system = read(tmp_path, f"services: {{a: {{image: x, volumes: [{written % option!r}]}}}}"
                  .replace("'{", "{").replace("}'", "}"))  # fmt: skip
    (mount,) = system.services["a"].mounts
    assert (mount.source, mount.target, mount.read_only) == ("/etc", "/d", True)
    told = [note.text for note in system.notes]
    if "private" in wanted:
        assert told == []
    else:
        assert told == [f'"{wanted}" of /d has no effect: nothing is mounted below it later']


# -- two keys, one name

TWO = """\
services:
  a: {image: x, networks: [default, n], volumes: ['v:/v']}
  b: {image: x, networks: %s, volumes: [%s]}
networks: {n: {name: one}, m: {name: %s}}
volumes:
  v: {external: true, name: one}
  w: {driver_opts: {o: bind, device: .}, name: %s}
  one: %s
"""


@pytest.mark.parametrize(
    ("filled", "line", "message"),
    [
        (("[m]", "/d", "one", "two", ""), 4, 'the networks "n" and "m" are one: .* name "one"'),
        (("[n]", "w:/w", "two", "one", ""), 7, 'the volumes "v" and "w" are one'),
        (("[n]", "one:/o", "", "two", "{external: true}"), 8, 'the volumes "v" and "one" are one'),
        (("[n]", "one:/o", "", "two", "{external: {name: one}}"), 8, '"v" and "one" are one'),
    ],
)
def test_two_keys_with_one_name_are_refused(
    tmp_path: Path, filled: tuple[str, ...], line: int, message: str
) -> None:
    with pytest.raises(ComposeError, match=message) as told:
        read(tmp_path, TWO % filled)
    assert told.value.line == line
    assert told.value.hint.startswith("keep ")


@pytest.mark.parametrize(
    "filled",
    [
        ("[n]", "/d", "one", "one", "{external: true}"),
        ("[m]", "w:/w, 'one:/o'", "two", "three", ""),
    ],
)
def test_what_has_names_of_its_own_is_as_before(tmp_path: Path, filled: tuple[str, ...]) -> None:
    assert len(read(tmp_path, TWO % filled).containers) == 2


# -- variables without a value


@pytest.mark.parametrize(
    "key",
    [
        "container_name", "domainname", "hostname", "mac_address", "stop_signal", "user",
        "working_dir", "dns", "dns_search", "dns_opt", "platform", "restart",
    ],
)  # fmt: skip
def test_empty_text_says_nothing(tmp_path: Path, key: str) -> None:
    found = service(tmp_path, f'scale: 2\n{key}: "${{NONE:-}}"')
    assert replace(found, lines={}) == replace(service(tmp_path, "scale: 2"), lines={})


def test_an_empty_image_is_none(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match=r'compose\.yaml:1: service "a" has no image'):
        read(tmp_path, "services: {a: {image: ''}}")
    assert read(tmp_path, "services: {a: {image: '', build: .}}").services["a"].image is None


def test_empty_addresses_are_none(tmp_path: Path) -> None:
    keys = "networks: {default: {ipv4_address: '', ipv6_address: '', mac_address: ''}}"
    (attachment,) = service(tmp_path, keys).networks
    assert (attachment.address, attachment.address6, attachment.mac) == (None, None, None)


def test_empty_drivers_are_the_usual_ones(tmp_path: Path) -> None:
    system = read(
        tmp_path,
        """\
        services: {a: {image: x, networks: [n], volumes: ['data:/v'], deploy: {mode: ''}}}
        networks: {n: {driver: '', ipam: {driver: ''}}}
        volumes: {data: {driver: ''}}
        """,
    )
    assert list(system.networks) == ["n"] and list(system.volumes) == ["data"]


# -- a list of nothing, a name with several addresses


def test_a_health_test_without_words_is_the_images(tmp_path: Path) -> None:
    health = service(tmp_path, "healthcheck: {test: [], retries: 2}").healthcheck
    assert health is not None and (health.test, health.disabled) == (None, False)


def test_a_name_may_have_several_addresses(tmp_path: Path) -> None:
    found = service(tmp_path, "extra_hosts: {h: [10.0.0.1, '::1'], i: 10.0.0.2}").extra_hosts
    assert found == (("h", "10.0.0.1"), ("h", "::1"), ("i", "10.0.0.2"))
