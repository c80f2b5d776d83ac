"""Row-level security around the certificates of tenants, on PostgreSQL."""

from django.db import migrations

from tenants import wall

TABLES = ["services_certificate"]


class Migration(migrations.Migration):
    dependencies = [("services", "0005_seeds_for_all"), ("tenants", "0003_wall")]
    operations = [
        migrations.RunPython(
            lambda apps, schema_editor: wall.build(schema_editor, *TABLES),
            lambda apps, schema_editor: wall.tear_down(schema_editor, *TABLES),
        )
    ]
