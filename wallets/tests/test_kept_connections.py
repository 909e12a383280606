"""Connections that are kept between requests."""

from unittest import mock, skipUnless

from django.db import connection
from django.test import TransactionTestCase

from wallet.postgresql import base as postgresql


@skipUnless(connection.vendor == "postgresql", "SQLite has no connection to lose")
class KeptConnectionTest(TransactionTestCase):
    def setUp(self) -> None:
        checked = mock.patch.dict(
            connection.settings_dict, {"CONN_HEALTH_CHECKS": True, "CONN_MAX_AGE": 600}
        )
        checked.start()
        self.addCleanup(checked.stop)
        connection.close()
        self.addCleanup(connection.close)
        self.request()

    def request(self) -> int:
        """What a request does with its connection; the backend's process id."""
        connection.close_if_unusable_or_obsolete()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return int(cursor.fetchone()[0])

    def asked(self) -> bool:
        """Whether the server was asked if it is there."""
        with mock.patch.object(
            postgresql.base.DatabaseWrapper, "is_usable", autospec=True, return_value=True
        ) as ask:
            self.request()
        return bool(ask.called)

    def test_asks_nothing_while_they_are_in_use(self) -> None:
        self.request()
        self.assertFalse(self.asked())

    def test_asks_after_a_pause(self) -> None:
        self.request()
        connection._used_at -= 31.0  # type: ignore[attr-defined]
        self.assertTrue(self.asked())
        self.assertFalse(self.asked())

    def test_asks_after_an_error(self) -> None:
        self.request()
        connection.errors_occurred = True
        self.assertTrue(self.asked())

    def test_notices_at_once_that_the_server_has_ended_one(self) -> None:
        old = self.request()
        other = connection.copy()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [old])
        other.close()
        self.assertNotEqual(self.request(), old)
