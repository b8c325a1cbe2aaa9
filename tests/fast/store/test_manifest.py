"""recording.json: each damaged byte is noticed, each field is checked."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import ORIGIN, head

from branchpoint.errors import RecordingError
from branchpoint.store import manifest
from branchpoint.store.manifest import ContainerFacts, Input, Link

DATA = manifest.encode(head())


def test_round_trip() -> None:
    assert manifest.decode(DATA) == head()
    assert json.loads(DATA)["recording"]["seed"] == 7


@given(st.integers(0, len(DATA) * 8 - 1))
def test_any_flipped_bit_is_named(bit: int) -> None:
    changed = bytearray(DATA)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RecordingError, match=r"some/recording\.json"):
        manifest.decode(bytes(changed), "some/recording.json")


@given(st.integers(0, len(DATA) - 1))
def test_any_cut_is_noticed(length: int) -> None:
    with pytest.raises(RecordingError):
        manifest.decode(DATA[:length])


def link(**changes: str) -> Link:
    """A container's address in a network, except for these changes."""
    good = {"network": "n", "veth": "veth0.0", "interface": "eth0", "address": "10.0.0.2"}
    return Link(**(good | changes))


def test_links_survive() -> None:
    one = ContainerFacts(name="x", service="x", links=[link()], volumes=["data"])
    assert manifest.decode(manifest.encode(head(containers=[one]))).containers == [one]
    six = ContainerFacts(name="y", service="x", links=[link(address6="fd00:5::9")])
    assert manifest.decode(manifest.encode(head(containers=[six]))).containers == [six]


def test_a_link_without_ipv6_is_written_as_it_always_was() -> None:
    one = ContainerFacts(name="x", service="x", links=[link()])
    data = manifest.encode(head(containers=[one]))
    assert b"10.0.0.2" in data and b"address6" not in data


@pytest.mark.parametrize(
    "changes",
    [
        {"end": -1},
        {"origin": 2**63},
        {"inputs": [Input(at=2, kind="setup", data=b""), Input(at=1, kind="setup", data=b"")]},
        {"inputs": [Input(at=2, kind="<script>", data=b"")]},
        {"containers": [ContainerFacts(name="../x", service="x")]},
        {"containers": [ContainerFacts(name="x\n", service="x")]},
        {"containers": [ContainerFacts(name="x", service="x")] * 2},
        {"containers": [ContainerFacts(name="x", service="x", links=[link(veth="v;reboot")])]},
        {"containers": [ContainerFacts(name="x", service="x", links=[link(veth="v" * 16)])]},
        {"containers": [ContainerFacts(name="x", service="x", links=[link(network="../n")])]},
        {"containers": [ContainerFacts(name="x", service="x", links=[link(address="<b>")])]},
        {"containers": [ContainerFacts(name="x", service="x", links=[link()] * 101)]},
        {"containers": [ContainerFacts(name="x", service="x", volumes=["v w"])]},
        {"machine": manifest.Machine(ram=1 << 50, guest_image="", system_image="", nvdimm=0)},
    ],
)
def test_what_no_recording_says(changes: dict[str, object]) -> None:
    with pytest.raises((RecordingError, ValueError)):
        manifest.decode(manifest.encode(head(**changes)))


def test_newer_format() -> None:
    later = DATA.replace(b'"format": 1', b'"format": 2')
    with pytest.raises(RecordingError, match="damaged"):
        manifest.decode(later)
    with pytest.raises(RecordingError, match="newer Branchpoint"):
        manifest.decode(_signed(later))


def test_unknown_field_and_deep_nesting() -> None:
    with pytest.raises(RecordingError, match="has invalid content"):
        manifest.decode(_signed(DATA.replace(b'"format": 1', b'"extra": 1')))
    deep = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(RecordingError):
        manifest.decode(_signed(DATA.replace(b'"format": 1', b'"format": ' + deep)))


def test_big_instants_survive() -> None:
    late = head(end=2**62 + 1, origin=ORIGIN)
    assert manifest.decode(manifest.encode(late)).end == 2**62 + 1


def _signed(data: bytes) -> bytes:
    """``data`` with the digest of its content."""
    from blake3 import blake3

    start = data.index(b'",\n')
    return b'{"blake3": "' + blake3(data[start:]).hexdigest().encode() + data[start:]
