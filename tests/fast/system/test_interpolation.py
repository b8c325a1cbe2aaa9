"""Variables in compose files, and the files that set them."""

from __future__ import annotations

from pathlib import Path

import pytest

from branchpoint.errors import ComposeError
from branchpoint.system.compose.interpolation import Interpolator, read_env_file


def located(line: int, message: str, hint: str = "") -> ComposeError:
    return ComposeError(message, Path("f"), line, hint)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$A-${A}", "1-1"),
        ("${E:-d}|${E-d}|${U:-d}|${U-d}", "d||d|d"),
        ("${A:+x}|${E:+x}|${E+x}|${U+x}", "x||x|"),
        ("${U:-${A}}", "1"),
        ("${U:-${V:-$$}}", "$"),
        ("$$A $${A}", "$A ${A}"),
        ("${A:?no} ${U:-a}b}", "1 ab}"),
        ("no variable", "no variable"),
    ],
)
def test_interpolation(text: str, value: str) -> None:
    assert Interpolator({"A": "1", "E": ""}, located)(text, 1) == value


def test_env_file_size(tmp_path: Path) -> None:
    file = tmp_path / "big.env"
    file.write_bytes(b"#" * (2 << 20))
    with pytest.raises(ComposeError, match="larger than 1024 KiB"):
        read_env_file(file, {})


def nested(depth: int) -> str:
    return "${U:-" * depth + "x" + "}" * depth


def test_defaults_may_be_nested_but_not_without_end() -> None:
    expand = Interpolator({}, located)
    assert expand(nested(16), 1) == "x"
    with pytest.raises(ComposeError, match="nested too deeply"):
        expand(nested(17), 1)
