"""Certificates of the platform's own authority: what they prove, to whom they are issued, when they are replaced."""

from __future__ import annotations

import dataclasses
import ssl
from datetime import timedelta
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.apps import apps
from django.utils import timezone

from naas.core.errors import Conflict, Forbidden, Invalid
from services import certificates, orders, sweep
from services.design import design, wanted
from services.entry import ItemRequest
from services.kind import IssuedCertificate
from services.models import Authority, Certificate, Deployment, Pop, Revision, Segment, ServiceInstance
from services.secrets import seed_of
from services.segments import SegmentRequest, create
from tenants.actor import Actor, Role
from tenants.models import AuditEvent, Tenant
from tests.callers import Caller
from tests.unit.conftest import found, fresh, router, session_border_controller
from worker.report import Condition, Phase, Status

pytestmark = pytest.mark.django_db


def an_sbc(name: str = "sbc", realm: str = "sbc.acme.example") -> ItemRequest:
    """An add of an SBC that wants its certificate issued."""
    return session_border_controller(name, realm=realm, tls={})


def ordered(actor: Actor, request: ItemRequest) -> ServiceInstance:
    """What was ordered, found active."""
    order = orders.place(actor=actor, items=[request])
    orders.start(order_id=order.pk)
    instance: ServiceInstance = order.items.get().instance
    found(instance, Phase.CONVERGED)
    return fresh(instance)


@pytest.fixture
def secured(actor: Actor, lan: Segment, core: Segment) -> ServiceInstance:
    return ordered(actor, an_sbc())


def issued(instance: ServiceInstance) -> IssuedCertificate:
    _, context = wanted(fresh(instance))
    assert context.certificate is not None
    return context.certificate


