"""An executor pays nothing from a database that may forget that it did."""

from unittest import skipUnless

from django.core.management import CommandError, call_command
from django.db import connection
from django.test import TestCase, override_settings

from wallets.tasks.durability import CommitsMayBeLost, demand_durable_commits


def set_synchronous_commit(value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('synchronous_commit', %s, true)", [value])


@skipUnless(connection.vendor == "postgresql", "SQLite is told when it is opened")
class DurabilityTest(TestCase):
    def test_refuses_commits_that_a_crash_may_undo(self) -> None:
        set_synchronous_commit("off")
        with self.assertRaises(CommitsMayBeLost):
            demand_durable_commits()

    def test_takes_every_other_value(self) -> None:
        for value in ("on", "local", "remote_write", "remote_apply"):
            set_synchronous_commit(value)
            demand_durable_commits()

    @override_settings(DEBUG=False)
    def test_stops_an_executor_in_production(self) -> None:
        set_synchronous_commit("off")
        with self.assertRaisesMessage(CommandError, "synchronous_commit=off"):
            call_command("run_withdrawal_executor")
