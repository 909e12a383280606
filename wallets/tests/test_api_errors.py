"""Whatever goes wrong, and wherever, is answered in the envelope."""

from typing import Any
from unittest.mock import patch

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from django.test import Client, TestCase, override_settings
from django.utils import translation
from rest_framework import exceptions as drf

from wallets.domain.errors import RequestInProgress
from wallets.tests.api_case import ApiCase, decoded
from wallets.tests.money import make_wallet

ENDPOINTS = {
    "/api/wallets/": {"GET", "HEAD", "POST"},
    "/api/wallets/1/": {"GET", "HEAD"},
    "/api/wallets/1/deposit/": {"POST"},
    "/api/wallets/deposits/bulk/": {"POST"},
    "/api/wallets/1/withdrawals/": {"GET", "HEAD", "POST"},
    "/api/wallets/1/withdrawals/1/": {"GET", "HEAD"},
    "/api/wallets/1/withdrawals/1/cancel/": {"POST"},
    "/api/wallets/1/withdrawals/1/reschedule/": {"POST"},
    "/api/wallets/1/projection/": {"GET", "HEAD"},
    "/api/wallets/1/balance/": {"GET", "HEAD"},
    "/api/wallets/1/statement/": {"GET", "HEAD"},
    "/api/wallets/1/transactions/": {"GET", "HEAD"},
    "/api/errors/": {"GET", "HEAD"},
    "/api/schema/": {"GET", "HEAD"},
    "/api/docs/": {"GET", "HEAD"},
    "/health/": {"GET", "HEAD"},
}
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "M-SEARCH", "X"]
NOWHERE = [
    "/api",
    "/api/",
    "/api//",
    "/api/nope",
    "/api/nope/",
    "/api/wallets//",
    "/api/wallets//deposit/",
    "/api/wallets/1/deposit/x/",
    "/api/wallets/1/deposits/",
    "/api/Wallets/",
    "/api/wallets/1/nope",
    "/api/%00",
    "/api/%FF/",
    "/api/a%0Ab",
    "/api/%E2%80%AE",
    "/api/../admin/",
    "/api/" + "x" * 10_000,
    "/health/x",
    "/health//",
]
SLASHLESS = [
    "/api/wallets",
    "/api/wallets/1",
    "/api/wallets/1/deposit",
    "/api/wallets/deposits/bulk",
    "/api/wallets/1/withdrawals",
    "/api/wallets/1/withdrawals/1",
    "/api/wallets/1/withdrawals/1/cancel",
    "/api/wallets/1/withdrawals/1/reschedule",
    "/api/wallets/1/projection",
    "/api/wallets/1/balance",
    "/api/wallets/1/statement",
    "/api/wallets/1/transactions",
    "/api/errors",
    "/api/schema",
    "/api/docs",
    "/health",
]


class NothingThereTest(ApiCase, TestCase):
    def test_answers_every_method_on_unknown_paths(self) -> None:
        for path in NOWHERE:
            for method in [*METHODS, "OPTIONS"]:
                with self.subTest(path=path[:60], method=method):
                    self.refused(self.client.generic(method, path), 404, "not_found")

    def test_neither_redirects_nor_serves_a_path_without_its_slash(self) -> None:
        for path in SLASHLESS:
            for method in ("GET", "POST", "OPTIONS"):
                with self.subTest(path=path, method=method), self.nothing_changes():
                    response = self.client.generic(method, path, b"{}", "application/json")
                    self.refused(response, 404, "not_found")
                    self.assertIn("slash", response.json()["detail"])

    def test_does_not_hint_at_a_slash_where_it_would_not_help(self) -> None:
        self.assertNotIn("slash", self.client.get("/api/nope").json()["detail"])

    def test_leaves_the_rest_of_the_site_alone(self) -> None:
        for path in ("/apis/", "/healthy", "/API/wallets/"):
            response = self.client.get(path)
            self.assertEqual(response.status_code, 404)
            self.assertTrue(response.headers["Content-Type"].startswith("text/html"))
        self.assertEqual(self.client.get("/admin").status_code, 301)
        self.assertRedirects(self.client.get("/"), "/api/docs/")


