"""Row-level security around invitations, on PostgreSQL."""

from django.db import migrations

from tenants import wall

TABLES = ["tenants_invitation"]


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_invitation")]
    operations = [
        migrations.RunPython(
            lambda apps, schema_editor: wall.build(schema_editor, *TABLES),
            lambda apps, schema_editor: wall.tear_down(schema_editor, *TABLES),
        )
    ]
