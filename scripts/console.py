"""Shows a person what the set-up is doing: every step with its duration.

On a terminal a running step has a spinner and a clock; elsewhere each step is plain lines.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

TITLE_WIDTH = 28
WIDTH = 100


class Step:
    """A step under way. `outcome` is what its line says when it is done."""

    def __init__(self, title: str, show: Progress | None, task: TaskID | None) -> None:
        self.outcome = ""
        self._title, self._show, self._task = title, show, task

    def progress(self, text: str) -> None:
        """Show how far it is. Off a terminal this is a line of its own."""
        if self._show is not None and self._task is not None:
            self._show.update(self._task, description=escape(f"{self._title:{TITLE_WIDTH}} {text}"[:WIDTH]))
        else:
            print_plain(f"  {self._title}: {text}"[:WIDTH])


console = Console(highlight=False)


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Time the block and print one line for it when it is done or has failed."""
    started = time.monotonic()
    outcome = "failed"
    try:
        with _shown(title) as running:
            yield running
        outcome = running.outcome
    finally:
        _print_done(title, outcome, time.monotonic() - started)


@contextmanager
def _shown(title: str) -> Iterator[Step]:
    """The step with a spinner and a clock, where there is a terminal."""
    if not console.is_terminal:
        yield Step(title, None, None)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as show:
        yield Step(title, show, show.add_task(title, total=None))


def _print_done(title: str, outcome: str, seconds: float) -> None:
    mark = "[red]✗[/]" if outcome == "failed" else "[green]✓[/]"
    if console.is_terminal:
        line = f"{mark} {escape(title):{TITLE_WIDTH}} {escape(outcome):50} [dim]{seconds:6.1f} s[/]"
        console.print(line, soft_wrap=True)
    else:
        print_plain(f"{title:{TITLE_WIDTH}} {outcome:50} {seconds:6.1f} s")


def say(text: str = "") -> None:
    """A line with rich's markup."""
    console.print(text, soft_wrap=True)


def print_plain(text: str) -> None:
    """A line as it is."""
    console.print(text, markup=False, soft_wrap=True)


def say_failure(text: str) -> None:
    """What went wrong, on stderr."""
    Console(stderr=True, highlight=False).print(f"[red]error:[/] {escape(text)}", soft_wrap=True)
