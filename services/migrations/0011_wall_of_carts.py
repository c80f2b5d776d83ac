"""Row-level security around the carts of tenants' people, on PostgreSQL."""

from django.db import migrations

from tenants import wall

TABLES = ["services_cartitem"]


class Migration(migrations.Migration):
    dependencies = [("services", "0010_carts"), ("tenants", "0003_wall")]
    operations = [
        migrations.RunPython(
            lambda apps, schema_editor: wall.build(schema_editor, *TABLES),
            lambda apps, schema_editor: wall.tear_down(schema_editor, *TABLES),
        )
    ]
