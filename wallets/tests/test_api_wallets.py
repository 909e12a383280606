from datetime import timedelta
from typing import Any

from django.test import SimpleTestCase, TestCase, override_settings

from wallets.checks import check_currency
from wallets.models import Scope, Tenant, Wallet
from wallets.models.clock import database_now
from wallets.tests.api_case import ApiCase, decoded
from wallets.tests.test_api_keys import new_key

BAD = [
    ("min_balance=", "min_balance", "balance_invalid"),
    ("min_balance=-1", "min_balance", "balance_invalid"),
    ("min_balance=01", "min_balance", "balance_invalid"),
    ("min_balance=1.5", "min_balance", "balance_invalid"),
    ("min_balance=1e3", "min_balance", "balance_invalid"),
    ("min_balance=1,000", "min_balance", "balance_invalid"),
    ("min_balance=%DB%B5", "min_balance", "balance_invalid"),
    ("min_balance=9223372036854775808", "min_balance", "balance_invalid"),
    ("currency=irr", "currency", "currency_invalid"),
    ("currency=TOM", "currency", "currency_invalid"),
    ("currency=", "currency", "currency_invalid"),
    ("created_after=soon", "created_after", "time_invalid"),
    ("created_before=2026-01-01T00:00:00", "created_before", "time_without_offset"),
    ("limit=101", "limit", "limit_invalid"),
    ("cursor=x", "cursor", "cursor_invalid"),
    ("tenant=1", "tenant", "unknown_field"),
    ("max_balance=1", "max_balance", "unknown_field"),
]


class WalletsTest(ApiCase, TestCase):
    def setUp(self) -> None:
        super().setUp()
        now = database_now()
        rows = [
            Wallet(
                currency="IRR" if n % 2 == 0 else "EUR",
                balance=n * 100,
                created_at=now - timedelta(hours=9 - n),
                updated_at=now,
            )
            for n in range(7)
        ]
        self.rows = Wallet.objects.bulk_create(rows)[::-1]
        self.all = [row.pk for row in self.rows]

    def page(self, query: str = "") -> Any:
        return decoded(self.client.get(query if "://" in query else f"/api/wallets/?{query}"), 200)

    def ids(self, query: str = "") -> list[int]:
        return [row["id"] for row in self.page(query)["results"]]

    def test_lists_the_newest_first(self) -> None:
        self.assertEqual(self.ids(), self.all)
        row = self.page("limit=1")["results"][0]
        shown = decoded(self.client.get(f"/api/wallets/{row['id']}/"), 200)["wallet"]
        self.assertEqual(row, shown)

    def test_leads_through_all_pages_and_back_with_the_filters(self) -> None:
        first = self.page("limit=2&currency=IRR")
        second = self.page(first["next"])
        self.assertEqual([row["id"] for row in second["results"]], self.all[4::2])
        self.assertIsNone(second["next"])
        self.assertEqual(self.ids(second["previous"]), self.all[:4:2])

    def test_filters_by_balance_currency_and_time(self) -> None:
        self.assertEqual(self.ids("min_balance=500"), self.all[:2])
        self.assertEqual(self.ids("min_balance=0"), self.all)
        self.assertEqual(self.ids("min_balance=9223372036854775807"), [])
        self.assertEqual(self.ids("currency=EUR"), self.all[1::2])
        middle = self.page()["results"][3]["created_at"]
        self.assertEqual(self.ids(f"created_after={middle}"), self.all[:4])
        self.assertEqual(self.ids(f"created_before={middle}&min_balance=100"), self.all[4:6])

    def test_refuses_bad_parameters(self) -> None:
        for query, field, code in BAD:
            with self.subTest(query=query):
                answer = self.client.get(f"/api/wallets/?{query}")
                self.refused(answer, 400, "validation_error", (field, code))

    def test_costs_one_query_whatever_the_page(self) -> None:
        following = self.page("limit=2")["next"]
        with self.assertNumQueries(1):
            self.page(following)


@override_settings(API_AUTH_REQUIRED=True)
class WhoseTest(ApiCase, TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.keys = {name: new_key(name) for name in ("ours", "theirs")}
        now = database_now()
        for name in ("ours", "theirs", "ours"):
            tenant = Tenant.objects.get(name=name)
            Wallet.objects.create(tenant=tenant, currency="IRR", created_at=now, updated_at=now)
        Wallet.objects.create(currency="IRR", created_at=now, updated_at=now)

    def listed(self, key: str, path: str = "/api/wallets/") -> Any:
        return self.client.get(path, headers={"Authorization": f"Bearer {key}"})

    def owners(self, key: str) -> list[str | None]:
        ids = [row["id"] for row in decoded(self.listed(key), 200)["results"]]
        names = dict(Wallet.objects.values_list("pk", "tenant__name"))
        return [names[pk] for pk in ids]

    def test_lists_the_wallets_of_the_account_alone(self) -> None:
        self.assertEqual(self.owners(self.keys["ours"]), ["ours", "ours"])
        self.assertEqual(self.owners(self.keys["theirs"]), ["theirs"])
        self.assertEqual(self.owners(new_key("new")), [])

    def test_lists_everything_for_an_admin_reader(self) -> None:
        auditor = new_key("audit", Scope.ADMIN_READ)
        self.assertEqual(self.owners(auditor), [None, "ours", "theirs", "ours"])

    def test_takes_no_cursor_of_another_account(self) -> None:
        page = decoded(self.listed(self.keys["ours"], "/api/wallets/?limit=1"), 200)
        path = page["next"].removeprefix("http://testserver")
        decoded(self.listed(self.keys["ours"], path), 200)
        answer = self.listed(self.keys["theirs"], path)
        self.refused(answer, 400, "validation_error", ("cursor", "cursor_invalid"))

    def test_needs_the_scope_to_read(self) -> None:
        opener = new_key("ours", Scope.WALLETS_CREATE, name="opener")
        self.refused(self.listed(opener), 403, "scope_missing")
        self.refused(self.client.get("/api/wallets/"), 401, "authentication_required")


class DefaultCurrencyTest(SimpleTestCase):
    def test_is_one_that_the_api_knows(self) -> None:
        for code, problems in (("IRR", []), ("EUR", []), ("TOM", ["wallets.E005"])):
            with override_settings(WALLET_DEFAULT_CURRENCY=code):
                self.assertEqual([each.id for each in check_currency()], problems)
