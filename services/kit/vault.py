"""This file is the vault: what is secret is stored and sent encrypted, and opened only where it is needed."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from services.kit.config import ConfigError, Secret


class Vault:
    """Encrypts with the newest key, opens with any of them: a key is exchanged by putting a new one first."""

    def __init__(self, keys: Sequence[Fernet], name: str) -> None:
        self._newest = keys[0]
        self._keys = MultiFernet(keys)
        self._name = name

    @classmethod
    def from_text(cls, text: Secret, name: str) -> Vault:
        """The vault of a key file: one Fernet key a line, the newest first. `name` is what sentences call the file.

        Raises `ConfigError`, without a key.
        """
        lines = [line.strip() for line in text.reveal().splitlines()]
        keys: list[Fernet] = []
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            try:
                keys.append(Fernet(line))
            except ValueError:
                problem = f"{name}: line {number} is not a Fernet key (32 bytes in URL-safe base64)"
                raise ConfigError(problem) from None  # the cause may quote the key
        if not keys:
            raise ConfigError(f"{name} holds no key: one Fernet key a line, the newest first")
        return cls(keys, name)

    def seal(self, text: str) -> str:
        return self._keys.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """The text. Raises `ConfigError` when none of the keys opens it: the one it was made with is gone."""
        try:
            return self._keys.decrypt(sealed).decode()
        except (InvalidToken, ValueError):
            raise ConfigError(f"none of the keys in {self._name} opens this: was one taken out?") from None

    def resealed(self, sealed: str) -> str | None:
        """The same, sealed with the newest key; None when it is already. Raises `ConfigError` as `open` does."""
        try:
            self._newest.decrypt(sealed)
        except (InvalidToken, ValueError):
            return self.seal(self.open(sealed))
        return None
