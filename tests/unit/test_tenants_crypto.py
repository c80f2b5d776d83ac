"""Secrets at rest and token digests."""

import pytest

from naas.core.crypto import UnreadableSecret, Vault, new_key, new_token_secret, same, token_digest


def test_what_was_encrypted_can_be_read_again():
    vault = Vault([new_key()])
    sealed = vault.encrypt("p\u00e4ssword")
    assert "p\u00e4ssword" not in sealed
    assert vault.decrypt(sealed) == "p\u00e4ssword"


def test_the_same_text_never_looks_the_same_twice():
    vault = Vault([new_key()])
    assert vault.encrypt("x") != vault.encrypt("x")


def test_a_new_first_key_reads_what_the_old_one_wrote_and_renews_it():
    old, new = new_key(), new_key()
    sealed = Vault([old]).encrypt("x")
    both = Vault([new, old])
    assert both.decrypt(sealed) == "x"
    assert Vault([new]).decrypt(both.renew(sealed)) == "x"


def test_a_secret_under_a_lost_key_says_what_to_do():
    sealed = Vault([new_key()]).encrypt("x")
    with pytest.raises(UnreadableSecret, match="NAAS_ENCRYPTION_KEYS"):
        Vault([new_key()]).decrypt(sealed)


@pytest.mark.parametrize("sealed", ["", "x", "gAAAAA", "\u00e4"])
def test_what_is_no_ciphertext_is_refused(sealed):
    with pytest.raises(UnreadableSecret):
        Vault([new_key()]).decrypt(sealed)


@pytest.mark.parametrize("keys", [[], ["short"], [""]])
def test_keys_that_are_none_are_refused_at_once(keys):
    with pytest.raises(ValueError, match="key"):
        Vault(keys)


def test_token_secrets_are_long_and_differ():
    made = {new_token_secret() for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= 43


def test_digests_differ_where_tokens_do():
    assert token_digest("a") != token_digest("b")
    assert same(token_digest("a"), token_digest("a"))
    assert not same("a", "b")
