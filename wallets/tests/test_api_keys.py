"""Keys, scopes, accounts and limits, from outside."""

import json
import logging
from datetime import timedelta
from io import StringIO
from typing import Any
from unittest.mock import patch

from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.test import Client, TestCase, override_settings
from django.urls import URLPattern

from wallets.api.urls import urlpatterns
from wallets.api.views.base import ApiView, PublicView
from wallets.domain.api_keys import InvalidApiKey, authenticate, issue
from wallets.models import ApiKey, Scope
from wallets.models.clock import database_now
from wallets.tests.api_case import FUTURE, ApiCase, decoded, everything

ALL = [scope for scope in Scope.values if scope != Scope.ADMIN_READ]


def new_key(tenant: str, *scopes: str, name: str = "k", **options: Any) -> str:
    now = database_now()
    return issue(
        tenant=tenant, name=name, scopes=scopes or ALL, now=now, **{"expires_at": None} | options
    ).secret


@override_settings(API_AUTH_REQUIRED=True)
class KeyCase(ApiCase, TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.key = new_key("ours")

    def with_key(self, key: str | None) -> dict[str, str]:
        return {} if key is None else {"Authorization": f"Bearer {key}"}

    def opened(self, key: str) -> int:
        answer = self.send("/api/wallets/", {}, **self.with_key(key))
        return int(decoded(answer, 201)["wallet"]["id"])


class KeyTest(KeyCase):
    def test_lets_a_key_in(self) -> None:
        self.opened(self.key)

    def test_asks_for_a_key(self) -> None:
        response = self.send("/api/wallets/", {})
        self.refused(response, 401, "authentication_required")
        self.assertEqual(response.headers["WWW-Authenticate"], "Bearer")

    def test_refuses_every_other_key_in_one_way(self) -> None:
        prefix = self.key.split("_")[1]
        wrong = [
            self.key[:-1] + ("A" if self.key[-1] != "A" else "B"),
            self.key.replace(prefix, "0" * 12),
            "x",
            "wlt_" + "a" * 300,
            new_key("ours", name="old", expires_at=database_now() + timedelta(seconds=1)),
        ]
        ApiKey.objects.filter(name="old").update(expires_at=database_now() - timedelta(seconds=1))
        details = set()
        for key in wrong:
            response = self.send("/api/wallets/", {}, **self.with_key(key))
            self.refused(response, 401, "api_key_invalid")
            details.add(response.content)
        self.assertEqual(len(details), 1)

    def test_refuses_another_scheme(self) -> None:
        response = self.send("/api/wallets/", {}, Authorization=f"Basic {self.key}")
        self.refused(response, 401, "api_key_invalid")

    def test_refuses_a_bad_key_even_where_none_is_needed(self) -> None:
        with override_settings(API_AUTH_REQUIRED=False):
            response = self.send("/api/wallets/", {}, **self.with_key("x"))
        self.refused(response, 401, "api_key_invalid")

    def test_needs_no_key_where_none_is_required(self) -> None:
        with override_settings(API_AUTH_REQUIRED=False):
            decoded(self.send("/api/wallets/", {}), 201)

    def test_names_the_scope_that_is_missing(self) -> None:
        reader = new_key("ours", Scope.WALLETS_READ, name="reader")
        wallet = self.opened(self.key)
        before = everything()
        for path, body, scope in (
            ("/api/wallets/", {}, "wallets:create"),
            (f"/api/wallets/{wallet}/deposit/", {"amount": 1}, "deposits:write"),
            (
                f"/api/wallets/{wallet}/withdrawals/",
                {"amount": 1, "execute_at": FUTURE},
                "withdrawals:write",
            ),
        ):
            data = self.refused(
                self.send(path, body, **self.with_key(reader)), 403, "scope_missing"
            )
            self.assertEqual(data["scope"], scope)
        self.assertEqual(everything(), before)

    def test_keeps_only_a_digest(self) -> None:
        row = ApiKey.objects.get()
        secret = self.key.split("_", 2)[2]
        self.assertNotIn(secret, str(vars(row)))
        self.assertEqual(len(row.digest), 64)

    def test_notes_its_use_once_a_minute(self) -> None:
        authenticate(self.key)
        used = ApiKey.objects.get().last_used_at
        assert used is not None
        with self.assertNumQueries(1):
            authenticate(self.key)
        ApiKey.objects.update(last_used_at=database_now() - timedelta(minutes=2))
        authenticate(self.key)
        self.assertTrue(ApiKey.objects.filter(last_used_at__gte=used).exists())

    def test_answers_405_and_404_as_usual(self) -> None:
        response = self.client.put("/api/wallets/", headers=self.with_key(self.key))
        self.refused(response, 405, "method_not_allowed")
        self.refused(self.client.get("/api/nothing/"), 404, "not_found")

    def test_is_healthy_without_a_key(self) -> None:
        decoded(self.client.get("/health/"), 200)


class TenancyTest(KeyCase):
    def setUp(self) -> None:
        super().setUp()
        self.wallet = self.opened(self.key)
        self.stranger = new_key("theirs")

    def routes(self) -> list[tuple[str, str, type[ApiView]]]:
        """Every method of every route of the API, with our ids in its path."""
        ids = {"wallet_id": str(self.wallet)}
        found = []
        for pattern in urlpatterns:
            if not isinstance(pattern, URLPattern):
                continue
            view = getattr(pattern.callback, "cls", None)
            if view is None or issubclass(view, PublicView) or not issubclass(view, ApiView):
                continue
            route = str(pattern.pattern)
            for name in pattern.pattern.converters:
                route = route.replace(f"<str:{name}>", ids.get(name, "1"))
                route = route.replace(f"<int:{name}>", ids.get(name, "1"))
            found += [
                (method, f"/{route}", view)
                for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
                if hasattr(view, method.lower())
            ]
        return found

    def test_knows_the_routes(self) -> None:
        self.assertGreaterEqual(len(self.routes()), 5)

    def test_names_a_scope_for_every_method_of_every_route(self) -> None:
        for method, path, view in self.routes():
            self.assertIn(method, view.scopes, path)

    def test_answers_a_stranger_as_if_there_were_no_such_wallet(self) -> None:
        bodies = {
            "deposit/": {"amount": 1},
            "withdrawals/": {"amount": 1, "execute_at": FUTURE},
        }
        before = everything()
        for method, path, _ in self.routes():
            if f"/{self.wallet}/" not in path:
                continue
            with self.subTest(f"{method} {path}"):
                ours, absent = path, path.replace(f"/{self.wallet}/", "/999999/")
                last = path.split(f"/{self.wallet}/", 1)[1]
                answers = [
                    self.client.generic(
                        method,
                        each,
                        b"" if method == "GET" else _json(bodies.get(last, {})),
                        content_type="application/json",
                        headers=self.with_key(self.stranger),
                    )
                    for each in (ours, absent)
                ]
                self.assertGreaterEqual(answers[0].status_code, 400, answers[0].content)
                self.assertEqual(answers[0].content, answers[1].content)
        self.assertEqual(everything(), before)

    def test_keeps_idempotency_keys_apart(self) -> None:
        first = decoded(self.send("/api/wallets/", {}, key="same", **self.with_key(self.key)), 201)
        second = decoded(
            self.send("/api/wallets/", {}, key="same", **self.with_key(self.stranger)), 201
        )
        self.assertNotEqual(first["wallet"]["id"], second["wallet"]["id"])
        path = f"/api/wallets/{self.wallet}/deposit/"
        decoded(self.send(path, {"amount": 5}, key="k", **self.with_key(self.key)), 201)
        replay = self.send(path, {"amount": 5}, key="k", **self.with_key(self.stranger))
        self.refused(replay, 404, "wallet_not_found")

    def test_finds_our_wallet_by_uuid_for_us_alone(self) -> None:
        path = f"/api/wallets/{self.wallet}/"
        data = decoded(self.client.get(path, headers=self.with_key(self.key)), 200)
        by_uuid = f"/api/wallets/{data['wallet']['uuid']}/"
        decoded(self.client.get(by_uuid, headers=self.with_key(self.key)), 200)
        stranger = self.client.get(by_uuid, headers=self.with_key(self.stranger))
        self.refused(stranger, 404, "wallet_not_found")

    def test_lets_a_second_key_of_the_account_in(self) -> None:
        second = new_key("ours", name="second")
        path = f"/api/wallets/{self.wallet}/"
        decoded(self.client.get(path, headers=self.with_key(second)), 200)

    def test_lets_an_admin_reader_read_and_nothing_else(self) -> None:
        auditor = new_key("audit", Scope.ADMIN_READ)
        path = f"/api/wallets/{self.wallet}/"
        decoded(self.client.get(path, headers=self.with_key(auditor)), 200)
        deposit = self.send(f"{path}deposit/", {"amount": 1}, **self.with_key(auditor))
        self.refused(deposit, 403, "scope_missing")


class CommandTest(TestCase):
    def run_command(self, *arguments: str) -> str:
        out = StringIO()
        call_command(*arguments, stdout=out)
        return out.getvalue()

    def test_shows_a_new_key_once(self) -> None:
        shown = self.run_command(
            "create_api_key",
            "shop",
            "--scopes",
            "wallets:read,deposits:write",
            "--expires",
            "2099-01-31",
        )
        key = shown.splitlines()[0]
        self.assertEqual(authenticate(key).scopes, {"wallets:read", "deposits:write"})
        listed = self.run_command("list_api_keys")
        self.assertIn("shop", listed)
        self.assertIn("valid until 2099-02-01", listed)
        self.assertNotIn(key, listed)

    def test_refuses_what_is_no_key(self) -> None:
        for arguments, says in (
            (["shop", "--scopes", "all"], "wallets:read"),
            (["shop", "--scopes", "wallets:read", "--expires", "soon"], "--expires"),
            (["shop", "--scopes", "wallets:read", "--expires", "2001-01-01"], "future"),
            (["", "--scopes", "wallets:read"], "Names"),
        ):
            with self.assertRaisesRegex(CommandError, says):
                call_command("create_api_key", *arguments)
        self.assertEqual(ApiKey.objects.count(), 0)

    def test_refuses_a_name_that_is_taken(self) -> None:
        new_key("default", name="shop")
        with self.assertRaisesRegex(CommandError, "rotate or revoke"):
            call_command("create_api_key", "shop", "--scopes", "wallets:read")

    def test_revokes_at_once(self) -> None:
        key = new_key("ours")
        self.run_command("revoke_api_key", key.split("_")[1])
        with self.assertRaises(InvalidApiKey):
            authenticate(key)
        with self.assertRaisesRegex(CommandError, "no valid key"):
            call_command("revoke_api_key", key.split("_")[1])

    def test_rotates_with_a_grace(self) -> None:
        old = new_key("ours", Scope.WALLETS_READ)
        new = self.run_command("rotate_api_key", old.split("_")[1]).splitlines()[0]
        self.assertEqual(authenticate(new).scopes, authenticate(old).scopes)
        ends = ApiKey.objects.get(prefix=old.split("_")[1]).expires_at
        assert ends is not None
        self.assertAlmostEqual((ends - database_now()).total_seconds(), 24 * 3600, delta=60)
        self.run_command("rotate_api_key", new.split("_")[1], "--grace-hours", "0")
        with self.assertRaises(InvalidApiKey):
            authenticate(new)


class RateTest(KeyCase):
    @override_settings(API_RATE_LIMIT_PER_MINUTE=3)
    def test_refuses_a_key_past_its_limit_and_no_other(self) -> None:
        wallet = self.opened(self.key)
        path = f"/api/wallets/{wallet}/"
        # The count starts anew with the minute, so more than the limit is asked for.
        answers = [self.client.get(path, headers=self.with_key(self.key)) for _ in range(8)]
        limited = [answer for answer in answers if answer.status_code == 429]
        self.assertTrue(limited)
        for answer in limited:
            self.refused(answer, 429, "too_many_requests")
            self.assertTrue(1 <= int(answer.headers["Retry-After"]) <= 60)
        other = new_key("ours", name="other")
        decoded(self.client.get(path, headers=self.with_key(other)), 200)

    @override_settings(API_RATE_LIMIT_PER_MINUTE=3)
    def test_refuses_or_lets_through_what_cannot_be_counted(self) -> None:
        path = f"/api/wallets/{self.opened(self.key)}/"
        for fails_open, status in ((False, 503), (True, 200)):
            with (
                self.subTest(fails_open=fails_open),
                override_settings(API_RATE_LIMIT_FAILS_OPEN=fails_open),
                patch("wallets.api.throttling.count_request", side_effect=DatabaseError),
                self.assertLogs("wallets.api", "ERROR"),
            ):
                decoded(self.client.get(path, headers=self.with_key(self.key)), status)

    def test_counts_nobody_without_a_limit(self) -> None:
        wallet = self.opened(self.key)
        with self.assertNumQueries(3):
            self.client.get(f"/api/wallets/{wallet}/", headers=self.with_key(self.key))


class LimitTest(ApiCase, TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.wallet = decoded(self.send("/api/wallets/", {}), 201)["wallet"]["id"]

    def deposit(self, amount: int) -> Any:
        return self.send(f"/api/wallets/{self.wallet}/deposit/", {"amount": amount})

    def withdraw(self, amount: int, at: str = FUTURE) -> Any:
        return self.send(
            f"/api/wallets/{self.wallet}/withdrawals/", {"amount": amount, "execute_at": at}
        )

    @override_settings(WALLET_MAX_BALANCE=100)
    def test_lets_a_wallet_hold_no_more_than_its_limit(self) -> None:
        decoded(self.deposit(100), 201)
        data = self.refused(
            self.deposit(1), 409, "balance_limit_exceeded", ("amount", "balance_limit_exceeded")
        )
        self.assertEqual((data["limit"], data["balance"]), (100, 100))

    @override_settings(WITHDRAWAL_MAX_AMOUNT=100)
    def test_lets_no_withdrawal_be_larger_than_its_limit(self) -> None:
        decoded(self.withdraw(100), 201)
        self.refused(
            self.withdraw(101),
            409,
            "withdrawal_limit_exceeded",
            ("amount", "withdrawal_limit_exceeded"),
        )

    @override_settings(WITHDRAWAL_MAX_PER_DAY=100)
    def test_adds_up_the_withdrawals_of_a_day(self) -> None:
        decoded(self.withdraw(60, "2999-01-31T00:00:00Z"), 201)
        decoded(self.withdraw(40, "2999-01-31T23:59:59Z"), 201)
        data = self.refused(
            self.withdraw(1, "2999-01-31T12:00:00Z"),
            409,
            "daily_limit_exceeded",
            ("amount", "daily_limit_exceeded"),
        )
        self.assertEqual((data["limit"], data["planned"]), (100, 100))
        decoded(self.withdraw(100, "2999-02-01T00:00:00Z"), 201)


class SecrecyTest(KeyCase):
    def test_logs_no_key(self) -> None:
        with self.assertLogs("wallets", logging.DEBUG) as logs:
            logging.getLogger("wallets").debug("so that there is something")
            self.send("/api/wallets/", {}, **self.with_key(self.key))
            self.send("/api/wallets/", {}, **self.with_key(self.key + "x"))
            Client(raise_request_exception=False).get(
                "/api/wallets/1/", headers=self.with_key(self.key)
            )
        self.assertNotIn(self.key.split("_", 2)[2], "\n".join(logs.output))


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
