"""Row-level security around the samples of tenants, on PostgreSQL."""

from django.db import migrations

from tenants import wall

TABLES = ["services_sample"]


class Migration(migrations.Migration):
    dependencies = [("services", "0007_samples"), ("tenants", "0003_wall")]
    operations = [
        migrations.RunPython(
            lambda apps, schema_editor: wall.build(schema_editor, *TABLES),
            lambda apps, schema_editor: wall.tear_down(schema_editor, *TABLES),
        )
    ]
