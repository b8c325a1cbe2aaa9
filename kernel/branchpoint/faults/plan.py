"""The injector's plan: :class:`Settings` as text from which the agent draws faults, and back.

Each line is a keyword and its values, see ``guest/agent/chance/plan.c``; all instants are ns
since set-up was complete.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from branchpoint.errors import RecordingError
from branchpoint.faults.kinds import GUEST, KINDS, ContainerLike, Target
from branchpoint.faults.settings import Drawn, Settings
from branchpoint.guest.wire import decoded, encoded


def compile_plan(settings: Settings, containers: Sequence[ContainerLike]) -> str:
    """The text for the agent."""
    lines = [f"quiet {first} {last}" for first, last in settings.quiet]
    for one in settings.drawn:
        shortest, longest = one.lasts
        if one.every:
            lines.append(f"kind {one.kind} {one.every} {shortest} {longest}")
        else:
            first, last = one.between
            lines.append(f"once {one.kind} {first} {last} {one.probability} {shortest} {longest}")
        lines += [f"param {name} {low} {high}" for name, (low, high) in one.parameters.items()]
        for label in one.targets:
            target = aim(one, label, containers)
            lines += [f"target {label}", f"begin {encoded(target.begin)}"]
            if target.end:
                lines.append(f"end {encoded(target.end)}")
    return "".join(f"{line}\n" for line in lines)


def aim(drawn: Drawn, label: str, containers: Sequence[ContainerLike]) -> Target:
    """The actions for one target of a drawn fault."""
    if drawn.kind in KINDS:
        return KINDS[drawn.kind].aim(label, containers)
    return command(label, drawn.run, drawn.heal)


def command(label: str, run: str, heal: str) -> Target:
    """The user's own scripts, in a container or in the guest."""
    return Target(label, f"sh {_inside(label, run)}", f"sh {_inside(label, heal)}" if heal else "")


def _inside(label: str, script: str) -> str:
    """The user's script, with the same scheduling as any other process."""
    where = "" if label == GUEST else f"crun exec {label} "
    return f"exec chrt -o 0 {where}/bin/sh -c {shlex.quote(script)}"


def read_plan(text: str) -> Settings:
    """The settings that a plan was made from.

    :raises RecordingError: when it was not made by :func:`compile_plan`.
    """
    drawn: list[Drawn] = []
    quiet = []
    try:
        for line in text.splitlines():
            key, _, rest = line.partition(" ")
            words = rest.split(" ")
            if key == "quiet":
                quiet.append((int(words[0]), int(words[1])))
            elif key == "kind":
                every, *lasts = map(int, words[1:])
                drawn.append(Drawn(words[0], (), (lasts[0], lasts[1]), every))
            elif key == "once":
                first, last, ppm, *lasts = map(int, words[1:])
                new = Drawn(words[0], (), (lasts[0], lasts[1]), 0, (first, last), ppm)
                drawn.append(new)
            else:
                drawn[-1] = _with(drawn[-1], key, words, rest)
    except (ValueError, IndexError):
        raise RecordingError("the plan of faults in the recording cannot be understood") from None
    return Settings(tuple(drawn), tuple(quiet))


def _with(drawn: Drawn, key: str, words: list[str], rest: str) -> Drawn:
    """``drawn``, with what one more line of the plan says about it."""
    match key:
        case "param":
            value = {words[0]: (int(words[1]), int(words[2]))}
            return replace(drawn, parameters={**drawn.parameters, **value})
        case "target":
            return replace(drawn, targets=(*drawn.targets, rest))
        case "begin" if drawn.kind not in KINDS:
            return replace(drawn, run=_outside(rest))
        case "end" if drawn.kind not in KINDS:
            return replace(drawn, heal=_outside(rest))
        case "begin" | "end":
            return drawn
    raise ValueError(key)


def _outside(action: str) -> str:
    """The script in an action of :func:`command`."""
    return shlex.split(decoded(action))[-1]
