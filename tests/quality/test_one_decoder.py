"""Bytes that somebody else may have written are decoded in one place, with limits."""

from __future__ import annotations

import ast

import pytest
from tree import modules, syntax

PLACE = "branchpoint.decoding"
CALLS = {
    "gzip.decompress", "gzip.GzipFile", "gzip.open", "json.load", "json.loads", "lzma.decompress",
    "lzma.LZMADecompressor", "lzma.LZMAFile", "lzma.open", "msgspec.json.decode",
    "msgspec.json.Decoder", "msgspec.msgpack.decode", "msgspec.msgpack.Decoder", "np.load",
    "zlib.decompress", "zlib.decompressobj", "zstandard.decompress",
    "zstandard.get_frame_parameters", "zstandard.ZstdDecompressor",
}  # fmt: skip
STRICT = {"decode", "read_text"}
"""Methods that raise UnicodeDecodeError, unless they are told what to do with bad bytes."""
OWN = {
    "branchpoint.futures.running.messages": "both ends are this program, on this computer",
    "branchpoint.futures.running.parcels": "by decompressing(), whose only error is Malformed",
    "branchpoint.guest.initramfs": "modules of Debian's kernel, whose packages are signed",
    "branchpoint.machine.computer": "names of the emulator's own objects, told by our plugin",
    "branchpoint.machine.elf": "programs that this computer runs",
    "branchpoint.notebook.triage": "a file of this program",
    "branchpoint.system.images.configuring": "a file of this program",
    "branchpoint.system.images.engines": "what docker has printed",
    "branchpoint.system.compose.tree.interpolation": "catches the error itself, and names the line",
    "branchpoint.system.bundle.layout": "what this program has encoded just before",
    "branchpoint.system.compose.tree.yamltree": "catches the error itself, and names the line",
    "branchpoint.store.pagestore": "gives it to decoding.unpacked, which bounds it",
    "branchpoint.timeline.commands.screen": "its decoder replaces what is no text",
    "branchpoint.views.view": "a file of this program",
}
"""The exceptions, and the reasons for them."""


def decodes(node: ast.AST) -> bool:
    """Whether a piece of code decodes bytes and may raise its own kind of error."""
    if not isinstance(node, ast.Call):
        return False
    if ast.unparse(node.func) in CALLS:
        return True
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in STRICT:
        return False
    forgiving = len(node.args) > 1 or any(option.arg == "errors" for option in node.keywords)
    ours = ast.unparse(node.func.value)
    return not (forgiving or ours in ("manifest", "contents", "checkpoints", "wire", "_FILE")
                or "encode" in ours)  # fmt: skip


def found(module: str) -> list[int]:
    return [node.lineno for node in ast.walk(syntax(modules()[module])) if decodes(node)]


@pytest.mark.parametrize("module", sorted(modules().keys() - OWN.keys() - {PLACE}))
def test_nobody_else_decodes(module: str) -> None:
    assert found(module) == [], f"use {PLACE}, whose only error is Malformed"


@pytest.mark.parametrize("module", OWN)
def test_who_has_a_reason_needs_it(module: str) -> None:
    assert found(module), "it decodes nothing any more: take it off the list"


def test_the_search_would_find_it() -> None:
    for code in ("msgspec.json.decode(x, type=y)", "x.decode()", "x.decode('ascii')",
                 "p.read_text()", "json.loads(x)", "zstandard.ZstdDecompressor()"):  # fmt: skip
        assert any(map(decodes, ast.walk(ast.parse(code))))
    for code in ("x.decode('utf-8', 'replace')", "x.decode(errors='replace')", "from_json(x, y)",
                 "b64encode(x).decode()", "p.read_text(errors='replace')"):  # fmt: skip
        assert not any(map(decodes, ast.walk(ast.parse(code))))
