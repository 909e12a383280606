from django.test import TestCase

from wallets.models import MAX_BALANCE, LedgerEntry, Transaction, Wallet
from wallets.tests.api_case import ApiCase, decoded
from wallets.tests.money import make_wallet

TRANSACTION = [
    "id",
    "wallet_id",
    "type",
    "status",
    "amount",
    "execute_at",
    "idempotency_key",
    "bank_reference",
    "failure_reason",
    "in_doubt_since",
    "created_at",
    "updated_at",
]
# As written in the body, and the code of the refusal.
BAD_AMOUNTS = [
    ("true", "amount_not_integer"),
    ("false", "amount_not_integer"),
    ("null", "amount_not_integer"),
    ("[100]", "amount_not_integer"),
    ('{"value": 100}', "amount_not_integer"),
    ("100.0", "amount_has_fraction"),
    ("0.5", "amount_has_fraction"),
    ("1e2", "amount_has_fraction"),
    ("1E400", "amount_has_fraction"),
    ("-1.0", "amount_has_fraction"),
    ("0", "amount_out_of_range"),
    ("-0", "amount_out_of_range"),
    ("-1", "amount_out_of_range"),
    ("9223372036854775808", "amount_out_of_range"),
    ("1" + "0" * 5_000, "amount_out_of_range"),
    ("-1" + "0" * 100_000, "amount_out_of_range"),
    ('"100"', "amount_is_text"),
    ('""', "amount_is_text"),
    ('"ten"', "amount_is_text"),
    ('"100.50"', "amount_is_text"),
    ('"\\u0000"', "amount_is_text"),
    ('"\\ud800"', "amount_is_text"),
    ('"۱۰۰"', "amount_has_foreign_digits"),
    ('"١٠٠"', "amount_has_foreign_digits"),
    ('"1۰0"', "amount_has_foreign_digits"),
    ('"۱٬۰۰۰"', "amount_has_foreign_digits"),
    ('"1,000"', "amount_has_separators"),
    ('"1_000"', "amount_has_separators"),
    ('"1 000"', "amount_has_separators"),
    ('"1٬000"', "amount_has_separators"),
]
# Not JSON at all, but a person would read a number.
UNPLAIN = ["1,000", "1, 000", "1_000", "1٬000", "۱۰۰", "1۰۰", "١٠٠", "12،500"]


