"""This file is how annotations are read: spelled as text or not, resolved as far as they can be, each made a form.

What cannot be resolved, or is unknown here, makes the form that leaves every value alone: an annotation is never a
reason why a function cannot be served.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import sys
import types
import typing
from collections import abc
from collections.abc import Callable, Mapping
from typing import Any

from . import arrays, frames, models
from .forms import ANYTHING, BOOLEAN, LIST, NULL, NUMBER, OBJECT, TEXT, WHOLE, Form, Named, Schema
from .leaves import LEAVES, member_of, one_of
from .shapes import list_of, made_from_list, mapping_of, named_tuple_of, one_form_of, record_of, tuple_of

_PLAIN: dict[Any, Form] = {int: WHOLE, float: NUMBER, str: TEXT, bool: BOOLEAN, None: NULL, type(None): NULL}
_BARE: dict[Any, Form] = {list: LIST, dict: OBJECT, tuple: made_from_list(tuple, ANYTHING)}
_LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable)
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)
_SETS: dict[Any, Callable[[Any], Any]] = {
    set: set,
    abc.MutableSet: set,
    frozenset: frozenset,
    abc.Set: frozenset,
}


def annotations_of(function: Callable[..., object]) -> dict[str, Any]:
    """The annotations of a callable's parameters and of its result (`return`), those that can be resolved.

    Looks through functools.partial and decorators that wrap, and into the `__call__` of an instance. Raises nothing.
    """
    try:
        inner = _written_by_hand(function)
    except Exception:  # what can be called may be any object
        return {}
    return _resolved(_written(inner), getattr(inner, "__globals__", {}))


def _written_by_hand(function: Callable[..., object]) -> Any:
    inner = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    if not inspect.isroutine(inner) and not inspect.isclass(inner):
        inner = inspect.unwrap(vars(type(inner)).get("__call__") or type(inner).__call__)
    if inspect.isclass(inner):
        inner = inspect.unwrap(inner.__init__)
    return inner


def hints_of(record: type) -> dict[str, Any]:
    """The annotations of a class's fields and of its bases', those that can be resolved."""
    hints: dict[str, Any] = {}
    for base in reversed(record.__mro__):
        names = vars(sys.modules.get(base.__module__, typing))
        hints |= _resolved(_written(base), dict(names), dict(vars(base)))
    return hints


def _written(holder: Any) -> dict[str, Any]:
    try:
        return inspect.get_annotations(holder)
    except Exception:  # from Python 3.14 on they are evaluated now, and may be any expression
        return {}


def _resolved(
    annotations: Mapping[str, Any], names: dict[str, Any], local: dict[str, Any] | None = None
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, annotation in annotations.items():
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            found |= typing.get_type_hints(holder, names, local, include_extras=True)
        except Exception:  # noqa: S112  # text may be any expression; one that fails is no annotation to us
            continue
    return found


class Forms:
    """The forms of annotations; a class that holds itself gets one form that leads back to itself."""

    def __init__(self) -> None:
        self._under_way: dict[Any, Form] = {}

    def of(self, annotation: Any) -> Form:
        """The form of a resolved annotation. Raises nothing."""
        try:
            return self._of(annotation)
        except Exception:
            return ANYTHING

    def _of(self, annotation: Any) -> Form:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            return models.checked(annotation) or self.of(arguments[0])
        if origin in (typing.Required, typing.NotRequired, typing.Final, typing.ClassVar):
            return self.of(arguments[0])
        if origin in (typing.Union, types.UnionType):
            return one_form_of([self.of(each) for each in arguments])
        if origin is typing.Literal:
            return one_of(arguments)
        if isinstance(annotation, typing.NewType):
            return self.of(annotation.__supertype__)
        if hasattr(annotation, "__value__"):  # `type X = ...` of Python 3.12
            return self.of(annotation.__value__)
        return self._kind(origin or annotation, arguments, annotation)

    def _kind(self, kind: Any, arguments: tuple[Any, ...], annotation: Any) -> Form:
        for known in (_PLAIN, LEAVES, *([] if arguments else [_BARE])):
            if kind in known:
                return known[kind]
        if kind is tuple:
            return self._tuple(arguments)
        held = [self.of(argument) for argument in arguments]
        if kind in _LISTS:
            return list_of(held[0] if held else ANYTHING)
        if kind in _SETS:
            return made_from_list(_SETS[kind], held[0] if held else ANYTHING)
        if kind in _MAPPINGS:
            return mapping_of(*held) if len(held) == 2 else OBJECT
        foreign = arrays.form_of(kind, arguments) or frames.form_of(kind) or models.form_of(kind, annotation)
        return foreign or (self._class(kind) if isinstance(kind, type) else ANYTHING)

    def _tuple(self, arguments: tuple[Any, ...]) -> Form:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return made_from_list(tuple, self.of(arguments[0]))
        return tuple_of([self.of(argument) for argument in arguments])

    def _class(self, kind: type) -> Form:
        if issubclass(kind, enum.Enum):
            return member_of(kind)
        is_record = dataclasses.is_dataclass(kind) or typing.is_typeddict(kind) or hasattr(kind, "_field_defaults")
        if not is_record:
            return ANYTHING
        if kind not in self._under_way:
            self._under_way[kind] = self._later(kind)
            self._under_way[kind] = self._record(kind)
        return self._under_way[kind]

    def _later(self, kind: type) -> Form:
        """What stands for a class inside of itself, while its form is still being made."""

        def convert(value: Any) -> Any:
            made = self._under_way[kind].convert
            return value if made is None else made(value)

        def schema() -> Schema:
            made = self._under_way[kind].schema
            return made.schema() if isinstance(made, Named) else {}

        return Form(convert, "an object", schema=Named(kind.__name__, schema))

    def _record(self, kind: Any) -> Form:
        hints = hints_of(kind)
        if typing.is_typeddict(kind):
            required = _required_keys(kind, hints)
            fields = {name: (self.of(hint), name in required) for name, hint in hints.items()}
            return record_of(kind.__name__, fields, dict, is_users=False)
        fields = {}
        for name, parameter in inspect.signature(kind).parameters.items():
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                fields[name] = (self._field(hints.get(name, Any), parameter), parameter.default is parameter.empty)
        by_name = record_of(kind.__name__, fields, kind)
        if hasattr(kind, "_field_defaults"):
            return named_tuple_of(by_name, tuple_of([form for form, _ in fields.values()]), kind)
        return by_name

    def _field(self, hint: Any, parameter: inspect.Parameter) -> Form:
        form = self.of(hint.type if isinstance(hint, dataclasses.InitVar) else hint)
        is_open = form in (ANYTHING, NULL) or type(None) in typing.get_args(hint)
        return one_form_of([form, NULL]) if parameter.default is None and not is_open else form

    def of_parameter(self, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Form:
        """The form of one parameter of a function; a default of None admits null."""
        return self._field(hints.get(parameter.name, Any), parameter)


def _required_keys(kind: Any, hints: Mapping[str, Any]) -> set[str]:
    """Names that must be there. `__required_keys__` is wrong where annotations are text, so the hints overrule it."""
    required = set(kind.__required_keys__)
    for name, hint in hints.items():
        if typing.get_origin(hint) is typing.NotRequired:
            required.discard(name)
        if typing.get_origin(hint) is typing.Required:
            required.add(name)
    return required
