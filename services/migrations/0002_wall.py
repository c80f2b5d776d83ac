"""Row-level security around the rows of tenants, on PostgreSQL."""

from django.db import migrations

from tenants import wall

TABLES = [
    f"services_{name}"
    for name in (
        "address",
        "deployment",
        "deploymentstep",
        "inquiry",
        "orderitem",
        "prefix",
        "productorder",
        "revision",
        "segment",
        "serviceevent",
        "serviceinstance",
        "uni",
    )
]


class Migration(migrations.Migration):
    dependencies = [("services", "0001_initial"), ("tenants", "0003_wall")]
    operations = [
        migrations.RunPython(
            lambda apps, schema_editor: wall.build(schema_editor, *TABLES),
            lambda apps, schema_editor: wall.tear_down(schema_editor, *TABLES),
        )
    ]
