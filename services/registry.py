"""The kinds this installation sells: those listed in `settings.NAAS_KINDS`, loaded once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from naas.core.errors import Invalid, Problem
from services.kind import Kind, Spec
from services.models import ServiceInstance


@cache
def kinds() -> Mapping[str, Kind]:
    """Every kind by its name."""
    return load(settings.NAAS_KINDS)


def load(modules: Iterable[str]) -> Mapping[str, Kind]:
    """The `KIND` of each module. Raises `ImproperlyConfigured` when two have one name."""
    found: dict[str, Kind] = {}
    for module in modules:
        kind: Kind = import_string(f"{module}.KIND")
        if kind.name in found:
            raise ImproperlyConfigured(f"two kinds are called {kind.name!r}; {module} is the second")
        found[kind.name] = kind
    return MappingProxyType(found)


def kind_named(name: str, path: str = "kind") -> Kind:
    """The kind of that name. Raises `Invalid` at `path`, naming the known ones."""
    try:
        return kinds()[name]
    except KeyError:
        known = ", ".join(sorted(kinds()))
        raise Invalid([Problem(path, f"no kind is called {name!r}; there are: {known}")]) from None


def check_spec(instance: ServiceInstance, spec: Spec) -> None:
    """Ask whoever keeps more of a kind than its spec whether a new one agrees with that. Raises `Invalid`."""
    if path := settings.NAAS_SPEC_CHECKS.get(instance.kind):
        import_string(path)(instance, spec)
