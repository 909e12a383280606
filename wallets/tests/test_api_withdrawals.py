from datetime import timedelta

from django.test import TestCase

from wallets.models import StatusChange, Transaction, Wallet
from wallets.models.clock import database_now
from wallets.tests.api_case import FUTURE, ApiCase, decoded
from wallets.tests.money import make_wallet
from wallets.tests.test_api_deposits import BAD_AMOUNTS, TRANSACTION

UTC = "2999-01-31T09:00:00.000000Z"
SAME_MOMENT = [
    "2999-01-31T12:30:00+03:30",
    "2999-01-31T09:00:00Z",
    "2999-01-31t09:00:00z",
    "2999-01-31T09:00:00.000000Z",
    "2999-01-31T09:00:00,0Z",
    "2999-01-31T09:00Z",
    "2999-01-31 09:00:00+00:00",
    "2999-01-31T09:00:00-00:00",
    "2999-01-31T12:30:00+0330",
    "2999-01-31T10:00:00+01",
    "2999-01-30T09:01:00-23:59",
]
BAD_TIMES = [
    ("2999-01-31T12:30:00", "time_without_offset"),
    ("2999-01-31T12:30", "time_without_offset"),
    ("2999-01-31", "time_invalid"),
    ("", "time_invalid"),
    ("tomorrow", "time_invalid"),
    ("2999-13-01T00:00:00Z", "time_invalid"),
    ("2999-02-29T00:00:00Z", "time_invalid"),
    ("2999-01-01T24:00:00Z", "time_invalid"),
    ("2999-01-01T23:59:60Z", "time_invalid"),
    ("2999-01-01T00:00:00+24:00", "time_invalid"),
    ("2999-01-01T00:00:00+03:60", "time_invalid"),
    ("2999-01-01T00:00:00 +03:30", "time_invalid"),
    ("2999-01-01T00:00:00Z\n", "time_invalid"),
    ("2999-01-01T00:00:00Z\u0000", "time_invalid"),
    ("2999-W01-1T00:00:00Z", "time_invalid"),
    ("29990101T000000Z", "time_invalid"),
    ("10000-01-01T00:00:00Z", "time_invalid"),
    ("0000-01-01T00:00:00Z", "time_invalid"),
    ("-2999-01-01T00:00:00Z", "time_invalid"),
    ("۲۹۹۹-۰۱-۰۱T۰۰:۰۰:۰۰Z", "time_invalid"),
    ("2999-01-01T00:00:00.1234567890Z", "time_invalid"),
    ("9999-12-31T23:59:59-00:01", "time_out_of_range"),
    ("9999-12-31T23:59:59.999999-14:00", "time_out_of_range"),
    ("0001-01-01T00:00:00+00:01", "time_out_of_range"),
    (1, "time_invalid"),
    (4102444800.0, "time_invalid"),
    (None, "time_invalid"),
    (True, "time_invalid"),
    ([FUTURE], "time_invalid"),
    ({"at": FUTURE}, "time_invalid"),
]


class WithdrawalTest(ApiCase, TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.wallet = make_wallet(100)
        self.url = f"/api/wallets/{self.wallet}/withdrawals/"

    def test_schedules_without_touching_the_balance(self) -> None:
        data = decoded(self.send(self.url, {"amount": 1_000, "execute_at": FUTURE}), 201)
        self.assertEqual(list(data), ["wallet", "transaction"])
        self.assertEqual(data["wallet"]["balance"], 100)
        made = data["transaction"]
        self.assertEqual(list(made), TRANSACTION)
        self.assertEqual((made["type"], made["status"]), ("WITHDRAWAL", "SCHEDULED"))
        self.assertEqual((made["amount"], made["execute_at"]), (1_000, UTC))
        self.assertRegex(made["idempotency_key"], r"^[0-9a-f-]{36}$")
        self.assertEqual(Wallet.objects.get().balance, 100)
        self.assertEqual(StatusChange.objects.get().transaction_id, made["id"])

    def test_understands_every_way_to_write_a_moment(self) -> None:
        for written in SAME_MOMENT:
            with self.subTest(written=written):
                data = decoded(self.send(self.url, {"amount": 1, "execute_at": written}), 201)
                self.assertEqual(data["transaction"]["execute_at"], UTC)

    def test_takes_the_last_moment_there_is(self) -> None:
        body = {"amount": 1, "execute_at": "9999-12-31T23:59:59.999999Z"}
        data = decoded(self.send(self.url, body), 201)
        self.assertEqual(data["transaction"]["execute_at"], body["execute_at"])

    def test_refuses_what_is_not_a_moment(self) -> None:
        with self.nothing_changes():
            for written, code in BAD_TIMES:
                with self.subTest(written=written):
                    response = self.send(self.url, {"amount": 1, "execute_at": written})
                    self.refused(response, 400, "validation_error", ("execute_at", code))

    def test_refuses_what_is_not_in_the_future_of_the_database(self) -> None:
        past = database_now() - timedelta(seconds=1)
        with self.nothing_changes():
            for written in (past.isoformat(), "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"):
                response = self.send(self.url, {"amount": 1, "execute_at": written})
                data = self.refused(
                    response,
                    400,
                    "execute_at_not_in_future",
                    ("execute_at", "execute_at_not_in_future"),
                )
                self.assertRegex(data["database_time"], r"^\d{4}-.*Z$")

    def test_refuses_amounts_that_are_not_plain_positive_integers(self) -> None:
        with self.nothing_changes():
            for written, code in BAD_AMOUNTS:
                with self.subTest(written=written[:40]):
                    body = f'{{"amount": {written}, "execute_at": "{FUTURE}"}}'
                    response = self.send(self.url, body.encode())
                    self.refused(response, 400, "validation_error", ("amount", code))

    def test_asks_for_what_is_missing(self) -> None:
        with self.nothing_changes():
            self.refused(
                self.send(self.url, {}),
                400,
                "validation_error",
                ("amount", "required"),
                ("execute_at", "required"),
            )

    def test_refuses_another_currency(self) -> None:
        with self.nothing_changes():
            body = {"amount": 1, "execute_at": FUTURE, "currency": "USD"}
            self.refused(self.send(self.url, body), 409, "currency_mismatch")

    def test_refuses_unknown_wallets_and_fields(self) -> None:
        body = {"amount": 1, "execute_at": FUTURE}
        with self.nothing_changes():
            response = self.send("/api/wallets/999999/withdrawals/", body)
            self.refused(response, 404, "wallet_not_found")
            response = self.send(self.url, body | {"status": "SUCCEEDED"})
            self.refused(response, 400, "validation_error", ("status", "unknown_field"))

    def test_shows_only_what_was_scheduled(self) -> None:
        decoded(self.send(self.url, {"amount": 1, "execute_at": FUTURE}), 201)
        self.assertEqual(Transaction.objects.filter(type="WITHDRAWAL").count(), 1)
