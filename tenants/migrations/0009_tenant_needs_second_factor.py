from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0008_wall_of_changes")]
    operations = [
        migrations.AddField(
            model_name="tenant", name="needs_second_factor", field=models.BooleanField(default=False)
        ),
    ]
