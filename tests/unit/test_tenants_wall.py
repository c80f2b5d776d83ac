"""The second wall between tenants: PostgreSQL itself. On SQLite only the list of tables is looked at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.db.migrations.loader import MigrationLoader

from tenants import wall
from tenants.actor import Actor, Role
from tenants.models import ApiToken, Tenant, TenantOwned
from tenants.verbs import tokens
from tests.callers import Caller

#: A role that row-level security holds back, as it does the owner of the tables; superusers are never held back.
MORTAL = "naas_test_mortal"

on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="needs PostgreSQL (DATABASE_URL)")


def test_every_table_of_tenants_is_within_the_wall():
    loader = MigrationLoader(None)
    modules = [__import__(type(migration).__module__, fromlist=["x"]) for migration in loader.disk_migrations.values()]
    walled = {table for module in modules if "wall" in module.__name__ for table in module.TABLES}
    owned = {model._meta.db_table for model in apps.get_models() if issubclass(model, TenantOwned)}
    assert walled == owned


@pytest.fixture
def tenants(db: None) -> list[Tenant]:
    made = [Tenant.objects.create(name=name, slug=name) for name in ("acme", "globex")]
    for tenant in made:
        tokens.issue(actor=Actor.system(tenant), name=tenant.slug, role=Role.VIEWER)
    return made


@pytest.fixture
def mortal(tenants: list[Tenant]) -> Iterator[None]:
    """Makes sure that we are none of those whom row-level security lets pass."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone()[0]:
            cursor.execute(f"CREATE ROLE {MORTAL} NOLOGIN")
            cursor.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {MORTAL}")
            cursor.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {MORTAL}")
            cursor.execute(f"SET LOCAL ROLE {MORTAL}")
    yield
    wall.widen()


def names() -> list[str]:
    return sorted(ApiToken.unscoped.values_list("name", flat=True))


@on_postgresql
def test_inside_the_wall_a_forgotten_scope_shows_nothing_of_others(tenants, mortal):
    wall.narrow(tenants[0])
    assert names() == ["acme"]
    wall.widen()
    assert names() == ["acme", "globex"]


@on_postgresql
def test_inside_the_wall_nothing_of_others_is_written(tenants, mortal):
    wall.narrow(tenants[0])
    with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
        tokens.issue(actor=Actor.system(tenants[1]), name="x", role=Role.VIEWER)
    assert ApiToken.unscoped.filter(tenant=tenants[1]).update(name="stolen") == 0


@on_postgresql
def test_the_wall_can_be_lifted_for_a_moment(tenants, mortal):
    wall.narrow(tenants[0])
    with wall.lifted():
        assert names() == ["acme", "globex"]
    assert names() == ["acme"]
    with pytest.raises(ZeroDivisionError), wall.lifted():
        1 / 0  # noqa: B018
    assert names() == ["acme"]
    with pytest.raises(DatabaseError), transaction.atomic(), wall.lifted():
        connection.cursor().execute("SELECT 1 / 0")
    assert names() == ["acme"]


@on_postgresql
def test_a_request_leaves_no_wall_behind(tenants, mortal):
    callers = [Caller(tenant, Role.OWNER) for tenant in tenants]
    for caller in (*callers, *callers):
        assert caller.get("tokens").json()["count"] == 2
    assert len(names()) == 4


def test_without_postgresql_there_is_no_wall(tenants):
    wall.narrow(tenants[0])
    with wall.lifted():
        pass
    wall.widen()
    assert set(names()) == {"acme", "globex"}
