"""This file is what makes an ID token believable: who signed it, for whom, when, and for which sign-in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet
from joserfc.jws import JWSRegistry

from services.core.errors import Invalid
from services.core.identity import MAX_SUBJECT

LEEWAY_S = 60
_BY_KEY_TYPE = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA", "Ed25519"),
}
ASYMMETRIC = frozenset(algorithm for algorithms in _BY_KEY_TYPE.values() for algorithm in algorithms)


class UnknownKey(Exception):
    """None of the keys is the one that signed: there may be new ones."""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What an ID token has to say, and how it may be signed."""

    issuer: str
    client_id: str
    nonce: str
    access_token: str
    algorithms: Collection[str]  # what the provider says it signs with; only asymmetric ones count


def read_keys(document: Mapping[str, Any]) -> KeySet:
    """The keys of a JWKS that can verify a signature; others, and such as nobody understands, are left out."""
    listed = document.get("keys")
    return KeySet([key for each in (listed if isinstance(listed, list) else []) for key in _key(each)])


def _key(data: Any) -> tuple[Key, ...]:
    if not isinstance(data, dict) or data.get("kty") not in _BY_KEY_TYPE or data.get("use", "sig") != "sig":
        return ()
    try:
        return (JWKRegistry.import_key(data),)
    except (JoseError, ValueError, TypeError, KeyError):
        return ()


def verified_claims(token: str, keys: KeySet, expected: Expected) -> dict[str, Any]:
    """The claims of an ID token that was signed by one of `keys` and says what is expected.

    Raises UnknownKey, and Invalid with what is wrong: never with anything out of the token.
    """
    registry = JWSRegistry(algorithms=sorted(ASYMMETRIC & set(expected.algorithms)), strict_check_header=False)
    if not registry.allowed:
        raise Invalid("the provider signs ID tokens in no way that is safe: it has to be an asymmetric one, as RS256")
    try:
        decoded = jwt.decode(token, keys, registry=registry)
        _check(decoded.header, decoded.claims, expected)
    except InvalidKeyIdError as error:
        raise UnknownKey from error
    except (JoseError, ValueError, TypeError, KeyError) as error:
        what = f"{type(error).__name__.removesuffix('Error')}"
        claim = getattr(error, "claim", None)
        raise Invalid(f"the provider's ID token is not acceptable: {what}{f' {claim}' if claim else ''}") from error
    return dict(decoded.claims)


def _check(header: Mapping[str, Any], claims: Mapping[str, Any], expected: Expected) -> None:
    token = CodeIDToken(
        claims,
        header,
        {"iss": {"value": expected.issuer}, "aud": {"value": expected.client_id}},
        {"nonce": expected.nonce, "client_id": expected.client_id, "access_token": expected.access_token},
    )
    token.validate(leeway=LEEWAY_S)
    if not 1 <= len(claims["sub"]) <= MAX_SUBJECT:
        raise Invalid(f"the provider's ID token is not acceptable: its subject has not 1 to {MAX_SUBJECT} characters")
