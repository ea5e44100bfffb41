"""This file is the forms of what holds other values: lists, tuples, sets, mappings, records, alternatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .forms import (
    LIST,
    NULL,
    OBJECT,
    TEXT,
    WHOLE,
    Convert,
    Form,
    Misfit,
    Named,
    Schema,
    either,
    step,
    whole_from_text,
    wrong,
)
from .leaves import made_by
from .wording import counted, quoted


def list_of(item: Form) -> Form:
    """A list whose every item is filled by `item`."""
    inner, exact = item.convert, item.exact
    if inner is None:
        return LIST

    def convert(value: Any) -> Any:
        if type(value) is not list:
            raise wrong("a list", value)
        if exact is not None and set(map(type, value)) <= {exact}:
            return value
        return _each(value, inner)

    return Form(convert, "a list", schema={"type": "array", "items": item.schema})


def _each(values: list[Any], inner: Convert) -> list[Any]:
    made: list[Any] = []
    try:
        for value in values:
            made.append(inner(value))  # noqa: PERF401  # the length says where it stopped
    except Misfit as misfit:
        misfit.steps.append(step(len(made)))
        raise
    return made


def made_from_list(make: Callable[[Any], Any], item: Form) -> Form:
    """A tuple of any length, a set or a frozenset, from a list."""
    inner = list_of(item).convert
    assert inner is not None  # noqa: S101  # a list is always looked at
    listed = inner

    def convert(value: Any) -> Any:
        made = listed(value)
        try:
            return make(made)
        except TypeError:
            raise Misfit("must be a list of values that can be told apart, so of no lists or objects") from None

    return Form(convert, "a list", schema={"type": "array", "items": item.schema})


def tuple_of(items: Sequence[Form]) -> Form:
    """A list of exactly these."""
    converts = [item.convert for item in items]
    wants = f"a list of {counted(len(items), 'value')}"

    def convert(value: Any) -> Any:
        if type(value) is not list:
            raise wrong(wants, value)
        if len(value) != len(converts):
            raise Misfit(f"must be {wants}, not of {len(value)}")
        return tuple(_filled(inner, held, at) for at, (inner, held) in enumerate(zip(converts, value, strict=True)))

    count = {"minItems": len(items), "maxItems": len(items)}
    return Form(convert, wants, schema={"type": "array", "prefixItems": [item.schema for item in items], **count})


def _filled(inner: Convert | None, held: Any, at: object) -> Any:
    try:
        return held if inner is None else inner(held)
    except Misfit as misfit:
        misfit.steps.append(step(at))
        raise


def mapping_of(key: Form, held: Form) -> Form:
    """An object. Its keys are text; other keys are read from that text."""
    inner = held.convert
    keys = None if key in (TEXT,) else _key(key)
    if keys is None and inner is None:
        return OBJECT

    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise wrong("an object", value)
        made = {}
        for name, each in value.items():
            made[name if keys is None else keys(name)] = _filled(inner, each, name)
        if len(made) < len(value):
            raise Misfit("has two keys that mean the same")
        return made

    return Form(convert, "an object", schema={"type": "object", "additionalProperties": held.schema})


def _key(form: Form) -> Convert | None:
    convert = whole_from_text if form is WHOLE else form.convert
    if convert is None:
        return None
    read = convert

    def key(name: str) -> Any:
        try:
            made = read(name)
            hash(made)
        except Misfit as misfit:
            raise Misfit(f"has the key {quoted([name])}, which {misfit.why}") from None
        except TypeError:
            raise Misfit("has keys that cannot be keys in Python") from None
        return made

    return key


def record_of(
    name: str, fields: Mapping[str, tuple[Form, bool]], make: Callable[..., Any], *, is_users: bool = True
) -> Form:
    """An object with these fields (form, and whether it must be there) and no others, handed to `make` by name."""
    converts = {field: form.convert for field, (form, _) in fields.items()}
    required = frozenset(field for field, (_, is_required) in fields.items() if is_required)
    known = converts.keys()

    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise wrong("an object", value)
        if not required <= value.keys() <= known:
            raise _unlike(value, required, list(known))
        made = {field: _filled(converts[field], held, field) for field, held in value.items()}
        return made_by(make, **made) if is_users else make(**made)

    def schema() -> Schema:
        return {
            "type": "object",
            "properties": {field: form.schema for field, (form, _) in fields.items()},
            "required": sorted(required, key=list(known).index),
            "additionalProperties": False,
        }

    return Form(convert, "an object", schema=Named(name, schema))


def _unlike(value: dict[str, Any], required: frozenset[str], known: list[str]) -> Misfit:
    missing = [field for field in known if field in required and field not in value]
    unknown = [field for field in value if field not in known]
    said = [f"is without {quoted(missing)}"] if missing else []
    if unknown:
        said.append(f"has {quoted(unknown)}, which it must not (it takes {quoted(known) or 'nothing'})")
    return Misfit(" and ".join(said))


def named_tuple_of(by_name: Form, by_place: Form, make: Callable[..., Any]) -> Form:
    """A NamedTuple, from an object of its fields or from a list in their order."""
    named, placed = by_name.convert, by_place.convert
    assert named is not None  # noqa: S101  # both look at what they are given
    assert placed is not None  # noqa: S101
    from_object, from_list = named, placed

    def convert(value: Any) -> Any:
        if type(value) is list:
            return made_by(make, *from_list(value))
        if type(value) is dict:
            return from_object(value)
        raise wrong("an object or a list", value)

    return Form(convert, "an object or a list", schema={"anyOf": [by_name.schema, by_place.schema]})


def one_form_of(forms: Sequence[Form]) -> Form:
    """The first of the forms that takes the value; but a number of a member's very type stays what it is."""
    wants = either(form.wants for form in forms)
    converts = [form.convert for form in forms if form.convert is not None]
    if len(converts) < len(forms):
        return Form(None, wants)
    schema = {"anyOf": [form.schema for form in forms]}
    if len(forms) == 2 and NULL in forms:
        return _or_null(next(form for form in forms if form is not NULL), wants, schema)
    numbers = {form.exact for form in forms} & {int, float, bool}

    def convert(value: Any) -> Any:
        if type(value) in numbers:
            return value
        closest: Misfit | None = None
        for inner in converts:
            try:
                return inner(value)
            except Misfit as misfit:
                if (misfit.steps or not misfit.is_kind) and (closest is None or len(misfit.steps) > len(closest.steps)):
                    closest = misfit
        raise closest or wrong(wants, value)

    return Form(convert, wants, schema=schema)


def _or_null(form: Form, wants: str, schema: Schema) -> Form:
    assert form.convert is not None  # noqa: S101  # seen by the caller
    inner = form.convert

    def convert(value: Any) -> Any:
        if value is None:
            return None
        try:
            return inner(value)
        except Misfit as misfit:
            if misfit.is_kind and not misfit.steps:
                misfit.why = misfit.why.replace(f"must be {form.wants}", f"must be {wants}", 1)
            raise

    return Form(convert, wants, schema=schema)
