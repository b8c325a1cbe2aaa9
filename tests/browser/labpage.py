"""JupyterLab as a user uses it: menus, palette, cells, panels."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, TimeoutError, expect

WAIT = 20_000  # ms, on a busy computer
LONG = 300_000  # ms, for what a machine has to compute

# The current notebook, as an expression of the page. Lab is told to expose itself.
_PANEL = "window.jupyterapp.shell.currentWidget"
_STATUS = f"{_PANEL}?.sessionContext?.session?.kernel?.status"


class LabPage:
    """A page of JupyterLab."""

    def __init__(self, page: Page, url: str, token: str, screens: Path) -> None:
        self.page = page
        self._url, self._token = url, token
        self._screens = screens
        self.problems: list[str] = []
        page.set_default_timeout(WAIT)
        expect.set_options(timeout=WAIT)
        page.on("pageerror", lambda error: self._note(str(error)))

    def _note(self, error: str) -> None:
        # JupyterLab's own, now and then, when a kernel goes before it has answered about subshells.
        if "Canceled future for create_subshell_request" not in error:
            self.problems.append(error)

    def goto(self, path: str = "lab", *, reset: bool = True) -> None:
        """Open the interface as a first-time user sees it."""
        self.page.goto(f"{self._url}/{path}?token={self._token}{'&reset' if reset else ''}")
        self.page.locator("#branchpoint-panel").wait_for(state="attached")
        self.page.evaluate("window.jupyterapp.restored.then(() => null)")

    def screenshot(self, name: str) -> Path:
        """Save a screenshot of the page."""
        self._screens.mkdir(parents=True, exist_ok=True)
        path = self._screens / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    # -- parts

    def browser_item(self, name: str) -> Locator:
        """An item of the file browser."""
        return self.page.locator(".jp-DirListing-item", has_text=name).first

    @property
    def panel(self) -> Locator:
        """Our side panel."""
        return self.page.locator("#branchpoint-panel")

    @property
    def status(self) -> Locator:
        """Our part of the status bar."""
        return self.page.locator(".bpl-status-button")

    @property
    def cells(self) -> Locator:
        """The cells of the current notebook."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell")

    def cell(self, code: str) -> Locator:
        """The last cell whose code contains this."""
        return self.cells.filter(has=self.page.locator(".cm-content", has_text=code)).last

    def output(self, code: str) -> Locator:
        """The output of that cell."""
        return self.cell(code).locator(".jp-OutputArea")

    # -- doing

    def open_notebook(self, path: str) -> None:
        """Open a notebook, and wait for its cells."""
        self.page.evaluate(
            "async path => {"
            " await window.jupyterapp.commands.execute('docmanager:open', { path }); }",
            path,
        )
        self.cells.first.wait_for()

    def close_notebook(self) -> str:
        """Save the current notebook and close its tab; its kernel goes on. Returns its path."""
        path: str = self.evaluate(f"{_PANEL}.context.path")
        self.evaluate("window.jupyterapp.commands.execute('docmanager:save').then(() => null)")
        self.start("application:close")
        self.page.wait_for_function(
            f"path => {_PANEL}?.context?.path !== path || document.querySelector('.jp-Dialog')",
            arg=path,
        )
        asked = self.page.locator(".jp-Dialog").get_by_role("button", name="Save")
        if asked.count():  # its running cell has new output since it was saved
            asked.click()
        return path

    def show_panel(self) -> None:
        """Click our icon at the side."""
        if not self.panel.is_visible():
            self.page.locator(".jp-SideBar [data-id=branchpoint-panel]").click()
        expect(self.panel).to_be_visible()

    def palette(self, words: str) -> None:
        """Choose the first command that the palette finds for these words, with the keyboard."""
        search = self.page.locator("#modal-command-palette input")
        found = self.page.locator("#modal-command-palette .lm-CommandPalette-item").first
        for _ in range(20):  # the keys work as soon as Lab has read its settings
            self.page.keyboard.press("Control+Shift+C")
            # The palette closes when the focus goes elsewhere, as it does while Lab starts.
            with contextlib.suppress(TimeoutError, AssertionError):
                search.fill(words, timeout=1000)
                expect(found).to_contain_text(words, timeout=1000)
                search.press("Enter", timeout=1000)
                return
        raise AssertionError(f"the palette never stayed open for {words!r}")

    def wait_idle(self, timeout: int = LONG) -> None:
        """Wait until the current notebook has nothing left to run."""
        self.page.wait_for_function(
            f"() => {_STATUS} === 'idle' && !document.querySelector('.jp-Notebook .jp-mod-pending')"
            " && ![...document.querySelectorAll('.jp-InputPrompt')]"
            ".some(prompt => prompt.textContent === '[*]:')",
            timeout=timeout,
        )

    def run(self, code: str) -> None:
        """Put a cell below the last one and run it."""
        last = self.cells.last
        last.locator(".jp-InputPrompt").click()
        self.page.keyboard.press("b")
        self.page.keyboard.press("Enter")
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Control+Enter")

    def start(self, command: str) -> None:
        """Make the page execute a command, without waiting for its end."""
        self.page.evaluate(f"void window.jupyterapp.commands.execute('{command}')")

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        return self.page.evaluate(script)

    def theme(self, name: str) -> None:
        """Switch to "JupyterLab Light" or "JupyterLab Dark"."""
        self.page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name
        )
        self.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)
