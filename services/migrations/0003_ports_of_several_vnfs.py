"""An address may be held by a port of a VNF that is named, as in `probe:lan`."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("services", "0002_wall")]
    operations = [
        migrations.AlterField(model_name="address", name="port", field=models.CharField(max_length=48)),
    ]
