"""Row-level security around the rows of tenants, on PostgreSQL."""

from django.db import migrations

from tenants import wall

TABLES = [f"tenants_{name}" for name in ("apitoken", "auditevent", "idempotencyrecord", "membership", "quota")]


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_audit_is_append_only")]
    operations = [
        migrations.RunPython(
            lambda apps, schema_editor: wall.build(schema_editor, *TABLES),
            lambda apps, schema_editor: wall.tear_down(schema_editor, *TABLES),
        )
    ]
