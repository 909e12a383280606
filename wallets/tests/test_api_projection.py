import random
from typing import Any
from unittest import mock

from django.test import TestCase

from wallets.domain.withdrawals.cancel import cancel
from wallets.models import Status, Transaction
from wallets.tests.api_case import ApiCase, decoded
from wallets.tests.money import make_due, make_wallet, take

AT = "2999-0{}-01T00:00:00Z"


class ProjectionTest(ApiCase, TestCase):
    def plan(self, wallet: int, month: int, amount: int) -> int:
        body = {"amount": amount, "execute_at": AT.format(month)}
        answer = self.send(f"/api/wallets/{wallet}/withdrawals/", body)
        return int(decoded(answer, 201)["transaction"]["id"])

    def project(self, wallet: int) -> Any:
        return decoded(self.client.get(f"/api/wallets/{wallet}/projection/"), 200)

    def test_decides_greedily_in_order_of_time_and_then_id(self) -> None:
        wallet = make_wallet(100)
        late, large, middle, small = (
            self.plan(wallet, month, amount)
            for month, amount in ((9, 40), (1, 150), (2, 60), (2, 50))
        )
        data = self.project(wallet)
        self.assertEqual(
            [
                (row["id"], row["covered"], row["missing"], row["balance_after"])
                for row in data["withdrawals"]
            ],
            [
                (large, False, 50, 100),
                (middle, True, 0, 40),
                (small, False, 10, 40),
                (late, True, 0, 0),
            ],
        )
        self.assertEqual(
            data["totals"],
            {
                "scheduled": {"count": 4, "amount": 300},
                "covered": {"count": 2, "amount": 100},
                "not_covered": {"count": 2, "amount": 200},
            },
        )
        self.assertEqual((data["balance"], data["balance_after"]), (100, 0))
        self.assertEqual(data["first_shortfall"], data["withdrawals"][0])
        self.assertIs(data["truncated"], False)

    def test_foresees_what_the_executor_does(self) -> None:
        chance = random.Random(5)
        wallet = make_wallet(500)
        make_due(wallet, *(chance.randrange(1, 120) for _ in range(25)))
        foreseen = {row["id"]: row["covered"] for row in self.project(wallet)["withdrawals"]}
        take()
        done = dict(Transaction.objects.filter(pk__in=foreseen).values_list("pk", "status"))
        self.assertEqual(foreseen, {pk: status == Status.PROCESSING for pk, status in done.items()})
        self.assertEqual(len(set(foreseen.values())), 2)

    def test_shows_nothing_where_nothing_is_scheduled(self) -> None:
        data = self.project(make_wallet(7))
        self.assertEqual((data["withdrawals"], data["first_shortfall"]), ([], None))
        self.assertEqual((data["balance"], data["balance_after"]), (7, 7))

    def test_counts_neither_what_is_held_nor_what_has_ended(self) -> None:
        wallet = make_wallet(100)
        make_due(wallet, 30, 500)
        take()
        cancelled, planned = self.plan(wallet, 1, 10), self.plan(wallet, 2, 20)
        cancel(wallet=wallet, withdrawal_id=cancelled, by="test")
        data = self.project(wallet)
        self.assertEqual([row["id"] for row in data["withdrawals"]], [planned])
        self.assertEqual(data["balance"], 70)

    def test_says_when_there_are_more_than_it_looks_at(self) -> None:
        wallet = make_wallet(100)
        for month in (1, 2, 3):
            self.plan(wallet, month, 10)
        with mock.patch("wallets.domain.withdrawals.projection.MOST", 2):
            data = self.project(wallet)
        self.assertEqual((len(data["withdrawals"]), data["truncated"]), (2, True))
        self.assertEqual(data["balance_after"], 80)

    def test_reads_the_balance_and_the_plans_at_one_moment(self) -> None:
        wallet = make_wallet(100)
        self.plan(wallet, 1, 10)
        with self.assertNumQueries(2):  # the wallet, and everything that counts
            self.project(wallet)

    def test_refuses_parameters_and_unknown_wallets(self) -> None:
        wallet = make_wallet()
        path = f"/api/wallets/{wallet}/projection/"
        self.refused(self.client.get(f"{path}?until=2030"), 400, "validation_error")
        self.refused(self.client.get("/api/wallets/0/projection/"), 404, "wallet_not_found")
        self.refused(self.client.post(path), 405, "method_not_allowed")
