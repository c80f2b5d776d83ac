"""What the pages of the provider's console share: who may see them, what they may change, and how they look.

A page shows rows; it changes them only by calling a verb, which leaves an audit row. What a
page does not name as `entered` or `editable` cannot be sent to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets, quote, unquote
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action
from unfold.enums import ActionVariant

from naas.core.errors import Refusal
from tenants.actor import Actor, Staff
from tenants.api.authentication import address_of
from tenants.models import AuditEvent, Tenant

M = TypeVar("M", bound=Model)

#: Fields no page shows and no query string may ask about.
HIDDEN = frozenset(
    {
        *("password", "digest", "spec", "seed", "body", "headers", "fingerprint", "public_identity", "private_key"),
        *("document", "commands"),
    }
)

LINK = "text-primary-600 dark:text-primary-500"

#: How fields are called where Django would guess wrong.
LABELS = {
    "id": "ID",
    "pop": "PoP",
    "uni": "UNI",
    "mtu": "MTU",
    "vlan": "VLAN",
    "cidr": "Range",
    "vcpu": "vCPU",
    "memory_mb": "Memory (MiB)",
    "port_rate_mbps": "Port rate (Mbit/s)",
    "vcpu_capacity": "vCPU for sale",
    "memory_capacity_mb": "Memory for sale (MiB)",
    "setup_price": "Set-up price",
    "external_id": "Their reference",
    "retry_of": "Tries again",
    "instance": "Service",
    "is_active": "May log in",
    "email": "E-mail address",
    "started_at": "Began",
    "request_id": "Request ID",
}
#: What to type into fields whose name does not say it.
HELPS = {
    "slug": "A short name of a-z, 0-9 and '-'. It cannot be changed later.",
    "interface": "The interface of the PoP's host that leads to the customer.",
    "vlan": "The tag the customer's frames carry. Empty: untagged.",
    "mtu": "Bytes of the largest packet.",
    "vcpu_capacity": "Orders beyond it are refused. What stands stays.",
    "memory_capacity_mb": "Orders beyond it are refused. What stands stays.",
    "role": "Viewers read, operators order, owners also let people in and make tokens.",
    "services": "How many services the tenant may have at once.",
    "on_sale": "Services that stand stay when it goes off sale.",
    "is_active": "Closing an account ends its sessions. What the person did stays in the audit trail.",
}

#: The filter of every list of things that belong to tenants: finds a tenant by typing.
BY_TENANT = ("tenant", AutocompleteSelectFilter)


@dataclass(frozen=True)
class Table:
    """Rows shown under a page. `empty` is said when there are none."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]
    empty: str
    about: str = ""
    more: str = ""


def staff_of(request: HttpRequest) -> Staff:
    """Who of the provider's people this is, for verbs of the provider."""
    assert request.user.is_authenticated  # the site lets nobody else in
    return Staff(
        label=request.user.email,
        user_id=request.user.pk,
        address=address_of(request),
        request_id=str(getattr(request, "id", "")),
    )


def acting_for(request: HttpRequest, tenant: Tenant) -> Actor:
    """The same person acting inside a tenant, for verbs of tenants. The trail says that it was the provider."""
    return staff_of(request).inside(tenant)


def page_of(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=(quote(row.pk),))


