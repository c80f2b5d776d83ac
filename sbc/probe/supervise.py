"""Runs a test call in a process of its own, so that there is an answer in time whatever the telephone does."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from sbc.probe.call import Observed, Wanted
from sbc.probe.carry import carry_out

#: Seconds in which a child that nobody waits for any more is surely gone.
_ORPHAN = 5


def observe(wanted: Wanted) -> Observed:
    """One test call after another on this host: whoever comes second waits, within its own time."""
    deadline = time.monotonic() + wanted.within
    with _turn(deadline) as ours:
        if not ours:
            return Observed(trouble=f"another test call was under way for {wanted.within:g} s")
        return _observe(wanted, deadline)


def _observe(wanted: Wanted, deadline: float) -> Observed:
    fork = multiprocessing.get_context("fork")
    reader, writer = fork.Pipe(duplex=False)
    child = fork.Process(target=_child, args=(wanted, writer), daemon=True)
    child.start()
    writer.close()
    try:
        if not reader.poll(max(deadline - time.monotonic(), 0)):
            return Observed(trouble=f"the test call did not end within {wanted.within:g} s")
        observed: Observed = reader.recv()
    except EOFError:
        child.join()
        return Observed(trouble=f"the telephone broke down: {_ending(child.exitcode)}")
    finally:
        child.kill()
        child.join()
    return observed


def _child(wanted: Wanted, writer: Connection) -> None:
    signal.alarm(round(wanted.within) + _ORPHAN)
    # The library prints as it starts; what we print is read by a program.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    writer.send(carry_out(wanted))


def _ending(status: int | None) -> str:
    """What became of a process, as `multiprocessing` says it."""
    return signal.Signals(-status).name if status is not None and status < 0 else f"status {status}"


@contextmanager
def _turn(deadline: float) -> Iterator[bool]:
    """Hold this host's only turn; False when it was not free in time."""
    with Path(tempfile.gettempdir(), "test-call.lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    yield False
                    return
                time.sleep(0.05)
            else:
                yield True
                return
