"""``%%bash --branch b --container c``, the same for ``%%sh``, and ``%branchpoint open NAME``.

In IPython, such cells run on the user's computer. In this kernel a user most likely means a branch,
so a cell without ``--branch`` is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

import branchpoint as bp
from branchpoint.timeline.commands.process import Host


def install(shell: Any) -> None:
    """Register our magics. IPython's own ``%%bash`` is loaded first, or it would replace ours."""
    shell.find_cell_magic("bash")
    shell.register_magics(BranchpointMagics)


_OPTIONS = (
    argument("--branch", help="the branch to run in: a variable or an expression"),
    argument(
        "--container", help="where: a container's name, or a variable; default: the guest itself"
    ),
    argument("--user", help="as whom, with : and a group behind it; default: the container's user"),
    argument("--privileged", action="store_true", help="as root, with all rights"),
    argument("--background", action="store_true", help="start it without waiting for its end"),
    argument("--timeout", help='longest virtual time, in seconds or like "500ms"'),
)


def _in_a_branch_magic(name: str) -> Callable[[Any], Any]:
    """The decorator of a cell magic of that name that takes these options."""

    def decorate(method: Any) -> Any:
        method = cell_magic(name)(method)
        for option in reversed(_OPTIONS):
            method = option(method)
        return magic_arguments()(method)

    return decorate


@magics_class
class BranchpointMagics(Magics):
    """Magics of the Branchpoint kernel."""

    shell: Any

    @_in_a_branch_magic("bash")
    def bash(self, line: str, cell: str) -> Any:
        """Run the cell as a shell script in a branch; its value is the Process.

        Nothing is interpolated: the shell gets the script as it is. To run a script on this
        computer, use %%script bash.
        """
        return self._in_a_branch("bash", line, cell)

    @_in_a_branch_magic("sh")
    def sh(self, line: str, cell: str) -> Any:
        """The same as %%bash."""
        return self._in_a_branch("sh", line, cell)

    def _in_a_branch(self, name: str, line: str, cell: str) -> Any:
        ours = any(word.split("=")[0] == "--branch" for word in line.split())
        if not ours:
            known = [n for n, v in self.shell.user_ns.items() if isinstance(v, bp.Branch)]
            branch = next((n for n in reversed(known) if not n.startswith("_")), "BRANCH")
            raise UsageError(
                f"%%{name} runs in a branch, so it needs --branch: "
                f"%%{name} --branch {branch} --container NAME "
                f"(to run it on your computer, outside of the recording: %%script {name})"
            )
        given = parse_argstring(self.bash, line)
        command = bp.bash(cell)
        where = (self._value(given.branch), self._name(given.container))
        whom = {"user": given.user, "privileged": given.privileged}
        if given.background:
            if given.timeout is not None:
                raise UsageError("--timeout cannot be used with --background, which does not wait")
            return command.run_in_background(*where, **whom)
        return command.run(*where, timeout=given.timeout, **whom)

    @line_magic
    def branchpoint(self, line: str) -> Any:
        """``%branchpoint open NAME`` opens a recording as ``run``, and shows it."""
        verb, _, name = line.strip().partition(" ")
        name = name.strip().strip("'\"")
        if verb != "open" or not name:
            raise UsageError("usage: %branchpoint open NAME.branchpoint")
        run = bp.open(name)
        self.shell.user_ns["run"] = run
        return run

    def _value(self, text: str) -> Any:
        """The Python value of an option."""
        text = text.strip("'\"")
        try:
            return self.shell.ev(text)
        except Exception as error:
            raise UsageError(f"--branch {text}: {type(error).__name__}: {error}") from None

    def _name(self, text: str | None) -> Any:
        """A container: the value of a variable of that name, if there is one, else the text."""
        if text is None:
            return None
        text = text.strip("'\"")
        value = self.shell.user_ns.get(text)
        return value if isinstance(value, str | Host) else text
