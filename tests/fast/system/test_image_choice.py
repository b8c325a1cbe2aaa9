"""Which image of several is meant, and what is said when nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from imagefiles import TestImage, layer, member, write_layout

from branchpoint.errors import ImageError
from branchpoint.system.images.archive import open_archive

BASE, TOP = layer(member("a", b"a")), layer(member("b", b"b"))


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))


def test_a_variant_for_a_newer_processor_is_left_out(tmp_path: Path) -> None:
    """The machine's processor has what amd64/v2 asks for. Of what it can run, the best is meant."""
    images = {name: TestImage([BASE], {"Cmd": [name]}) for name in ("", "v2", "v3")}

    def layout(*variants: str) -> Path:
        blobs: dict[str, bytes] = {}
        entries = []
        for name in variants:
            more, entry = images[name].blobs()
            blobs |= more
            entry["platform"] = {"os": "linux", "architecture": "amd64", "variant": name}
            entries.append(entry)
        path = tmp_path / "-".join(variants)
        write_layout(path, blobs, entries)
        return path

    for variants, best in ((("", "v3"), ""), (("v3", "v2", ""), "v2")):
        with open_archive(layout(*variants)) as image:
            assert image.id == images[best].id
    with pytest.raises(ImageError, match="no image for linux/amd64"), open_archive(layout("v3")):
        pass


def test_images_of_different_names_are_not_variants_of_each_other(tmp_path: Path) -> None:
    blobs, first = TestImage([BASE]).blobs()
    more, second = TestImage([TOP]).blobs()
    name = "org.opencontainers.image.ref.name"
    first["annotations"], second["annotations"] = {name: "app"}, {name: "db"}
    second["platform"] = {"os": "linux", "architecture": "amd64", "variant": "v2"}
    write_layout(tmp_path / "l", blobs | more, [first, second])
    with pytest.raises(ImageError, match="several images: app, db"), open_archive(tmp_path / "l"):
        pass
    with open_archive(tmp_path / "l", "app"):
        pass


def test_equal_tags_are_told(tmp_path: Path) -> None:
    """It is the same image twice, or nobody knows which one is meant."""
    blobs, first = TestImage([BASE]).blobs()
    more, second = TestImage([TOP]).blobs()
    name = "org.opencontainers.image.ref.name"
    first["annotations"] = second["annotations"] = {name: "v1"}
    write_layout(tmp_path / "same", blobs, [first, first])
    with open_archive(tmp_path / "same", "v1") as image:
        assert image.config.command == ()
    write_layout(tmp_path / "two", blobs | more, [first, second])
    for tag, words in (("v1", 'has 2 images "v1"'), ("", "has 2 images for linux/amd64")):
        with pytest.raises(ImageError, match=words), open_archive(tmp_path / "two", tag):
            pass
