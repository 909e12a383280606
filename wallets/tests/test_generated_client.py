"""A typed client made from the OpenAPI document works against the server.

Nothing generated is kept: whoever wants a client makes one with the same command.
"""

import importlib
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.test import LiveServerTestCase, override_settings

from wallets.domain.api_keys import issue
from wallets.models import Scope, Wallet
from wallets.models.clock import database_now

PACKAGE = "generated_wallet_client"
FIVE_DAYS = timedelta(days=5)


def generate(directory: Path) -> None:
    document = directory / "openapi.json"
    call_command("spectacular", "--format", "openapi-json", "--file", str(document))
    config = directory / "config.json"
    # Its own formatting is nobody's business.
    config.write_text('{"post_hooks": []}')
    subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
            *("--path", str(document), "--config", str(config), "--fail-on-warning"),
            *("--output-path", str(directory / PACKAGE)),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )


@override_settings(API_AUTH_REQUIRED=True)
class GeneratedClientTest(LiveServerTestCase):
    directory: "tempfile.TemporaryDirectory[str]"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.directory = tempfile.TemporaryDirectory(prefix="wallet-client-")
        cls.addClassCleanup(cls.directory.cleanup)
        generate(Path(cls.directory.name))
        sys.path.insert(0, cls.directory.name)
        cls.addClassCleanup(sys.path.remove, cls.directory.name)

    def setUp(self) -> None:
        super().setUp()
        now = database_now()
        scopes = [scope for scope in Scope.values if scope != Scope.ADMIN_READ]
        self.client_of = {
            name: self.made("client").AuthenticatedClient(
                base_url=self.live_server_url,
                token=issue(tenant=name, name="k", scopes=scopes, expires_at=None, now=now).secret,
            )
            for name in ("ours", "theirs")
        }

    def made(self, module: str) -> Any:
        return importlib.import_module(f"{PACKAGE}.{module}")

    def call(self, operation: str, *arguments: Any, caller: str = "ours", **options: Any) -> Any:
        module = self.made(f"api.wallets.{operation}")
        return module.sync_detailed(*arguments, client=self.client_of[caller], **options)

    def opened(self) -> Any:
        answer = self.call("open_wallet", body=self.made("models").OpeningRequest())
        self.assertEqual(answer.status_code, 201)
        self.assertIsInstance(answer.parsed, self.made("models").WalletOpened)
        return answer.parsed.data.wallet

    def test_opens_deposits_schedules_and_lists(self) -> None:
        models = self.made("models")
        wallet = self.opened()
        body = models.DepositRequest(amount=150_000)
        for _ in range(2):  # the second is a replay
            moved = self.call("deposit", str(wallet.id), body=body, idempotency_key="d-1")
            self.assertEqual(moved.status_code, 201)
            self.assertEqual(moved.parsed.data.wallet.balance, 150_000)
        when = database_now() + FIVE_DAYS
        planned = self.call(
            "schedule_withdrawal",
            str(wallet.uuid),
            body=models.WithdrawalRequest(amount=50_000, execute_at=when),
        )
        self.assertEqual(planned.status_code, 201)
        self.assertEqual(planned.parsed.data.transaction.status, "SCHEDULED")
        # To the millisecond, which is what SQLite keeps.
        late = abs(planned.parsed.data.transaction.execute_at - when)
        self.assertLess(late, timedelta(milliseconds=2))
        page = self.call("list_transactions", str(wallet.id), limit=1).parsed.data
        self.assertEqual([each.type_ for each in page.results], ["WITHDRAWAL"])
        self.assertIn("cursor=", page.next_)
        self.assertEqual(Wallet.objects.get().balance, 150_000)

    def test_tells_errors_as_types(self) -> None:
        models = self.made("models")
        wallet = str(self.opened().id)
        foreign = self.call(
            "deposit", wallet, caller="theirs", body=models.DepositRequest(amount=1)
        )
        unknown = self.call("deposit", "0", body=models.DepositRequest(amount=1))
        for answer in (foreign, unknown):
            self.assertEqual(answer.status_code, 404)
            self.assertIsInstance(answer.parsed, models.Error404)
            self.assertEqual(answer.parsed.data.code, "wallet_not_found")
            self.assertTrue(answer.parsed.message.fa)
        self.assertEqual(foreign.content, unknown.content)
        refused = self.call("deposit", wallet, body=models.DepositRequest(amount=-5))
        self.assertEqual(refused.status_code, 400)
        [problem] = refused.parsed.data.errors
        self.assertEqual((problem.field, problem.code), ("amount", "amount_out_of_range"))
        stranger = self.made("client").AuthenticatedClient(
            base_url=self.live_server_url, token="wlt_nothing"
        )
        answer = self.made("api.wallets.show_wallet").sync_detailed(wallet, client=stranger)
        self.assertEqual(answer.parsed.data.code, "api_key_invalid")
        self.assertEqual(Wallet.objects.get().balance, 0)
