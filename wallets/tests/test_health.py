import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from django.db import connection, connections, transaction
from django.test import TransactionTestCase

from wallets.models import Wallet
from wallets.tests.api_case import ApiCase, decoded
from wallets.tests.money import make_wallet


@contextmanager
def unreachable_database() -> Iterator[None]:
    """Nothing listens where the database should be."""
    elsewhere = (
        {"HOST": "127.0.0.1", "PORT": "1"}
        if connection.vendor == "postgresql"
        else {"NAME": "/nonexistent/wallet.sqlite3"}
    )
    connection.close()
    with patch.dict(connection.settings_dict, elsewhere):
        yield
        connection.close()


@contextmanager
def locked_wallet(wallet: int) -> Iterator[None]:
    """Somebody else holds the wallet and does not let go; we wait but a moment."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                Wallet.objects.select_for_update().get(pk=wallet)
                held.set()
                done.wait(30)
        finally:
            connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    short = (
        "SET lock_timeout = 100" if connection.vendor == "postgresql" else "PRAGMA busy_timeout=100"
    )
    with connection.cursor() as cursor:
        cursor.execute(short)
    try:
        yield
    finally:
        done.set()
        holder.join()
        connection.close()


class HealthTest(ApiCase, TransactionTestCase):
    def test_is_healthy_while_the_database_answers(self) -> None:
        self.assertEqual(decoded(self.client.get("/health/"), 200), {"database": "ok"})

    def test_does_not_mind_the_parameters_of_a_load_balancer(self) -> None:
        decoded(self.client.get("/health/?ts=1&ts=2"), 200)

    def test_is_unhealthy_while_the_database_cannot_be_reached(self) -> None:
        with unreachable_database(), self.assertLogs("wallets.api.errors", "ERROR"):
            response = self.client.get("/health/")
        self.refused(response, 503, "database_unavailable")
        self.assertIn("Retry-After", response.headers)
        decoded(self.client.get("/health/"), 200)

    def test_tells_nobody_where_the_database_is(self) -> None:
        with unreachable_database(), self.assertLogs("wallets.api.errors", "ERROR"):
            content = self.client.get("/health/").content.decode()
        for internal in ("127.0.0.1", "sqlite", "postgres", "nonexistent", "refused", "psycopg"):
            self.assertNotIn(internal, content)

    def test_leaves_no_short_timeout_behind(self) -> None:
        if connection.vendor != "postgresql":
            self.skipTest("SQLite has no statement timeout")
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            before = cursor.fetchone()
            decoded(self.client.get("/health/"), 200)
            cursor.execute("SHOW statement_timeout")
            self.assertEqual(cursor.fetchone(), before)

    def test_stays_healthy_while_somebody_writes(self) -> None:
        with locked_wallet(make_wallet()):
            decoded(self.client.get("/health/"), 200)


class UnavailableTest(ApiCase, TransactionTestCase):
    def test_answers_503_everywhere_while_the_database_cannot_be_reached(self) -> None:
        for method, path in (
            ("GET", "/api/wallets/1/"),
            ("GET", "/api/wallets/1/transactions/"),
            ("POST", "/api/wallets/"),
            ("POST", "/api/wallets/1/deposit/"),
            ("POST", "/api/wallets/1/withdrawals/"),
        ):
            body = {"amount": 1, "execute_at": "2999-01-01T00:00:00Z"}
            body = {} if path == "/api/wallets/" else body
            if path.endswith("deposit/"):
                del body["execute_at"]
            with (
                self.subTest(path=path),
                unreachable_database(),
                self.assertLogs("wallets.api.errors", "ERROR"),
            ):
                raw = json.dumps(body).encode()
                response = self.client.generic(method, path, raw, "application/json")
                self.refused(response, 503, "database_unavailable")

    def test_answers_503_when_it_has_waited_too_long_for_a_lock(self) -> None:
        wallet = make_wallet(10)
        with self.nothing_changes():
            with locked_wallet(wallet), self.assertLogs("wallets.api.errors", "ERROR"):
                response = self.send(f"/api/wallets/{wallet}/deposit/", {"amount": 1}, key="k")
            self.refused(response, 503, "database_unavailable")
        decoded(self.send(f"/api/wallets/{wallet}/deposit/", {"amount": 1}, key="k"), 201)
