"""Filters and ordering of lists. A parameter that is not known is refused: ignoring it would answer too much."""

from __future__ import annotations

from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework.filters import OrderingFilter
from rest_framework.request import Request

from naas.core.errors import Invalid, Problem

ALWAYS = frozenset({"limit", "offset", "ordering"})


class WholeNumber(django_filters.NumberFilter):  # type: ignore[misc]  # untyped library
    """A whole number: django-filter's own takes 0.5 and finds nothing."""

    field_class = forms.IntegerField


@extend_schema_field({"type": "string", "enum": ["true", "false"]})
class YesNo(django_filters.TypedChoiceFilter):  # type: ignore[misc]
    """`true` or `false`: django-filter's own takes anything for neither."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=[("true", "yes"), ("false", "no")], coerce=lambda text: text == "true", **options)


class Filters(DjangoFilterBackend):  # type: ignore[misc]  # untyped library
    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filterset = self.get_filterset_class(view, queryset)
        known = ALWAYS | set(filterset.base_filters if filterset else ()) | view.other_parameters
        if unknown := sorted(set(request.query_params) - known):
            named = ", ".join(sorted(known))
            raise Invalid(Problem(name[:64], f"there is no such parameter; there are: {named}") for name in unknown)
        if unclear := sorted(name for name, values in request.query_params.lists() if len(values) > 1 or not values[0]):
            raise Invalid(Problem(name, "give one value, or leave it away") for name in unclear)
        filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return filtered

    def get_filterset(self, request: Request, queryset: QuerySet[Any], view: Any) -> Any:
        """The filters, which name what can be chosen when they are given something else."""
        filterset = super().get_filterset(request, queryset, view)
        fields: dict[str, Any] = filterset.form.fields if filterset else {}
        for field in fields.values():
            if isinstance(field, forms.ChoiceField):
                choices: Any = field.choices  # an iterator, whatever its type says
                words = ", ".join(str(value) for value, _ in choices if value != "")
                field.error_messages["invalid_choice"] = f"use one of: {words}"
        return filterset


class Ordering(OrderingFilter):
    """`?ordering=-name`, by the view's `ordering_fields`; always ends with the key, so that pages do not overlap."""

    def get_default_valid_fields(self, queryset: Any, view: Any, context: Any = None) -> list[tuple[str, str]]:
        return []

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> Any:
        asked = [part.strip() for part in request.query_params.get(self.ordering_param, "").split(",") if part.strip()]
        valid = self.remove_invalid_fields(queryset, asked, view, request)
        if len(valid) < len(asked):
            names = ", ".join(name for name, _ in self.get_valid_fields(queryset, view, {"request": request}))
            raise Invalid([Problem("ordering", f"order by one of: {names or 'nothing here'}")])
        chosen = tuple(valid) or tuple(queryset.query.order_by or queryset.model._meta.ordering)
        return (*chosen, "pk")
