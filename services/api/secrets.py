"""This file is the vault: access tokens are stored encrypted and opened only to be shown."""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from services.kit.config import ConfigError, Secret


class TokenVault:
    """Encrypts with the newest key, opens with any of them: a key is exchanged by putting a new one first."""

    def __init__(self, keys: MultiFernet) -> None:
        self._keys = keys

    @classmethod
    def from_text(cls, text: Secret) -> TokenVault:
        """The vault of a key file: one Fernet key a line, the newest first. Raises `ConfigError`, without a key."""
        lines = [line.strip() for line in text.reveal().splitlines()]
        keys: list[Fernet] = []
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            try:
                keys.append(Fernet(line))
            except ValueError:
                problem = f"TOKEN_KEYS: line {number} is not a Fernet key (32 bytes in URL-safe base64)"
                raise ConfigError(problem) from None  # the cause may quote the key
        if not keys:
            raise ConfigError("TOKEN_KEYS holds no key: one Fernet key a line, the newest first")
        return cls(MultiFernet(keys))

    def encrypt(self, token: str) -> bytes:
        return self._keys.encrypt(token.encode())

    def decrypt(self, ciphertext: bytes) -> str:
        """The token. Raises `ConfigError` when none of the keys opens it: the one it was made with is gone."""
        try:
            return self._keys.decrypt(ciphertext).decode()
        except InvalidToken:
            raise ConfigError("none of the keys in TOKEN_KEYS opens this token: was one taken out?") from None
