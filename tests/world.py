"""Rows of every model, written straight into the tables: what pages over them are looked at with.

Not how rows come to be: verbs are tested with orders that are placed.
"""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from naas.core.ids import new_id
from sbc.models import (
    CallRecord,
    Emergency,
    Route,
    RouteTarget,
    SourceRule,
    TableLog,
    Tables,
    TestCall,
    Trunk,
    TrunkSource,
)
from services import certificates
from services.addresses import allocate
from services.design import placed_ports
from services.lifecycle import Health, OrderState, ServiceState
from services.models import (
    Action,
    Address,
    Deployment,
    DeploymentStep,
    Inquiry,
    Offering,
    OfferingSize,
    OrderItem,
    Pop,
    PopStatus,
    Prefix,
    ProductOrder,
    Revision,
    Segment,
    SegmentKind,
    ServiceEvent,
    ServiceInstance,
    Transport,
    Uni,
)
from services.registry import kinds
from services.secrets import MARK, new_seed, protect
from tenants.actor import Role, Staff
from tenants.keys import vault
from tenants.models import IdempotencyRecord, Identity, Invitation, SingleSignOn, Tenant, User
from tenants.verbs import members, people, quotas, tokens
from worker.report import Phase, StepState

#: What no page may ever show.
PASSWORD = "hunter2-the-bgp-password"
IDENTITY = "public-identity-of-a-pop"
REQUEST_BODY = "answer-that-held-a-token"

STAFF = Staff("tests")


def pop(slug: str = "fra1") -> Pop:
    return Pop.objects.create(
        slug=slug,
        name=f"PoP {slug}",
        city="Frankfurt",
        country="DE",
        status=PopStatus.OPEN,
        vcpu_capacity=Decimal(16),
        memory_capacity_mb=32768,
        public_identity={"name": IDENTITY},
        last_seen_at=timezone.now() - timedelta(seconds=4),
    )


def offering() -> Offering:
    made, _ = Offering.objects.get_or_create(
        id="router-v1",
        defaults={"kind": "router", "version": 1, "name": "Router", "description": "Routing", "schema": {"a": 1}},
    )
    for size, vcpu in (("S", "0.5"), ("M", "1")):
        OfferingSize.objects.get_or_create(
            offering=made,
            size=size,
            defaults={
                "vcpu": Decimal(vcpu),
                "memory_mb": 256,
                "port_rate_mbps": 1000,
                "setup_price": Decimal(10),
                "monthly_price": Decimal(29),
                "hourly_price": Decimal("0.05"),
            },
        )
    return made


def spec(segment: Segment, neighbour: str = "10.255.0.2") -> dict[str, Any]:
    password = {MARK: vault().encrypt(PASSWORD)}
    known = {"address": neighbour, "remote_asn": 65002, "ebgp_multihop": 2, "password": password}
    return {
        "ports": [{"name": "lan", "segment": segment.pk}],
        "bgp": {"asn": 65001, "neighbours": [known]},
    }


def customer(slug: str, at: Pop) -> tuple[Tenant, Segment]:
    """A tenant with an owner, limits, a token, a port and a segment on it."""
    opening = people.open_tenant_with_owner(
        staff=STAFF, name=slug.capitalize(), slug=slug, email=f"owner@{slug}.example"
    )
    tenant = opening.tenant
    members.add(
        actor=STAFF.inside(tenant),
        user=people.create(staff=STAFF, email=f"viewer@{slug}.example").user,
        role=Role.VIEWER,
    )
    quotas.set_limits(staff=STAFF, tenant=tenant, limits=quotas.Amount(5, Decimal(10), 10240))
    tokens.issue(actor=STAFF.inside(tenant), name="automation", role=Role.OPERATOR)
    Invitation.unscoped.create(
        tenant=tenant,
        email=f"guest@{slug}.example",
        role=Role.VIEWER,
        digest=f"{slug:f<64}",
        invited_by="owner",
        expires_at=timezone.now() + timedelta(days=7),
    )
    IdempotencyRecord.unscoped.create(
        tenant=tenant, key=f"key-{slug}", path="/api/v1/orders", fingerprint="f" * 64, attempt="a", body=REQUEST_BODY
    )
    Transport.objects.get_or_create(pop=at, name="internet", defaults={"medium": "internet"})
    uni = Uni.unscoped.create(tenant=tenant, pop=at, name="site-a", interface=f"u-{slug}"[:15])
    segment: Segment = Segment.unscoped.create(tenant=tenant, pop=at, name="lan", kind=SegmentKind.ACCESS, uni=uni)
    Prefix.unscoped.create(tenant=tenant, segment=segment, cidr="10.1.0.0/24")
    return tenant, segment


