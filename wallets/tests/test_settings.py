"""The environment: every knob listed, every bad value refused by name."""

import os
import re
import subprocess
import sys
from pathlib import Path

from django.core.checks import run_checks
from django.test import SimpleTestCase, override_settings

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {
    "DEBUG": "False",
    "DJANGO_SECRET_KEY": "a-test-value-long-enough-to-please-the-deployment-check-0123456789",
    "ALLOWED_HOSTS": "wallet.example",
    "DATABASE_URL": "postgres://wallet@127.0.0.1:5432/wallet",
}


def start(*command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run ``manage.py`` with nothing but ``environment``, and no ``.env``."""
    kept = {k: os.environ[k] for k in ("PATH", "HOME", "LANG", "PYTHONPATH") if k in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=kept | {"PYTHON_DOTENV_DISABLED": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class GuardrailTest(SimpleTestCase):
    def test_starts_with_production_settings_and_a_clean_deployment_check(self) -> None:
        run = start("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_refuses_production_without_each_guarded_variable(self) -> None:
        for name in ("DJANGO_SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL"):
            with self.subTest(name):
                run = start("check", **(PRODUCTION | {name: ""}))
                self.assertNotEqual(run.returncode, 0)
                self.assertIn(name, run.stderr.splitlines()[-1])

    def test_asks_two_people_to_resolve_unless_told_otherwise(self) -> None:
        tell = (
            "shell",
            "-v",
            "0",
            "-c",
            "from django.conf import settings as s;print(s.RESOLVE_REQUIRES_TWO)",
        )
        for said, environment in (
            ("True", PRODUCTION),
            ("False", PRODUCTION | {"RESOLVE_REQUIRES_TWO": "False"}),
            ("False", {"DEBUG": "True"}),
        ):
            self.assertEqual(start(*tell, **environment).stdout.strip(), said)

    def test_asks_for_api_keys_in_production_and_says_so_where_it_does_not(self) -> None:
        # What every server imports.
        serve = ("shell", "-v", "0", "-c", "import wallet.wsgi")
        for is_open, environment in (
            (False, PRODUCTION),
            (True, PRODUCTION | {"API_AUTH_REQUIRED": "False"}),
            (True, {"DEBUG": "True"}),
            (False, {"DEBUG": "True", "API_AUTH_REQUIRED": "True"}),
        ):
            with self.subTest(environment):
                run = start(*serve, **environment)
                self.assertEqual(run.returncode, 0, run.stderr)
                self.assertEqual("The API is open" in run.stdout + run.stderr, is_open)

    def test_takes_db_name_in_place_of_a_url(self) -> None:
        run = start("check", **(PRODUCTION | {"DATABASE_URL": "", "DB_NAME": "wallet"}))
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_names_the_variable_and_what_it_accepts(self) -> None:
        bad = {
            "DEBUG": "maybe",
            "BANK_TIMEOUT": "soon",
            "BANK_RETRY_COUNT": "-1",
            "BANK_IDEMPOTENCY": "sometimes",
            "BANK_BASE_URL": "ftp://bank",
            "BANK_INQUIRY_PATH": "transfers",
            "BANK_MAX_RPS": "nan",
            "WITHDRAWAL_PROCESSING_STALE_SECONDS": "0",
            "WALLET_LOG_LEVEL": "LOUD",
            "WALLET_DEFAULT_CURRENCY": "rial",
            "DB_PORT": "http",
            "DATABASE_URL": "mysql://localhost/x",
        }
        for name, value in bad.items():
            with self.subTest(name):
                extra = {"DB_NAME": "x"} if name == "DB_PORT" else {}
                run = start("check", **{name: value}, **extra)
                self.assertNotEqual(run.returncode, 0)
                self.assertIn(name, run.stderr)
                self.assertRegex(run.stderr, "accepts|must")

    def test_lists_every_variable_in_the_sample_and_no_other(self) -> None:
        source = "".join(
            (ROOT / "wallet" / name).read_text() for name in ("settings.py", "databases.py")
        )
        read = set(re.findall(r"env\.\w+\(\s*\"([A-Z_]+)\"", source))
        sample = (ROOT / ".env.sample").read_text()
        listed = re.findall(r"^([A-Z_]+)=", sample, flags=re.MULTILINE)
        self.assertEqual(sorted(listed), sorted(read))


class CombinationTest(SimpleTestCase):
    def ids(self) -> list[str]:
        return [
            message.id or "" for message in run_checks() if str(message.id).startswith("wallets")
        ]

    def test_accepts_the_defaults(self) -> None:
        self.assertEqual(self.ids(), [])

    @override_settings(WITHDRAWAL_PROCESSING_STALE_SECONDS=5.0)
    def test_refuses_a_lease_shorter_than_the_longest_call(self) -> None:
        [message] = [m for m in run_checks() if m.id == "wallets.E002"]
        self.assertIn("WITHDRAWAL_PROCESSING_STALE_SECONDS", message.msg)
        self.assertIn("BANK_TIMEOUT", message.msg)

    @override_settings(BANK_INQUIRY_MIN_SECONDS=10.0, BANK_INQUIRY_MAX_SECONDS=5.0)
    def test_refuses_crossed_pauses(self) -> None:
        self.assertEqual(self.ids(), ["wallets.E004"])

    @override_settings(BANK_KEY_RETENTION_SECONDS=30, WITHDRAWAL_PROCESSING_STALE_SECONDS=30.0)
    def test_refuses_keys_that_are_forgotten_within_a_lease(self) -> None:
        [message] = [m for m in run_checks() if m.id == "wallets.E006"]
        self.assertIn("BANK_KEY_RETENTION_SECONDS=30", message.msg)
        self.assertIn("WITHDRAWAL_PROCESSING_STALE_SECONDS=30", message.msg)

    @override_settings(BANK_NOT_FOUND_GRACE_SECONDS=2.0, BANK_TIMEOUT=3.0)
    def test_warns_of_a_grace_shorter_than_a_try_where_it_is_deployed(self) -> None:
        self.assertEqual(self.ids(), [])
        [message] = [
            m for m in run_checks(include_deployment_checks=True) if m.id == "wallets.W002"
        ]
        self.assertIn("BANK_NOT_FOUND_GRACE_SECONDS=2", message.msg)

    @override_settings(BANK_IDEMPOTENCY="none", BANK_INQUIRY_PATH="")
    def test_warns_when_only_a_person_could_settle(self) -> None:
        self.assertEqual(self.ids(), ["wallets.W001"])
