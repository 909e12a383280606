"""Guessing the admin's passwords is slowed down, and nobody else is kept out by it."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import F
from django.test import TestCase, override_settings
from django.urls import reverse

from wallets.logins.models import LoginAttempt

URL = reverse("admin:login")
GOOD = "correct horse battery"
WRONG = "wrong"


@override_settings(
    ADMIN_LOGIN_FAILURES=3, PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]
)
class LoginTest(TestCase):
    def setUp(self) -> None:
        User.objects.create_superuser("boss", password=GOOD)
        User.objects.create_superuser("clerk", password=GOOD)

    def attempt(self, name: str = "boss", password: str = WRONG, **extra: Any) -> str:
        """``in``, ``wrong`` or ``wait``."""
        self.client.logout()
        response = self.client.post(URL, {"username": name, "password": password}, **extra)
        if response.status_code == 302:
            return "in"
        return "wait" if "Too many" in response.content.decode() else "wrong"

    def test_makes_whoever_guesses_wait_even_with_the_right_password(self) -> None:
        self.assertEqual([self.attempt() for _ in range(4)], ["wrong"] * 3 + ["wait"])
        self.assertEqual(self.attempt(password=GOOD), "wait")
        self.assertEqual(self.attempt("BOSS", GOOD), "wait")

    def test_keeps_nobody_else_out(self) -> None:
        for _ in range(10):
            self.attempt()
        self.assertEqual(self.attempt("clerk", GOOD), "in")
        self.assertEqual(self.attempt(password=GOOD, REMOTE_ADDR="10.0.0.9"), "in")

    def test_lets_in_again_once_the_window_is_over(self) -> None:
        for _ in range(10):
            self.attempt()
        LoginAttempt.objects.update(at=F("at") - timedelta(seconds=901))
        self.assertEqual(self.attempt(password=GOOD), "in")
        self.assertEqual(LoginAttempt.objects.count(), 0)

    def test_forgets_failures_after_a_success(self) -> None:
        for _ in range(3):
            self.assertEqual([self.attempt(), self.attempt()], ["wrong", "wrong"])
            self.assertEqual(self.attempt(password=GOOD), "in")

    def test_makes_a_name_wait_that_is_guessed_from_everywhere(self) -> None:
        said = [self.attempt(REMOTE_ADDR=f"10.0.0.{n}") for n in range(31)]
        self.assertEqual(said, ["wrong"] * 30 + ["wait"])

    def test_makes_a_public_address_wait_that_tries_many_names(self) -> None:
        said = [self.attempt(f"name{n}", REMOTE_ADDR="9.9.9.9") for n in range(31)]
        self.assertEqual(said, ["wrong"] * 30 + ["wait"])
        said = [self.attempt(f"name{n}", REMOTE_ADDR="127.0.0.1") for n in range(31)]
        self.assertNotIn("wait", said)

    @override_settings(TRUST_X_FORWARDED_FOR=True)
    def test_believes_only_what_the_proxy_added(self) -> None:
        forged = [f"1.2.3.{n}, 9.9.9.9" for n in range(5)]
        said = [self.attempt(headers={"X-Forwarded-For": each}) for each in forged]
        self.assertEqual(said, ["wrong"] * 3 + ["wait"] * 2)
        self.assertEqual(self.attempt(headers={"X-Forwarded-For": "8.8.8.8"}), "wrong")

    def test_takes_the_addresses_of_one_ipv6_host_for_one(self) -> None:
        said = [self.attempt(REMOTE_ADDR=f"2a00:1:2:3::{n}") for n in range(4)]
        self.assertEqual(said[-1], "wait")

    def test_tells_it_in_persian(self) -> None:
        for _ in range(4):
            response = self.client.post(
                URL, {"username": "boss", "password": "x"}, headers={"Accept-Language": "fa"}
            )
        self.assertContains(response, "بیش از حد")

    def test_keeps_no_name_and_no_address(self) -> None:
        self.attempt("my-secret-typed-here", REMOTE_ADDR="9.9.9.9")
        kept = str(list(LoginAttempt.objects.values_list()))
        self.assertNotIn("my-secret", kept)
        self.assertNotIn("9.9.9.9", kept)
