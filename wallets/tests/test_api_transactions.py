import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from django.test import TestCase

from wallets.models import Status, Transaction, Type
from wallets.models.clock import database_now
from wallets.tests.api_case import ApiCase, decoded
from wallets.tests.money import make_wallet

BAD_QUERIES = [
    ("limit=0", "limit", "limit_invalid"),
    ("limit=101", "limit", "limit_invalid"),
    ("limit=-1", "limit", "limit_invalid"),
    ("limit=", "limit", "limit_invalid"),
    ("limit=ten", "limit", "limit_invalid"),
    ("limit=5.0", "limit", "limit_invalid"),
    ("limit=%DB%B5", "limit", "limit_invalid"),
    ("limit=05", "limit", "limit_invalid"),
    ("limit=%205", "limit", "limit_invalid"),
    ("limit=5%0A", "limit", "limit_invalid"),
    ("limit=99999999999999999999", "limit", "limit_invalid"),
    ("type=deposit", "type", "choice_invalid"),
    ("type=", "type", "choice_invalid"),
    ("type=DEPOSIT,WITHDRAWAL", "type", "choice_invalid"),
    ("status=PAID", "status", "choice_invalid"),
    ("status=%00", "status", "choice_invalid"),
    ("status=%FF", "status", "choice_invalid"),
    ("cursor=", "cursor", "cursor_invalid"),
    ("cursor=o1", "cursor", "cursor_invalid"),
    ("cursor=o1.AAAA", "cursor", "cursor_invalid"),
    ("cursor=%00.%00", "cursor", "cursor_invalid"),
    ("cursor=%DB%B1.%FF", "cursor", "cursor_invalid"),
    ("created_after=", "created_after", "time_invalid"),
    ("created_after=yesterday", "created_after", "time_invalid"),
    ("created_after=2026-01-01", "created_after", "time_invalid"),
    ("created_after=2026-01-01T00:00:00", "created_after", "time_without_offset"),
    ("created_before=2026-01-01T00:00:00", "created_before", "time_without_offset"),
    ("created_before=2026-01-01+00:00:00", "created_before", "time_without_offset"),
    ("created_before=9999-12-31T23:59:59-01:00", "created_before", "time_out_of_range"),
    ("created_before=0001-01-01T00:00:00%2B01:00", "created_before", "time_out_of_range"),
    ("page=2", "page", "unknown_field"),
    ("offset=1", "offset", "unknown_field"),
    ("Limit=5", "Limit", "unknown_field"),
    ("=5", "", "unknown_field"),
]


