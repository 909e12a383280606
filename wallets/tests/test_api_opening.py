import uuid

from django.test import TestCase, override_settings

from wallets.models import Wallet
from wallets.tests.api_case import ApiCase, decoded

URL = "/api/wallets/"
WALLET = ["id", "uuid", "currency", "balance", "created_at", "updated_at"]


class OpeningTest(ApiCase, TestCase):
    def test_creates_an_empty_wallet_in_the_default_currency(self) -> None:
        data = decoded(self.client.generic("POST", URL), 201)
        self.assertEqual(list(data), ["wallet"])
        wallet = data["wallet"]
        self.assertEqual(list(wallet), WALLET)
        self.assertEqual((wallet["currency"], wallet["balance"]), ("IRR", 0))
        row = Wallet.objects.get()
        self.assertEqual((wallet["id"], uuid.UUID(wallet["uuid"])), (row.pk, row.uuid))
        self.assertEqual(wallet["created_at"], wallet["updated_at"])
        self.assertRegex(wallet["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")

    @override_settings(WALLET_DEFAULT_CURRENCY="EUR")
    def test_takes_the_default_currency_from_the_settings(self) -> None:
        self.assertEqual(decoded(self.send(URL, {}), 201)["wallet"]["currency"], "EUR")

    def test_creates_a_wallet_in_the_currency_asked_for(self) -> None:
        data = decoded(self.send(URL, {"currency": "USD"}), 201)
        self.assertEqual(data["wallet"]["currency"], "USD")

    def test_takes_an_empty_body_of_any_type(self) -> None:
        for content_type in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
            decoded(self.client.post(URL, b"", content_type=content_type), 201)

    def test_refuses_what_is_no_currency(self) -> None:
        wrong = ["irr", "IRT", "TOMAN", "ZZZ", "", " IRR", "IRR\n", "ریال", "\u0000", None]
        with self.nothing_changes():
            for value in [*wrong, 1, True, ["IRR"], {"code": "IRR"}, "I" * 10_000]:
                with self.subTest(value=value):
                    response = self.send(URL, {"currency": value})
                    self.refused(
                        response, 400, "validation_error", ("currency", "currency_invalid")
                    )

    def test_refuses_fields_it_does_not_know(self) -> None:
        with self.nothing_changes():
            response = self.send(URL, {"balance": 5, "Currency": "IRR"})
            self.refused(
                response,
                400,
                "validation_error",
                ("balance", "unknown_field"),
                ("Currency", "unknown_field"),
            )

    def test_refuses_parameters(self) -> None:
        with self.nothing_changes():
            response = self.send(f"{URL}?currency=USD", {})
            self.refused(response, 400, "validation_error", ("currency", "unknown_field"))
