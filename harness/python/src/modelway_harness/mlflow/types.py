"""This file is the types in an MLflow signature as forms: what one value of a column, or of a parameter, may be.

A signature is read as the plain dicts that it is saved as, so nothing of MLflow is needed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..forms import ANYTHING, BOOLEAN, NULL, NUMBER, TEXT, WHOLE, Form, Misfit, Named, shown
from ..leaves import LEAVES
from ..shapes import list_of, mapping_of, one_form_of, record_of

Spec = Mapping[str, Any]

LISTS = ("array", "sparkml_vector")
_LARGEST_FLOAT = 3.4028235677973366e38  # what is nearer to it than to infinity, in 32 bits
_CAN_BE_MISSING = ("float", "double", "string", "datetime")  # a table has a way to say that such a value is missing


def is_required(spec: Spec) -> bool:
    """Whether a column or a property has to be there. Older releases wrote `optional`."""
    return bool(spec.get("required", not spec.get("optional", False)))


def depth_of(spec: Spec) -> int:
    """How many lists one value of the type is nested in."""
    return 1 + depth_of(spec.get("items") or {}) if spec.get("type") in LISTS else 0


def form_of(spec: Spec) -> Form:
    """The form of one value of the type. A type that is unknown here takes anything: MLflow looks at it itself."""
    kind = spec.get("type")
    if kind == "array":
        return list_of(form_of(spec.get("items") or {}))
    if kind == "map":
        return mapping_of(TEXT, form_of(spec.get("values") or {}))
    if kind == "object":
        return _object(spec.get("properties") or {})
    return _SINGLE.get(str(kind), ANYTHING)


def cell_of(spec: Spec) -> Form:
    """The form of one value of a column: null too, where the column may lack it or a table can say that it is missing.

    >>> cell_of({"type": "double"}).convert(None), cell_of({"type": "long"}).convert(3.0)
    (None, 3)
    """
    may_be_null = not is_required(spec) or spec.get("type") in _CAN_BE_MISSING
    return one_form_of([form_of(spec), NULL]) if may_be_null else form_of(spec)


def parameter_of(spec: Spec) -> Form:
    """The form of one entry of `params`; null is the same as leaving it out."""
    form = form_of({**spec, "type": spec.get("type") or spec.get("dtype")})
    return one_form_of([list_of(form) if spec.get("shape") else form, NULL])


def _object(properties: Mapping[str, Spec]) -> Form:
    fields = {}
    for name, spec in properties.items():
        form = form_of(spec)
        fields[name] = (form if is_required(spec) else one_form_of([form, NULL]), is_required(spec))
    made = record_of("object", fields, dict, is_users=False)
    return replace(made, schema=made.schema.schema) if isinstance(made.schema, Named) else made  # it has no name


def _whole_of(bits: int) -> Form:
    read = WHOLE.convert
    assert read is not None  # noqa: S101  # it looks at what it is given

    def convert(value: Any) -> Any:
        made = read(value)
        if not -(2 ** (bits - 1)) <= made < 2 ** (bits - 1):
            raise Misfit(f"must be a whole number of {bits} bits, not {shown(value)}")
        return made

    return Form(convert, "a whole number", schema={"type": "integer", "format": f"int{bits}"})


def _short_float(value: Any) -> Any:
    read = NUMBER.convert
    made = value if read is None else read(value)
    if abs(made) >= _LARGEST_FLOAT:
        raise Misfit(f"must be a number of 32 bits, not {shown(value)}")
    return made


def _moment(value: Any) -> Any:
    """As tables have them: without a zone. One with a zone is taken as what it is in UTC."""
    read = LEAVES[datetime].convert
    made = value if read is None else read(value)
    return made if made.tzinfo is None else made.astimezone(UTC).replace(tzinfo=None)


_SINGLE = {
    "boolean": BOOLEAN,
    "integer": _whole_of(32),
    "long": _whole_of(64),
    "float": replace(NUMBER, convert=_short_float, exact=None),
    "double": NUMBER,
    "string": TEXT,
    "binary": LEAVES[bytes],
    "datetime": replace(LEAVES[datetime], convert=_moment),
}