class DepositTest(ApiCase, TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.wallet = make_wallet()
        self.url = f"/api/wallets/{self.wallet}/deposit/"

    def test_applies_the_deposit_at_once(self) -> None:
        data = decoded(self.send(self.url, {"amount": 150_000}), 201)
        self.assertEqual(list(data), ["wallet", "transaction"])
        self.assertEqual(data["wallet"]["balance"], 150_000)
        made = data["transaction"]
        self.assertEqual(list(made), TRANSACTION)
        self.assertEqual((made["type"], made["status"]), ("DEPOSIT", "SUCCEEDED"))
        self.assertEqual((made["wallet_id"], made["amount"]), (self.wallet, 150_000))
        for empty in TRANSACTION[5:10]:
            self.assertIsNone(made[empty], empty)
        self.assertEqual(Wallet.objects.get().balance, 150_000)
        self.assertEqual(LedgerEntry.objects.get().transaction_id, made["id"])

    def test_finds_the_wallet_by_its_uuid_in_either_case(self) -> None:
        name = str(Wallet.objects.get().uuid)
        for written in (name, name.upper()):
            decoded(self.send(f"/api/wallets/{written}/deposit/", {"amount": 1}), 201)
        self.assertEqual(Wallet.objects.get().balance, 2)

    def test_takes_the_largest_amount_there_is(self) -> None:
        data = decoded(self.send(self.url, {"amount": MAX_BALANCE}), 201)
        self.assertEqual(data["wallet"]["balance"], 9223372036854775807)

    def test_refuses_to_overflow_the_balance(self) -> None:
        decoded(self.send(self.url, {"amount": 1}), 201)
        with self.nothing_changes():
            response = self.send(self.url, {"amount": MAX_BALANCE})
            self.refused(response, 409, "balance_overflow", ("amount", "balance_overflow"))

    def test_refuses_amounts_that_are_not_plain_positive_integers(self) -> None:
        with self.nothing_changes():
            for written, code in BAD_AMOUNTS:
                with self.subTest(written=written[:40]):
                    response = self.send(self.url, f'{{"amount": {written}}}'.encode())
                    self.refused(response, 400, "validation_error", ("amount", code))

    def test_says_so_when_a_bare_number_has_foreign_digits_or_separators(self) -> None:
        with self.nothing_changes():
            for written in UNPLAIN:
                with self.subTest(written=written):
                    response = self.send(self.url, f'{{"amount": {written}}}'.encode())
                    self.refused(response, 400, "number_not_plain")

    def test_says_in_both_languages_what_is_wrong_with_the_only_wrong_field(self) -> None:
        message = self.send(self.url, {"amount": "۱۰۰"}).json()["message"]
        self.assertIn("Persian", message["en"])
        self.assertIn("فارسی", message["fa"])

    def test_names_the_field_in_the_detail(self) -> None:
        self.assertIn("amount", self.send(self.url, {"amount": 1.5}).json()["detail"])

    def test_refuses_a_body_without_an_amount(self) -> None:
        with self.nothing_changes():
            for response in (self.send(self.url, {}), self.client.generic("POST", self.url)):
                self.refused(response, 400, "validation_error", ("amount", "required"))

    def test_names_everything_that_is_wrong_at_once(self) -> None:
        with self.nothing_changes():
            response = self.send(self.url, {"amount": "1", "currency": 1, "x": 1}, key="\u00e9")
            self.refused(
                response,
                400,
                "validation_error",
                ("amount", "amount_is_text"),
                ("currency", "currency_invalid"),
                ("x", "unknown_field"),
                ("Idempotency-Key", "idempotency_key_invalid"),
            )

    def test_accepts_the_currency_of_the_wallet(self) -> None:
        decoded(self.send(self.url, {"amount": 1, "currency": "IRR"}), 201)

    def test_refuses_another_currency(self) -> None:
        with self.nothing_changes():
            response = self.send(self.url, {"amount": 1, "currency": "USD"})
            data = self.refused(
                response, 409, "currency_mismatch", ("currency", "currency_mismatch")
            )
            self.assertEqual(data["wallet_currency"], "IRR")

    def test_knows_no_wallet_by_what_cannot_name_one(self) -> None:
        unknown = [
            "0",
            "999999",
            "9223372036854775807",
            "9223372036854775808",
            "9" * 400,
            "-1",
            "+1",
            "01",
            "1.0",
            "1%20",
            "%201",
            "1%0a",
            "1%00",
            "%D9%A1",  # Arabic-Indic 1
            "%FF",
            "abc",
            "null",
            "00000000-0000-0000-0000-000000000000",
            "00000000000000000000000000000000",
            "%7B00000000-0000-0000-0000-000000000000%7D",
            "urn:uuid:00000000-0000-0000-0000-000000000000",
            "..",
            "'%20OR%201=1--",
        ]
        with self.nothing_changes():
            for name in unknown:
                with self.subTest(name=name[:40]):
                    response = self.send(f"/api/wallets/{name}/deposit/", {"amount": 1})
                    self.refused(response, 404, "wallet_not_found")

    def test_keeps_a_long_list_of_problems_short(self) -> None:
        many = {f"{number}" * 50: 1 for number in range(1_000)}
        data = decoded(self.send(self.url, many), 400)
        self.assertEqual(len(data["errors"]), 20)
        self.assertLess(max(len(problem["field"]) for problem in data["errors"]), 70)

    def test_repeats_a_name_that_has_no_utf8_as_it_was_escaped(self) -> None:
        response = self.send(self.url, b'{"amount": 1, "\\ud800": 1}')
        self.refused(response, 400, "validation_error", ("\ud800", "unknown_field"))

    def test_counts_every_request_without_a_key(self) -> None:
        for _ in range(2):
            decoded(self.send(self.url, {"amount": 5}), 201)
        self.assertEqual(Wallet.objects.get().balance, 10)
        self.assertEqual(Transaction.objects.count(), 2)
