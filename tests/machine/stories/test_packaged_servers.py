"""Servers from Debian's packages alone, with the users and links that their own scripts make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from places import SERVERS

import branchpoint as bp
from branchpoint import bash

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    path = Path(tmp_path_factory.mktemp("servers"), "servers.branchpoint")
    with bp.record(SERVERS, path, seed=1, duration=2) as recording:
        yield recording


def said(branch: bp.Branch, container: str, script: str) -> str:
    process = bash(script).run(branch, container)
    assert process.exit_code == 0, process.output
    return process.output


def query(sql: str) -> str:
    """A command that asks PostgreSQL, which asks who is at the other end of its socket."""
    return f"psql -At -c '{sql}'"


@pytest.mark.parametrize(
    ("container", "user"),
    [
        ("primary.1", "postgres"),
        ("standby.1", "postgres"),
        ("zookeeper.1", "zookeeper"),
        ("rabbitmq.1", "rabbitmq"),
        ("mariadb.1", "mysql"),
    ],
)
def test_each_runs_as_the_user_that_its_package_made(
    run: bp.Recording, container: str, user: str
) -> None:
    assert said(run.at(1).branch(), container, "stat -c %U /proc/1") == f"{user}\n"


def test_postgresql_and_its_standby(run: bp.Recording) -> None:
    """What a branch writes to the primary comes to the standby there, and is nowhere else."""
    branch = run.at(1).branch()
    said(branch, "primary.1", query("create table t as select generate_series(1, 5) n"))
    asked = query("select sum(n), pg_is_in_recovery() from t")
    until = f"until {asked} 2>/dev/null; do sleep 0.1; done"  # it comes when it comes
    assert said(branch, "standby.1", until) == "15|t\n"
    other = run.at(1).branch().wait(1)
    gone = bash(query("select sum(n) from t")).run(other, "standby.1")
    assert gone.exit_code == 1 and "does not exist" in gone.output
    stranger = bash(query("select 1")).run(other, "primary.1", user="root")
    assert stranger.exit_code == 2 and 'role "root" does not exist' in stranger.output


def test_users_can_be_changed_as_pam_says(run: bp.Recording) -> None:
    process = bash("su postgres -c whoami").run(run.at(1).branch(), "primary.1", privileged=True)
    assert process.output == "postgres\n"


def test_mariadb(run: bp.Recording) -> None:
    branch = run.at(1).branch()
    said(branch, "mariadb.1", "mariadb -e 'create database fresh'")
    names = "mariadb -Ne 'show databases'"
    assert "fresh" in said(branch, "mariadb.1", names).split()
    assert "fresh" not in said(run.at(1).branch(), "mariadb.1", names).split()


def test_zookeeper_runs_on_a_jvm(run: bp.Recording) -> None:
    ask = "exec 3<>/dev/tcp/127.0.0.1/2181; echo srvr >&3; cat <&3"
    assert "Mode: standalone" in said(run.at(1).branch(), "zookeeper.1", ask)
    assert said(run.at(1).branch(), "zookeeper.1", "cat /proc/1/comm") == "java\n"


def test_rabbitmq_runs_on_erlang(run: bp.Recording) -> None:
    """It greets who speaks AMQP 0-9-1 with what it is."""
    greet = "exec 3<>/dev/tcp/127.0.0.1/5672; printf 'AMQP\\0\\0\\11\\1' >&3; head -c 500 <&3"
    assert "RabbitMQ" in said(run.at(1).branch(), "rabbitmq.1", f"{greet} | tr -d '\\0'")
    assert "beam" in said(run.at(1).branch(), "rabbitmq.1", "cat /proc/*/comm")


def test_java_is_the_chosen_alternative_and_knows_the_certificates(run: bp.Recording) -> None:
    branch = run.at(1).branch()
    assert said(branch, "zookeeper.1", "java -version 2>&1").startswith("openjdk version")
    chosen = said(branch, "zookeeper.1", "update-alternatives --query java")
    assert "Value: /usr/lib/jvm/java-" in chosen
    ask = "keytool -list -cacerts -storepass changeit 2>&1 | grep entries"
    assert int(said(branch, "zookeeper.1", ask).split()[-2]) > 100


def test_a_branch_of_all_of_them_is_the_same_from_another_state(run: bp.Recording) -> None:
    branch = run.at(1).branch()
    said(branch, "mariadb.1", "mariadb -e 'create database fresh'")
    checked = branch.wait(0.5).check()
    assert checked.first != checked.again