def service(tenant: Tenant, segment: Segment, name: str, state: OrderState = OrderState.IN_PROGRESS) -> ProductOrder:
    """An order of one router, with all that hangs on it: two generations, the second at `state`."""
    now = timezone.now()
    size = offering().sizes.get(size="S")
    instance = ServiceInstance.unscoped.create(
        tenant=tenant,
        pop=segment.pop,
        kind="router",
        name=name,
        size=size,
        spec=spec(segment, "10.255.0.3"),
        seed=new_seed(),
        generation=2,
        state=ServiceState.ACTIVE,
        health=Health.DEGRADED,
        health_reason="BgpEstablished: 10.255.0.3 is Active",
        activated_at=now,
    )
    for generation, neighbour in ((1, "10.255.0.2"), (2, "10.255.0.3")):
        Revision.unscoped.create(
            tenant=tenant,
            instance=instance,
            generation=generation,
            spec=spec(segment, neighbour),
            size=size,
            reason="ordered" if generation == 1 else "modified",
            worked_at=now if generation == 1 else None,
        )
    Address.unscoped.create(
        tenant=tenant,
        segment=segment,
        value=f"10.1.0.{1 + segment.addresses.count()}",
        prefix_length=24,
        instance=instance,
        port="lan",
        automatic=True,
    )
    deployment = Deployment.unscoped.create(
        tenant=tenant,
        instance=instance,
        pop=segment.pop,
        generation=2,
        observed_generation=1,
        phase=Phase.CONVERGING,
        reason="waits for BgpEstablished",
        conditions=[
            {"type": "DaemonsAlive", "status": "true", "message": "", "readiness": True},
            {"type": "BgpEstablished", "status": "false", "message": "10.255.0.3 is Active", "readiness": False},
        ],
        sent_at=now,
        reported_at=now,
    )
    for position, (action, took) in enumerate((("AddSegment", 6.2), ("AddVnf", 312.0), ("Configure", None))):
        DeploymentStep.unscoped.create(
            tenant=tenant,
            deployment=deployment,
            generation=2,
            run="r1",
            position=position,
            total=3,
            action=action,
            subject=name,
            reason="it is wanted and not there",
            state=StepState.RUNNING if took is None else StepState.DONE,
            started_at=now,
            duration_ms=took,
        )
    certificates.ensure(instance, (f"{name}.{tenant.slug}.example",))
    border(instance)
    ServiceEvent.unscoped.create(tenant=tenant, instance=instance, type="health.degraded", message="degraded")
    Inquiry.unscoped.create(
        tenant=tenant,
        instance=instance,
        question="routes",
        asked_by="owner",
        output="B>* 10.2.0.0/24",
        state="answered",
    )
    order: ProductOrder = ProductOrder.unscoped.create(
        tenant=tenant, state=state, placed_by="owner", deadline=now + timedelta(minutes=5), note="please"
    )
    OrderItem.unscoped.create(
        id=new_id("itm"),
        tenant=tenant,
        order=order,
        position=0,
        action=Action.MODIFY,
        instance=instance,
        size=size,
        spec=spec(segment),
        generation=2,
        state=state,
        setup_price=0,
        monthly_price=29,
        hourly_price=0,
        currency="EUR",
    )
    return order