def read(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


# --- what they prove --------------------------------------------------------------------


def test_a_certificate_is_for_the_names_the_kind_gives_and_its_key_belongs_to_it(secured: ServiceInstance) -> None:
    held = issued(secured)
    leaf = read(held.chain)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["sbc.acme.example"]
    assert set(names.get_values_for_type(x509.IPAddress)) == {ip_address("10.1.0.1"), ip_address("10.255.0.1")}
    key = load_pem_private_key(held.key.encode(), password=None)
    assert key.public_key() == leaf.public_key()


def test_whoever_trusts_the_authority_trusts_the_service_and_nobody_it_certifies(
    secured: ServiceInstance, tmp_path: Path
) -> None:
    held = issued(secured)
    (tmp_path / "chain").write_text(held.chain)
    (tmp_path / "key").write_text(held.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "chain", tmp_path / "key")
    client = ssl.create_default_context(cadata=held.authority)
    assert shakes_hands(client, server, "sbc.acme.example")
    assert shakes_hands(client, server, "10.1.0.1")
    assert not shakes_hands(client, server, "sbc.globex.example")
    assert not shakes_hands(ssl.create_default_context(), server, "sbc.acme.example")
    leaf = read(held.chain).extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not leaf.ca


def shakes_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> bool:
    """Whether a client that expects this name accepts the server."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server, server_hostname=name)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (here, there):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return here.version() is not None


def test_there_is_one_authority_and_its_key_is_encrypted(secured: ServiceInstance, actor: Actor) -> None:
    ordered(actor, an_sbc("second", "second.acme.example"))
    (row,) = Authority.objects.all()
    assert "PRIVATE KEY" not in row.private_key
    assert issued(secured).authority == row.certificate
    constraints = read(row.certificate).extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)


def test_customers_get_the_authority_to_trust_and_nothing_secret(secured: ServiceInstance, tenant: Tenant) -> None:
    answer = Caller(tenant).get("authority")
    assert answer.status_code == 200
    assert answer.json()["certificate"] == Authority.objects.get().certificate
    assert answer.json()["fingerprint"] == read(answer.json()["certificate"]).fingerprint(SHA256()).hex(":").upper()
    assert set(answer.json()) == {"certificate", "fingerprint", "created_at", "not_after"}


def test_the_key_is_encrypted_in_its_row_and_absent_from_answers(secured: ServiceInstance, tenant: Tenant) -> None:
    row = Certificate.unscoped.get(instance=secured)
    key = issued(secured).key
    assert "PRIVATE KEY" not in row.private_key
    assert key.splitlines()[1] not in Caller(tenant).get(f"services/{secured.pk}").content.decode()
    (state,) = design(secured).values()
    assert any(key in file.content for vnf in state.vnfs for each in vnf.containers for file in each.files)


# --- to whom they are issued ------------------------------------------------------------


def test_what_wants_no_certificate_gets_none(standing: ServiceInstance) -> None:
    assert not Certificate.unscoped.exists()
    assert not Authority.objects.exists()
    _, context = wanted(standing)
    assert context.certificate is None


def test_a_change_that_wants_the_same_names_keeps_the_certificate(secured: ServiceInstance, actor: Actor) -> None:
    before = issued(secured)
    changed = secured_spec(secured) | {"most_calls": 20}
    orders.place(actor=actor, items=[ItemRequest(action="modify", service=secured.pk, spec=changed)])
    assert issued(secured) == before


def test_a_change_of_names_gets_another_and_gives_the_old_one_up_when_it_stands(
    secured: ServiceInstance, actor: Actor
) -> None:
    before = issued(secured)
    changed = secured_spec(secured) | {"realm": "other.acme.example"}
    orders.place(actor=actor, items=[ItemRequest(action="modify", service=secured.pk, spec=changed)])
    assert issued(secured).chain != before.chain
    assert Certificate.unscoped.filter(instance=secured).count() == 2
    found(secured, Phase.CONVERGED)
    assert [row.chain for row in Certificate.unscoped.filter(instance=secured)] == [issued(secured).chain]


def test_a_change_that_failed_returns_to_the_certificate_of_before(secured: ServiceInstance, actor: Actor) -> None:
    before = issued(secured)
    changed = secured_spec(secured) | {"realm": "other.acme.example"}
    order = orders.place(actor=actor, items=[ItemRequest(action="modify", service=secured.pk, spec=changed)])
    orders.start(order_id=order.pk)
    found(secured, Phase.PARKED, "it refuses its configuration")
    assert issued(secured) == before


def test_nothing_of_a_removed_service_is_kept(secured: ServiceInstance, actor: Actor) -> None:
    orders.start(order_id=orders.place(actor=actor, items=[ItemRequest(action="delete", service=secured.pk)]).pk)
    found(secured, Phase.GONE)
    assert not Certificate.unscoped.exists()


def test_a_preview_issues_nothing(actor: Actor, lan: Segment, core: Segment) -> None:
    orders.preview(actor=actor, items=[an_sbc()])
    assert not Certificate.unscoped.exists()


def test_a_dns_name_is_certified_for_one_customer_only(secured: ServiceInstance, pop: Pop) -> None:
    globex = Actor.system(Tenant.objects.create(name="Globex", slug="globex"), "a test")
    for name, prefix in (("lan", "10.1.0.0/24"), ("core", "10.255.0.0/29")):
        create(actor=globex, request=SegmentRequest(name=name, pop=pop.slug, prefixes=(prefix,)))
    with pytest.raises(Invalid, match="another customer"):
        orders.place(actor=globex, items=[an_sbc(realm="SBC.acme.example")])
    # Addresses may be everybody's: the two never meet.
    orders.place(actor=globex, items=[an_sbc(realm="sbc.globex.example")])


def test_the_same_customer_may_certify_a_name_twice(secured: ServiceInstance, actor: Actor) -> None:
    orders.place(actor=actor, items=[an_sbc("second")])


# --- when they are replaced -------------------------------------------------------------


def secured_spec(instance: ServiceInstance) -> dict[str, Any]:
    spec: dict[str, Any] = fresh(instance).spec
    return {key: value for key, value in spec.items() if value is not None}


def shortly_before_its_end(instance: ServiceInstance) -> Any:
    return Certificate.unscoped.get(instance=instance).not_after - certificates.RENEWED_BEFORE + timedelta(seconds=1)


def test_a_certificate_is_renewed_in_time_as_a_new_generation_of_the_same_spec(secured: ServiceInstance) -> None:
    before, when = issued(secured), shortly_before_its_end(secured)
    sweep.sweep(when - timedelta(minutes=1))
    assert fresh(secured).generation == 1
    sweep.sweep(when)
    assert fresh(secured).generation == Deployment.unscoped.get(instance=secured).generation == 2
    revision = Revision.unscoped.get(instance=secured, generation=2)
    assert (revision.spec, revision.reason) == (secured.spec, "certificate renewed")
    after = issued(secured)
    assert after.chain != before.chain
    assert after.key != before.key
    sweep.sweep(when)
    assert fresh(secured).generation == 2
    found(secured, Phase.CONVERGED)
    assert Certificate.unscoped.get(instance=secured).chain == after.chain


def test_a_certificate_is_renewed_at_once_when_that_is_asked_for(secured: ServiceInstance, actor: Actor) -> None:
    before = issued(secured)
    orders.renew_now(actor=actor, instance=secured)
    assert fresh(secured).generation == Deployment.unscoped.get(instance=secured).generation == 2
    assert issued(secured).chain != before.chain
    assert AuditEvent.unscoped.get(verb="certificate.renew").object_id == secured.pk
    with pytest.raises(Conflict, match="is being changed just now"):
        orders.renew_now(actor=actor, instance=secured)
    found(secured, Phase.CONVERGED)
    orders.renew_now(actor=actor, instance=secured)
    assert fresh(secured).generation == 3
    with pytest.raises(Forbidden):
        orders.renew_now(actor=dataclasses.replace(actor, role=Role.VIEWER), instance=secured)


def test_what_is_being_changed_is_renewed_afterwards(secured: ServiceInstance, actor: Actor) -> None:
    when = shortly_before_its_end(secured)
    order = orders.place(actor=actor, items=[ItemRequest(action="modify", service=secured.pk, size="M")])
    certificates_before = Certificate.unscoped.count()
    orders.renew(instance_id=secured.pk, now=when)
    assert (fresh(secured).generation, Certificate.unscoped.count()) == (2, certificates_before)
    orders.start(order_id=order.pk)
    found(secured, Phase.CONVERGED)
    orders.renew(instance_id=secured.pk, now=when)
    assert fresh(secured).generation == 3


def test_a_certificate_never_outlives_its_authority(secured: ServiceInstance, actor: Actor) -> None:
    end = timezone.now() + timedelta(days=40)
    Authority.objects.update(not_after=end)
    second = ordered(actor, an_sbc("second"))
    assert Certificate.unscoped.get(instance=second).not_after == end


# --- seeds and birth certificates -------------------------------------------------------


def test_every_service_has_a_seed_of_its_own_that_stays(standing: ServiceInstance, secured: ServiceInstance) -> None:
    assert seed_of(secured.seed) != seed_of(standing.seed)
    assert seed_of(secured.seed) not in secured.seed
    _, context = wanted(secured)
    assert context.seed == seed_of(secured.seed)
    assert len(bytes.fromhex(context.seed)) == 32


def test_services_of_before_there_were_seeds_get_one(standing: ServiceInstance, sbc: ServiceInstance) -> None:
    ServiceInstance.unscoped.filter(pk=standing.pk).update(seed="")
    import_module("services.migrations.0005_seeds_for_all").give_seeds(apps, None)
    assert len(seed_of(fresh(standing).seed)) == 64
    assert fresh(sbc).seed == sbc.seed


def test_a_service_keeps_what_proved_that_it_works(actor: Actor, tenant: Tenant, lan: Segment, core: Segment) -> None:
    order = orders.place(actor=actor, items=[router()])
    orders.start(order_id=order.pk)
    instance = order.items.get().instance
    address = f"services/{instance.pk}"
    assert Caller(tenant).get(address).json()["birth_certificate"] is None
    proof = Condition("TestCall", Status.TRUE, "set up in 0.2 s, MOS 4.4" + " " * 270 + "end", readiness=True)
    found(instance, Phase.CONVERGED, "", proof)
    kept = Caller(tenant).get(address).json()["birth_certificate"]
    assert kept["generation"] == 1
    assert kept["conditions"] == [{"type": "TestCall", "status": "true", "message": proof.message, "readiness": True}]
    orders.place(actor=actor, items=[ItemRequest(action="modify", service=instance.pk, size="M")])
    found(instance, Phase.CONVERGED, "", Condition("TestCall", Status.TRUE, "later", readiness=True))
    assert Caller(tenant).get(address).json()["birth_certificate"] == kept
