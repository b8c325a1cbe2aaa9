"""``%%bash --branch b --container c`` and ``%branchpoint open NAME``."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

import branchpoint as bp
from branchpoint.timeline.process import Host

_OURS = {"--branch", "--container", "--background", "--timeout"}


def install(shell: Any) -> None:
    """Register our magics; IPython's own ``%%bash`` must be loaded first or it would come later."""
    shell.find_cell_magic("bash")
    shell.register_magics(BranchpointMagics)


@magics_class
class BranchpointMagics(Magics):
    """Magics of the Branchpoint kernel."""

    shell: Any

    @magic_arguments()
    @argument("--branch", help="the branch to run in: a variable or an expression")
    @argument(
        "--container", help="where: a container's name, or a variable; default: the guest itself"
    )
    @argument("--background", action="store_true", help="start it and do not wait")
    @argument("--timeout", help='longest virtual time, in seconds or like "500ms"')
    @cell_magic("bash")  # type: ignore[arg-type]
    def bash(self, line: str, cell: str) -> Any:
        """Run the cell as a shell script in a branch; its value is the Process.

        Without --branch (and our other options) this is IPython's own %%bash, on this computer.
        The script reaches the shell as it is: nothing is interpolated.
        """
        if not {word.split("=")[0] for word in line.split()} & _OURS:
            return self.shell.run_cell_magic("script", f"bash {line}".rstrip(), cell)
        given = parse_argstring(self.bash, line)
        if given.branch is None:
            raise UsageError("%%bash in a container needs --branch: the branch to run in")
        command = bp.bash(cell)
        where = (self._value(given.branch), self._name(given.container))
        if given.background:
            if given.timeout is not None:
                raise UsageError("--timeout is for commands that are waited for")
            return command.run_in_background(*where)
        options = {} if given.timeout is None else {"timeout": given.timeout}
        return command.run(*where, **options)

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
        """The Python value of an option; errors in it are the user's and shown as such."""
        return self.shell.ev(text.strip("'\""))

    def _name(self, text: str | None) -> Any:
        """A container: what a variable of that name says, if there is one, else the text."""
        if text is None:
            return None
        text = text.strip("'\"")
        value = self.shell.user_ns.get(text)
        return value if isinstance(value, str | Host) else text
