"""This file is how a request's body becomes the arguments of a call, or one message that says why it cannot.

All of it is decided before the call, against the function's signature: a TypeError from inside the function
is the function's own and is never read as a body that does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import Parameter, Signature, signature

from .wording import counted, json_kind, quoted

_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class DoesNotFit(Exception):
    """The body cannot become a call; the text tells the caller what to change."""


@dataclass(frozen=True)
class Call:
    """The arguments of one call: `function(*positional, **named)`."""

    positional: tuple[object, ...] = ()
    named: dict[str, object] | None = None


class Binding:
    """What one function takes, read once from its signature.

    A decorator that uses `functools.wraps` is looked through, as Python's own `inspect.signature` does. A
    function that cannot tell its signature (some are written in C) is called with whatever comes.
    """

    def __init__(self, name: str, function: Callable[..., object]) -> None:
        self._name = name
        self._parameters = _parameters(function)

    def bind(self, document: object) -> Call:
        """The call that a parsed body asks for. Raises DoesNotFit, and nothing else.

        >>> def predict(x, y=2): ...
        >>> Binding("predict", predict).bind({"data": {"x": 1}}).named
        {'x': 1}
        >>> Binding("predict", predict).bind({"parameters": [1, 2]}).positional
        (1, 2)
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

    def _by_name(self, data: object) -> Call:
        if not isinstance(data, dict):
            raise DoesNotFit(f'"data" must be an object of named arguments, not {json_kind(data)}')
        if self._parameters is not None:
            self._check_names(data, self._parameters)
        return Call(named=data)

    def _check_names(self, data: dict[str, object], parameters: list[Parameter]) -> None:
        only_by_position = _required(p for p in parameters if p.kind is Parameter.POSITIONAL_ONLY)
        if only_by_position:
            self._refuse(f'takes {quoted(only_by_position)} by position only: send "parameters" instead of "data"')
        named = [p for p in parameters if p.kind in _BY_NAME]
        missing = [name for name in _required(named) if name not in data]
        known = {p.name for p in named}
        takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
        unexpected = [] if takes_any else [name for name in data if name not in known]
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
        if self._parameters is not None:
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
