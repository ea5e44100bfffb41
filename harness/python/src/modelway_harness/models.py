"""This file is the forms of what pydantic describes. It is used where the script has imported it, never else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .forms import Form, Misfit, Named, step
from .wording import cut, described

_OF_PYDANTIC = ("pydantic", "annotated_types")


def form_of(kind: Any, annotation: Any) -> Form | None:
    """The form of a model or a dataclass of pydantic's; None for anything else."""
    pydantic = sys.modules.get("pydantic")
    base = getattr(pydantic, "BaseModel", None)
    if not isinstance(kind, type) or base is None:
        return None
    if issubclass(kind, base):
        return _form(getattr(kind, "model_validate", None) or kind.parse_obj, kind.__name__, _of_model(kind))  # type: ignore[attr-defined]
    if "__pydantic_validator__" in vars(kind):
        adapter = pydantic.TypeAdapter(annotation)  # type: ignore[union-attr]
        return _form(adapter.validate_python, kind.__name__, adapter.json_schema)
    return None


def checked(annotation: Any) -> Form | None:
    """The form of `Annotated[int, Field(gt=0)]` and its like; None where no mark in it is pydantic's."""
    adapter = getattr(sys.modules.get("pydantic"), "TypeAdapter", None)
    marks = getattr(annotation, "__metadata__", ())
    if adapter is None or not any(type(mark).__module__.partition(".")[0] in _OF_PYDANTIC for mark in marks):
        return None
    made = adapter(annotation)
    return _form(made.validate_python, "it", made.json_schema)


def _of_model(kind: Any) -> Callable[..., Any]:
    made: Callable[..., Any] = getattr(kind, "model_json_schema", None) or kind.schema
    return made


def _form(validate: Callable[[Any], Any], name: str, schema: Callable[..., Any]) -> Form:
    def convert(value: Any) -> Any:
        try:
            return validate(value)
        except RecursionError:
            raise
        except (Exception, SystemExit) as error:
            raise _misfit(error, name) from error

    def of_its_own() -> dict[str, Any]:
        made = schema(ref_template="#/components/schemas/{model}")
        return dict(made)

    wants = "an object" if name != "it" else "what its annotation says"
    return Form(convert, wants, schema=of_its_own if name == "it" else Named(name, of_its_own))


def _misfit(error: BaseException, name: str) -> Misfit:
    """The first thing that a ValidationError names, with its place; or what a validator of the user's raised."""
    try:
        first = error.errors()[0]  # type: ignore[attr-defined]  # looked for, not relied on
        misfit = Misfit(f"was refused by {name}: {cut(str(first['msg']), 400)}", is_kind=not first["loc"])
        misfit.steps += [step(each) for each in reversed(first["loc"])]
    except Exception:
        return Misfit(f"was refused by {name}: {described(error)}")
    return misfit
