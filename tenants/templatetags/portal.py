"""How the portal writes things: icons, states, moments, money, addresses of its pages. Every value is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.conf import settings
from django.http import QueryDict
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tenants.actor import Role
from tenants.wording import words

register = template.Library()

UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


@dataclass(frozen=True)
class Entry:
    """A page in the sidebar."""

    title: str
    icon: str
    section: str
    url: str


#: What a word of a state means at a glance, as colours of Tabler. Anything else is quiet.
TONES = {
    **dict.fromkeys(
        ("active", "completed", "healthy", "converged", "open", "done", "answered", "true", "up", "passed"), "green"
    ),
    **dict.fromkeys(("inProgress", "acknowledged", "converging", "reserved", "designed", "running", "pending"), "blue"),
    **dict.fromkeys(
        ("degraded", "partial", "held", "pendingCancellation", "assessingCancellation", "maintenance"), "orange"
    ),
    **dict.fromkeys(("failed", "rejected", "down", "parked", "suspended", "false"), "red"),
}


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    """An icon of the sprite that `scripts/frontend.py` makes. It says nothing to who does not see it."""
    source = static("vendor/icons.svg")
    return format_html(
        '<svg class="icon {}" width="24" height="24" fill="none" stroke="currentColor" stroke-width="2"'
        ' stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><use href="{}#{}"></use></svg>',
        classes,
        source,
        name,
    )


@register.simple_tag(takes_context=True)
def page_url(context: Any, name: str, **kwargs: Any) -> str:
    """The address of a page of the tenant at hand."""
    return reverse(f"portal:{name}", kwargs={"tenant": context["actor"].tenant.slug, **kwargs})


@register.simple_tag
def badge(state: object, text: str = "") -> SafeString:
    """A state as a coloured word, with a dot for who cannot tell the colours."""
    tone = TONES.get(str(state), "secondary")
    return format_html(
        '<span class="status status-{}"><span class="status-dot{}"></span>{}</span>',
        tone,
        " status-dot-animated" if tone == "blue" else "",
        text or words(state),
    )


@register.filter
def in_words(state: object) -> str:
    return words(state)


@register.filter
def pairs(mapping: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Names and values. In a template `.items` would be the entry of that name, where there is one."""
    return list(mapping.items())


@register.simple_tag
def moment(at: datetime | None, never: str = "never") -> SafeString | str:
    """How long ago, or in how long, with the moment itself to be hovered over. The browser keeps it true."""
    if at is None:
        return never
    exact = f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time datetime="{}" title="{}" data-ago>{}</time>', at.isoformat(), exact, distance(at))


def distance(at: datetime) -> str:
    """In words: "5 min ago", "in 2 h"."""
    seconds = (timezone.now() - at).total_seconds()
    size = abs(seconds)
    for unit, length in UNITS:
        if size >= length or unit == "s":
            said = f"{int(size // length)} {unit}"
            return f"{said} ago" if seconds >= 0 else f"in {said}"
    raise AssertionError("the last unit takes all")


@register.filter
def duration(milliseconds: float | None) -> str:
    """Milliseconds as people write them: "85 ms", "1.4 s", "3 min 5 s"."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


@register.filter
def span(seconds: int) -> str:
    """A number of seconds, in the largest unit that says it wholly: "30 min", "2 h", "90 s"."""
    unit, length = next((unit, length) for unit, length in UNITS if seconds % length == 0)
    return f"{seconds // length} {unit}"


@register.filter
def money(amount: Any, currency: str = "EUR") -> str:
    """With the digits that it has, two at least: 29.00 EUR a month, 0.0500 EUR an hour."""
    exact = Decimal(amount)
    return f"{exact if int(exact.as_tuple().exponent) <= -2 else exact.quantize(Decimal('0.01'))} {currency}"


@register.filter
def quantity(value: float, unit: str = "") -> str:
    """With a prefix, and the digits that count: "1.23 Mbit/s", "96 MiB". `charts.js` writes it the same way."""
    base, prefixes = (1024, ("", "Ki", "Mi", "Gi", "Ti")) if unit == "bytes" else (1000, ("", "k", "M", "G", "T"))
    left, size = abs(value), 0
    while left >= base and size < len(prefixes) - 1:
        left, size = left / base, size + 1
    digits = 0 if left == 0 or left >= 100 else 1 if left >= 10 else 2 if left >= 1 else 3
    sign = "-" if value < 0 else ""
    return f"{sign}{left:.{digits}f} {prefixes[size]}{'B' if unit == 'bytes' else unit}".strip()


@register.simple_tag(takes_context=True)
def query(context: Any, **changes: Any) -> str:
    """The present query string with some parameters changed; None takes one away."""
    asked: QueryDict = context["request"].GET.copy()
    for name, value in changes.items():
        if value is None or value == "":
            asked.pop(name, None)
        else:
            asked[name] = str(value)
    return f"?{asked.urlencode()}" if asked else "?"


@register.simple_tag(takes_context=True)
def sorting(context: Any, field: str) -> str:
    """The query string that sorts by a field, or the other way round where it is sorted by it already."""
    now = context["request"].GET.get("sort", "")
    return query(context, sort=f"-{field}" if now == field else field, page=None)


@register.simple_tag(takes_context=True)
def navigation(context: Any) -> list[Entry]:
    """The pages that stand in the sidebar (`settings.NAAS_PORTAL_NAVIGATION`) of who may see them."""
    role = context["actor"].role
    return [
        Entry(title, symbol, section, page_url(context, page))
        for title, symbol, section, page in settings.NAAS_PORTAL_NAVIGATION
        if role.covers(Role(settings.NAAS_PORTAL_ROLES.get(page, Role.VIEWER)))
    ]
