"""Row-level security around single sign-on, on PostgreSQL."""

from django.db import migrations

from tenants import wall

TABLES = ["tenants_singlesignon", "tenants_identity"]


class Migration(migrations.Migration):
    dependencies = [("tenants", "0010_single_sign_on")]
    operations = [
        migrations.RunPython(
            lambda apps, schema_editor: wall.build(schema_editor, *TABLES),
            lambda apps, schema_editor: wall.tear_down(schema_editor, *TABLES),
        )
    ]
