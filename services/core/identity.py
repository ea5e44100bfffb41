"""This file decides who somebody is that an OpenID Connect provider vouches for: which person, known or new.

A person is known by the provider's issuer and subject, never by a name that can be given to somebody else. An e-mail
address leads to an existing person only when nobody but the provider's own user can have been at work: the provider
says that it verified the address, exactly one person has it, and that person has never been able to sign in here (no
password, no API key, no identity: an administrator made them for this). Else whoever writes another's address into
their profile, here or there, would take over an account or have one taken over.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence

import msgspec

from services.core.errors import Forbidden, Invalid
from services.core.ids import AggregateId
from services.core.names import MAX_EMAIL, MAX_NAME, check_email
from services.core.person import Person

MAX_SUBJECT = 255  # OpenID Connect's own bound
_MAX_GROUPS = 1000
_TRIES = 9
_NOT_PLAIN = re.compile(r"[^a-z0-9._-]+")


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of somebody, in words that are safe to keep."""

    issuer: str
    subject: str
    user_name: str = ""  # as the provider shows it: it may be anything, and somebody else's tomorrow
    email: str = ""
    is_email_verified: bool = False
    full_name: str = ""
    groups: frozenset[str] = frozenset()


def claimed(claims: dict[str, object], *, issuer: str, subject: str) -> Claimed:
    """Out of the claims of an ID token or of userinfo. What is not text, too long or not printable is left out.

    An address of which the provider says that it is not verified is left out too: here it would lead to the person.
    """
    is_verified = claims.get("email_verified")
    groups = claims.get("groups")
    return Claimed(
        issuer=issuer,
        subject=subject,
        user_name=_text(claims.get("preferred_username"), MAX_EMAIL),
        email="" if is_verified is False else email(claims.get("email")),
        is_email_verified=is_verified is True,
        full_name=_text(claims.get("name"), MAX_NAME),
        groups=frozenset(
            each for each in (groups if isinstance(groups, list) else [])[:_MAX_GROUPS] if isinstance(each, str)
        ),
    )


def email(value: object) -> str:
    """
    >>> email("Grace@Navy.Example"), email("not an address")
    ('grace@navy.example', '')
    """
    try:
        return check_email(_text(value, MAX_EMAIL))
    except Invalid:
        return ""


def person_id(issuer: str, subject: str) -> AggregateId:
    """The id of the person made for this identity: the same at every try, so that two at once make one person."""
    return AggregateId(hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()[:24])


def match(who: Claimed, same_email: Sequence[Person], *, creates_people: bool, provider: str) -> Person | None:
    """The person without an identity whom `who` turns out to be; None: a new one is to be made.

    `same_email`: who has the address of `who`. Raises Forbidden with what can be done.
    """
    if len(same_email) == 1 and who.is_email_verified and _is_waiting(same_email[0]):
        return same_email[0]
    if same_email:
        raise Forbidden(
            f"somebody here already has the e-mail address {who.email}: if it is you, sign in as you did before and "
            f"connect {provider} to your account, else ask an administrator"
        )
    if not creates_people:
        raise Forbidden(
            f"{provider} knows you, but there is no account for you here: ask an administrator to make one with the "
            "e-mail address that the provider has verified"
        )
    return None


def _is_waiting(person: Person) -> bool:
    """Made by an administrator, and nobody has been able to sign in as them yet."""
    return person.identity is None and not (person.has_password or person.api_keys)


def user_names(who: Claimed) -> Iterator[str]:
    """User names for a new person, the best first: plain, and sooner or later one that nobody has.

    >>> list(user_names(Claimed(issuer="i", subject="s", user_name="Grâce Hopper@navy.example")))[:3]
    ['grace-hopper', 'grace-hopper-2', 'grace-hopper-3']
    """
    plain = _plain(who.user_name) or _plain(who.email) or _plain(who.full_name) or "person"
    yield plain
    for number in range(2, _TRIES + 1):
        yield f"{plain}-{number}"
    yield f"{plain}-{person_id(who.issuer, who.subject)[:12]}"


def _plain(text: str) -> str:
    """`text` until an @, as a user name may be written."""
    ascii_only = unicodedata.normalize("NFKD", text.partition("@")[0]).encode("ascii", "ignore").decode()
    return _NOT_PLAIN.sub("-", ascii_only.lower()).strip("-._")[:60]


def _text(value: object, longest: int) -> str:
    text = value.strip() if isinstance(value, str) else ""
    return text if len(text) <= longest and text.isprintable() else ""
