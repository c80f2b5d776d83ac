"""A worker that dies by `kill -9` at a chosen point: `python -m tests.dying FILE CELERY-ARGUMENTS...`.

`FILE` holds a point and a word that makes it unique: `step N word` (a PoP worker, when N
steps of a plan are done) or `task N word` (either worker, when N tasks are done). N + 0.5
is where the next one has begun. The file goes away as the worker dies, so that the next one
lives; without the file it is an ordinary worker.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from celery import signals
from celery.__main__ import main as celery

from worker import apply


class Trap:
    """Counts the points that pass, and dies at the one that `file` names."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._passed = 0.0
        self._armed = ""

    def pass_half(self, kind: str) -> None:
        """One of this kind has begun, or has ended."""
        try:
            armed = self._file.read_text()
        except FileNotFoundError:
            return
        wanted, count, _ = armed.split()
        if wanted != kind:
            return
        if armed != self._armed:
            self._armed, self._passed = armed, 0.0
        self._passed += 0.5
        if self._passed >= float(count):
            self._file.unlink()
            os.killpg(0, signal.SIGKILL)


def main(file: str, *arguments: str) -> None:
    trap = Trap(Path(file))
    carry_out = apply._carry_out

    def watched(*given: Any) -> None:
        trap.pass_half("step")
        carry_out(*given)
        trap.pass_half("step")

    apply._carry_out = watched  # type: ignore[assignment]
    signals.task_prerun.connect(lambda **_: trap.pass_half("task"), weak=False)
    signals.task_postrun.connect(lambda **_: trap.pass_half("task"), weak=False)
    sys.argv = ["celery", *arguments]
    celery()


if __name__ == "__main__":
    main(*sys.argv[1:])