class MethodsTest(ApiCase, TestCase):
    def test_refuses_methods_that_are_not_there_and_names_those_that_are(self) -> None:
        for path, allowed in ENDPOINTS.items():
            for method in set(METHODS) - allowed:
                with self.subTest(path=path, method=method):
                    response = self.client.generic(method, path, b"{", "application/json")
                    self.refused(response, 405, "method_not_allowed")
                    named = set(response.headers["Allow"].split(", "))
                    self.assertEqual(named, allowed | {"OPTIONS"})

    def test_tells_the_methods_to_options(self) -> None:
        for path, allowed in ENDPOINTS.items():
            response = self.client.options(path)
            data = decoded(response, 200)
            self.assertEqual(set(data["allow"]), allowed | {"OPTIONS"})
            self.assertEqual(response.headers["Allow"], ", ".join(data["allow"]))

    def test_does_not_let_a_header_replace_the_method(self) -> None:
        with self.nothing_changes():
            for name in ("X-HTTP-Method-Override", "X-Method-Override"):
                response = self.client.get("/api/wallets/1/deposit/", headers={name: "POST"})
                self.refused(response, 405, "method_not_allowed")

    def test_speaks_english_in_the_detail_whatever_the_language(self) -> None:
        with translation.override("fa"):
            detail = self.client.put("/api/wallets/").json()["detail"]
        self.assertTrue(detail.isascii(), detail)


class HostTest(ApiCase, TestCase):
    @override_settings(ALLOWED_HOSTS=["wallet.example"])
    def test_refuses_other_hosts(self) -> None:
        decoded(self.client.get("/health/", headers={"Host": "wallet.example"}), 200)
        for host in (
            "evil.example",
            "",
            "a b",
            "[::1",
            "wallet.example:x",
            "\u00e9",
            "a@b",
            "\x00",
        ):
            for path in ("/health/", "/api/wallets/", "/api/docs/", "/api/nope", "/api/schema/"):
                with self.subTest(host=host, path=path):
                    with self.assertLogs("wallets.api.errors", "WARNING"):
                        response = self.client.get(path, headers={"Host": host})
                    self.refused(response, 400, "host_not_allowed")
                    self.assertEqual(response.headers["X-Content-Type-Options"], "nosniff")

    @override_settings(SECURE_SSL_REDIRECT=True)
    def test_refuses_plain_http_instead_of_redirecting_it(self) -> None:
        client = Client(raise_request_exception=False)
        with self.nothing_changes():
            for path in ("/api/wallets/", "/api/nope", "/api/docs/"):
                response = client.post(path, b"{}", content_type="application/json")
                self.refused(response, 403, "https_required")
        decoded(client.get("/health/"), 200)
        self.assertEqual(client.get("/admin/").status_code, 301)
        decoded(client.post("/api/wallets/", {}, content_type="application/json", secure=True), 201)


