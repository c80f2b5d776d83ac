"""What requests may hold. Shapes only: whether what they ask for can be had is decided by the verbs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rest_framework import serializers

from services.entry import ItemRequest
from services.models import Action, SegmentKind, Size
from services.orders import LONGEST_GRACE, MOST_ITEMS
from services.segments import MOST_PREFIXES, SegmentRequest
from tenants.api.serializers import Choice, StrictSerializer, Text, Whole, one_line

MOST_GRACE = LONGEST_GRACE // timedelta(seconds=1)
GRACE = (
    "Seconds for which an order that only removes services waits: they run on, and cancelling it undoes it. "
    "Without it, or with 0, it begins at once."
)
REVERT = "A generation of the service, whose spec and size are meant, secrets included."


class ItemBody(StrictSerializer):
    """An add takes kind, pop, name, size, spec; a modify service and name, size or spec, or `revert_to`; a delete
    service alone."""

    action = Choice(choices=Action.choices)
    kind = Text(max_length=32, required=False)
    pop = Text(max_length=16, required=False)
    name = Text(max_length=64, required=False)
    size = Choice(choices=Size.choices, required=False)
    spec = serializers.DictField(required=False, help_text="As the offering's `schema` says.")
    service = Text(max_length=64, required=False, help_text="The id of a service.")
    revert_to = Whole(min_value=1, required=False, help_text=REVERT)


class ItemsBody(StrictSerializer):
    items = serializers.ListField(child=ItemBody(), min_length=1, max_length=MOST_ITEMS)

    def requests(self) -> list[ItemRequest]:
        self.is_valid(raise_exception=True)
        return [ItemRequest(**item) for item in self.validated_data["items"]]


class OrderBody(ItemsBody):
    external_id = Text(max_length=64, required=False, validators=[one_line], help_text="Your own reference.")
    note = Text(max_length=500, required=False, validators=[one_line])
    complete_within = Whole(
        min_value=5, max_value=86400, required=False, help_text="Seconds after which what is not done fails."
    )
    grace = Whole(min_value=0, max_value=MOST_GRACE, required=False, help_text=GRACE)

    def options(self) -> dict[str, Any]:
        """The arguments of `orders.place` besides the items."""
        given = {name: value for name, value in self.validated_data.items() if name in ("external_id", "note")}
        seconds = self.validated_data.get("complete_within")
        grace = self.validated_data.get("grace")
        return given | {
            "deadline": timedelta(seconds=seconds) if seconds else None,
            "grace": timedelta(seconds=grace) if grace else None,
        }


class ServiceBody(StrictSerializer):
    """What to change; a spec is given whole. Secrets that stay are sent as they are shown, masked."""

    name = Text(max_length=64, required=False)
    size = Choice(choices=Size.choices, required=False)
    spec = serializers.DictField(required=False)
    revert_to = Whole(min_value=1, required=False, help_text=REVERT)


class SegmentBody(StrictSerializer):
    name = Text(max_length=64, validators=[one_line])
    kind = Choice(choices=SegmentKind.choices, default=SegmentKind.PRIVATE)
    pop = Text(max_length=16, required=False, allow_null=True, default=None)
    uni = Text(max_length=64, required=False, allow_null=True, default=None)
    mtu = Whole(default=1500, min_value=1280, max_value=9216)
    prefixes = serializers.ListField(child=Text(max_length=43), max_length=MOST_PREFIXES, default=list)

    def request(self) -> SegmentRequest:
        self.is_valid(raise_exception=True)
        given = self.validated_data
        return SegmentRequest(**given | {"prefixes": tuple(given["prefixes"])})


class SegmentChange(StrictSerializer):
    name = Text(max_length=64, required=False, validators=[one_line])
    prefixes = serializers.ListField(
        child=Text(max_length=43), max_length=MOST_PREFIXES, required=False, help_text="All that it has afterwards."
    )


class InquiryBody(StrictSerializer):
    question = Text(max_length=32)
    arguments = serializers.DictField(default=dict)
