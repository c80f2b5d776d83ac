"""A seed for every service that has none yet."""

from typing import Any

from django.db import migrations

from services.secrets import new_seed


def give_seeds(apps: Any, schema_editor: Any) -> None:
    services = apps.get_model("services", "ServiceInstance").unscoped
    for pk in services.filter(seed="").values_list("pk", flat=True):
        services.filter(pk=pk).update(seed=new_seed())


class Migration(migrations.Migration):
    dependencies = [("services", "0004_seeds_and_certificates")]
    operations = [migrations.RunPython(give_seeds, migrations.RunPython.noop)]
