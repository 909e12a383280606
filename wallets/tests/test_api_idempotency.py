from typing import Any
from unittest.mock import patch

from django.test import Client, TestCase, TransactionTestCase

from wallets.domain.outcomes import Verdict
from wallets.domain.withdrawals.claim import Claimed
from wallets.models import LedgerEntry, Transaction, Wallet
from wallets.tests.api_case import FUTURE, ApiCase, decoded
from wallets.tests.money import finish, lapse, make_wallet, take
from wallets.tests.racing import race

REPLAYED = "Idempotent-Replayed"


class IdempotencyTest(ApiCase, TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.wallet = make_wallet(100)
        self.deposit = f"/api/wallets/{self.wallet}/deposit/"
        self.withdrawals = f"/api/wallets/{self.wallet}/withdrawals/"

    def same(self, first: Any, again: Any) -> None:
        self.assertNotIn(REPLAYED, first.headers)
        self.assertEqual(again.headers[REPLAYED], "true")
        self.assertEqual(again.status_code, 201)
        self.assertEqual(again.content, first.content)

    def test_replays_a_deposit_though_the_balance_has_moved_on(self) -> None:
        first = self.send(self.deposit, {"amount": 5}, key="k")
        decoded(first, 201)
        decoded(self.send(self.deposit, {"amount": 7}, key="other"), 201)
        with self.nothing_changes():
            self.same(first, self.send(self.deposit, {"amount": 5}, key="k"))
        self.assertEqual(Wallet.objects.get().balance, 112)

    def test_replays_an_opening_though_the_wallet_has_been_used(self) -> None:
        first = self.send("/api/wallets/", {"currency": "IRR"}, key="k")
        wallet = decoded(first, 201)["wallet"]["id"]
        decoded(self.send(f"/api/wallets/{wallet}/deposit/", {"amount": 7}), 201)
        with self.nothing_changes():
            self.same(first, self.send("/api/wallets/", {"currency": "IRR"}, key="k"))

    def test_takes_an_empty_body_and_an_empty_object_for_the_same(self) -> None:
        first = self.client.generic("POST", "/api/wallets/", headers={"Idempotency-Key": "k"})
        self.same(first, self.send("/api/wallets/", {}, key="k"))

    def test_replays_a_schedule_though_the_withdrawal_has_been_paid(self) -> None:
        first = self.send(self.withdrawals, {"amount": 5, "execute_at": FUTURE}, key="k")
        made = decoded(first, 201)["transaction"]["id"]
        Transaction.objects.filter(pk=made).update(execute_at="2020-01-01T00:00:00Z")
        [claimed] = take().claimed
        self.assertIsInstance(claimed, Claimed)
        finish(claimed, Verdict.PAID)
        with self.nothing_changes():
            again = self.send(self.withdrawals, {"amount": 5, "execute_at": FUTURE}, key="k")
            self.same(first, again)

    def test_replays_a_schedule_whose_time_has_passed(self) -> None:
        first = self.send(self.withdrawals, {"amount": 5, "execute_at": FUTURE}, key="k")
        decoded(first, 201)
        later = Transaction.objects.get(type="WITHDRAWAL").execute_at
        with patch("wallets.domain.scheduling.database_now", return_value=later):
            fresh = self.send(self.withdrawals, {"amount": 5, "execute_at": FUTURE}, key="new")
            self.refused(fresh, 400, "execute_at_not_in_future")
            again = self.send(self.withdrawals, {"amount": 5, "execute_at": FUTURE}, key="k")
            self.same(first, again)

    def test_does_not_mind_the_order_of_fields_or_how_a_moment_is_written(self) -> None:
        first = self.send(
            self.withdrawals, b'{"amount": 5, "execute_at": "2999-01-31T09:00:00Z"}', key="k"
        )
        again = self.send(
            self.withdrawals, b'{"execute_at":"2999-01-31T12:30:00+03:30","amount":5}', key="k"
        )
        self.same(first, again)

    def test_finds_the_key_whether_the_wallet_is_named_by_id_or_uuid(self) -> None:
        first = self.send(self.deposit, {"amount": 5}, key="k")
        by_uuid = self.deposit.replace(f"/{self.wallet}/", f"/{Wallet.objects.get().uuid}/")
        self.same(first, self.send(by_uuid, {"amount": 5}, key="k"))

    def test_refuses_a_key_with_another_body_and_names_what_differs(self) -> None:
        body = {"amount": 5, "execute_at": FUTURE}
        earlier = "2998-01-31T12:30:00+03:30"
        decoded(self.send(self.deposit, {"amount": 5}, key="k"), 201)
        decoded(self.send(self.withdrawals, body, key="k"), 201)
        decoded(self.send("/api/wallets/", {"currency": "IRR"}, key="k"), 201)
        cases: list[tuple[str, dict[str, Any], list[str]]] = [
            (self.deposit, {"amount": 6}, ["amount"]),
            (self.deposit, {"amount": 5, "currency": "IRR"}, ["currency"]),
            (self.deposit, {"amount": 6, "currency": "USD"}, ["amount", "currency"]),
            (self.withdrawals, body | {"execute_at": earlier}, ["execute_at"]),
            (self.withdrawals, {"amount": 6, "execute_at": earlier}, ["amount", "execute_at"]),
            ("/api/wallets/", {"currency": "USD"}, ["currency"]),
            ("/api/wallets/", {}, ["currency"]),
        ]
        with self.nothing_changes():
            for url, changed, fields in cases:
                with self.subTest(url=url, changed=changed):
                    response = self.send(url, changed, key="k")
                    data = self.refused(response, 422, "idempotency_key_reused")
                    self.assertEqual(data["fields"], fields)
                    self.assertRegex(data["first_used_at"], r"^\d{4}-.*Z$")

    def test_keeps_operations_and_wallets_apart(self) -> None:
        other = make_wallet()
        decoded(self.send(self.deposit, {"amount": 5}, key="k"), 201)
        decoded(self.send(self.withdrawals, {"amount": 5, "execute_at": FUTURE}, key="k"), 201)
        decoded(self.send("/api/wallets/", {}, key="k"), 201)
        response = self.send(f"/api/wallets/{other}/deposit/", {"amount": 6}, key="k")
        self.assertNotIn(REPLAYED, response.headers)
        decoded(response, 201)

    def test_does_not_remember_a_request_that_was_refused(self) -> None:
        self.refused(
            self.send(self.deposit, {"amount": 1, "currency": "USD"}, key="k"),
            409,
            "currency_mismatch",
        )
        decoded(self.send(self.deposit, {"amount": 1}, key="k"), 201)

    def test_refuses_keys_that_are_not_printable_ascii_of_fair_length(self) -> None:
        wrong = ["", " ", "\t", "a" * 129, "a\tb", "a\x00", "a\x7f", "kläxt", "کلید", "a\nb"]
        urls = [
            ("/api/wallets/", {}),
            (self.deposit, {"amount": 1}),
            (self.withdrawals, {"amount": 1, "execute_at": FUTURE}),
        ]
        with self.nothing_changes():
            for key in wrong:
                for url, body in urls:
                    with self.subTest(key=key, url=url):
                        self.refused(
                            self.send(url, body, key=key),
                            400,
                            "validation_error",
                            ("Idempotency-Key", "idempotency_key_invalid"),
                        )

    def test_takes_every_printable_key(self) -> None:
        printable = "".join(chr(code) for code in range(0x21, 0x7F))
        for key in ("a", "a" * 128, printable, "a b", "'; DROP TABLE wallets_wallet; --"):
            first = self.send(self.deposit, {"amount": 1}, key=key)
            decoded(first, 201)
            self.same(first, self.send(self.deposit, {"amount": 1}, key=key))

    def test_keeps_the_case_of_keys(self) -> None:
        for key in ("key", "KEY"):
            response = self.send(self.deposit, {"amount": 1}, key=key)
            self.assertNotIn(REPLAYED, response.headers)

    def test_replays_while_the_withdrawal_is_in_doubt(self) -> None:
        first = self.send(self.withdrawals, {"amount": 5, "execute_at": FUTURE}, key="k")
        made = decoded(first, 201)["transaction"]["id"]
        Transaction.objects.filter(pk=made).update(execute_at="2020-01-01T00:00:00Z")
        [claimed] = take().claimed
        finish(claimed, Verdict.IN_DOUBT)
        lapse(made)
        again = self.send(self.withdrawals, {"amount": 5, "execute_at": FUTURE}, key="k")
        self.same(first, again)


class RacingKeysTest(TransactionTestCase):
    """Eight clients at once, with one key."""

    def together(self, path: str, body: dict[str, Any]) -> list[Any]:
        def send() -> Any:
            return Client(raise_request_exception=False).post(
                path, body, content_type="application/json", headers={"Idempotency-Key": "one"}
            )

        answers = race([send] * 8)
        for answer in answers:
            decoded(answer, 201)
        self.assertEqual(len({answer.content for answer in answers}), 1)
        replayed = [answer.headers.get(REPLAYED) for answer in answers]
        self.assertEqual(sorted(replayed, key=str), [None] + ["true"] * 7)
        return answers

    def test_deposits_once(self) -> None:
        wallet = make_wallet()
        self.together(f"/api/wallets/{wallet}/deposit/", {"amount": 5})
        self.assertEqual(Wallet.objects.get().balance, 5)
        self.assertEqual(LedgerEntry.objects.count(), 1)
        self.assertEqual(Transaction.objects.count(), 1)

    def test_schedules_once(self) -> None:
        wallet = make_wallet()
        body = {"amount": 5, "execute_at": FUTURE}
        self.together(f"/api/wallets/{wallet}/withdrawals/", body)
        self.assertEqual(Transaction.objects.count(), 1)

    def test_opens_one_wallet(self) -> None:
        self.together("/api/wallets/", {})
        self.assertEqual(Wallet.objects.count(), 1)
