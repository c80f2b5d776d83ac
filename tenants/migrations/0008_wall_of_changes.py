"""Row-level security around the event log, on PostgreSQL."""

from django.db import migrations

from tenants import wall

TABLES = ["tenants_change"]


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_change")]
    operations = [
        migrations.RunPython(
            lambda apps, schema_editor: wall.build(schema_editor, *TABLES),
            lambda apps, schema_editor: wall.tear_down(schema_editor, *TABLES),
        )
    ]
