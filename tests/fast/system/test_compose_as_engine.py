"""Where compose files mean something else than one may think: as the engine has it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from branchpoint.errors import ComposeError
from branchpoint.system.compose.reading import load
from branchpoint.system.model import Service, System


def read(folder: Path, text: str, **variables: str) -> System:
    (folder / "compose.yaml").write_text(textwrap.dedent(text))
    return load(folder, environ=variables)


def service(folder: Path, keys: str, **variables: str) -> Service:
    """A service with these keys."""
    body = textwrap.indent(textwrap.dedent(keys), "    ")
    found = read(folder, f"services:\n  a:\n    image: x\n{body}", **variables)
    return found.services["a"]


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
