"""The verbs of segments: what a tenant may make, what is refused and why."""

from __future__ import annotations

from typing import Any

import pytest

from naas.core.errors import Conflict, Forbidden, Invalid
from services import segments
from services.models import Pop, Prefix, Segment, ServiceInstance, Uni
from services.segments import SegmentRequest
from tenants.actor import Actor, ActorKind, Role
from tenants.models import Tenant

pytestmark = pytest.mark.django_db


def make(actor: Actor, **fields: Any) -> Segment:
    return segments.create(actor=actor, request=SegmentRequest(**{"name": "s", "pop": "fra1", **fields}))


@pytest.mark.parametrize(
    ("fields", "path", "why"),
    [
        ({"prefixes": ("10.1.0.1/24",)}, "prefixes[0]", "has host bits set"),
        ({"prefixes": ("banana",)}, "prefixes[0]", "not a prefix"),
        ({"prefixes": ("0.0.0.0/0",)}, "prefixes[0]", "cannot be used"),
        ({"prefixes": ("127.0.0.0/8",)}, "prefixes[0]", "cannot be used"),
        ({"prefixes": ("fe80::/64",)}, "prefixes[0]", "cannot be used"),
        ({"prefixes": ("224.0.0.0/24",)}, "prefixes[0]", "cannot be used"),
        ({"prefixes": ("10.0.0.0/24", "10.0.0.128/25")}, "prefixes[1]", "overlaps 10.0.0.0/24"),
        ({"prefixes": tuple(f"10.9.{n}.0/24" for n in range(9))}, "prefixes", "at most 8"),
        ({"pop": "mars"}, "pop", "there is no PoP 'mars'"),
        ({"pop": None}, "pop", "say at which PoP"),
        ({"mtu": 1279}, "mtu", "not from 1280"),
        ({"mtu": 9217}, "mtu", "not from 1280"),
        ({"kind": "access"}, "uni", "needs the id of a UNI"),
        ({"kind": "access", "uni": "uni-000000000000"}, "uni", "no UNI with id"),
        ({"uni": "uni-000000000000"}, "uni", "only a segment of kind access"),
    ],
)
def test_a_wrong_segment_is_refused_at_its_field(
    actor: Actor, pop: Pop, fields: dict[str, Any], path: str, why: str
) -> None:
    with pytest.raises(Invalid, match=why) as refused:
        make(actor, **fields)
    assert refused.value.problems[0].path == path
    assert not Segment.unscoped.exists()


def test_prefixes_of_one_tenant_never_overlap(actor: Actor, lan: Segment) -> None:
    with pytest.raises(Invalid, match=r"overlaps 10\.1\.0\.0/24 of segment lan"):
        make(actor, prefixes=("10.1.0.0/16",))


def test_prefixes_of_two_tenants_may_overlap(actor: Actor, lan: Segment) -> None:
    other = Actor.system(Tenant.objects.create(name="Other", slug="other"))
    assert make(other, prefixes=("10.1.0.0/24",)).prefixes.get().cidr == "10.1.0.0/24"


def test_a_uni_has_one_segment(actor: Actor, lan: Segment, uni: Uni) -> None:
    with pytest.raises(Invalid, match="used by segment lan already"):
        make(actor, kind="access", uni=uni.pk, pop=None)


def test_the_uni_of_another_tenant_does_not_exist(uni: Uni) -> None:
    other = Actor.system(Tenant.objects.create(name="Other", slug="other"))
    with pytest.raises(Invalid, match="no UNI with id"):
        make(other, kind="access", uni=uni.pk)


def test_a_segment_in_use_cannot_be_removed(actor: Actor, standing: ServiceInstance) -> None:
    with pytest.raises(Conflict, match="used by edge"):
        segments.remove(actor=actor, segment=Segment.unscoped.get(name="lan"))


def test_an_unused_segment_is_removed_with_its_prefixes(actor: Actor, lan: Segment) -> None:
    segments.remove(actor=actor, segment=lan)
    assert not Prefix.unscoped.exists()


def test_a_prefix_with_held_addresses_cannot_be_taken_away(actor: Actor, standing: ServiceInstance) -> None:
    lan = Segment.unscoped.get(name="lan")
    with pytest.raises(Invalid, match=r"10\.1\.0\.1 of 10\.1\.0\.0/24 is held by edge"):
        segments.change(actor=actor, segment=lan, prefixes=["10.7.0.0/24"])
    assert lan.prefixes.get().cidr == "10.1.0.0/24"


def test_prefixes_can_be_added_and_names_changed(actor: Actor, standing: ServiceInstance) -> None:
    lan = Segment.unscoped.get(name="lan")
    segments.change(actor=actor, segment=lan, name="office", prefixes=["10.1.0.0/24", "fd00:1::/64"])
    assert sorted(prefix.cidr for prefix in lan.prefixes.all()) == ["10.1.0.0/24", "fd00:1::/64"]
    assert Segment.unscoped.get(pk=lan.pk).name == "office"


def test_a_viewer_may_not_make_segments(tenant: Tenant, pop: Pop) -> None:
    with pytest.raises(Forbidden):
        make(Actor(tenant=tenant, role=Role.VIEWER, label="v", kind=ActorKind.USER))
