"""How the console writes things: badges, links, times, documents. Pure formatting; every value is escaped."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from tenants.console import LINK, linked
from tenants.wording import words

NOTHING = "-"


class Tone(StrEnum):
    GOOD = "bg-green-100 text-green-700 dark:bg-green-500/20 dark:text-green-400"
    BUSY = "bg-blue-100 text-blue-700 dark:bg-blue-500/20 dark:text-blue-400"
    WARNING = "bg-orange-100 text-orange-700 dark:bg-orange-500/20 dark:text-orange-400"
    BAD = "bg-red-100 text-red-700 dark:bg-red-500/20 dark:text-red-400"
    QUIET = "bg-base-500/8 text-base-700 dark:bg-base-500/20 dark:text-base-200"


#: What a word of a state means at a glance. Anything else is quiet.
TONES = {
    **dict.fromkeys(("active", "completed", "healthy", "converged", "open", "done", "answered", "true"), Tone.GOOD),
    **dict.fromkeys(
        ("inProgress", "acknowledged", "converging", "reserved", "designed", "running", "pending"), Tone.BUSY
    ),
    **dict.fromkeys(
        ("degraded", "partial", "held", "pendingCancellation", "assessingCancellation", "maintenance"),
        Tone.WARNING,
    ),
    **dict.fromkeys(("failed", "rejected", "down", "parked", "suspended", "false"), Tone.BAD),
}


def badge(state: object, text: str | None = None, tone: Tone | None = None) -> SafeString:
    """A state as a coloured word."""
    return format_html(
        '<span class="inline-block font-semibold rounded-default text-xs whitespace-nowrap h-6 leading-6 px-2 {}">{}'
        "</span>",
        tone or TONES.get(str(state), Tone.QUIET),
        text or words(state),
    )


def link(row: Model | None, text: object = None) -> str:
    return linked(row, text)


def anchor(address: str, text: object) -> SafeString:
    return format_html('<a class="{}" href="{}">{}</a>', LINK, address, text)


def moment(field: str, label: str, *, never: str | None = None) -> Any:
    """A column of a page: how long ago `field` was, or what is said where it is empty."""

    @admin.display(description=label, ordering=field, empty_value=never)
    def shown(_page: Any, row: Any) -> SafeString | str | None:
        at = getattr(row, field)
        return None if at is None and never else ago(at)

    return shown


def ago(moment: datetime | None) -> SafeString | str:
    """How long ago, or in how long, with the moment itself to be hovered over."""
    if moment is None:
        return NOTHING
    seconds = (timezone.now() - moment).total_seconds()
    distance = _distance(abs(seconds))
    return format_html(
        '<time class="whitespace-nowrap" datetime="{}" title="{} UTC">{}</time>',
        moment.isoformat(),
        f"{moment:%Y-%m-%d %H:%M:%S}",
        f"{distance} ago" if seconds >= 0 else f"in {distance}",
    )


def _distance(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def took(milliseconds: float | None) -> str:
    if milliseconds is None:
        return NOTHING
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def share(used: float, whole: float, unit: str) -> SafeString:
    """How much of a capacity is taken, with a bar."""
    percent = min(100, round(100 * used / whole)) if whole else 0
    tone = "bg-red-600" if percent >= 90 else "bg-orange-500" if percent >= 75 else "bg-green-600"
    return format_html(
        '<div class="whitespace-nowrap">{} of {} {}</div><div class="bg-base-100 rounded-default mt-1 w-32 '
        'overflow-hidden dark:bg-base-800"><div class="h-1.5 {}" style="width: {}%"></div></div>',
        f"{used:g}",
        f"{whole:g}",
        unit,
        tone,
        percent,
    )


def document(value: Any) -> SafeString | str:
    """JSON to be read. The caller has masked it."""
    return _pre(json.dumps(value, indent=2, sort_keys=False, ensure_ascii=False)) if value not in (None, {}, []) else ""


def text(value: str) -> SafeString | str:
    """Text of several lines as it is."""
    return _pre(value) if value else NOTHING


def _pre(value: object) -> SafeString:
    return format_html(
        '<pre class="bg-base-50 border border-base-200 font-mono leading-relaxed max-h-96 overflow-auto p-3 '
        'rounded-default text-xs whitespace-pre dark:bg-base-800 dark:border-base-700">{}</pre>',
        value,
    )


def difference(before: Any, after: Any) -> SafeString | str:
    """What changed between two documents, line by line. The caller has masked them."""
    old, new = ([] if value is None else json.dumps(value, indent=2).splitlines() for value in (before, after))
    lines = [line for line in difflib.unified_diff(old, new, lineterm="", n=1) if not line.startswith(("---", "+++"))]
    return _pre(format_html_join("\n", '<span class="{}">{}</span>', ((_colour(line), line) for line in lines)))


def _colour(line: str) -> str:
    return {"+": "text-green-700 dark:text-green-400", "-": "text-red-700 dark:text-red-400"}.get(line[:1], "")


def lines(parts: Sequence[object]) -> SafeString | str:
    """Several things below each other."""
    return format_html_join("", "<div>{}</div>", ((part,) for part in parts)) if parts else NOTHING
