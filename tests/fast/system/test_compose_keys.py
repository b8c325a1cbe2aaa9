"""Every key of the compose specification is done, noted or refused, and the manual says which."""

from __future__ import annotations

from pathlib import Path

import pytest

import branchpoint
from branchpoint.errors import ComposeError
from branchpoint.system import load
from branchpoint.system.compose import keys, page
from branchpoint.system.compose.services.service import ServiceReader

PAGE = Path(branchpoint.__file__).parents[2] / "notebooks" / "guide" / "compose-keys.md"

# The keys of a service in the specification's schema.
SPECIFIED = """\
annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs
container_name cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares
cpus cpuset credential_spec depends_on deploy develop device_cgroup_rules devices dns dns_opt
dns_search domainname entrypoint env_file environment expose extends external_links extra_hosts
gpus group_add healthcheck hostname image init ipc isolation label_file labels links logging
mac_address mem_limit mem_reservation mem_swappiness memswap_limit models network_mode networks
oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_stop privileged
profiles provider pull_policy read_only restart runtime scale secrets security_opt shm_size
stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits use_api_socket user
userns_mode uts volumes volumes_from working_dir
"""


def test_each_key_of_the_specification_is_in_one_list() -> None:
    lists = [keys.SERVICE.done, keys.SERVICE.noted, keys.SERVICE.refused]
    assert sorted(key for each in lists for key in each) == SPECIFIED.split()


def test_what_is_done_is_read() -> None:
    reader = ServiceReader.__new__(ServiceReader)
    reader.notes = []
    read = {key for key in reader._readers() if not key.startswith("x-")}
    assert read == set(keys.SERVICE.done) - {"extends"}, "that one is resolved before"


def test_the_page_of_the_manual_is_made_of_the_lists() -> None:
    assert PAGE.read_text("utf-8") == page.page(), "make docs writes it anew"


PLACES = {
    "build": (keys.BUILD, "services: {{a: {{build: {{context: ., {key}: x}}}}}}"),
    "deploy": (keys.DEPLOY, "services: {{a: {{image: a, deploy: {{{key}: {{}}}}}}}}"),
    "network": (
        keys.NETWORK,
        "networks: {{n: {{{key}: x}}}}\nservices: {{a: {{image: a, networks: [n]}}}}",
    ),
    "volume": (
        keys.VOLUME,
        "volumes: {{v: {{{key}: x}}}}\nservices: {{a: {{image: a, volumes: [v:/v]}}}}",
    ),
    "attachment": (
        keys.ATTACHMENT,
        "services: {{a: {{image: a, networks: {{default: {{{key}: x}}}}}}}}",
    ),
    "secret": (
        keys.GRANT,
        "secrets: {{s: {{content: x, {key}: x}}}}\nservices: {{a: {{image: a, secrets: [s]}}}}",
    ),
    "top": (keys.TOP, "{key}: x\nservices: {{a: {{image: a}}}}"),
}


@pytest.mark.parametrize("place", PLACES)
def test_noted_keys_give_a_note_and_refused_ones_an_error(tmp_path: Path, place: str) -> None:
    part, text = PLACES[place]
    file = tmp_path / "compose.yaml"
    for key, reason in part.noted.items():
        file.write_text(text.format(key=key))
        (note,) = load(file).notes
        assert note.text.startswith(f'"{key}"') and note.text.endswith(f"has no effect: {reason}")
    for key, hint in part.refused.items():
        file.write_text(text.format(key=key))
        with pytest.raises(ComposeError) as error:
            load(file)
        assert f'"{key}"' in error.value.message and error.value.hint == hint
    assert part.noted or part.refused