def sbc(tenant: Tenant, segment: Segment, name: str = "border") -> ServiceInstance:
    """An active SBC between a segment and another, with all that hangs on it."""
    outside = Segment.unscoped.create(tenant=tenant, pop=segment.pop, name=f"{name}-out", kind=SegmentKind.PRIVATE)
    Prefix.unscoped.create(tenant=tenant, segment=outside, cidr="192.0.2.0/24")
    ports = [{"name": "inside", "segment": segment.pk}, {"name": "outside", "segment": outside.pk}]
    offered, _ = Offering.objects.get_or_create(
        id="sbc-v1", defaults={"kind": "sbc", "version": 1, "name": "SBC", "description": "Voice", "schema": {"a": 1}}
    )
    size, _ = OfferingSize.objects.get_or_create(
        offering=offered,
        size="S",
        defaults={
            "vcpu": Decimal(1),
            "memory_mb": 512,
            "port_rate_mbps": 1000,
            "setup_price": Decimal(10),
            "monthly_price": Decimal(99),
            "hourly_price": Decimal("0.20"),
        },
    )
    kind = kinds()["sbc"]
    wanted = kind.spec.model_validate_json(json.dumps({"ports": ports, "country": "49"}))
    instance: ServiceInstance = ServiceInstance.unscoped.create(
        tenant=tenant,
        pop=segment.pop,
        kind="sbc",
        name=name,
        size=size,
        spec=protect(wanted),
        seed=new_seed(),
        state=ServiceState.ACTIVE,
        health=Health.HEALTHY,
        activated_at=timezone.now(),
    )
    Revision.unscoped.create(
        tenant=tenant, instance=instance, generation=1, spec=instance.spec, size=size, reason="ordered"
    )
    allocate(instance, placed_ports(instance, kind.ports(wanted)))
    border(instance)
    return instance


def border(instance: ServiceInstance) -> None:
    """What an SBC has besides: a trunk with a password, a route, a rule, emergency numbers, a record, a test call."""
    now = timezone.now()
    of_it: dict[str, Any] = {"tenant": instance.tenant, "instance": instance}
    secret = {"user": "trunk-1", "password": {MARK: vault().encrypt(PASSWORD)}}
    carrier = {
        "name": "carrier",
        "side": "outside",
        "addresses": [{"host": "192.0.2.5"}],
        "sources": ["192.0.2.0/24"],
        "authentication": secret,
    }
    out = {"name": "out", "prefix": "+", "targets": [{"trunk": "carrier"}]}
    nobody = {"name": "rule", "cidr": "0.0.0.0/0", "action": "deny"}
    trunk = Trunk.unscoped.create(
        **of_it, name="carrier", side="outside", transport="udp", enabled=True, document=carrier
    )
    TrunkSource.unscoped.create(**of_it, trunk=trunk, cidr="192.0.2.0/24")
    route = Route.unscoped.create(**of_it, name="out", prefix="+", order=100, enabled=True, document=out)
    RouteTarget.unscoped.create(tenant=instance.tenant, route=route, trunk=trunk)
    SourceRule.unscoped.create(**of_it, name="rule", cidr="0.0.0.0/0", document=nobody)
    Emergency.unscoped.create(**of_it, document={"numbers": ["112"], "targets": [{"trunk": "carrier"}]})
    tables = Tables.unscoped.create(**of_it, wanted=2, found=1, changed_at=now)
    TableLog.unscoped.create(tenant=instance.tenant, tables=tables, revision=2, commands=vault().encrypt(PASSWORD))
    CallRecord.unscoped.create(
        **of_it, key="k", caller="+4930111", called="+4940222", started=now, cause="busy", received_at=now
    )
    TestCall.unscoped.create(
        **of_it, occasion="acceptance", generation=1, passed=True, message="MOS 4.4", made_at=now, made_by="platform"
    )


def single_sign_on(tenant: Tenant) -> None:
    """A tenant's own provider, and a person who is known there."""
    at: dict[str, Any] = {"tenant": tenant, "issuer": f"https://id.{tenant.slug}.example"}
    SingleSignOn.unscoped.create(**at, client_id="naas", sealed="x", domains=[f"{tenant.slug}.example"])
    Identity.unscoped.create(**at, user=User.objects.filter(memberships__tenant=tenant)[0], subject="s1")


def staff(email: str = "ops@provider.example", password: str | None = None) -> User:
    return User.objects.create_user(email, password, is_staff=True)