def list_of(model: type[Model], **filters: object) -> str:
    """The address of a model's list, filtered."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{address}?{urlencode(filters)}" if filters else address


@cache
def fact(model: type[Model], name: str) -> Any:
    """A field as a column or a line: under our name for it, and linked where it is a row with a page of its own.

    What is not a field, or is called right already, is returned as it is.
    """
    fields = {field.name: field for field in model._meta.concrete_fields}
    field = fields.get(name)
    if field is None or not (name in LABELS or field.many_to_one or field.one_to_one):
        return name

    @admin.display(description=LABELS.get(name, capfirst(field.verbose_name)), ordering=name)
    def shown(row: Model) -> Any:
        value = getattr(row, name)
        return linked(value) if isinstance(value, Model) else value

    shown.__name__ = name
    return shown


def linked(row: Model | None, text: object = None) -> str:
    """A row by its name, leading to its page."""
    if row is None:
        return "-"
    return format_html('<a class="{}" href="{}">{}</a>', LINK, page_of(row), row if text is None else text)


class Behind(admin.SimpleListFilter):
    """Rows of which the PoP has not told yet that it found what is wanted; `behind` are these."""

    parameter_name = "behind"
    behind: ClassVar[Q]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "Not yet"), ("0", "Yes")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "1":
                return queryset.filter(self.behind)
            case "0":
                return queryset.exclude(self.behind)
        return queryset


class Console(ModelAdmin):  # type: ignore[misc]  # untyped library
    """A page of the console over one model. Read-only unless it names fields and the verb that writes them."""

    #: Fields typed in to make a row. None: rows of this model are not made here.
    entered: ClassVar[tuple[str, ...]] = ()
    #: Fields of a row that may be changed here.
    editable: ClassVar[tuple[str, ...]] = ()
    removable: ClassVar[bool] = False
    #: What such rows are, in a sentence, shown above their list; and what it means when there are none.
    about: ClassVar[str] = ""
    empty: ClassVar[str] = "There are none."
    #: The heading of a tenant's rows on the tenant's page. None: not shown there.
    on_tenant: ClassVar[str | None] = None

    actions: Any = ()
    list_filter_submit = True
    list_per_page = 50
    show_full_result_count = True
    compressed_fields = True
    empty_value_display = "-"
    change_list_template = "console/change_list.html"
    change_form_outer_after_template = "console/below.html"

    # --- who may do what ---------------------------------------------------------------

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._is_staff(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._is_staff(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(self.entered) and self._is_staff(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(self.editable) and self._is_staff(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.removable and self._is_staff(request)

    def may(self, request: HttpRequest, object_id: str | None, allows: Callable[[Any], bool]) -> bool:
        """Whether staff may press a button: always in a list, and on a row's page when the row allows it."""
        if not self._is_staff(request):
            return False
        if object_id is None:
            return True
        row = self.get_object(request, unquote(str(object_id)))
        return row is not None and allows(row)

    @staticmethod
    def _is_staff(request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_staff)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Not what is hidden: a filter on it would tell it letter by letter."""
        return HIDDEN.isdisjoint(lookup.split("__")) and super().lookup_allowed(lookup, value, request)

    # --- what is shown -----------------------------------------------------------------

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Sequence[str]:
        typed = self.entered if obj is None else self.editable
        return [field for field in flatten_fieldsets(self.get_fieldsets(request, obj)) if field not in typed]

    def get_ordering(self, request: HttpRequest) -> Sequence[str]:
        """The model's own, said aloud: Django forgets it where rows are counted together."""
        ordering: Sequence[str] = self.ordering or self.opts.ordering
        return ordering

    def get_list_display(self, request: HttpRequest) -> Any:
        return [fact(self.model, name) for name in super().get_list_display(request)]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            field.label = LABELS.get(db_field.name, field.label)
            field.help_text = HELPS.get(db_field.name, field.help_text)
        return field

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if obj is None and self.entered:
            return [(None, {"fields": self.entered})]
        return [(title, options | {"fields": self._named(options["fields"])}) for title, options in self.fieldsets]

    def _named(self, fields: Iterable[Any]) -> list[Any]:
        """The fields as they are shown: what is typed in by its name, facts by what we call them."""
        return [
            self._named(field)
            if isinstance(field, tuple)
            else (field if field in self.editable else fact(self.model, field))
            for field in fields
        ]

    def tables(self, request: HttpRequest, row: Any) -> Iterable[Table]:
        """What is shown below a row's own facts."""
        del request, row
        return ()

    def is_live(self, row: Any) -> bool:
        """Whether the page of this row renews itself, because something is on its way."""
        del row
        return False

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Model | None = None, **kwargs: Any
    ) -> HttpResponse:
        if obj is not None:
            context |= {"tables": tuple(self.tables(request, obj)), "live": self.is_live(obj)}
        context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        page: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        return page

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """There is one trail, and it is the audit trail."""
        del request, extra_context
        return HttpResponseRedirect(list_of(AuditEvent, object_type=self.opts.model_name, object_id=unquote(object_id)))

    # --- what is written ---------------------------------------------------------------

    def write_new(self, request: HttpRequest, form: ModelForm[Any]) -> Model:
        """Make the row by its verb. Pages with `entered` say how."""
        raise NotImplementedError

    def write(self, request: HttpRequest, row: Any, changes: Mapping[str, Any]) -> None:
        """Change the row by its verb. Pages with `editable` say how. `row` is as it was."""
        raise NotImplementedError

    def remove(self, request: HttpRequest, row: Any) -> None:
        """Remove the row by its verb. Pages that are `removable` say how."""
        raise NotImplementedError

    def save_model(self, request: HttpRequest, obj: Model, form: ModelForm[Any], change: Any) -> None:
        """Nothing is saved but by the verb; what it wrote is the row from here on."""
        if change:
            changes = {name: form.cleaned_data[name] for name in form.changed_data if name in self.editable}
            row = self.get_object(request, str(obj.pk))
            if changes:
                self.write(request, row, changes)
        else:
            obj.__dict__.update(self.write_new(request, form).__dict__)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: Any) -> None:
        for formset in formsets:
            self.write_related(request, formset)

    def write_related(self, request: HttpRequest, formset: Any) -> None:
        """Change rows listed on a row's page by their verb. Pages with such rows say how."""
        raise NotImplementedError

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self.remove(request, obj)

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None:
        """The verb has left its audit row."""

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> None:
        """The verb has left its audit row."""

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """The verb has left its audit row."""

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except Refusal as refused:
            return self._refused(request, refused)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except Refusal as refused:
            return self._refused(request, refused)

    def _refused(self, request: HttpRequest, refused: Refusal) -> HttpResponse:
        messages.error(request, f"{refused.title}. {refused.detail}")
        return HttpResponseRedirect(request.get_full_path())

    def carry_out(
        self, request: HttpRequest, rows: Iterable[M], verb: Callable[[M], str | HttpResponse]
    ) -> HttpResponse | None:
        """Call a verb for each row, each in a transaction of its own, and say what came of it.

        A verb that has a page to show instead of a sentence ends the round with it.
        """
        for row in rows:
            try:
                with transaction.atomic():
                    done = verb(row)
            except Refusal as refused:
                messages.error(request, f"{row}: {refused.detail}")
                continue
            if isinstance(done, HttpResponse):
                return done
            messages.success(request, done)
        return None


Verb = Callable[[Any, HttpRequest, Any], str | HttpResponse]


def asks(
    *, title: str, question: str, icon: str, allowed: str, variant: ActionVariant = ActionVariant.DEFAULT
) -> Callable[[Verb], Any]:
    """A button on a row's page that asks first, then calls a verb and says what it said. Nothing happens on GET."""

    def decorate(verb: Verb) -> Any:
        def pressed(page: Any, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
            del form
            row = page.get_object(request, object_id)
            if row is None:
                raise Http404
            answer = page.carry_out(request, [row], lambda one: verb(page, request, one))
            return answer or back_to(request, page_of(row))

        pressed.__name__ = verb.__name__
        button = action(
            description=title,
            icon=icon,
            permissions=[allowed],
            variant=variant,
            dialog={
                "title": f"{title}?",
                "description": question,
                "form_class": None,
                "form_submit_text": f"Yes, {title.lower()}",
            },
        )(pressed)
        button.verb = verb
        return button

    return decorate


def back_to(request: HttpRequest, address: str) -> HttpResponse:
    """The dialog posts by htmx, which must be told to load a whole page."""
    if "HX-Request" in request.headers:
        return HttpResponse(headers={"HX-Redirect": address})
    return HttpResponseRedirect(address)
