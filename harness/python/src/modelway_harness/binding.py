"""This file is how a request's body becomes the arguments of a call, or one message that says why it cannot.

All of it is decided before the call, against the function's signature: a TypeError from inside the function
is the function's own and is never read as a body that does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import Parameter, Signature, signature
from typing import NamedTuple

from .annotations import Forms, annotations_of
from .forms import Convert, Misfit, step
from .whole import form_of
from .wording import counted, json_kind, quoted

_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_REST = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class DoesNotFit(Exception):
    """The body cannot become a call; the text tells the caller what to change."""


class Call(NamedTuple):
    """The arguments of one call: `function(*positional, **named)`."""

    positional: tuple[object, ...] = ()
    named: dict[str, object] | None = None


class Binding:
    """What one function takes, read once from its signature and its annotations.

    A decorator that uses `functools.wraps` is looked through, as Python's own `inspect.signature` does. A
    function that cannot tell its signature (some are written in C) is called with whatever comes.
    """

    def __init__(self, name: str, function: Callable[..., object]) -> None:
        self._name = name
        self.function = function
        self._parameters = _parameters(function)
        parameters = self._parameters or []
        named = [p for p in parameters if p.kind in _BY_NAME]
        self._required = frozenset(_required(p for p in parameters if p.kind not in _REST))
        self._known = frozenset(p.name for p in named)
        self._only_by_position = _required(p for p in parameters if p.kind is Parameter.POSITIONAL_ONLY)
        self._takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
        slots = [p for p in parameters if p.kind in _BY_POSITION]
        self._counts = range(len(_required(slots)), len(slots) + 1)
        if any(p.kind is Parameter.KEYWORD_ONLY and p.default is Parameter.empty for p in parameters):
            self._counts = range(0)
        self._conversions = _Conversions(function, parameters)
        whole = form_of(function)
        self._whole = None if whole is None else whole.convert
        self.converts = self._conversions.are_any or self._whole is not None  # whether `convert` has anything to do

    def bind(self, document: object) -> Call:
        """The call that a parsed body asks for. Raises DoesNotFit, and nothing else.

        Where an annotation is a class of the user's, this runs code of theirs: do it where the function is run.

        >>> def predict(x, y=2): ...
        >>> Binding("predict", predict).bind({"data": {"x": 1}}).named
        {'x': 1}
        >>> Binding("predict", predict).bind({"parameters": [1, 2]}).positional
        (1, 2)
        """
        return self.convert(self.fit(document))

    def fit(self, document: object) -> Call:
        """The call as `bind` gives it, its values still as JSON has them; no code of the user's runs.

        Raises DoesNotFit where names or number of the arguments are wrong.
        """
        if not isinstance(document, dict):
            raise DoesNotFit('the body must be a JSON object with "data" or "parameters", not ' + json_kind(document))
        data, parameters = document.get("data"), document.get("parameters")
        if data is not None and parameters is not None:
            raise DoesNotFit('the body has both "data" and "parameters"; send one of them')
        if data is not None:
            return self._by_name(data)
        if parameters is not None:
            return self._by_position(parameters)
        raise DoesNotFit(
            'the body must have "data", an object of named arguments, or "parameters", a list of arguments'
        )

    def convert(self, call: Call) -> Call:
        """The call with its values as the annotations want them.

        Raises DoesNotFit with the place of the first that is wrong.
        """
        if not self.converts:
            return call
        try:
            if self._whole is not None:
                return self._as_one(self._whole, call)
            if call.named is not None:
                return Call(named=self._conversions.of_names(call.named))
            return Call(positional=self._conversions.of_places(call.positional))
        except RecursionError:
            raise DoesNotFit("the arguments are nested too deeply") from None

    def _as_one(self, convert: Convert, call: Call) -> Call:
        try:
            return Call(named=convert(call.named or {}))
        except Misfit as misfit:
            raise DoesNotFit(misfit.told("data")) from misfit.__cause__

    def _by_name(self, data: object) -> Call:
        if not isinstance(data, dict):
            raise DoesNotFit(f'"data" must be an object of named arguments, not {json_kind(data)}')
        if self._whole is not None:
            return Call(named=data)
        keys = data.keys()
        fits = self._required <= keys and (self._takes_any or keys <= self._known) and not self._only_by_position
        if not fits and self._parameters is not None:
            self._check_names(data, self._parameters)
        return Call(named=data)

    def _check_names(self, data: dict[str, object], parameters: list[Parameter]) -> None:
        if self._only_by_position:
            self._refuse(
                f'takes {quoted(self._only_by_position)} by position only: send "parameters" instead of "data"'
            )
        named = [p for p in parameters if p.kind in _BY_NAME]
        missing = [name for name in _required(named) if name not in data]
        unexpected = [] if self._takes_any else [name for name in data if name not in self._known]
        said = []
        if missing:
            said.append(_missing(missing))
        if unexpected:
            said.append(f"got {counted(len(unexpected), 'unexpected argument')}: {quoted(unexpected)}")
        if said:
            self._refuse(" and ".join(said))

    def _by_position(self, values: object) -> Call:
        if not isinstance(values, list):
            raise DoesNotFit(f'"parameters" must be a list of arguments, not {json_kind(values)}')
        if self._whole is not None:
            self._refuse('takes its arguments by name only: send "data" instead of "parameters"')
        if len(values) not in self._counts and self._parameters is not None:
            self._check_count(len(values), self._parameters)
        return Call(positional=tuple(values))

    def _check_count(self, given: int, parameters: list[Parameter]) -> None:
        slots = [p for p in parameters if p.kind in _BY_POSITION]
        takes_any = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
        if given > len(slots) and not takes_any:
            least, most = len(_required(slots)), counted(len(slots), "argument")
            takes = most if least == len(slots) else f"from {least} to {most}"
            self._refuse(f"takes {takes} but {given} {'was' if given == 1 else 'were'} given")
        missing = _required(slots[given:])
        if missing:
            self._refuse(_missing(missing))
        only_by_name = _required(p for p in parameters if p.kind is Parameter.KEYWORD_ONLY)
        if only_by_name:
            self._refuse(f'takes {quoted(only_by_name)} by name only: send "data" instead of "parameters"')

    def _refuse(self, why: str) -> None:
        raise DoesNotFit(f"{self._name}() {why}")


class _Conversions:
    """How the values of one function's parameters are converted; parameters without a form are left out."""

    def __init__(self, function: Callable[..., object], parameters: list[Parameter]) -> None:
        forms, hints = Forms(), annotations_of(function)
        self._named: dict[str, Convert] = {}
        self._placed: list[tuple[str, Convert | None]] = []
        self._rest: dict[object, tuple[str, Convert]] = {}
        for parameter in parameters:
            convert = forms.of_parameter(parameter, hints).convert
            if parameter.kind in _BY_POSITION:
                self._placed.append((parameter.name, convert))
            if convert is not None and parameter.kind in _BY_NAME:
                self._named[parameter.name] = convert
            elif convert is not None and parameter.kind in _REST:
                self._rest[parameter.kind] = parameter.name, convert
        self._names = frozenset(p.name for p in parameters if p.kind in _BY_NAME)
        self.are_any = bool(self._named or self._rest or any(convert for _, convert in self._placed))

    def of_names(self, data: dict[str, object]) -> dict[str, object]:
        made = data.copy()
        name = ""
        try:
            for name, convert in self._named.items():
                if name in data:
                    made[name] = convert(data[name])
            if Parameter.VAR_KEYWORD in self._rest:
                _, convert = self._rest[Parameter.VAR_KEYWORD]
                for name in data:
                    if name not in self._names:
                        made[name] = convert(data[name])
        except Misfit as misfit:
            raise DoesNotFit(misfit.told(f"data{step(name)}")) from misfit.__cause__
        return made

    def of_places(self, values: tuple[object, ...]) -> tuple[object, ...]:
        made = list(values)
        slots = len(self._placed)
        at, name, inner = 0, "", None
        try:
            for at, (name, inner) in enumerate(self._placed[: len(made)]):  # noqa: B007  # told below
                if inner is not None:
                    made[at] = inner(made[at])
            if Parameter.VAR_POSITIONAL in self._rest:
                name, convert = self._rest[Parameter.VAR_POSITIONAL]
                for at in range(slots, len(made)):
                    made[at] = convert(made[at])
        except Misfit as misfit:
            raise DoesNotFit(misfit.told(f"parameters[{at}]") + f" (argument '{name}')") from misfit.__cause__
        return tuple(made)


def why_uncallable(name: str, function: Callable[..., object]) -> str:
    """Why no call can fit, by name or by position; "" when one can.

    >>> def predict(a, /, *, c): ...
    >>> why_uncallable("predict", predict)
    "predict() cannot be called: 'a' is by position only, 'c' by name only"
    """
    parameters = _parameters(function) or []
    placed = _required(p for p in parameters if p.kind is Parameter.POSITIONAL_ONLY)
    named = _required(p for p in parameters if p.kind is Parameter.KEYWORD_ONLY)
    if not placed or not named:
        return ""
    is_or_are = "is" if len(placed) == 1 else "are"
    return f"{name}() cannot be called: {quoted(placed)} {is_or_are} by position only, {quoted(named)} by name only"


def _parameters(function: Callable[..., object]) -> list[Parameter] | None:
    try:
        described: Signature = signature(function)
    except (ValueError, TypeError):
        return None
    return list(described.parameters.values())


def _required(parameters: Iterable[Parameter]) -> list[str]:
    return [p.name for p in parameters if p.default is Parameter.empty]


def _missing(names: list[str]) -> str:
    return f"missing {counted(len(names), 'required argument')}: {quoted(names)}"
