from django.test import TestCase

from wallets.models import Wallet
from wallets.tests.api_case import FUTURE, ApiCase, decoded
from wallets.tests.money import make_wallet


class WalletTest(ApiCase, TestCase):
    def test_shows_the_wallet_as_it_was_created(self) -> None:
        made = decoded(self.client.generic("POST", "/api/wallets/"), 201)["wallet"]
        for name in (made["id"], made["uuid"]):
            data = decoded(self.client.get(f"/api/wallets/{name}/"), 200)
            self.assertEqual(data, {"wallet": made, "recent_transactions": []})

    def test_shows_the_ten_newest_transactions(self) -> None:
        wallet = make_wallet(1)
        make_wallet(5)
        url = f"/api/wallets/{wallet}/"
        made = [
            decoded(self.send(f"{url}deposit/", {"amount": amount}), 201)["transaction"]
            for amount in range(1, 11)
        ]
        made.append(
            decoded(self.send(f"{url}withdrawals/", {"amount": 1, "execute_at": FUTURE}), 201)[
                "transaction"
            ]
        )
        data = decoded(self.client.get(url), 200)
        self.assertEqual(data["recent_transactions"], made[:0:-1])
        self.assertEqual(data["wallet"]["balance"], 56)

    def test_costs_two_queries(self) -> None:
        wallet = make_wallet(1)
        with self.assertNumQueries(2):
            self.client.get(f"/api/wallets/{wallet}/")

    def test_does_not_know_other_wallets(self) -> None:
        for name in ("1", "0", "9" * 30, "x", "00000000-0000-0000-0000-000000000000"):
            self.refused(self.client.get(f"/api/wallets/{name}/"), 404, "wallet_not_found")

    def test_refuses_parameters(self) -> None:
        url = f"/api/wallets/{make_wallet()}/?verbose=1&format=xml"
        self.refused(
            self.client.get(url),
            400,
            "validation_error",
            ("verbose", "unknown_field"),
            ("format", "unknown_field"),
        )

    def test_answers_head_like_get_without_the_body(self) -> None:
        wallet = make_wallet()
        shown = self.client.get(f"/api/wallets/{wallet}/")
        head = self.client.head(f"/api/wallets/{wallet}/")
        self.assertEqual((head.status_code, head.content), (200, b""))
        self.assertEqual(head.headers["Content-Length"], shown.headers["Content-Length"])

    def test_is_never_kept_in_a_cache(self) -> None:
        wallet = make_wallet()
        response = self.client.get(f"/api/wallets/{wallet}/")
        self.assertEqual(response.headers["Cache-Control"], "no-store")
        self.assertEqual(Wallet.objects.count(), 1)
