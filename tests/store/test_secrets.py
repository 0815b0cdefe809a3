"""Keys, accounts and sessions are the same in SQLite and in PostgreSQL."""

from __future__ import annotations

import pytest

from llmtriage.errors import InputError
from llmtriage.store import SqlStore, accounts, keys, sessions


def test_a_key_lives_and_ends(store: SqlStore) -> None:
    """Made, found, used, revoked."""
    assert not keys.exist(store.database)
    made = keys.create(store.database, "客服系统", ["review", "classify"], days=1)
    found = keys.find(store.database, made.secret)
    assert found
    assert (found.name, found.scopes, found.used) == ("客服系统", frozenset({"classify", "review"}), None)
    [listed] = keys.listed(store.database)
    assert listed.used is not None
    assert keys.revoke(store.database, made.key.prefix) == keys.revoke(store.database, made.secret)
    assert keys.find(store.database, made.secret) is None
    assert keys.exist(store.database)
    with pytest.raises(InputError, match="no key begins so"):
        keys.revoke(store.database, "\0")


def test_a_session_lives_and_ends(store: SqlStore) -> None:
    """Begun, found, ended with the account."""
    account = accounts.add(store.database, "王芳", "a long password", "lead")
    tokens = [sessions.begin(store.database, "王芳", "lead", password=account.password) for _ in range(2)]
    for token in tokens:
        assert token
        assert sessions.find(store.database, token) == sessions.Session("王芳", "lead", has_account=True)
    sessions.end(store.database, tokens[0] or "")
    assert [sessions.find(store.database, token or "") is not None for token in tokens] == [False, True]
    accounts.remove(store.database, "王芳")
    assert sessions.find(store.database, tokens[1] or "") is None
    assert accounts.verify(store.database, "王芳", "a long password") is None
    assert sessions.begin(store.database, "王芳", "lead", password=None) is None
