"""Every answer tells browsers to do little, whoever made it."""

import base64
import hashlib
import re
import runpy
from pathlib import Path
from typing import Any
from unittest import mock

from django.contrib.auth.models import User
from django.db.utils import DataError, ProgrammingError
from django.test import SimpleTestCase, TestCase, override_settings
from django.urls import reverse

from wallet.databases import database
from wallets.tests.api_case import ApiCase, decoded

ROOT = Path(__file__).resolve().parents[2]
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class HeadersTest(ApiCase, TestCase):
    def policy(self, response: Any) -> str:
        for name, value in EVERYWHERE.items():
            self.assertEqual(response.headers.get(name), value, name)
        return str(response.headers["Content-Security-Policy"])

    def test_lets_nothing_run_in_an_answer_of_the_api(self) -> None:
        for response, status in (
            (self.client.get("/health/"), 200),
            (self.client.get("/api/schema/"), 200),
            (self.client.get("/api/wallets/9/"), 404),
            (self.client.get("/api/nowhere"), 404),
            (self.client.post("/api/wallets/"), 415),
            (self.client.get("/api/errors/", headers={"Host": "evil example"}), 400),
        ):
            with self.subTest(status=status):
                self.assertEqual(response.status_code, status)
                self.assertTrue(self.policy(response).startswith("default-src 'none'; frame"))
                self.assertEqual(response.headers["Cache-Control"], "no-store")

    def test_lets_the_admin_run_its_own_files_only(self) -> None:
        self.client.force_login(User.objects.create_superuser("boss"))
        for url in (
            reverse("admin:index"),
            reverse("admin:wallets_transaction_changelist"),
            reverse("admin:wallets_apikey_add"),
            "/nowhere/",
        ):
            response = self.client.get(url)
            policy = self.policy(response)
            self.assertNotIn("unsafe", policy)
            self.assertIn("script-src 'self';", policy)
            page = response.content.decode()
            self.assertEqual(re.findall(r"<script>|<script (?![^>]*src=)[^>]*>|<style", page), [])
            self.assertEqual(re.findall(r"\son\w+=|\sstyle=|javascript:", page), [])

    def test_lets_the_documentation_run_its_own_script_by_its_digest(self) -> None:
        response = self.client.get("/api/docs/")
        [script] = re.findall(r"<script>(.*?)</script>", response.content.decode(), re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = self.policy(response)
        self.assertIn(f"script-src 'self' 'sha256-{digest}';", policy)
        self.assertNotIn("unsafe-inline", policy.split("style-src")[0])

    @override_settings(SECURE_HSTS_SECONDS=60)
    def test_keeps_browsers_to_https_also_after_an_error(self) -> None:
        for url in ("/api/nowhere", "/api/wallets/9/", "/nowhere/", "/api/docs/"):
            response = self.client.get(url, secure=True)
            self.assertIn("max-age=60", response.headers["Strict-Transport-Security"], url)


class NothingInsideTest(ApiCase, TestCase):
    """Whatever breaks, an answer tells nothing about the inside."""

    def test_answers_without_a_trace_or_sql_with_and_without_debug(self) -> None:
        broken = [
            ProgrammingError('relation "wallets_wallet" does not exist SELECT secret FROM x'),
            DataError("SELECT secret"),
            RuntimeError("secret in wallets/domain/wallets.py"),
            KeyError("secret"),
        ]
        for debug in (True, False):
            for error in broken:
                for url, place in (
                    ("/api/wallets/1/", "wallets.api.views.wallet.WalletView.get"),
                    ("/health/", "wallets.api.views.health.HealthView.get"),
                    ("/api/nowhere", "wallets.api.views.fallback.NothingHereView.initial"),
                ):
                    with (
                        self.subTest(debug=debug, error=error, url=url),
                        override_settings(DEBUG=debug, DEBUG_PROPAGATE_EXCEPTIONS=False),
                        mock.patch(place, side_effect=error),
                    ):
                        self.check(url)

    def check(self, url: str) -> None:
        response = self.client.get(url)
        self.assertEqual(decoded(response, 500)["code"], "internal_error")
        text = response.content.decode()
        for word in ("secret", "SELECT", "Traceback", "wallets_wallet", ".py", "Error("):
            self.assertNotIn(word, text)

    def test_answers_alike_about_what_is_unknown_malformed_or_huge(self) -> None:
        answers = {
            self.client.get(f"/api/wallets/{each}/").content
            for each in ("0", "999", "9" * 40, "x", "%27%20OR%201=1--", "1e3", "-1")
        }
        self.assertEqual(len(answers), 1)


class ServerTest(SimpleTestCase):
    def test_gives_up_a_database_that_vanished(self) -> None:
        with mock.patch.dict("os.environ", {"DATABASE_URL": "postgres://u@h/d"}):
            options = database(ROOT, debug=False)["OPTIONS"]
        self.assertGreater(options["tcp_user_timeout"], 15_000)

    def test_configures_gunicorn_to_trust_and_to_tell_nobody(self) -> None:
        given = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
        self.assertIs(given["control_socket_disable"], True)
        self.assertEqual(given["forwarder_headers"], "")
        self.assertNotRegex(given["access_log_format"].lower(), r"authorization|\(q\)|\(r\)|\(f\)")
        self.assertGreater(given["timeout"], 15)
