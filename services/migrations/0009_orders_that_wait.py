from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("services", "0008_wall_of_samples")]

    operations = [
        migrations.AddField("productorder", "starts_at", models.DateTimeField(blank=True, null=True)),
    ]
