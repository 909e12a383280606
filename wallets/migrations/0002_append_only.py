from django.db import migrations

from wallets.migrations import _append_only


class Migration(migrations.Migration):
    dependencies = [("wallets", "0001_initial")]

    operations = [migrations.RunPython(_append_only.install, _append_only.remove)]
