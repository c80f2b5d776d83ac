"""The second wall between tenants: row-level security, where the database is PostgreSQL.

The first is `tenants.scope`. Should a query ever be written past it, then inside a request of
the API the database itself shows rows of the caller's tenant only, and takes no others.
Outside of such a request (sweep, tasks, admin console, command line) nothing is narrowed:
that is the platform's own work. On SQLite all of this does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, connection

from tenants.models import Tenant

#: The setting of the connection that policies read. Empty, or not set: not narrowed.
SETTING = "naas.tenant"
POLICY = "rows_of_the_tenant"

BUILD = (
    "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
    # Without it the owner of the table, who we usually are, would not be held back.
    "ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
    f"CREATE POLICY {POLICY} ON {{table}} USING "
    f"((SELECT coalesce(current_setting('{SETTING}', true), '')) IN ('', tenant_id))",
)
TEAR_DOWN = (
    f"DROP POLICY {POLICY} ON {{table}}",
    "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
)


def build(schema_editor: Any, *tables: str) -> None:
    """For migrations: put the wall around these tables, each of which has a `tenant_id`."""
    _run(schema_editor, BUILD, tables)


def tear_down(schema_editor: Any, *tables: str) -> None:
    _run(schema_editor, TEAR_DOWN, tables)


def _run(schema_editor: Any, statements: tuple[str, ...], tables: tuple[str, ...]) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    for table in tables:
        for statement in statements:
            schema_editor.execute(statement.format(table=schema_editor.quote_name(table)))


def narrow(tenant: Tenant) -> None:
    """From here on this connection sees rows of this tenant only, until `widen`."""
    if connection.vendor == "postgresql":
        _set(tenant.pk)
        connection.naas_tenant = tenant.pk  # type: ignore[attr-defined]


def widen() -> None:
    """End what `narrow` began. A connection that cannot be widened is closed: the next request gets a new one."""
    if not _narrowed_to():
        return
    try:
        _set("")
    except DatabaseError:
        connection.close()
    connection.naas_tenant = ""  # type: ignore[attr-defined]


@contextmanager
def lifted() -> Iterator[None]:
    """Look across tenants in the middle of a tenant's request: how full a PoP is concerns everyone on it."""
    tenant_id = _narrowed_to()
    if not tenant_id:
        yield
        return
    _set("")
    try:
        yield
    except DatabaseError:
        # The transaction is lost, and its end brings the setting back.
        raise
    except BaseException:
        _set(tenant_id)
        raise
    _set(tenant_id)


def _set(tenant_id: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config(%s, %s, false)", [SETTING, tenant_id])


def _narrowed_to() -> str:
    tenant_id: str = getattr(connection, "naas_tenant", "")
    return tenant_id
