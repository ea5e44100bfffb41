"""The vault: what it encrypts it opens again, also after its newest key was exchanged."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from services.api.secrets import TokenVault
from services.kit.config import ConfigError, Secret

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def vault(*keys: str) -> TokenVault:
    return TokenVault.from_text(Secret("\n".join(keys)))


def test_what_was_encrypted_is_opened_again() -> None:
    ciphertext = vault(OLD).encrypt("the token")
    assert b"the token" not in ciphertext
    assert vault(OLD).decrypt(ciphertext) == "the token"


def test_a_new_key_is_put_first_and_the_old_one_still_opens() -> None:
    before = vault(OLD).encrypt("the token")
    both = vault(NEW, "", OLD)
    assert both.decrypt(before) == "the token"
    assert vault(NEW).decrypt(both.encrypt("another")) == "another"


def test_without_its_key_a_token_stays_closed() -> None:
    ciphertext = vault(OLD).encrypt("the token")
    with pytest.raises(ConfigError, match="none of the keys"):
        vault(NEW).decrypt(ciphertext)


@pytest.mark.parametrize("text", ["", "\n \n", "short", f"{OLD}\nnot-a-key", "é" * 44, "=" * 44])
def test_a_file_that_holds_no_keys_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        TokenVault.from_text(Secret(text))
    assert all(len(line) < 3 or line not in str(refused.value) for line in text.split())
