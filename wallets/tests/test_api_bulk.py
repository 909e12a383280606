import json
from functools import partial
from typing import Any
from unittest import skipUnless

from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext

from wallets.domain.audit import audit
from wallets.models import MAX_BALANCE, LedgerEntry, Scope, Transaction, Wallet
from wallets.tests.api_case import ApiCase, decoded
from wallets.tests.money import make_wallet
from wallets.tests.racing import race
from wallets.tests.test_api_deposits import BAD_AMOUNTS
from wallets.tests.test_api_keys import new_key

URL = "/api/wallets/deposits/bulk/"
BAD_WALLETS = (None, True, 1.0, [1], {"id": 1}, "", "x", "-1", -1, "01", "1 ", 2**63, "٣")


class BulkCase(ApiCase, TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.two = make_wallet(100), make_wallet()

    def bulk(self, *items: Any, mode: str | None = None, **more: Any) -> Any:
        body = {"items": list(items)} | ({} if mode is None else {"mode": mode})
        return self.send(URL, body, **more)

    def balances(self) -> list[int]:
        rows = Wallet.objects.filter(pk__in=(self.one, self.two)).order_by("pk")
        return list(rows.values_list("balance", flat=True))


class AppliedTest(BulkCase):
    def test_makes_every_deposit_in_order(self) -> None:
        uuid = str(Wallet.objects.get(pk=self.two).uuid)
        data = decoded(
            self.bulk(
                {"wallet": self.one, "amount": 1},
                {"wallet": str(self.one), "amount": 2, "currency": "IRR"},
                {"wallet": uuid, "amount": 3, "idempotency_key": "k"},
            ),
            201,
        )
        self.assertEqual((data["accepted"], data["refused"]), (3, 0))
        self.assertEqual([each["index"] for each in data["results"]], [0, 1, 2])
        self.assertEqual(
            [each["data"]["wallet"]["balance"] for each in data["results"]], [101, 103, 3]
        )
        self.assertEqual(self.balances(), [103, 3])
        self.assertEqual(audit(limit=5).broken, ())

    def test_answers_each_as_a_deposit_of_its_own_would_have_been(self) -> None:
        key = "shared"
        single = self.send(f"/api/wallets/{self.two}/deposit/", {"amount": 7}, key=key)
        item = {"wallet": self.two, "amount": 7, "idempotency_key": key}
        result = decoded(self.bulk(item), 201)["results"][0]
        self.assertEqual(result, {"index": 0, **json.loads(single.content)})
        # And the other way round.
        made = decoded(self.bulk(item | {"idempotency_key": "other", "amount": 9}), 201)
        again = self.send(f"/api/wallets/{self.two}/deposit/", {"amount": 9}, key="other")
        self.assertEqual({"index": 0, **json.loads(again.content)}, made["results"][0])
        self.assertEqual(again.headers["Idempotent-Replayed"], "true")

    def test_replays_the_same_bytes(self) -> None:
        items = [{"wallet": self.one, "amount": n, "idempotency_key": f"k{n}"} for n in range(1, 6)]
        for mode in ("each", "all_or_nothing"):
            first = self.bulk(*items, mode=mode)
            deposits = Transaction.objects.count()
            again = self.bulk(*items, mode=mode)
            self.assertEqual((again.status_code, again.content), (201, first.content))
            self.assertEqual(again.headers["Idempotent-Replayed"], "true")
            self.assertEqual(Transaction.objects.count(), deposits)

    def test_gives_every_item_a_key_that_follows_from_that_of_the_request(self) -> None:
        items = [{"wallet": self.one, "amount": 5}, {"wallet": self.one, "amount": 5}]
        first = self.bulk(*items, key="whole")
        self.assertNotIn("Idempotent-Replayed", first.headers)
        again = self.bulk(*items, key="whole")
        self.assertEqual(again.content, first.content)
        self.assertEqual(again.headers["Idempotent-Replayed"], "true")
        self.assertEqual(self.balances()[0], 110)
        decoded(self.bulk(*items, key="another"), 201)
        self.assertEqual(self.balances()[0], 120)

    def test_refuses_a_key_that_was_used_for_another_request(self) -> None:
        uuid = str(Wallet.objects.get(pk=self.one).uuid)
        first: list[dict[str, Any]] = [
            {"wallet": self.one, "amount": 5},
            {"wallet": self.two, "amount": 6},
        ]
        decoded(self.bulk(*first, key="whole"), 201)
        others: list[tuple[list[dict[str, Any]], str | None, list[str]]] = [
            (first[::-1], None, ["items"]),
            (first[:1], None, ["items"]),
            ([*first, {"wallet": self.one, "amount": 1}], None, ["items"]),
            ([first[0] | {"wallet": uuid}, first[1]], None, ["items"]),
            ([first[0] | {"amount": 50}, first[1]], None, ["items"]),
            (first, "each", ["mode"]),
            (first[:1], "each", ["items", "mode"]),
        ]
        for items, mode, fields in others:
            with self.subTest(items=items, mode=mode), self.nothing_changes():
                answer = self.bulk(*items, mode=mode, key="whole")
                data = self.refused(answer, 422, "idempotency_key_reused")
                self.assertEqual(data["fields"], fields)
                self.assertIn("first_used_at", data)

    def test_replays_what_was_refused_although_it_could_be_done_now(self) -> None:
        items = [
            {"wallet": self.two, "amount": 60},
            {"wallet": self.two, "amount": 60},
            {"wallet": self.two, "amount": "x"},
        ]
        with override_settings(WALLET_MAX_BALANCE=100):
            first = self.bulk(*items, mode="each", key="whole")
        self.assertEqual(decoded(first, 200)["refused"], 2)
        with self.nothing_changes():
            again = self.bulk(*items, mode="each", key="whole")
        self.assertEqual((again.status_code, again.content), (200, first.content))
        self.assertEqual(again.headers["Idempotent-Replayed"], "true")

    def test_replays_what_was_refused_for_names_that_are_no_text(self) -> None:
        for name in (r"\ud800", r"\u0000"):
            good, bad = f'{{"wallet": {self.one}, "amount": 5}}', f'{{"{name}": 1}}'
            body = f'{{"mode": "each", "items": [{good}, {bad}]}}'.encode()
            first = self.send(URL, body, key=name)
            self.assertEqual(decoded(first, 200)["refused"], 1)
            self.assertEqual(self.send(URL, body, key=name).content, first.content)

    def test_remembers_no_request_of_which_nothing_was_done(self) -> None:
        with override_settings(WALLET_MAX_BALANCE=100):
            for mode in ("each", "all_or_nothing"):
                self.bulk({"wallet": self.one, "amount": 5}, mode=mode, key="whole")
        decoded(self.bulk({"wallet": self.one, "amount": 6}, key="whole"), 201)

    def test_takes_a_thousand_with_keys_as_long_as_they_may_be(self) -> None:
        uuid = str(Wallet.objects.get(pk=self.one).uuid)
        items = [
            {
                "wallet": uuid,
                "amount": 10**12,
                "currency": "IRR",
                "idempotency_key": f"{n:04}" + '"' * 124,
            }
            for n in range(1_000)
        ]
        self.assertEqual(decoded(self.bulk(*items), 201)["accepted"], 1_000)
        self.assertEqual(self.balances()[0], 100 + 10**15)


class RefusedTest(BulkCase):
    def mixed(self) -> list[Any]:
        self.send(f"/api/wallets/{self.one}/deposit/", {"amount": 1}, key="used")
        return [
            {"wallet": self.one, "amount": 5},
            {"wallet": 999_999, "amount": 5},
            {"wallet": self.one, "amount": 5, "currency": "EUR"},
            {"wallet": self.one, "amount": MAX_BALANCE},
            {"wallet": self.one, "amount": 2, "idempotency_key": "used"},
            {"wallet": self.two, "amount": 6},
        ]

    CODES = (
        (1, 404, "wallet_not_found"),
        (2, 409, "currency_mismatch"),
        (3, 409, "balance_overflow"),
        (4, 422, "idempotency_key_reused"),
    )

    def test_makes_the_good_ones_of_each(self) -> None:
        data = decoded(self.bulk(*self.mixed(), mode="each"), 200)
        self.assertEqual((data["accepted"], data["refused"]), (2, 4))
        self.assertEqual([each["index"] for each in data["results"]], list(range(6)))
        for index, status, code in self.CODES:
            result = data["results"][index]
            self.assertEqual((result["status"], result["data"]["code"]), (status, code))
        self.assertEqual(data["results"][4]["data"]["fields"], ["amount"])
        self.assertEqual(self.balances(), [106, 6])

    def test_makes_nothing_of_all_and_names_what_was_refused(self) -> None:
        items = self.mixed()
        for mode in (None, "all_or_nothing"):
            with self.nothing_changes():
                data = self.refused(self.bulk(*items, mode=mode), 409, "bulk_refused")
            told = [
                (each["index"], each["status"], each["data"]["code"]) for each in data["results"]
            ]
            self.assertEqual(told, list(self.CODES))

    def test_refuses_the_second_use_of_a_key_for_something_else(self) -> None:
        item = {"wallet": self.one, "amount": 5, "idempotency_key": "k"}
        with self.nothing_changes():
            data = self.refused(self.bulk(item, item | {"amount": 6}), 409, "bulk_refused")
        [result] = data["results"]
        self.assertEqual((result["index"], result["status"]), (1, 422))
        data = decoded(self.bulk(item, item | {"amount": 6}, mode="each"), 200)
        self.assertEqual(data["results"][1]["data"]["fields"], ["amount"])

    def test_looks_for_what_differs_in_the_wallets_of_the_request_only(self) -> None:
        """A key is unique within a wallet: all others may have used the same."""
        for wallet in (self.one, self.two, make_wallet()):
            self.send(f"/api/wallets/{wallet}/deposit/", {"amount": 1}, key="first")
        uuid = str(Wallet.objects.get(pk=self.two).uuid)
        items = [
            {"wallet": wallet, "amount": 2, "idempotency_key": "first"}
            for wallet in (self.one, uuid)
        ]
        with CaptureQueriesContext(connection) as queries:
            data = decoded(self.bulk(*items, mode="each"), 200)
        self.assertEqual([each["data"]["fields"] for each in data["results"]], [["amount"]] * 2)
        selects = [each["sql"] for each in queries if each["sql"].startswith("SELECT")]
        asked = selects[-1]
        with connection.cursor() as cursor:
            cursor.execute(asked)
            self.assertEqual(len(cursor.fetchall()), 2, asked)

    def test_tells_what_is_wrong_with_an_amount(self) -> None:
        cases = [(text, code) for text, code in BAD_AMOUNTS if len(text) < 1_000]
        items = ",".join(f'{{"wallet": {self.one}, "amount": {text}}}' for text, _ in cases)
        with self.nothing_changes():
            answer = self.send(URL, f'{{"mode": "each", "items": [{items}]}}'.encode())
        results = decoded(answer, 200)["results"]
        told = [
            (each["status"], each["data"]["errors"][0]["field"], each["data"]["errors"][0]["code"])
            for each in results
        ]
        self.assertEqual(told, [(400, "amount", code) for _, code in cases])

    def test_tells_what_is_wrong_with_an_item(self) -> None:
        good: dict[str, Any] = {"wallet": self.two, "amount": 1}
        cases: list[tuple[Any, str, str]] = [
            *((good | {"wallet": bad}, "wallet", "wallet_invalid") for bad in BAD_WALLETS),
            ({"amount": 1}, "wallet", "required"),
            ({"wallet": self.one}, "amount", "required"),
            (good | {"currency": "TOM"}, "currency", "currency_invalid"),
            (good | {"note": "x"}, "note", "unknown_field"),
            *(
                (good | {"idempotency_key": bad}, "idempotency_key", "idempotency_key_invalid")
                for bad in ("", "x" * 129, "é", 1, None, "a\n")
            ),
        ]
        data = decoded(self.bulk(*(item for item, _, _ in cases), good, mode="each"), 200)
        self.assertEqual((data["accepted"], data["refused"]), (1, len(cases)))
        for (item, field, code), result in zip(cases, data["results"], strict=False):
            with self.subTest(item=item):
                self.assertEqual(result["status"], 400)
                [problem] = result["data"]["errors"]
                self.assertEqual((problem["field"], problem["code"]), (field, code))
        with self.nothing_changes():
            for item, _, _ in cases[:3]:
                data = self.refused(self.bulk(good, item), 409, "bulk_refused")
                self.assertEqual([each["index"] for each in data["results"]], [1])

    def test_refuses_what_is_no_list_of_one_to_a_thousand_objects(self) -> None:
        good = {"wallet": self.one, "amount": 1}
        with self.nothing_changes():
            bad: list[Any] = [[], None, {}, "x", [good, 1], [[]], [None], [good] * 1_001]
            for items in bad:
                answer = self.send(URL, {"items": items, "mode": "each"})
                self.refused(answer, 400, "validation_error", ("items", "items_invalid"))
            for body, field, code in (
                ({}, "items", "required"),
                ({"items": [good], "mode": "some"}, "mode", "choice_invalid"),
                ({"items": [good], "mode": None}, "mode", "choice_invalid"),
                ({"items": [good], "mode": ["each"]}, "mode", "choice_invalid"),
                ({"items": [good], "dry": True}, "dry", "unknown_field"),
            ):
                self.refused(self.send(URL, body), 400, "validation_error", (field, code))
            self.refused(self.send(URL, b"[]"), 400, "body_not_object")
            self.refused(
                self.send(URL, b'{"items": [{"amount": 1, "amount": 2}]}'), 400, "duplicate_key"
            )
            self.refused(
                self.bulk(good, key="x" * 129),
                400,
                "validation_error",
                ("Idempotency-Key", "idempotency_key_invalid"),
            )
            self.refused(self.client.get(URL), 405, "method_not_allowed")

    @override_settings(WALLET_MAX_BALANCE=110)
    def test_keeps_to_the_limit_of_a_wallet_across_items(self) -> None:
        items = [{"wallet": self.one, "amount": 6}] * 2
        data = decoded(self.bulk(*items, mode="each"), 200)
        self.assertEqual([each["status"] for each in data["results"]], [201, 409])
        self.assertEqual(data["results"][1]["data"]["code"], "balance_limit_exceeded")


@override_settings(API_AUTH_REQUIRED=True)
class WhoseTest(BulkCase):
    def test_finds_no_wallet_of_another_account(self) -> None:
        ours, theirs = new_key("ours"), new_key("theirs")
        wallets = [
            decoded(self.send("/api/wallets/", {}, Authorization=f"Bearer {key}"), 201)["wallet"]
            for key in (ours, theirs)
        ]
        refs = [wallets[0]["id"], wallets[1]["id"], wallets[1]["uuid"], self.one, 999_999]
        answer = self.bulk(
            *({"wallet": ref, "amount": 5} for ref in refs),
            mode="each",
            Authorization=f"Bearer {ours}",
        )
        results = decoded(answer, 200)["results"]
        self.assertEqual([each["status"] for each in results], [201, 404, 404, 404, 404])
        uniform = {json.dumps(each | {"index": 0}) for each in results[1:]}
        self.assertEqual(len(uniform), 1)
        self.assertEqual(LedgerEntry.objects.filter(wallet=wallets[1]["id"]).count(), 0)

    def test_keeps_the_keys_of_accounts_apart(self) -> None:
        for name in ("ours", "theirs"):
            headers = {"Authorization": f"Bearer {new_key(name)}"}
            opened = decoded(self.send("/api/wallets/", {}, **headers), 201)
            items = [{"wallet": opened["wallet"]["id"], "amount": 5}]
            for replayed in (None, "true"):
                answer = self.send(URL, {"items": items}, key="same", **headers)
                decoded(answer, 201)
                self.assertEqual(answer.headers.get("Idempotent-Replayed"), replayed)

    def test_needs_the_scope_to_deposit(self) -> None:
        reader = new_key("ours", Scope.WALLETS_READ)
        answer = self.bulk({"wallet": 1, "amount": 1}, Authorization=f"Bearer {reader}")
        self.refused(answer, 403, "scope_missing")
        self.refused(self.bulk({"wallet": 1, "amount": 1}), 401, "authentication_required")


class StrangerTest(ApiCase, TransactionTestCase):
    @skipUnless(connection.vendor == "postgresql", "SQLite locks no rows")
    @override_settings(API_AUTH_REQUIRED=True)
    def test_does_not_wait_for_a_wallet_of_another_account_nor_hold_it(self) -> None:
        """Else it would take another time to answer than for a wallet that is not there."""
        ours = {"Authorization": f"Bearer {new_key('ours')}"}
        wallet = make_wallet()
        items = [{"wallet": wallet, "amount": 5}]

        def ask() -> Any:
            return self.send(URL, {"items": items}, **ours)

        with transaction.atomic():
            Wallet.objects.select_for_update(no_key=True).get(pk=wallet)
            [answer] = race([ask])
        self.refused(answer, 409, "bulk_refused")


class RaceTest(ApiCase, TransactionTestCase):
    def test_does_what_one_key_asks_for_once_however_the_requests_race(self) -> None:
        one, two = make_wallet(), make_wallet()
        items = [{"wallet": one, "amount": 1}, {"wallet": two, "amount": 1}]
        for nth in range(5):

            def ask(items: list[Any], key: str = f"k{nth}") -> Any:
                return self.send(URL, {"items": items}, key=key)

            answers = race([partial(ask, items), partial(ask, items[::-1])] * 3)
            statuses = [answer.status_code for answer in answers]
            # Whichever came first is answered three times, the other refused as often.
            self.assertEqual(sorted(statuses), [201] * 3 + [422] * 3)
            done = {answer.content for answer in answers if answer.status_code == 201}
            self.assertEqual(len(done), 1)
        rows = Wallet.objects.filter(pk__in=(one, two)).values_list("balance", flat=True)
        self.assertEqual(list(rows), [5, 5])
        self.assertEqual(audit(limit=5).broken, ())

    def test_applies_every_key_once_however_the_requests_race(self) -> None:
        wallets = [make_wallet() for _ in range(3)]
        items = [
            {"wallet": wallets[n % 3], "amount": 1, "idempotency_key": f"k{n}"} for n in range(12)
        ]

        def forth() -> int:
            return int(self.send(URL, {"items": items}).status_code)

        def back() -> int:
            return int(self.send(URL, {"items": items[::-1], "mode": "each"}).status_code)

        self.assertEqual(set(race([forth, back] * 3)), {201})
        self.assertEqual(list(Wallet.objects.values_list("balance", flat=True)), [4, 4, 4])
        self.assertEqual(audit(limit=5).broken, ())
