"""Everything that users can use says what it is, what it takes and what it returns."""

from __future__ import annotations

import functools
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tree import modules

import branchpoint as bp
from branchpoint.notebook.kernel import NAMES
from branchpoint.notebook.session import Environment
from branchpoint.views.compare import ComparisonView
from branchpoint.views.log import LogView
from branchpoint.views.map import MapView
from branchpoint.views.packets import PacketsView
from branchpoint.views.slider import MomentSlider
from branchpoint.views.terminal import TerminalView
from branchpoint.views.timeline import TimelineView

VIEWS = [ComparisonView, LogView, MapView, PacketsView, TerminalView, TimelineView, MomentSlider]

_ITEMS = {"__getitem__", "__iter__", "__enter__"}
_PLAIN = (property, functools.cached_property, staticmethod, classmethod, types.FunctionType)


@functools.cache
def _names() -> dict[str, Any]:
    """All names of our classes, for annotations that only type checkers resolve."""
    found: dict[str, Any] = {}
    for module in modules():
        if not module.endswith("__main__"):
            found.update(vars(importlib.import_module(module)))
    found.update(pd=importlib.import_module("pandas"))
    return found


def _function(member: Any) -> Callable[..., Any]:
    """The function behind a member of a class."""
    if isinstance(member, property):
        assert member.fget is not None
        return member.fget
    if isinstance(member, functools.cached_property):
        return member.func
    return inspect.unwrap(getattr(member, "__func__", member))


def _given(function: Callable[..., Any]) -> Any:
    """The type of what a function returns."""
    known = {**_names(), **function.__globals__}
    return typing.get_type_hints(function, globalns=known).get("return")


def _classes(hint: Any) -> Iterator[type]:
    """Our own classes in a type hint, however deep."""
    if isinstance(hint, type) and hint.__module__.startswith("branchpoint."):
        yield hint
    for inner in typing.get_args(hint):
        yield from _classes(inner)


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that a class of ours defines."""
    for name, member in vars(cls).items():
        if isinstance(member, _PLAIN) and not name.startswith("_"):
            yield name, member


@functools.cache
def _reachable() -> dict[str, Any]:
    """Functions and classes that users import, and all classes that their results lead to."""
    found: dict[str, Any] = {}
    named = [getattr(bp, name) for name in bp.__all__]
    waiting = [thing if callable(thing) else type(thing) for thing in named]
    waiting += [Environment, *VIEWS, *(value for value in NAMES.values() if callable(value))]
    while waiting:
        thing = waiting.pop()
        name = f"{thing.__module__}.{thing.__qualname__}"
        if name in found or not thing.__module__.startswith("branchpoint."):
            continue
        found[name] = thing
        used = [thing]
        if isinstance(thing, type):
            used = [_function(member) for _, member in _members(thing)]
            waiting += [base for base in thing.__bases__ if not base.__name__.startswith("_")]
            used += [member for name, member in vars(thing).items() if name in _ITEMS]
        for one in used:
            waiting += [cls for cls in _classes(_given(one)) if not cls.__name__.startswith("_")]
    return dict(sorted(found.items()))


@functools.cache
def _callables() -> dict[str, tuple[Any, Callable[..., Any]]]:
    """Each public function, method and property: the object with its docstring, and its code."""
    found: dict[str, tuple[Any, Callable[..., Any]]] = {}
    for name, thing in _reachable().items():
        if isinstance(thing, type):
            for member_name, member in _members(thing):
                found[f"{name}.{member_name}"] = (member, _function(member))
            if inspect.isfunction(thing.__init__):
                found[f"{name}.__init__"] = (thing, thing.__init__)
        else:
            found[name] = (thing, thing)
    return found


def _written_by_hand(cls: type) -> bool:
    """Whether a class has a docstring that was written, not one made up by dataclasses."""
    return bool(cls.__doc__) and not str(cls.__doc__).startswith(f"{cls.__name__}(")


def test_the_walk_reaches_what_users_meet() -> None:
    names = {name.rpartition(".")[2] for name in _reachable()}
    assert {"Recording", "Moment", "Branch", "Process", "Packets", "Packet", "Container"} <= names
    assert {"open_recording", "record", "prepare_multiverse_debugging"} <= names


@pytest.mark.parametrize("name", _reachable())
def test_it_has_a_docstring(name: str) -> None:
    thing = _reachable()[name]
    assert _written_by_hand(thing) if isinstance(thing, type) else thing.__doc__


@pytest.mark.parametrize("name", _reachable())
def test_it_shows_itself_without_an_address(name: str) -> None:
    """What a notebook shows must be the same when it is run again."""
    thing = _reachable()[name]
    assert not isinstance(thing, type) or thing.__repr__ is not object.__repr__


@pytest.mark.parametrize("name", _callables())
def test_every_call_has_a_docstring(name: str) -> None:
    documented, _ = _callables()[name]
    assert documented.__doc__, "say what it does, with units"


@pytest.mark.parametrize("name", _callables())
def test_every_call_has_type_hints(name: str) -> None:
    _, function = _callables()[name]
    signature = inspect.signature(function)
    bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
    assert bare in ([], ["self"], ["cls"])
    assert signature.return_annotation is not signature.empty


@pytest.mark.parametrize("module", modules())
def test_every_module_says_what_it_is_for(module: str) -> None:
    path = modules()[module]
    text = path.read_text()
    assert not text or text.startswith(('"""', 'r"""'))
