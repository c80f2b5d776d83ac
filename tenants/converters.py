"""What stands in addresses of the API and of the portal."""

from __future__ import annotations

from django.urls import register_converter
from django.urls.converters import get_converters


class PublicId:
    """A path component that can be an id. What cannot is no address of ours."""

    regex = "[A-Za-z0-9_-]{1,64}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


def register() -> None:
    """Make `<id:...>` known to the URL configuration. Doing it twice does no harm."""
    if "id" not in get_converters():
        register_converter(PublicId, "id")
