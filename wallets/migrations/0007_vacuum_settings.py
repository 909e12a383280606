"""When PostgreSQL cleans up, and how much room it leaves.

``wallets_transaction``: a payout changes its row twice and so leaves two dead entries at the head
of the partial indexes ``transaction_due`` and ``transaction_lease``, where every claim begins to
look. The default waits for a fifth of the table, which at ten million rows is a million payouts; two
percent comes after a hundred thousand. ``vacuum_index_cleanup`` because the default skips the
indexes while few pages of the table have dead rows, and the indexes are what this is about. The
planner's counts of rows per status are kept as fresh: with stale ones it takes SCHEDULED for common.

``wallets_wallet``: what changes, balance and time, is in no index, so a new version needs no index
entries as long as it finds room on its page. Thirty percent are room for a dozen versions.

``wallets_bankgate``: one row, changed by every claim while there is a rate limit. Its page is kept
for its versions.

The indexes keep their fill factor: both queues grow at the right and are emptied from the left, so
room left in their pages would never be used.
"""

from typing import Any

from django.db import migrations

SETTINGS = {
    "wallets_transaction": {
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_vacuum_threshold": "20000",
        "autovacuum_analyze_scale_factor": "0.02",
        "autovacuum_analyze_threshold": "5000",
        "vacuum_index_cleanup": "on",
    },
    "wallets_wallet": {
        "fillfactor": "70",
        "autovacuum_vacuum_scale_factor": "0.05",
    },
    "wallets_bankgate": {"fillfactor": "10"},
}


def _set(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    for table, settings in SETTINGS.items():
        listed = ", ".join(f"{name} = {value}" for name, value in settings.items())
        schema_editor.execute(f"ALTER TABLE {table} SET ({listed})", params=None)


def _reset(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    for table, settings in SETTINGS.items():
        schema_editor.execute(f"ALTER TABLE {table} RESET ({', '.join(settings)})", params=None)


class Migration(migrations.Migration):
    dependencies = [("wallets", "0006_cancelled_status")]

    operations = [migrations.RunPython(_set, _reset)]
