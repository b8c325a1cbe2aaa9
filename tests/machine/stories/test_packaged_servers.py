"""Servers from Debian's packages alone, with the users and links that their own scripts make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from places import PACKAGES

import branchpoint as bp
from branchpoint import bash

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    path = Path(tmp_path_factory.mktemp("packages"), "packages.branchpoint")
    with bp.record(PACKAGES, path, seed=1, duration=2) as recording:
        yield recording


def said(run: bp.Recording, container: str, script: str) -> str:
    process = bash(script).run(run.at(1).branch(), container)
    assert process.exit_code == 0, process.output
    return process.output


def test_postgresql_runs_as_the_user_that_its_package_made(run: bp.Recording) -> None:
    assert said(run, "db.1", "id -un postgres; stat -c %U /proc/1") == "postgres\npostgres\n"
    query = "create table t as select generate_series(1, 5) n; select sum(n) from t"
    # su asks PAM, and the server asks who is at the other end of its socket.
    answer = said(run, "db.1", f"su postgres -c \"psql -At -c '{query}'\"")
    assert answer.split() == ["SELECT", "5", "15"]


def test_it_is_rewound_like_anything_else(run: bp.Recording) -> None:
    branch = run.at(1).branch()
    bash("su postgres -c 'createdb other'").run(branch, "db.1")
    names = "su postgres -c \"psql -At -c 'select datname from pg_database'\""
    assert "other" in bash(names).run(branch, "db.1").output.split()
    assert "other" not in bash(names).run(run.at(1).branch(), "db.1").output.split()


def test_java_is_the_chosen_alternative_and_knows_the_certificates(run: bp.Recording) -> None:
    lines = [e.text for e in run.events if e.type == "log" and e.container == "java.1"]
    assert lines[0].startswith("openjdk version")
    assert lines[-2].startswith("Value: /usr/lib/jvm/java-")
    entries = int(lines[-1].split()[-2])
    assert entries > 100
    (exit_,) = [e for e in run.events if e.type == "container.exit" and e.container == "java.1"]
    assert exit_.fields["code"] == "0"
