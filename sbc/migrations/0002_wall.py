"""Row-level security around the rows of tenants, on PostgreSQL."""

from django.db import migrations

from tenants import wall

TABLES = [
    f"sbc_{name}"
    for name in (
        "callrecord",
        "emergency",
        "route",
        "routetarget",
        "sourcerule",
        "tablelog",
        "tables",
        "testcall",
        "trunk",
        "trunksource",
    )
]


class Migration(migrations.Migration):
    dependencies = [("sbc", "0001_initial"), ("tenants", "0003_wall")]
    operations = [
        migrations.RunPython(
            lambda apps, schema_editor: wall.build(schema_editor, *TABLES),
            lambda apps, schema_editor: wall.tear_down(schema_editor, *TABLES),
        )
    ]