class BrokenTest(ApiCase, TestCase):
    """What happens when something inside raises."""

    def setUp(self) -> None:
        super().setUp()
        self.wallet = make_wallet(10)

    def when(self, error: Exception) -> Any:
        with patch("wallets.api.views.deposits.deposit", side_effect=error):
            return self.send(f"/api/wallets/{self.wallet}/deposit/", {"amount": 1})

    def test_hides_the_error_from_the_client_and_shows_it_to_the_operator(self) -> None:
        for debug in (True, False):
            with override_settings(DEBUG=debug), self.assertLogs("wallets.api.errors") as logs:
                response = self.when(RuntimeError("the password is swordfish"))
            self.refused(response, 500, "internal_error")
            self.assertNotIn("swordfish", response.content.decode())
            self.assertNotIn("Error", response.content.decode())
            [record] = logs.records
            self.assertEqual(record.levelname, "ERROR")
            self.assertIsNotNone(record.exc_info)
            self.assertIn("/deposit/", record.__dict__["path"])

    def test_hides_what_the_database_says(self) -> None:
        error = IntegrityError('duplicate key value violates "wallets_wallet_pkey"')
        with self.assertLogs("wallets.api.errors", "ERROR"):
            response = self.when(error)
        self.refused(response, 500, "internal_error")
        self.assertNotIn("pkey", response.content.decode())

    def test_answers_in_the_envelope_when_the_view_was_never_reached(self) -> None:
        target = "wallets.api.views.base.ApiView.initialize_request"
        for debug in (True, False):
            for path in (*ENDPOINTS, "/api/nope"):
                with (
                    override_settings(DEBUG=debug),
                    patch(target, side_effect=RuntimeError("swordfish")),
                    self.assertLogs("django.request", "ERROR"),
                ):
                    response = self.client.get(path)
                self.refused(response, 500, "internal_error")
                self.assertNotIn("swordfish", response.content.decode())

    def test_asks_to_try_again_when_the_database_cannot_answer_now(self) -> None:
        standby = DatabaseError("cannot execute INSERT in a read-only transaction")
        standby.__cause__ = type("ReadOnly", (Exception,), {"pgcode": "25006"})()
        errors = [
            OperationalError("server closed the connection"),
            OperationalError("canceling statement due to lock timeout"),
            OperationalError("could not serialize access"),
            InterfaceError("connection already closed"),
            DatabaseError("error with status PGRES_TUPLES_OK"),
            standby,
        ]
        for error in errors:
            with self.assertLogs("wallets.api.errors", "ERROR"):
                response = self.when(error)
            self.refused(response, 503, "database_unavailable")
            self.assertEqual(response.headers["Retry-After"], "2")
            self.assertNotIn(str(error), response.content.decode())

    def test_maps_what_django_and_the_framework_raise(self) -> None:
        cases = [
            (Http404("x"), 404, "not_found"),
            (PermissionDenied("x"), 403, "permission_denied"),
            (SuspiciousOperation("x"), 400, "bad_request"),
            (UnreadablePostError("x"), 400, "body_incomplete"),
            (drf.NotFound("x"), 404, "not_found"),
            (drf.PermissionDenied("x"), 403, "permission_denied"),
            (drf.ParseError("x"), 400, "bad_request"),
            (drf.NotAcceptable("x"), 406, "not_acceptable"),
            (drf.APIException("x"), 500, "internal_error"),
            (RequestInProgress(), 409, "request_in_progress"),
        ]
        for error, status, code in cases:
            with self.subTest(error=error):
                self.refused(self.when(error), status, code)

    def test_says_how_long_to_wait_when_throttled(self) -> None:
        response = self.when(drf.Throttled(wait=3.2))
        self.refused(response, 429, "too_many_requests")
        self.assertEqual(response.headers["Retry-After"], "4")
        self.assertEqual(self.when(drf.Throttled()).headers["Retry-After"], "1")
        self.assertEqual(self.when(RequestInProgress()).headers["Retry-After"], "1")

    def test_asks_for_credentials_the_way_the_authentication_wants_them(self) -> None:
        target = "wallets.api.views.base.ApiView.get_authenticate_header"
        with patch(target, return_value='Bearer realm="api"'):
            response = self.when(drf.NotAuthenticated())
        self.refused(response, 401, "authentication_required")
        self.assertEqual(response.headers["WWW-Authenticate"], 'Bearer realm="api"')


class CheapTest(ApiCase, TestCase):
    def test_leaves_sessions_cookies_and_languages_alone(self) -> None:
        client = Client(headers={"Accept-Language": "fa", "Cookie": "sessionid=x"})
        response = client.get("/api/errors/")
        self.assertEqual(response.cookies, {})
        self.assertNotIn("Content-Language", response.headers)
        self.assertNotIn("Vary", response.headers)
        self.assertFalse(hasattr(response.wsgi_request, "session"))
        self.assertIsNone(response.wsgi_request.user)

    def test_does_not_ask_browsers_for_a_token(self) -> None:
        client = Client(enforce_csrf_checks=True)
        headers = {"Origin": "https://evil.example", "Referer": "https://evil.example"}
        response = client.generic("POST", "/api/wallets/", headers=headers)
        decoded(response, 201)
