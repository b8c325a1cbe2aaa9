"""A cache that cannot be used gives an error with a message, whatever is wrong with it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from imagefiles import TestImage, layer, member
from recordings import make

import branchpoint as bp
from branchpoint.cache import cache_dir, cache_place, disk_errors
from branchpoint.cli import main
from branchpoint.errors import ImageError, SetupError
from branchpoint.files import locked, publish
from branchpoint.futures.running import parcels
from branchpoint.guest import image, snapshot
from branchpoint.guest.tree import Tree
from branchpoint.system.bundle import cached
from branchpoint.system.images.archive import open_archive

Use = Callable[[Path], object]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    return lambda path: monkeypatch.setenv("BRANCHPOINT_CACHE", str(path))


def a_file(path: Path) -> Path:
    path.write_text("")
    return path


def below_a_file(path: Path) -> Path:
    return a_file(path) / "cache"


def a_loop(path: Path) -> Path:
    path.symlink_to(path.name)
    return path


def a_name_too_long(path: Path) -> Path:
    return path / ("x" * 300)


def in_proc(path: Path) -> Path:
    return Path("/proc/cache")


PLACES = [a_file, below_a_file, a_loop, a_name_too_long, in_proc]


def act_lock() -> None:
    with locked("x"):
        pass


def act_publish() -> None:
    with publish(cache_dir() / "x" / "y") as path:
        path.write_text("")


def act_tree() -> None:
    Tree().add_file("x", b"x")


def act_parcel() -> None:
    parcels.receive("system", "ab" * 16, 0, b"x", "")


ACTS = [cache_dir, act_lock, act_publish, act_tree, act_parcel]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("act", ACTS)
def test_a_cache_that_is_none(
    tmp_path: Path, use: Use, place: Callable[[Path], Path], act: Callable[[], object]
) -> None:
    path = place(tmp_path / "cache")
    use(path)
    with pytest.raises(SetupError) as caught:
        act()
    assert str(path) in caught.value.message or str(tmp_path / "cache") in caught.value.message
    assert "BRANCHPOINT_CACHE" in caught.value.hint


@pytest.mark.parametrize("place", PLACES)
def test_what_needs_nothing_of_it_goes_on_without(
    tmp_path: Path, use: Use, place: Callable[[Path], Path]
) -> None:
    path = make(tmp_path / "run.branchpoint", 1)
    use(place(tmp_path / "cache"))
    assert image.find("ab" * 16) is None
    assert cached.find("ab" * 16) is None
    assert not snapshot.is_received("ab" * 16)
    with bp.open(path) as run:
        bundle = bp.share(run, tmp_path / "out.bpz")
    with bp.open(bundle.rename(tmp_path / "there.bpz")) as run:
        assert len(run.events) == 100
        assert any("is not on this computer" in warning for warning in run.warnings)


@pytest.mark.parametrize("words", [["image", "compose.yaml"], ["record", "compose.yaml"]])
def test_commands_say_it(tmp_path: Path, use: Use, words: list[str]) -> None:
    TestImage([layer(member("x", b"x"))]).docker(tmp_path / "image.tar.gz")
    (tmp_path / "compose.yaml").write_text("services:\n  a: {image: ./image.tar.gz}\n")
    use(a_file(tmp_path / "cache"))
    done = CliRunner().invoke(main, [words[0], str(tmp_path / words[1])])
    assert done.exit_code == 1, done.exception
    assert "the cache cannot be used" in done.stderr and "→" in done.stderr


def test_without_a_home_there_is_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BRANCHPOINT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(SetupError, match="no home folder"):
        cache_place()


def test_errors_that_are_not_about_the_cache_stay_what_they_are(tmp_path: Path, use: Use) -> None:
    use(tmp_path / "cache")
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path / "cache"):
        subprocess.run(["no-such-program"], check=True)


# -- somebody else's, and one that may only be read


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("mode", [0o755, 0o555, 0o700])
def test_a_cache_of_somebody_else(tmp_path: Path, mode: int) -> None:
    """Run as an ordinary user, with a cache that belongs to root."""
    cache = tmp_path / "cache"
    (cache / "guest").mkdir(parents=True)
    cache.chmod(mode)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    tmp_path.chmod(0o755)
    code = f"""
        import os
        from branchpoint.cache import cache_dir
        from branchpoint.errors import SetupError
        from branchpoint.guest import image, snapshot
        from branchpoint.system.bundle import cached
        os.environ["BRANCHPOINT_CACHE"] = {str(cache)!r}
        os.setgid(65534)
        os.setuid(65534)
        assert image.find("ab") is None and cached.find("ab") is None
        assert not snapshot.is_received("ab")
        try:
            cache_dir()
        except SetupError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"not permitted to write {cache}" in done.stdout
    assert "set BRANCHPOINT_CACHE to a directory that you own" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_cache_on_a_file_system_that_is_read_only(tmp_path: Path, use: Use) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", cache]).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        use(cache)
        for act in ACTS:
            with pytest.raises(SetupError, match="not permitted to write"):
                act()
    finally:
        subprocess.run(["umount", cache], check=True)


# -- what was kept there is damaged


def test_damage_in_what_was_kept_is_named(tmp_path: Path, use: Use) -> None:
    use(tmp_path)
    for data in (b"\xff", b"[]", b'{"digest": 1}', b"{", b"[" * 100_000):
        folder = tmp_path / "guest" / "x"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "image.json").write_bytes(data)
        with pytest.raises(ImageError, match="is damaged"):
            image.find("ab")


def test_a_damaged_note_of_a_system_image_hides_no_other(tmp_path: Path, use: Use) -> None:
    use(tmp_path)
    for name, digest in (("a", b"\xff\xfe"), ("b", b"cd" * 16), ("c", b"")):
        (tmp_path / "systems" / name).mkdir(parents=True)
        (tmp_path / "systems" / name / "digest").write_bytes(digest)
    (tmp_path / "systems" / "0" / "digest").mkdir(parents=True)
    assert cached.find("cd" * 16) == tmp_path / "systems" / "b" / "system"


def test_an_image_that_is_unpacked_beside_it_says_so(tmp_path: Path, use: Use) -> None:
    TestImage([layer(member("x", b"x"))]).docker(tmp_path / "image.tar")
    use(a_file(tmp_path / "cache"))
    unusable = pytest.raises(SetupError, match="the cache cannot be used")
    with open_archive(tmp_path / "image.tar") as found, unusable:
        found.unpack()


# -- where it is


def test_a_place_that_is_named_relatively_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    name = f"cache-of-{tmp_path.name}"  # one that this process has not used before
    monkeypatch.setenv("BRANCHPOINT_CACHE", name)
    monkeypatch.chdir(first)
    assert cache_dir() == first / name
    monkeypatch.chdir(second)
    assert cache_dir() == first / name and list(second.iterdir()) == []


def test_a_place_in_a_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BRANCHPOINT_CACHE", f"~/cache-of-{tmp_path.name}")
    assert cache_place() == tmp_path / f"cache-of-{tmp_path.name}"
    monkeypatch.setenv("BRANCHPOINT_CACHE", "~nobody-has-this-name/cache")
    with pytest.raises(SetupError, match="no folder ~nobody-has-this-name/cache"):
        cache_place()


def test_a_relative_folder_of_all_caches_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BRANCHPOINT_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for value, place in [("caches", ".cache"), ("", ".cache"), (f"{tmp_path}/c", "c")]:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_place() == tmp_path / place / "branchpoint"