class TransactionsTest(ApiCase, TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.wallet = make_wallet()
        self.url = f"/api/wallets/{self.wallet}/transactions/"

    def page(self, query: str = "") -> Any:
        data = decoded(self.client.get(query if "://" in query else f"{self.url}?{query}"), 200)
        self.assertEqual(list(data), ["results", "next", "previous"])
        return data

    def ids(self, query: str = "") -> list[int]:
        return [row["id"] for row in self.page(query)["results"]]

    def make_rows(self, count: int) -> list[int]:
        """Deposits and withdrawals in turn, an hour apart; their ids, newest first."""
        now = database_now()
        rows = [
            self.row(now - timedelta(hours=count - n), deposit=n % 2 == 0) for n in range(count)
        ]
        return [row.pk for row in reversed(Transaction.objects.bulk_create(rows))]

    def row(self, created_at: Any, *, deposit: bool) -> Transaction:
        return Transaction(
            wallet_id=self.wallet,
            type=Type.DEPOSIT if deposit else Type.WITHDRAWAL,
            status=Status.SUCCEEDED if deposit else Status.SCHEDULED,
            amount=1,
            execute_at=None if deposit else created_at,
            idempotency_key=None if deposit else uuid.uuid4(),
            created_at=created_at,
            updated_at=created_at,
        )

    def test_lists_the_newest_first_fifty_to_a_page(self) -> None:
        ids = self.make_rows(60)
        page = self.page()
        self.assertEqual([row["id"] for row in page["results"]], ids[:50])
        self.assertIsNone(page["previous"])
        self.assertEqual(self.ids(page["next"]), ids[50:])

    def test_shows_an_empty_page_for_a_new_wallet(self) -> None:
        self.assertEqual(self.page(), {"results": [], "next": None, "previous": None})

    def test_leads_through_all_pages_and_back(self) -> None:
        ids = self.make_rows(7)
        forth, page = [], self.page("limit=3")
        while True:
            forth.append([row["id"] for row in page["results"]])
            if page["next"] is None:
                break
            page = self.page(page["next"])
        self.assertEqual(forth, [ids[:3], ids[3:6], ids[6:]])
        back = []
        while page["previous"] is not None:
            page = self.page(page["previous"])
            back.append([row["id"] for row in page["results"]])
        self.assertEqual(back, [ids[3:6], ids[:3]])

    def test_ends_exactly_when_the_last_page_is_full(self) -> None:
        self.make_rows(6)
        page = self.page(self.page("limit=3")["next"])
        self.assertEqual(len(page["results"]), 3)
        self.assertIsNone(page["next"])

    def test_does_not_shift_when_new_rows_arrive(self) -> None:
        ids = self.make_rows(4)
        following = self.page("limit=2")["next"]
        self.make_rows(3)
        self.assertEqual(self.ids(following), ids[2:])

    def test_leads_back_from_an_empty_page(self) -> None:
        ids = self.make_rows(2)
        following = self.page("limit=1&type=WITHDRAWAL")
        self.assertEqual([row["id"] for row in following["results"]], ids[:1])
        older = self.page("limit=1")["next"].replace("limit=1", "limit=1&type=WITHDRAWAL")
        empty = self.page(older)
        self.assertEqual((empty["results"], empty["next"]), ([], None))
        self.assertEqual(self.ids(empty["previous"]), ids[:1])

    def test_keeps_filters_and_limit_in_its_links(self) -> None:
        ids = self.make_rows(9)
        after = quote("2000-01-01T03:30:00+03:30")
        page = self.page(f"type=DEPOSIT&limit=2&created_after={after}")
        self.assertEqual([row["id"] for row in page["results"]], ids[:4:2])
        self.assertTrue(page["next"].startswith(f"http://testserver{self.url}?"))
        page = self.page(page["next"])
        self.assertEqual([row["id"] for row in page["results"]], ids[4:8:2])
        self.assertEqual(self.ids(page["previous"]), ids[:4:2])

    def test_filters_by_type_status_and_time(self) -> None:
        ids = self.make_rows(6)
        self.assertEqual(self.ids("type=DEPOSIT"), ids[1::2])
        self.assertEqual(self.ids("status=SCHEDULED"), ids[::2])
        self.assertEqual(self.ids("type=DEPOSIT&status=SCHEDULED"), [])
        times = {row["id"]: row["created_at"] for row in self.page()["results"]}
        middle = times[ids[2]]
        self.assertEqual(self.ids(f"created_after={middle}"), ids[:3])
        self.assertEqual(self.ids(f"created_before={middle}"), ids[3:])
        self.assertEqual(
            self.ids(f"created_after={middle}&created_before={times[ids[0]]}"), ids[1:3]
        )

    def test_understands_a_plus_sign_that_was_not_escaped(self) -> None:
        ids = self.make_rows(1)
        for sign in ("+", "%2B", "%20"):
            self.assertEqual(self.ids(f"created_after=2000-01-01T00:00:00{sign}03:30"), ids)
            self.assertEqual(self.ids(f"created_before=2000-01-01T00:00:00{sign}03:30"), [])

    def test_takes_the_first_and_the_last_moment(self) -> None:
        ids = self.make_rows(1)
        query = "created_after=0001-01-01T00:00:00Z&created_before=9999-12-31T23:59:59.999999Z"
        self.assertEqual(self.ids(query), ids)

    def test_refuses_bad_parameters(self) -> None:
        for query, field, code in BAD_QUERIES:
            with self.subTest(query=query):
                response = self.client.get(f"{self.url}?{query}")
                self.refused(response, 400, "validation_error", (field, code))

    def test_refuses_a_parameter_given_twice(self) -> None:
        response = self.client.get(f"{self.url}?limit=1&limit=2")
        self.refused(response, 400, "validation_error", ("limit", "repeated_parameter"))

    def test_refuses_thousands_of_parameters(self) -> None:
        response = self.client.get(f"{self.url}?{'a=1&' * 1_001}")
        self.refused(response, 400, "bad_request")

    def test_refuses_a_cursor_that_was_changed_or_is_for_another_wallet(self) -> None:
        self.make_rows(3)
        link = self.page("limit=1")["next"]
        cursor = link.rpartition("cursor=")[2]
        changed = [
            cursor[:-1] + ("A" if cursor[-1] != "A" else "B"),
            cursor.replace("o", "n", 1),
            cursor[0] + "9" + cursor[1:],
            cursor + "A",
            cursor.upper(),
        ]
        for each in changed:
            response = self.client.get(f"{self.url}?cursor={each}")
            self.refused(response, 400, "validation_error", ("cursor", "cursor_invalid"))
        other = f"/api/wallets/{make_wallet()}/transactions/?cursor={cursor}"
        response = self.client.get(other)
        self.refused(response, 400, "validation_error", ("cursor", "cursor_invalid"))

    def test_shows_nothing_of_other_wallets(self) -> None:
        self.make_rows(2)
        other = make_wallet(5)
        url = f"/api/wallets/{other}/transactions/"
        rows = decoded(self.client.get(url), 200)["results"]
        self.assertEqual([row["wallet_id"] for row in rows], [other])
        self.refused(self.client.get("/api/wallets/999999/transactions/"), 404, "wallet_not_found")

    def test_costs_two_queries_whatever_the_page(self) -> None:
        self.make_rows(20)
        following = self.page("limit=5")["next"]
        with self.assertNumQueries(2):
            self.page(following)
