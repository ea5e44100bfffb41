"""This file is the rules for what people name: projects, models, environments, users, functions, variables.

Names of users and projects become folders (`/mnt/<user>/<project>`) and parts of URLs, so they are plain. Names of
models, environments and tokens are only shown, so they may be any printable text. Each check gives back what it was
given, or raises `Invalid` with one sentence that says what is allowed.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from services.core.errors import Invalid

DEFAULT_ENVIRONMENT = "default"  # the environment of a model that names none; every platform begins with it

MAX_NAME = 100
MAX_EMAIL = 254
MAX_VARIABLES = 500
MAX_VARIABLE_BYTES = 32 * 1024
MAX_VARIABLES_BYTES = 256 * 1024

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\"]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_user_name(name: str, *, field: str = "userName") -> str:
    """The name of a person: plain, so that it can be a folder and a part of a URL."""
    return _plain(name, field)


def check_organisation_name(name: str, *, field: str = "name") -> str:
    """The name of an organisation: like those of people, with whom it shares where it is written."""
    return _plain(name, field)


def check_email(email: str, *, field: str = "email") -> str:
    """An e-mail address that may be one, in lower case, which is how it is kept and looked for. "": none.

    >>> check_email("Ada@Example.org"), check_email("")
    ('ada@example.org', '')
    """
    if email and (len(email) > MAX_EMAIL or not email.isprintable() or _EMAIL.fullmatch(email) is None):
        raise Invalid(
            f"{field} must be an e-mail address of at most {MAX_EMAIL} characters, as in ada@example.org, "
            f"got {shortened(email)}",
            field=field,
        )
    return email.lower()


def check_full_name(name: str, *, field: str = "fullName") -> str:
    """What a person is called by people; "": nothing."""
    return _printable(name, field) if name else name


def check_key_name(name: str, *, field: str = "name") -> str:
    """The name of an API key."""
    return _printable(name, field)


def check_project_name(name: str, *, field: str = "name") -> str:
    """The name of a project: plain, so that it can be a folder and a part of a URL.

    >>> check_project_name("churn-2024")
    'churn-2024'
    """
    return _plain(name, field)


def check_model_name(name: str, *, field: str = "name") -> str:
    return _printable(name, field)


def check_environment_name(name: str, *, field: str = "name") -> str:
    return _printable(name, field)


def check_token_name(name: str, *, field: str = "name") -> str:
    return _printable(name, field)


def check_tag_name(name: str, *, field: str = "tagNames") -> str:
    return _printable(name, field)


def check_quota_name(name: str, *, field: str = "name") -> str:
    return _printable(name, field)


def check_function(name: str, *, field: str = "function") -> str:
    """The name of the function a version serves: a plain identifier, without dots.

    >>> check_function("module.predict")
    Traceback (most recent call last):
    services.core.errors.Invalid: function must be the plain name of a function, as in 'predict', got 'module.predict'
    """
    if len(name) > MAX_NAME or not name.isidentifier() or keyword.iskeyword(name):
        raise Invalid(
            f"{field} must be the plain name of a function, as in 'predict', got {shortened(name)}", field=field
        )
    return name


def check_one_of(text: str, allowed: Iterable[str], *, field: str) -> str:
    """`text`, when it is one of the words that are allowed."""
    if text not in (words := tuple(allowed)):
        raise Invalid(f"{field} must be one of {', '.join(words)}", field=field)
    return text


def check_variables(
    variables: Iterable[tuple[str, str]], *, field: str = "environmentVariables"
) -> tuple[tuple[str, str], ...]:
    """A model's environment variables. The sentence never holds a value: values may be secrets."""
    checked = tuple(variables)
    if len(checked) > MAX_VARIABLES:
        raise Invalid(f"{field} may hold at most {MAX_VARIABLES} variables, got {len(checked)}", field=field)
    seen: set[str] = set()
    for place, (key, value) in enumerate(checked):
        if _VARIABLE.fullmatch(key) is None or len(key) > MAX_NAME:
            raise Invalid(
                f"{field}: a name is letters, digits and underscores, not beginning with a digit, at most {MAX_NAME} "
                f"characters, and {field}[{place}].key is not one",  # not quoted: people paste NAME=VALUE
                field=field,
            )
        if key in seen:
            raise Invalid(f"{field}: {key} occurs twice", field=field)
        if "\0" in value or len(value.encode()) > MAX_VARIABLE_BYTES:
            raise Invalid(
                f"{field}: the value of {key} must have at most {MAX_VARIABLE_BYTES} bytes and no NUL in it",
                field=field,
            )
        seen.add(key)
    if sum(len(key) + len(value.encode()) for key, value in checked) > MAX_VARIABLES_BYTES:
        raise Invalid(f"{field} may take at most {MAX_VARIABLES_BYTES} bytes in all", field=field)
    return checked


def shortened(text: str, *, length: int = 60) -> str:
    """`text` in quotes for a sentence, escaped, and cut when it is long.

    >>> shortened("a" * 100, length=5)
    "'aaaaa…'"
    """
    return repr(text if len(text) <= length else text[:length] + "…")


def _plain(name: str, field: str) -> str:
    if len(name) > MAX_NAME or _PLAIN.fullmatch(name) is None:
        raise Invalid(
            f"{field} must be 1 to {MAX_NAME} letters, digits, '.', '_' and '-', beginning with a letter or a digit, "
            f"got {shortened(name)}",
            field=field,
        )
    return name


def _printable(name: str, field: str) -> str:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise Invalid(
            f"{field} must be 1 to {MAX_NAME} printable characters without a space at either end, "
            f"got {shortened(name)}",
            field=field,
        )
    return name
