"""The vault: what it seals it opens again, also after its newest key was exchanged."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from services.kit.config import ConfigError, Secret
from services.kit.vault import Vault

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def vault(*keys: str) -> Vault:
    return Vault.from_text(Secret("\n".join(keys)), "TOKEN_KEYS")


def test_what_was_sealed_is_opened_again() -> None:
    sealed = vault(OLD).seal("the token")
    assert "the token" not in sealed
    assert vault(OLD).open(sealed) == "the token"


def test_a_new_key_is_put_first_and_the_old_one_still_opens() -> None:
    before = vault(OLD).seal("the token")
    both = vault(NEW, "", OLD)
    assert both.open(before) == "the token"
    assert vault(NEW).open(both.seal("another")) == "another"


def test_without_its_key_a_token_stays_closed() -> None:
    sealed = vault(OLD).seal("the token")
    for text in (sealed, "", "not sealed at all", "é"):
        with pytest.raises(ConfigError, match="none of the keys in TOKEN_KEYS"):
            vault(NEW).open(text)


@pytest.mark.parametrize(
    "text",
    ["", "\n \n", "short", f"{OLD}\nnot-a-key", "é" * 44, "=" * 44],
    ids=["empty", "blank", "short", "one of two", "not ASCII", "no bytes"],
)
def test_a_file_that_holds_no_keys_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Vault.from_text(Secret(text), "TOKEN_KEYS")
    assert all(len(line) < 3 or line not in str(refused.value) for line in text.split())
