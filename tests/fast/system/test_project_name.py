"""The project's name as a variable of compose files, and which file of a folder is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from branchpoint.errors import ComposeError
from branchpoint.system.compose.reading import load

IMAGE = "services: {a: {image: 'x:${COMPOSE_PROJECT_NAME}'}}\n"


def image(folder: Path, top: str = "", dot: str = "", **shell: str) -> str | None:
    (folder / "compose.yaml").write_text(top + IMAGE)
    (folder / ".env").write_text(dot)
    system = load(folder, environ=shell)
    assert system.notes == ()
    return system.services["a"].image


@pytest.mark.parametrize(
    ("folder", "top", "dot", "shell", "name"),
    [
        ("My.Shop_2", "", "", "", "myshop_2"),
        ("_-x", "", "", "", "x"),
        ("...é", "", "", "", "system"),
        ("f", "name: shop\n", "", "", "shop"),
        ("f", "name: ${N:-Some}.shop\n", "N=Our", "", "ourshop"),
        ("f", "name: shop\n", "COMPOSE_PROJECT_NAME=dot", "", "dot"),
        ("f", "name: shop\n", "COMPOSE_PROJECT_NAME=dot", "shell", "shell"),
        ("f", "name: ${COMPOSE_PROJECT_NAME:-none}\n", "", "", "none"),
    ],
)
def test_the_name_has_a_value(
    tmp_path: Path, folder: str, top: str, dot: str, shell: str, name: str
) -> None:
    (tmp_path / folder).mkdir()
    variables = {"COMPOSE_PROJECT_NAME": shell} if shell else {}
    assert image(tmp_path / folder, top, dot, **variables) == f"x:{name}"


def test_the_last_file_names_the_project(tmp_path: Path) -> None:
    texts = {"a": f"name: one\n{IMAGE}", "b": "name: two\n", "c": "services: {}\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    system = load([tmp_path / name for name in texts], environ={})
    assert system.services["a"].image == "x:two"


def test_a_folder_above_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop/below").mkdir(parents=True)
    (tmp_path / "shop/compose.yaml").write_text(IMAGE)
    monkeypatch.chdir(tmp_path / "shop/below")
    assert load("..", environ={}).services["a"].image == "x:shop"


def test_environments_have_the_name(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "name: shop\nservices: {a: {image: x, env_file: e, environment: [COMPOSE_PROJECT_NAME]}}"
    )
    (tmp_path / "e").write_text("A=$COMPOSE_PROJECT_NAME\n")
    found = load(tmp_path, environ={}).services["a"].environment
    assert found == {"A": "shop", "COMPOSE_PROJECT_NAME": "shop"}


def test_a_bad_name_in_the_shell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match='is "My Shop", which cannot be the name') as told:
        image(tmp_path, COMPOSE_PROJECT_NAME="My Shop")
    assert "small letters" in told.value.hint


def test_a_required_variable_in_the_name_is_located(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match=r"compose\.yaml:2: the variable N is required"):
        image(tmp_path, "# shop\nname: ${N:?}\n")


def test_files_are_found_in_the_engines_order(tmp_path: Path) -> None:
    for name in ("docker-compose.yaml", "docker-compose.yml", "compose.yml", "compose.yaml"):
        (tmp_path / name).write_text(f"services: {{a: {{image: {name}}}}}")
    found = []
    for name in ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"):
        found.append(load(tmp_path, environ={}).services["a"].image == name)
        (tmp_path / name).unlink()
    assert found == [True] * 4
