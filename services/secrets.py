"""The secrets inside specs: encrypted in rows, masked in answers, open only where a PoP is told.

A spec is stored as JSON in which each secret stands as `{"$secret": "<ciphertext>"}`.
This module is the only one that knows that form.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_core import to_jsonable_python

from naas.core.errors import Problem
from tenants.keys import vault

MARK = "$secret"
#: What answers show instead of a secret, and what a request sends to keep the one that is there.
MASK = "********"
#: Fields by which the entries of a list are told apart when a kept secret is looked up.
KEYS = ("name", "address")


#: Bytes of a seed, from which an instance's own secrets are derived.
SEED_BYTES = 32


def new_seed() -> str:
    """A seed as it is stored."""
    return vault().encrypt(secrets.token_hex(SEED_BYTES))


def seed_of(stored: str) -> str:
    """The seed in the clear, in hexadecimal. For rendering only."""
    return vault().decrypt(stored)


def protect(spec: BaseModel) -> dict[str, Any]:
    """The spec as it is stored."""
    stored: dict[str, Any] = _protect(spec.model_dump(mode="python"))
    return stored


def reveal(stored: object) -> Any:
    """The stored spec with its secrets in the clear. For rendering only: never log or answer it."""
    match stored:
        case {"$secret": str(ciphertext)}:
            return vault().decrypt(ciphertext)
        case dict():
            return {key: reveal(value) for key, value in stored.items()}
        case list():
            return [reveal(value) for value in stored]
    return stored


def mask(stored: object) -> Any:
    """The stored spec as answers show it."""
    match stored:
        case {"$secret": _}:
            return MASK
        case dict():
            return {key: mask(value) for key, value in stored.items()}
        case list():
            return [mask(value) for value in stored]
    return stored


def distinguish(stored: object, names: dict[str, str]) -> Any:
    """The stored spec, each secret as the mask and a number by which equal ones are told from others.

    `names` keeps the numbers, by secret, for all that are to be compared with one another.
    """
    match stored:
        case {"$secret": str(ciphertext)}:
            secret = vault().decrypt(ciphertext)
            return names.setdefault(secret, f"{MASK} (secret {len(names) + 1})")
        case dict():
            return {key: distinguish(value, names) for key, value in stored.items()}
        case list():
            return [distinguish(value, names) for value in stored]
    return stored


def keep(wanted: object, stored: object, path: str = "") -> tuple[Any, tuple[Problem, ...]]:
    """`wanted` with each `MASK` replaced by the secret that `stored` has in its place, in the clear.

    Entries of lists are matched by name or address, else by position. A mask for which
    there is no secret comes back as a problem.
    """
    match wanted:
        case str() if wanted == MASK:
            if isinstance(stored, dict) and MARK in stored:
                return vault().decrypt(stored[MARK]), ()
            return wanted, (Problem(path, f"{MASK} keeps a secret that is there, and there is none: give it"),)
        case dict():
            known = stored if isinstance(stored, dict) else {}
            kept = {key: keep(value, known.get(key), f"{path}.{key}" if path else key) for key, value in wanted.items()}
            return {key: value for key, (value, _) in kept.items()}, tuple(p for _, ps in kept.values() for p in ps)
        case list():
            entries = [keep(v, _counterpart(v, i, stored), f"{path}[{i}]") for i, v in enumerate(wanted)]
            return [value for value, _ in entries], tuple(p for _, ps in entries for p in ps)
    return wanted, ()


def _protect(value: object) -> Any:
    match value:
        case SecretStr():
            return {MARK: vault().encrypt(value.get_secret_value())}
        case dict():
            return {key: _protect(item) for key, item in value.items()}
        case list() | tuple():
            return [_protect(item) for item in value]
    return to_jsonable_python(value)


def _counterpart(entry: object, position: int, stored: object) -> object:
    if not isinstance(stored, list):
        return None
    if isinstance(entry, Mapping):
        for key in KEYS:
            if key in entry:
                return next((s for s in stored if isinstance(s, dict) and s.get(key) == entry[key]), None)
    return stored[position] if position < len(stored) else None
