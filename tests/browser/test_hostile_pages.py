"""What attackers put into a bundle is shown and does nothing, in JupyterLab and in reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from labpage import LabPage
from playwright.sync_api import Browser, Page, expect

import branchpoint as bp
from branchpoint.store.manifest import ContainerFacts, EngineFacts, Machine, Manifest
from branchpoint.timeline.directory import RecordingFiles

SECOND = 1_000_000_000
SCRIPT = "<script>window.owned = true; alert(1)</script>"
HARM = "window.owned = true; alert(1)"
OUTPUTS: list[dict[str, Any]] = [
    {"text/html": f"<b>a table</b>{SCRIPT}"},
    {"text/html": f"<img src=nowhere onerror='{HARM}'><svg onload='{HARM}'></svg>"},
    {"text/html": f"<iframe srcdoc='<script>parent.owned = true</script>'></iframe>{SCRIPT}"},
    {"text/html": f"<form><button id=b onclick='{HARM}'>press</button></form>"},
    {"text/markdown": f"[a link](javascript:{HARM}) {SCRIPT}"},
    {"application/javascript": HARM, "text/plain": "a script"},
    {"image/svg+xml": f"<svg xmlns='http://www.w3.org/2000/svg'>{SCRIPT}</svg>", "text/plain": "x"},
    {"text/latex": rf"$\href{{javascript:{HARM}}}{{x}}$", "text/plain": "x"},
    {"text/plain": "the last words"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unpacked hostile bundle: evil.branchpoint and who.ipynb."""
    made = tmp_path_factory.mktemp("made")
    head = Manifest(
        engine=EngineFacts(qemu=SCRIPT, binary="ab" * 32, plugin="cd" * 16),
        machine=Machine(ram=1 << 24, guest_image="01" * 32, system_image="02" * 32, nvdimm=1 << 28),
        origin=SECOND,
        end=11 * SECOND,
        seed=1,
        containers=[ContainerFacts(name="db.1", service="db", image=SCRIPT, address=SCRIPT)],
        title=SCRIPT,
        ended=SCRIPT,
        failure=9 * SECOND,
    )
    lines = [
        bp.Event(at=2 * SECOND, source="container", container="db.1", stream="out", text=SCRIPT),
        bp.Event(at=9 * SECOND, source="life", container="db.1", type="container.exit",
                 text=f"code=1 {SCRIPT}", fields={"code": "1", "signal": SCRIPT}),
    ]  # fmt: skip
    with RecordingFiles.create(made / "evil.branchpoint", head) as files:
        files.events.add(lines)
        files.save(head)
    outputs = [{"output_type": "display_data", "data": data, "metadata": {}} for data in OUTPUTS]
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "execution_count": 1, "id": "a", "metadata": {"trusted": True},
         "outputs": outputs, "source": "look()"},
        {"cell_type": "markdown", "id": "b", "metadata": {},
         "source": f"# Who?\n\n<img src=nowhere onerror='{HARM}'> {SCRIPT}"},
    ]  # fmt: skip
    kernel = {"display_name": SCRIPT, "language": "python", "name": "branchpoint"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel, "trusted": True},
                "nbformat": 4, "nbformat_minor": 5}  # fmt: skip
    (made / "who.ipynb").write_text(json.dumps(notebook))
    received = tmp_path_factory.mktemp("received")
    with bp.open(made / "evil.branchpoint") as run:
        bp.share(run, received / "evil.bpz", notebook=made / "who.ipynb")
    bp.open(received / "evil.bpz").close()
    return received


def watched(page: Page) -> list[str]:
    """Records each dialog that a page opens, except Lab's own question when the page is left."""
    dialogs: list[str] = []

    def note(dialog: Any) -> None:
        if dialog.type == "beforeunload":
            dialog.accept()
        else:
            dialogs.append(f"{dialog.type}: {dialog.message}")
            dialog.dismiss()

    page.on("dialog", note)
    return dialogs


def test_a_strangers_notebook_does_nothing_in_jupyterlab(page: LabPage) -> None:
    dialogs = watched(page.page)
    page.goto("lab/tree/who.ipynb")
    area = page.page.locator(".jp-Notebook .jp-OutputArea")
    expect(area.first).to_contain_text("the last words")
    expect(page.page.locator(".jp-MarkdownOutput h1", has_text="Who?")).to_be_visible()
    button = area.locator("button", has_text="press")
    if button.count():
        button.first.click()
    assert dialogs == []
    assert page.evaluate("window.owned") is None
    assert (
        page.evaluate(
            "document.querySelectorAll('.jp-Notebook script, .jp-Notebook [onerror]').length"
        )
        == 0
    )


def test_our_panel_shows_a_strangers_recording_as_text(page: LabPage) -> None:
    dialogs = watched(page.page)
    page.show_panel()
    expect(page.panel).to_contain_text("evil")
    assert dialogs == []
    assert page.evaluate("window.owned") is None


@pytest.fixture
def bare(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def test_the_harm_would_be_seen(bare: Page) -> None:
    dialogs = watched(bare)
    bare.goto("about:blank")
    bare.set_content(OUTPUTS[1]["text/html"])
    bare.wait_for_function("window.owned")
    assert dialogs[0] == "alert: 1"


def test_a_report_runs_and_loads_nothing(bare: Page, folder: Path, tmp_path: Path) -> None:
    dialogs, asked = watched(bare), []
    bare.on("request", lambda request: asked.append(request.url))
    with bp.open(folder / "evil.branchpoint") as run:
        path = bp.export(run, tmp_path / "r.html")
    bare.goto(path.as_uri())
    assert "alert(1)" in bare.inner_text("body"), "it is shown"
    assert bare.evaluate("[...document.images].every(i => i.complete && i.naturalWidth)")
    assert bare.evaluate("window.owned") is None
    assert bare.evaluate("document.scripts.length") == 0
    assert dialogs == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
