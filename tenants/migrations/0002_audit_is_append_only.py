"""The database itself refuses to change the audit trail.

On SQLite a later migration that rebuilds the table drops its triggers: it must make them again
(tests/unit/test_tenants_audit.py fails otherwise).
"""

from django.db import migrations

REFUSAL = "the audit trail is append-only"

SQLITE = [
    f"""
    CREATE TRIGGER audit_is_not_{verb}d BEFORE {verb.upper()} ON tenants_auditevent
    BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END
    """
    for verb in ("update", "delete")
]
POSTGRESQL = [
    f"""
    CREATE FUNCTION tenants_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; END $$
    """,
    """
    CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON tenants_auditevent
    FOR EACH ROW EXECUTE FUNCTION tenants_audit_is_append_only()
    """,
]
SQLITE_BACK = ["DROP TRIGGER audit_is_not_updated", "DROP TRIGGER audit_is_not_deleted"]
POSTGRESQL_BACK = [
    "DROP TRIGGER audit_is_append_only ON tenants_auditevent",
    "DROP FUNCTION tenants_audit_is_append_only()",
]


def run(schema_editor, statements):
    for statement in statements[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def forward(apps, schema_editor):
    run(schema_editor, {"sqlite": SQLITE, "postgresql": POSTGRESQL})


def back(apps, schema_editor):
    run(schema_editor, {"sqlite": SQLITE_BACK, "postgresql": POSTGRESQL_BACK})


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]
    operations = [migrations.RunPython(forward, back)]
