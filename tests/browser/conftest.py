"""A JupyterLab of this tree and a browser that opens it.

The browser is the distribution's Chromium without a window. Each module starts its own, because
its event loop would disturb tests that execute notebooks.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from labpage import LabPage
from playwright.sync_api import Browser, sync_playwright

import branchpoint as bp
from branchpoint.guest.image import ensure_image

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "build" / "aria.branchpoint"
TIED = Path(__file__).with_name("tied.py")
SCREENS = ROOT / "build" / "screens"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",  # tests may run as root
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START = 60  # wall seconds for a server to answer, on a busy computer
PORTS = 5  # tried: another process may take one just before the server does


@dataclass
class Server:
    """A Jupyter server: its address, its token, the folder that it shows, and its process."""

    url: str
    token: str
    folder: Path
    pid: int


@pytest.fixture(scope="session")
def demo(request: pytest.FixtureRequest) -> Path:
    """A recording of the demo system that ends with its failure: that of `make demo`, if usable."""
    if DEMO.exists():
        with bp.open(DEMO) as run:
            head = run.manifest
        if head.failure is not None and head.machine.guest_image == ensure_image().digest:
            return DEMO
    path: Path = request.getfixturevalue("failing_aria")
    return path


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Jupyter with this tree's kernel and extension, and no settings."""
    extension = ROOT / "extension" / "labextension"
    if not (extension / "package.json").exists():
        pytest.fail("the JupyterLab extension is not built; run: make setup")
    home = tmp_path_factory.mktemp("jupyter")
    share = home / "share"
    for kind, name, target in (
        ("kernels", "branchpoint", ROOT / "kernel" / "kernelspec"),
        ("labextensions", "branchpoint-lab", extension),
    ):
        (share / kind).mkdir(parents=True)
        (share / kind / name).symlink_to(target)
    settings = home / "settings"
    notification = settings / "@jupyterlab" / "apputils-extension"
    notification.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (notification / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    path = os.pathsep.join([str(ROOT / "kernel"), os.environ.get("PYTHONPATH", "")])
    return {
        **os.environ,
        "PYTHONPATH": path.rstrip(os.pathsep),
        "JUPYTER_PATH": str(share),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
    }


@contextmanager
def serving(program: str, folder: Path, environment: dict[str, str]) -> Iterator[Server]:
    """Run ``jupyter lab`` or ``jupyter notebook`` on a folder.

    It ends with the thread that calls this, even when the whole process is killed.
    """
    for _ in range(PORTS):
        server, process = started(program, folder, environment)
        if server is not None:
            break
    else:
        pytest.fail(f"{program} found no free port in {PORTS} tries")
    try:
        yield server
    finally:
        end(process)


def started(
    program: str, folder: Path, environment: dict[str, str]
) -> tuple[Server | None, subprocess.Popen[bytes]]:
    """A server that answers, and its process; no server when its port was taken just before."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    log = folder.parent / f"{folder.name}-{program}.log"
    command = [
        sys.executable, TIED, str(os.getpid()), program, "--no-browser", "--allow-root",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
    ]  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=out, stderr=out, start_new_session=True
        )
    server = Server(f"http://127.0.0.1:{port}", token, folder, process.pid)
    deadline = time.monotonic() + START
    while not answers(server):
        over = process.poll() is not None
        if over and f"port {port} is not available" in log.read_text():
            return None, process
        if over or time.monotonic() > deadline:
            end(process)
            pytest.fail(f"{program} does not answer:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)
    return server, process


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server, which ends its kernels."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def answers(server: Server) -> bool:
    """Whether the server is up. What has its port may be something else, that speaks no HTTP."""
    try:
        ask(server, "status")
    except (OSError, HTTPException):
        return False
    return True


def ask(server: Server, what: str, data: bytes | None = None) -> Any:
    """The server's answer to a request; a request with ``data`` is a POST."""
    headers = {"Authorization": f"token {server.token}"}
    with urlopen(Request(f"{server.url}/api/{what}", data, headers), timeout=5) as reply:
        return json.load(reply)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, demo: Path) -> Path:
    """A folder with a copy of the demo recording."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copytree(demo, folder / "aria.branchpoint")
    return folder


@pytest.fixture(scope="module")
def lab(folder: Path, jupyter: dict[str, str]) -> Iterator[Server]:
    with serving("jupyterlab", folder, jupyter) as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if program is None:
        pytest.fail("there is no Chromium for the tests; run: .ci/setup --tests")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, lab: Server, request: pytest.FixtureRequest) -> Iterator[LabPage]:
    """A new page of JupyterLab; a screenshot of it is kept when the test fails."""
    context = chromium.new_context(viewport={"width": 1200, "height": 800})
    page = LabPage(context.new_page(), lab.url, lab.token, SCREENS)
    page.goto()
    failed = request.session.testsfailed
    yield page
    if request.session.testsfailed > failed:
        page.screenshot(f"failed-{request.node.name}")
    context.close()
