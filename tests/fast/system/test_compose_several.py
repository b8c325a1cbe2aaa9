"""Systems of several files: overrides, ``include``, ``extends``, and how they are merged."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from branchpoint.errors import ComposeError
from branchpoint.system.compose.reading import error_at, load
from branchpoint.system.model import Service, System


def write(folder: Path, **texts: str) -> Path:
    """Files ``NAME.yaml``; ``__`` in a name is a slash."""
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def merged(folder: Path, base: str, over: str) -> Service:
    """The service ``a`` with these keys in the first file and in the second one."""
    texts = [
        f"services:\n  a:\n    image: x\n{textwrap.indent(textwrap.dedent(keys), '    ')}"
        for keys in (base, over)
    ]
    top = "\nnetworks: {n: , m: }\nvolumes: {v: , w: }\n"
    write(folder, base=texts[0] + top, over=texts[1].replace("    image: x\n", ""))
    return load([folder / "base.yaml", folder / "over.yaml"], environ={}).services["a"]


# -- merging


@pytest.mark.parametrize(
    ("base", "over", "key", "found"),
    [
        ("command: [a, b]", "command: c", "command", ("c",)),
        ("entrypoint: [a]", "entrypoint: [b]", "entrypoint", ("b",)),
        ("user: a", "user: b", "user", "b"),
        ("user: a", "user: ", "user", "a"),
        ("environment: {A: 1, B: 1}", "environment: [B=2, C=3]", "environment",
         {"A": "1", "B": "2", "C": "3"}),
        ("environment: [A=1]", "environment: {A: 010}", "environment", {"A": "8"}),
        ("environment: {A: 1}", "environment: !override {B: 2}", "environment", {"B": "2"}),
        ("environment: {A: 1, B: 2}", "environment: {A: !reset null}", "environment", {"B": "2"}),
        ("environment: {A: 1}", "environment: !reset {}", "environment", {}),
        ("cap_add: [KILL]", "cap_add: [MKNOD, KILL]", "cap_add", ("KILL", "MKNOD")),
        ("cap_add: [KILL]", "cap_add: !override [MKNOD]", "cap_add", ("MKNOD",)),
        ("extra_hosts: ['a:10.0.0.1']", "extra_hosts: {b: 10.0.0.2}", "extra_hosts",
         (("a", "10.0.0.1"), ("b", "10.0.0.2"))),
        ("mem_limit: 8m", "mem_limit: 9m", "memory", 9 << 20),
        ("sysctls: {net.a: 1}", "sysctls: [net.b=2]", "sysctls", {"net.a": "1", "net.b": "2"}),
    ],
)  # fmt: skip
def test_keys_are_merged(tmp_path: Path, base: str, over: str, key: str, found: object) -> None:
    assert getattr(merged(tmp_path, base, over), key) == found


def test_mounts_at_one_place_are_one(tmp_path: Path) -> None:
    a = merged(tmp_path, "volumes: ['v:/v', /x]", "volumes: ['w:/v:ro', {type: tmpfs, target: /x}]")
    assert [(m.kind, m.source, m.target) for m in a.mounts] == [
        ("volume", "w", "/v"),
        ("tmpfs", "", "/x"),
    ]


def test_networks_and_dependencies_take_both_forms(tmp_path: Path) -> None:
    write(
        tmp_path,
        base="""\
        services:
          a: {image: x, networks: [n], depends_on: [b]}
          b: {image: x, networks: [n]}
        networks: {n: {ipam: {config: [{subnet: 10.7.0.0/24}]}}}
        """,
        over="""\
        services:
          a:
            networks: {n: {ipv4_address: 10.7.0.9, aliases: [db]}, m: }
            depends_on: {b: {condition: service_completed_successfully}}
        networks: {m: }
        """,
    )
    a = load([tmp_path / "base.yaml", tmp_path / "over.yaml"], environ={}).services["a"]
    assert [(n.network, n.address) for n in a.networks] == [("n", "10.7.0.9"), ("m", None)]
    assert [d.condition for d in a.depends] == ["completed"]


def test_health_checks_are_merged_but_their_tests_replaced(tmp_path: Path) -> None:
    a = merged(
        tmp_path,
        "healthcheck: {test: [CMD, a, b], interval: 3s}",
        "healthcheck: {test: [CMD, c], retries: 4}",
    )
    assert a.healthcheck is not None
    assert (a.healthcheck.test, a.healthcheck.interval, a.healthcheck.retries) == (
        ("CMD", "c"), 3_000_000_000, 4,
    )  # fmt: skip


def test_a_service_may_be_reset(tmp_path: Path) -> None:
    write(
        tmp_path,
        base="services: {a: {image: x}, b: {image: x}}",
        over="services: {b: !reset null, c: {image: y}}",
    )
    found = load([tmp_path / "base.yaml", tmp_path / "over.yaml"], environ={})
    assert list(found.services) == ["a", "c"]


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ComposeError, match='"deploy" is text here, and a mapping in line 4'
    ) as told:
        merged(tmp_path, "deploy: {replicas: 2}", "deploy: twice")
    assert told.value.file == tmp_path / "over.yaml"
    assert told.value.line == 3


def test_errors_and_notes_say_the_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        base="services:\n  a:\n    image: x\n    ports: [80]\n",
        over="services:\n  a:\n\n    labels: {x: y}\n    depends_on: [c]\n  c: {image: y}\n",
    )
    files = [tmp_path / "base.yaml", tmp_path / "over.yaml"]
    system = load(files, environ={})
    assert [(system.place(note.line), note.text[:8]) for note in system.notes] == [
        ((str(files[0]), 4), '"ports" '),
        ((str(files[1]), 4), '"labels"'),
    ]
    (dependency,) = system.services["a"].depends
    told = error_at(system, dependency.line, "message")
    assert (told.file, told.line) == (files[1], 5)
    write(tmp_path, over="services:\n  a:\n    image: x\n\n    memlimit: 1\n")
    with pytest.raises(ComposeError) as caught:
        load(files, environ={})
    assert (caught.value.file, caught.value.line) == (files[1], 5)


def test_a_file_alone_has_its_own_lines(tmp_path: Path) -> None:
    write(tmp_path, compose="services:\n  a:\n    image: x\n    ports: [80]")
    system = load(tmp_path, environ={})
    assert [note.line for note in system.notes] == [4]
    assert system.place(4) == (str(tmp_path / "compose.yaml"), 4)


# -- which files


def names(system: System) -> list[str]:
    return [Path(path).name for path, _ in system.files]


def test_a_directory_has_an_override(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text("services: {a: {image: x}}")
    (tmp_path / "docker-compose.override.yml").write_text("services: {a: {user: u}}")
    system = load(tmp_path, environ={})
    assert names(system) == ["compose.yml", "docker-compose.override.yml"]
    assert system.services["a"].user == "u"
    assert load(tmp_path / "compose.yml", environ={}).services["a"].user is None


def test_a_variable_names_the_files(tmp_path: Path) -> None:
    write(tmp_path, x="services: {a: {image: x}}", y="services: {a: {user: u}}")
    assert names(load(tmp_path, environ={"COMPOSE_FILE": "x.yaml:y.yaml"})) == ["x.yaml", "y.yaml"]
    (tmp_path / ".env").write_text("COMPOSE_FILE=x.yaml,y.yaml\nCOMPOSE_PATH_SEPARATOR=,\n")
    assert names(load(tmp_path, environ={})) == ["x.yaml", "y.yaml"]


def test_files_of_variables(tmp_path: Path) -> None:
    write(tmp_path, compose="services: {a: {image: '$A-$B-$C'}}")
    (tmp_path / ".env").write_text("A=dot\n")
    (tmp_path / "one").write_text("A=one\nB=one\n")
    (tmp_path / "two").write_text("B=two\nC=$A\n")

    def image(**options: object) -> str | None:
        return load(tmp_path, **options).services["a"].image  # type: ignore[arg-type]

    assert image(environ={}) == "dot--"
    both = [tmp_path / "one", tmp_path / "two"]
    assert image(environ={}, env_files=both) == "one-two-one"
    assert image(environ={"A": "shell"}, env_files=both) == "shell-two-shell"
    assert image(environ={}, env_files=[]) == "--"


def test_paths_of_overrides_start_at_the_first_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write(
        tmp_path,
        base="services: {a: {image: x}}",
        deep__over="services: {a: {volumes: ['./data:/d:ro']}}",
    )
    system = load([tmp_path / "base.yaml", tmp_path / "deep/over.yaml"], environ={})
    assert system.services["a"].mounts[0].source == str(tmp_path / "data")


# -- extends


def test_a_service_extends_others(tmp_path: Path) -> None:
    (tmp_path / "deep/data").mkdir(parents=True)
    write(
        tmp_path,
        compose="""\
        services:
          a:
            extends: {file: deep/common.yaml, service: base}
            environment: {B: a}
            ports: !reset []
          b: {extends: a, image: z}
        """,
        deep__common="""\
        services:
          root: {image: x, environment: {A: root, B: root}, ports: [80]}
          base: {extends: root, volumes: ['./data:/d:ro'], cap_add: [KILL]}
        """,
    )
    system = load(tmp_path, environ={})
    a, b = system.services["a"], system.services["b"]
    assert (a.image, a.cap_add, a.environment) == ("x", ("KILL",), {"A": "root", "B": "a"})
    assert a.mounts[0].source == str(tmp_path / "deep/data"), "where it is written"
    assert (b.image, b.environment) == ("z", a.environment)
    assert not any("ports" in note.text for note in system.notes)
    assert list(system.services) == ["a", "b"]


@pytest.mark.parametrize(
    ("services", "message"),
    [
        ("{a: {extends: b}, b: {extends: a}}", "in a circle: a -> b -> a"),
        ("{a: {extends: a}}", "in a circle: a -> a"),
        ("{a: {extends: {file: gone.yaml, service: x}}}", "there is no file gone.yaml"),
        ("{a: {extends: {file: compose.yaml}}}", 'lacks "service"'),
        ("{a: {extends: {file: compose.yaml, service: c}}}", 'no service "c"'),
        ("{a: {extends: {file: compose.yaml, service: a}}}", "in a circle: a -> a"),
    ],
)
def test_bad_extends(tmp_path: Path, services: str, message: str) -> None:
    write(tmp_path, compose=f"services: {services}")
    with pytest.raises(ComposeError, match=message):
        load(tmp_path, environ={})


def test_a_chain_of_extends_is_bounded(tmp_path: Path) -> None:
    chain = ", ".join(f"s{n}: {{extends: s{n + 1}}}" for n in range(5000))
    write(tmp_path, compose=f"services: {{{chain}, s5000: {{image: x}}}}")
    with pytest.raises(ComposeError, match="more than 100 services extend each other"):
        load(tmp_path, environ={})


# -- include


def test_files_are_included(tmp_path: Path) -> None:
    (tmp_path / "parts/data").mkdir(parents=True)
    (tmp_path / "parts/.env").write_text("TAG=2\n")
    write(
        tmp_path,
        compose="""\
        include: [parts/db.yaml, {path: [more.yaml, over.yaml], env_file: my.env}]
        services:
          web: {image: web, depends_on: [db, more]}
          db: {user: u}
        """,
        parts__db="""\
        name: other
        services: {db: {image: "db:$TAG", volumes: ['./data:/d:ro', 'v:/v']}}
        volumes: {v: }
        x-branchpoint: {ram: 2g}
        """,
        more="services: {more: {image: $WHAT, environment: {A: 1}}}",
        over="services: {more: {environment: {B: 2}}}",
    )
    (tmp_path / "my.env").write_text("WHAT=more\n")
    system = load(tmp_path, environ={})
    db, more = system.services["db"], system.services["more"]
    assert (db.image, db.user, db.mounts[0].source) == ("db:2", "u", str(tmp_path / "parts/data"))
    assert (more.image, more.environment) == ("more", {"A": "1", "B": "2"})
    assert system.name == tmp_path.name and system.ram == 1 << 30
    assert '"x-branchpoint" has no effect in a file that is included' in system.notes[-1].text
    assert Path(system.place(system.notes[-1].line)[0]).name == "db.yaml"


@pytest.mark.parametrize(
    ("include", "message"),
    [
        ("[gone.yaml]", "there is no file gone.yaml"),
        ("[compose.yaml]", "in a circle: compose.yaml -> compose.yaml"),
        ("[{env_file: x}]", 'lacks "path"'),
        ("x.yaml", '"include" must be a list'),
        ("[[x]]", "there is no file x"),
    ],
)
def test_bad_includes(tmp_path: Path, include: str, message: str) -> None:
    write(tmp_path, compose=f"include: {include}\nservices: {{a: {{image: x}}}}")
    with pytest.raises(ComposeError, match=message):
        load(tmp_path, environ={})


def test_files_without_end_are_not_read(tmp_path: Path) -> None:
    for number in range(120):
        write(tmp_path, **{f"f{number}": f"include: [f{number + 1}.yaml]\nservices: {{}}"})
    write(tmp_path, f120="services: {a: {image: x}}")
    with pytest.raises(ComposeError, match=r"f100\.yaml:1: .* more than 100 levels deep"):
        load(tmp_path / "f0.yaml", environ={})


def test_a_system_may_be_in_many_files(tmp_path: Path) -> None:
    files = {f"s{n}": f"services: {{s{n}: {{image: x}}}}" for n in range(150)}
    write(tmp_path, **files, compose=f"include: [{', '.join(f'{name}.yaml' for name in files)}]")
    assert set(load(tmp_path, environ={}).services) == set(files)


def test_one_file_again_and_again_is_refused(tmp_path: Path) -> None:
    write(tmp_path, many=f"include: [{'one.yaml, ' * 1000}]", one="services: {a: {image: x}}")
    with pytest.raises(ComposeError, match="more than 1000 files are included") as told:
        load(tmp_path / "many.yaml", environ={})
    assert "fewer files" in told.value.hint
