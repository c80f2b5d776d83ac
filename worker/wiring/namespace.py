"""How to do something inside a network namespace without taking the process there.

A thread of its own enters the namespace and ends with the call: 0.1 ms instead of the 5 ms
of a forked child, and the calling process never leaves its namespace. It knows nothing of
wires or interfaces.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from worker.errors import TemporaryError

#: Where named namespaces are kept, as in ip-netns(8).
NAMED = Path("/run/netns")

_CLONE_NEWNET = 0x40000000

T = TypeVar("T")


def path_of(name_or_path: str) -> str:
    """The path of a namespace given by name, as in `ip netns`, or by path."""
    return name_or_path if "/" in name_or_path else str(NAMED / name_or_path)


def exists(path: str) -> bool:
    """Whether a namespace can be entered here: a plain file left by a half-made one does not count."""
    try:
        return Path(path).stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
    except (FileNotFoundError, ProcessLookupError):
        return False


def call(path: str, action: Callable[[], T]) -> T:
    """What `action` returns when run inside the namespace at `path`. Raises what it raises.

    Raises `TemporaryError` when there is no namespace (its process ended, its host is starting).
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="in-namespace") as thread:
        return thread.submit(_inside, path, action).result()


def _inside(path: str, action: Callable[[], T]) -> T:
    _enter(path)
    return action()


def _enter(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise TemporaryError(f"there is no network namespace at {path}") from error
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise TemporaryError(f"cannot enter the network namespace at {path}: {os.strerror(number)}")
    finally:
        os.close(descriptor)
