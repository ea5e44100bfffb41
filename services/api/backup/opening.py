"""This file finds out whether the keys that are at hand open what a backup holds sealed."""

from __future__ import annotations

from services.core.aggregates import State
from services.core.model import Model
from services.kit.config import ConfigError, Secret
from services.kit.vault import Vault


class Opening:
    """Counts what stays closed. `keys`: the text of a key file, by what it is called; without one all stays closed."""

    def __init__(self, tokens: Secret | None, variables: Secret | None) -> None:
        self._tokens = _vault(tokens, "TOKEN_KEYS")
        self._variables = _vault(variables, "VARIABLE_KEYS")
        self.closed_secrets = 0  # access tokens and passwords
        self.closed_models = 0  # with variables, of which one at least stays closed

    def try_secret(self, ciphertext: bytes) -> None:
        self.closed_secrets += not _opens(self._tokens, ciphertext.decode("ascii", "replace"))

    def try_variables(self, state: State | None) -> None:
        if isinstance(state, Model):
            sealed = [value for _, value in state.settings.environment_variables]
            self.closed_models += not all(_opens(self._variables, value) for value in sealed)


def _vault(keys: Secret | None, name: str) -> Vault | None:
    return Vault.from_text(keys, name) if keys is not None and keys.reveal().strip() else None


def _opens(vault: Vault | None, sealed: str) -> bool:
    if vault is None:
        return False
    try:
        vault.open(sealed)
    except ConfigError:
        return False
    return True
