"""The table of the cache that holds also while Redis is away."""

from typing import Any

from django.core.management import call_command
from django.db import migrations


def build(_apps: Any, schema_editor: Any) -> None:
    call_command("createcachetable", "naas_cache", database=schema_editor.connection.alias, verbosity=0)


def tear_down(_apps: Any, schema_editor: Any) -> None:
    schema_editor.execute(f"DROP TABLE {schema_editor.quote_name('naas_cache')}")


class Migration(migrations.Migration):
    dependencies = [("tenants", "0005_wall_of_invitations")]
    operations = [migrations.RunPython(build, tear_down)]
