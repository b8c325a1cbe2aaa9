"""A recording on disk: what is written can be read again, whatever happens to its files."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zstandard
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import ORIGIN, RAM, SECOND, checkpoint, event, fill, head, make, pages, state

from branchpoint.errors import DivergenceError, RecordingError
from branchpoint.events import eventfile
from branchpoint.events.event import Event, EventSet
from branchpoint.events.eventfile import BLOCK_EVENTS, EventFile
from branchpoint.store import checkpoints
from branchpoint.store.checkpoints import AS_BOOTED, Checkpoint
from branchpoint.store.pagestore import MissingPages
from branchpoint.timeline.directory import Future, RecordingFiles

LAST = ORIGIN + 9 * SECOND


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("store") / "a.branchpoint")


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "a.branchpoint"))


def test_all_comes_back(path: Path) -> None:
    with RecordingFiles.open(path) as files:
        assert files.manifest == head(end=LAST + SECOND, event_blocks=10)
        log, gaps = files.load_events()
        assert (len(log), gaps) == (1000, [])
        assert EventSet(log.columns(), origin=ORIGIN)[999].text == "line 9.99"
        assert files.checkpoints == [ORIGIN + n * SECOND for n in range(10)]
        assert files.nearest(LAST - 1) == LAST - SECOND
        assert files.nearest(ORIGIN - 1) is None
        assert files.checkpoint(LAST).devices == checkpoint(LAST, None, 9)[0].devices
        assert len(state(files, LAST)) > 300
        assert files.digests[LAST] == bytes([9]) * 32
        assert files.futures["b1"].at == ORIGIN + SECOND
        assert files.warnings == []
        assert 0 < files.size_without_pages < files.size


def test_one_writer_many_readers(path: Path) -> None:
    with RecordingFiles.open(path, write=True) as files:
        with pytest.raises(RecordingError, match="another process"):
            RecordingFiles.open(path, write=True)
        with RecordingFiles.open(path) as reader:
            assert reader.nearest(LAST) == LAST
            for change in (
                lambda: reader.save(head()),
                lambda: reader.drop_checkpoint(LAST),
                lambda: reader.add_future(Future(id="x", parent=None, at=0)),
                lambda: reader.add_checkpoint(*checkpoint(LAST + 1, None, 1)),
            ):
                with pytest.raises(RecordingError, match="reading only"):
                    change()
        files.save(head(title="changed"))
        files.close()
        with pytest.raises(RecordingError, match="is closed"):
            files.save(head())
    with RecordingFiles.open(path, write=True) as files:
        assert files.manifest.title == "changed"


@pytest.mark.parametrize("name", ["nowhere", "file", "empty"])
def test_what_is_no_recording(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordingError, match=name):
        RecordingFiles.open(tmp_path / name)


def test_create_refuses_what_is_there(path: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="exists already"):
        RecordingFiles.create(path, head())
    with pytest.raises(RecordingError, match="cannot be created"):
        RecordingFiles.create(tmp_path / "no" / "where", head())


# Damage


def check_damaged(path: Path, changed: str, events: list[str], memory: dict[int, bytes]) -> None:
    """Open a damaged recording: an error or a warning names the file, or nothing is missing."""
    try:
        with RecordingFiles.open(path) as files:
            log, gaps = files.load_events()
            found = [e.text for e in EventSet(log.columns())]
            assert set(found) <= set(events)
            assert len(found) == len(events) or gaps
            at = files.nearest(LAST)
            complete = at == LAST
            while at is not None:
                try:
                    content = state(files, at)
                    break
                except MissingPages:
                    complete = False
                    at = files.nearest(at)
            if complete:
                assert content == memory
            whole = complete and not gaps and "b1" in files.futures and len(files.digests) == 10
            # The file does not tell what was cut off; only the place where it should be does.
            name = changed if "000001" not in changed else changed[: changed.index("/")]
            told = any(name in warning for warning in files.warnings)
            # A lost line leaves no trace, and nobody misses the last checkpoint.
            unseen = changed.endswith(".jsonl") or LAST not in files.checkpoints
            assert whole or told or unseen, (changed, files.warnings)
            if changed.startswith("recording.json"):
                assert whole and told
    except RecordingError as problem:
        assert changed in str(problem) or "recording.json" in str(problem)
        assert not changed.startswith("recording.json")


def test_every_file_flipped_cut_emptied_and_removed(original: Path, tmp_path: Path) -> None:
    with RecordingFiles.open(original) as files:
        memory = state(files, LAST)
        events = [e.text for e in EventSet(files.load_events()[0].columns())]
    rng = random.Random(1)
    names = [p.relative_to(original) for p in original.rglob("*") if p.is_file()]
    assert len(names) == 16
    path = Path(shutil.copytree(original, tmp_path / "a.branchpoint"))
    for name in names:
        file = path / name
        good = file.read_bytes()
        flips = int(os.environ.get("BRANCHPOINT_TEST_FLIPS", "16"))
        for trial in range(flips + 9):
            changed = bytearray(good)
            if trial < flips:
                changed[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
            else:
                del changed[rng.randrange(len(good)) if trial < flips + 8 else 0 :]
            file.write_bytes(changed)
            check_damaged(path, str(name), events, memory)
        file.unlink()
        check_damaged(path, name.parts[0], events, memory)
        file.write_bytes(good)


def test_files_where_directories_should_be(path: Path) -> None:
    for name in ("events", "checkpoints", "pages"):
        shutil.rmtree(path / name)
        (path / name).write_text("")
    (path / "futures.jsonl").unlink()
    (path / "futures.jsonl").mkdir()
    with RecordingFiles.open(path) as files:
        assert len(files.warnings) == 4
        assert files.nearest(LAST) is None
        assert len(files.load_events()[1]) == 1
    with pytest.raises(RecordingError, match="events cannot be opened"):
        RecordingFiles.open(path, write=True)


def test_both_heads_lost(path: Path) -> None:
    (path / "recording.json").write_bytes(b"")
    (path / "recording.json.bak").unlink()
    with pytest.raises(RecordingError, match=r"recording\.json is cut off.*json\.bak cannot be"):
        RecordingFiles.open(path)


def test_a_writer_repairs_the_head(path: Path) -> None:
    good = (path / "recording.json").read_bytes()
    (path / "recording.json").write_bytes(b"x")
    with RecordingFiles.open(path, write=True) as files:
        assert len(files.warnings) == 1
    assert (path / "recording.json").read_bytes() == good
    with RecordingFiles.open(path) as files:
        assert files.warnings == []


def test_lost_events_are_a_gap_that_can_be_filled(path: Path) -> None:
    segment = path / "events" / "000001.log"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    with RecordingFiles.open(path, write=True) as files:
        log, (gap,) = files.load_events()
        assert len(log) == 900
        assert f"{path}/events: the events after" in files.warnings[-1]
        assert gap.end is not None
        second = (gap.end - ORIGIN) // SECOND - 1
        assert gap.start == event(second - 1 + 0.99).at
        lost = [event(second + n / 100, f"line {second}.{n}") for n in range(100)]
        files.events.fill(gap, lost)
    with RecordingFiles.open(path) as files:
        log, gaps = files.load_events()
        assert (len(log), gaps, files.warnings) == (1000, [], [])


def test_several_lost_blocks_are_filled_as_one(path: Path) -> None:
    (path / "events" / "000001.log").unlink()
    with RecordingFiles.open(path, write=True) as files:
        _, (gap,) = files.load_events()
        assert (gap.first_block, gap.last_block, gap.end) == (0, 9, None)
        with pytest.raises(ValueError, match="more events"):
            files.events.fill(gap, [event(0)] * (11 * BLOCK_EVENTS))
        files.events.fill(gap, [event(1), event(2)])
        files.events.add([event(3)])
    with RecordingFiles.open(path) as files:
        log, gaps = files.load_events()
        assert (len(log), gaps) == (3, [])


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_events_come_back_whatever_they_say(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    fd = os.open(tmp_path_factory.mktemp("events"), os.O_RDONLY)
    words = st.text(max_size=20)
    made = st.builds(
        Event, at=st.just(0), source=words, container=words, stream=words, text=words, type=words,
        fields=st.dictionaries(words, words, max_size=2),
    )  # fmt: skip
    events = [
        msgspec.structs.replace(event, at=at)
        for at, event in enumerate(data.draw(st.lists(made, max_size=20)))
    ]
    file = EventFile(fd, write=True)
    for one in events:
        file.add([one])
        if data.draw(st.booleans()):
            file.flush()
    file.flush()
    file.close()
    log, gaps = EventFile(fd, write=False).load()
    assert list(EventSet(log.columns())) == events
    assert gaps == []
    os.close(fd)


VALUE = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.integers(0, 5), inner),
    max_leaves=12,
)
COLUMN = st.sampled_from([b"", b"\0" * 4, b"\xff" * 4, b"\1\0\0\0", b"\0" * 8, b"x"])


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(VALUE, st.tuples(*[COLUMN] * 5, st.just([""]), st.just(["x"]), VALUE)),
    st.integers(0, 3),
    st.integers(-1, 1),
)
def test_blocks_that_lie(
    tmp_path_factory: pytest.TempPathFactory, content: object, count: int, first: int
) -> None:
    """Blocks with correct digests and any content: read, or reported as lost."""
    fd = os.open(tmp_path_factory.mktemp("events"), os.O_RDONLY)
    body = zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(content))
    writer = EventFile(fd, write=True)
    writer._files.append(eventfile._HEAD.pack(0, 0, first, first, count), body)
    writer.close()
    file = EventFile(fd, write=False)
    log, gaps = file.load()
    assert len(log) == (0 if gaps else count)
    assert bool(gaps) == bool(file.damage)
    assert len(repr(EventSet(log.columns()))) < 10_000
    file.close()
    os.close(fd)


def test_links_and_special_files_are_refused(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host file")
    for name in ("recording.json", "events/000001.log", f"checkpoints/{LAST}", "pages", "note"):
        copy = Path(shutil.copytree(path, tmp_path / "copy"))
        target = copy / name
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
        target.symlink_to(secret)
        with pytest.raises(RecordingError, match=f"{name} is a link"):
            RecordingFiles.open(copy)
        target.unlink()
        os.mkfifo(target)
        with pytest.raises(RecordingError, match="special file"):
            RecordingFiles.open(copy)
        shutil.rmtree(copy)


# Checkpoints


def test_divergence(path: Path) -> None:
    with RecordingFiles.open(path, write=True) as files:
        files.drop_checkpoint(LAST)
        wrong, content = checkpoint(LAST, LAST - SECOND, 11)
        with pytest.raises(DivergenceError, match=r"9\.000 s"):
            files.add_checkpoint(wrong, content)
        right, content = checkpoint(LAST, LAST - SECOND, 9)
        files.add_checkpoint(right, content)
        assert files.nearest(LAST) == LAST


def test_a_broken_chain_is_skipped(path: Path) -> None:
    (path / "checkpoints" / str(ORIGIN + 5 * SECOND)).unlink()
    with RecordingFiles.open(path) as files:
        assert files.nearest(LAST) == ORIGIN + 4 * SECOND
        assert len([w for w in files.warnings if "is not used" in w]) == 4
        files.nearest(LAST)
        assert len(files.warnings) == 4


def test_lost_pages_can_be_recorded_again(path: Path) -> None:
    shutil.rmtree(path / "pages")
    with RecordingFiles.open(path, write=True) as files:
        assert files.nearest(LAST) is None
        assert f"{path}/pages" in files.warnings[0]
        for second in range(10):
            at = ORIGIN + second * SECOND
            parent = at - SECOND if second else None
            files.add_checkpoint(*checkpoint(at, parent, second))
        assert files.nearest(LAST) == LAST


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_chains_and_drops_like_a_dict(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("chain") / "c.branchpoint"
    keys, content = pages(3, 8)
    model: dict[int, dict[int, bytes]] = {}
    with RecordingFiles.create(path, head()) as files:
        for at in range(data.draw(st.integers(1, 6))):
            parent = data.draw(st.sampled_from([None, *model]))
            changes = data.draw(
                st.dictionaries(st.integers(0, 20), st.sampled_from([-1, *range(8)]), max_size=8)
            )
            numbers = np.array(sorted(changes), np.uint32)
            kinds = [changes[n] for n in sorted(changes)]
            hashes = np.zeros((len(kinds), 16), np.uint8)
            for row, kind in enumerate(kinds):
                hashes[row] = keys[kind] if kind >= 0 else np.frombuffer(AS_BOOTED, np.uint8)
            files.add_checkpoint(
                Checkpoint(at, parent, bytes(32), 0, b"", numbers, hashes),
                content[np.array(kinds, int)],
            )
            before = model.get(parent, {}) if parent is not None else {}
            merged = before | {n: bytes(content[k]) for n, k in changes.items()}
            model[at] = {n: c for n, c in merged.items() if changes.get(n) != -1}
        for at in data.draw(st.permutations(sorted(model)))[:3]:
            files.drop_checkpoint(at)
            del model[at]
        assert {at: state(files, at) for at in files.checkpoints} == model
    with RecordingFiles.open(path) as files:
        assert {at: state(files, at) for at in files.checkpoints} == model
        assert set(files.digests) >= set(model)


@pytest.mark.parametrize(
    ("at", "parent", "devices", "count", "numbers"),
    [
        (5, 5, 0, 0, []),  # its own parent
        (5, -2, 0, 0, []),
        (6, -1, 0, 0, []),  # another instant than the file's name
        (5, -1, 2**32 - 1, 0, []),
        (5, -1, 0, 2**32 - 1, []),
        (5, -1, 0, 1, [RAM // 4096]),  # beyond the memory
        (5, -1, 0, 2, [3, 3]),
        (5, -1, 0, 2, [4, 3]),
    ],
)
def test_checkpoints_that_lie(
    at: int, parent: int, devices: int, count: int, numbers: list[int]
) -> None:
    rest = checkpoints._HEAD.pack(at, parent, 0, bytes(32), devices, count)
    rest += np.array(numbers, "<u4").tobytes() + bytes(16 * len(numbers))
    data = b"BPcheck1" + blake3(rest).digest() + rest
    with pytest.raises(RecordingError, match="the-file"):
        checkpoints.decode(data, 5, RAM, "the-file")


# Processes that die and disks that fill


def test_an_error_in_the_middle_leaves_the_lock_free(path: Path) -> None:
    with pytest.raises(KeyError), RecordingFiles.open(path, write=True) as files:
        files.events.add([event(20)])
        raise KeyError
    with RecordingFiles.open(path, write=True) as files:
        assert len(files.load_events()[0]) == 1001


def test_sizes(tmp_path: Path) -> None:
    """A replay needs little: two minutes of a busy system, without pages."""
    path = tmp_path / "a.branchpoint"
    with RecordingFiles.create(path, head()) as files:
        for second in range(120):
            files.events.add(
                event(second + n / 100, f"GET /key/{n * 7919 % 1000} 200 {n} ms")
                for n in range(100)
            )
            files.save(head(end=ORIGIN + second * SECOND))
        assert files.size_without_pages < 500_000


def test_fill_is_what_it_says(tmp_path: Path) -> None:
    """The helper of these tests writes one block and one checkpoint a second."""
    with RecordingFiles.create(tmp_path / "a", head()) as files:
        fill(files, 3)
        assert files.events.count == 3
        assert len(files.checkpoints) == 3
