"""What a person may do in the admin: asked, told what will happen, confirmed, recorded."""

import logging
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client, TestCase, override_settings
from django.urls import reverse

from wallets.domain.outcomes import Verdict
from wallets.domain.pausing import current_pause, pause_payouts
from wallets.domain.withdrawals.resolving import open_proposal
from wallets.models import BankGate, PayoutPause, Resolution, Status, Transaction, Type, Wallet
from wallets.models.clock import database_now
from wallets.tests.money import finish, make_due, make_wallet, take

LANGUAGES = ("en", "fa")


def make_person(name: str, *codenames: str) -> User:
    person = User.objects.create_user(name, is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return person


class DeedsCase(TestCase):
    permission = "resolve_withdrawals"

    def setUp(self) -> None:
        self.eva = make_person("eva", "view_transaction", "view_bankgate", self.permission)
        self.omid = make_person("omid", "view_transaction", "view_bankgate", self.permission)
        self.client.force_login(self.eva)
        logger = logging.getLogger("django.request")
        self.addCleanup(logger.setLevel, logger.level)
        logger.setLevel(logging.CRITICAL)

    def url(self, row: Any, deed: str) -> str:
        return reverse(f"admin:wallets_{row._meta.model_name}_{deed}", args=[row.pk])

    def page(self, row: Any) -> str:
        url = reverse(f"admin:wallets_{row._meta.model_name}_change", args=[row.pk])
        return self.client.get(url, headers={"accept-language": "en"}).content.decode()

    def send(
        self, row: Any, deed: str, *, confirmed: bool, language: str = "en", **given: str
    ) -> Any:
        data = given | ({"confirmed": "yes"} if confirmed else {})
        return self.client.post(
            self.url(row, deed), data, follow=True, headers={"accept-language": language}
        )


@override_settings(RESOLVE_REQUIRES_TWO=False, BANK_NOT_FOUND_GRACE_SECONDS=60)
class ResolveTest(DeedsCase):
    given = {"verdict": "paid", "reference": "B-77", "reason": "seen on the portal"}
    not_paid = {"verdict": "not_paid", "reference": "", "reason": "not on the statement"}

    def setUp(self) -> None:
        super().setUp()
        self.wallet = make_wallet(100)
        [pk] = make_due(self.wallet, 30)
        [claimed] = take().claimed
        finish(claimed, Verdict.IN_DOUBT)
        Transaction.objects.filter(pk=pk).update(last_sent_at=database_now() - timedelta(minutes=5))
        self.row = Transaction.objects.get(pk=pk)

    def status(self) -> str:
        return Transaction.objects.get(pk=self.row.pk).status

    def test_offers_it_only_where_there_is_something_to_say(self) -> None:
        deposit = Transaction.objects.filter(type=Type.DEPOSIT)[0]
        self.assertIn(self.url(self.row, "resolve"), self.page(self.row))
        self.assertNotIn(self.url(self.row, "withdraw-proposal"), self.page(self.row))
        self.assertNotIn("/resolve/", self.page(deposit))

    def test_says_what_will_happen_before_anything_does(self) -> None:
        response = self.send(self.row, "resolve", confirmed=False, **self.given)
        self.assertContains(response, "will count as paid out for good")
        self.assertContains(response, 'name="confirmed"')
        self.assertContains(response, 'value="seen on the portal"')
        self.assertEqual(self.status(), Status.PROCESSING)
        self.assertEqual(Resolution.objects.count(), 0)

    def test_does_what_was_confirmed_in_the_persons_name(self) -> None:
        response = self.send(self.row, "resolve", confirmed=True, **self.given)
        self.assertContains(response, "Decided: Succeeded")
        decided = Resolution.objects.get()
        self.assertEqual((decided.by, decided.reason), ("eva", "seen on the portal"))
        self.assertEqual(self.status(), Status.SUCCEEDED)

    def test_gives_the_money_back(self) -> None:
        self.assertContains(
            self.send(self.row, "resolve", confirmed=False, **self.not_paid),
            "go back to the wallet",
        )
        self.send(self.row, "resolve", confirmed=True, **self.not_paid)
        self.assertEqual(self.status(), Status.FAILED)
        self.assertEqual(Wallet.objects.get(pk=self.wallet).balance, 100)

    def test_asks_again_for_what_does_not_fit_together(self) -> None:
        bad = [
            {"reference": ""},
            {"verdict": "not_paid"},
            {"verdict": ""},
            {"verdict": "maybe"},
            {"reason": " "},
            {"reason": "x" * 171},
        ]
        for changes in bad:
            with self.subTest(changes):
                given = self.given | changes
                response = self.send(self.row, "resolve", confirmed=True, **given)
                self.assertContains(response, "errorlist")
                self.assertEqual(self.status(), Status.PROCESSING)

    def test_says_in_both_languages_why_the_domain_refuses(self) -> None:
        given = self.given | {"reference": str(self.row.idempotency_key)}
        for language, words in zip(LANGUAGES, ("own key", "آنچه ثبت شده"), strict=True):
            response = self.send(self.row, "resolve", confirmed=True, language=language, **given)
            self.assertContains(response, words)
        self.assertEqual(self.status(), Status.PROCESSING)

    def test_has_nothing_to_do_once_it_has_ended(self) -> None:
        self.send(self.row, "resolve", confirmed=True, **self.given)
        response = self.send(self.row, "resolve", confirmed=True, **self.not_paid)
        self.assertContains(response, "There is nothing to do here any more.")
        self.assertEqual(self.status(), Status.SUCCEEDED)

    @override_settings(RESOLVE_REQUIRES_TWO=True)
    def test_needs_two_people(self) -> None:
        response = self.send(self.row, "resolve", confirmed=False, **self.given)
        self.assertContains(response, "Nothing changes yet")
        self.send(self.row, "resolve", confirmed=True, **self.given)
        response = self.send(self.row, "resolve", confirmed=True, **self.given)
        self.assertContains(response, "Somebody else has to confirm it")
        self.assertEqual(self.status(), Status.PROCESSING)

        self.client.force_login(self.omid)
        form = self.client.get(self.url(self.row, "resolve"))
        self.assertContains(form, "eva has proposed: Paid")
        self.assertContains(form, 'value="B-77"')
        self.send(self.row, "resolve", confirmed=True, **self.given)
        self.assertEqual(self.status(), Status.SUCCEEDED)

    @override_settings(RESOLVE_REQUIRES_TWO=True)
    def test_takes_a_proposal_back(self) -> None:
        self.send(self.row, "resolve", confirmed=True, **self.given)
        self.assertIn(self.url(self.row, "withdraw-proposal"), self.page(self.row))
        self.send(self.row, "withdraw-proposal", confirmed=True, reason="wrong line")
        self.assertIsNone(open_proposal(self.row.pk))

    @override_settings(RESOLVE_REQUIRES_TWO=True)
    def test_shows_what_people_wrote_as_text(self) -> None:
        given = self.given | {"reason": "<script>alert(1)</script>", "reference": "<b>{x}%s"}
        self.send(self.row, "resolve", confirmed=True, **given)
        for url in (self.url(self.row, "resolve"), self.url(self.row, "withdraw-proposal")):
            page = self.client.get(url).content.decode()
            self.assertIn("&lt;script&gt;alert(1)", page)
            self.assertNotIn("<script>alert", page)
            self.assertNotIn("<b>{x}", page)

    def test_lets_nobody_in_without_the_permission(self) -> None:
        self.client.force_login(make_person("clerk", "view_transaction"))
        self.assertNotIn("/resolve/", self.page(self.row))
        for deed in ("resolve", "withdraw-proposal", "return"):
            self.assertEqual(self.client.get(self.url(self.row, deed)).status_code, 403)
            response = self.client.post(self.url(self.row, deed), self.given | {"confirmed": "1"})
            self.assertEqual(response.status_code, 403)
        self.assertEqual(self.status(), Status.PROCESSING)

    def test_lets_nobody_in_who_may_not_even_look(self) -> None:
        self.client.force_login(make_person("blind", "resolve_withdrawals"))
        self.assertEqual(self.client.get(self.url(self.row, "resolve")).status_code, 403)

    def test_takes_nothing_from_another_site(self) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(self.eva)
        response = strict.post(self.url(self.row, "resolve"), self.given | {"confirmed": "yes"})
        self.assertEqual((response.status_code, self.status()), (403, Status.PROCESSING))

    def test_goes_home_for_a_row_that_does_not_exist(self) -> None:
        url = reverse("admin:wallets_transaction_resolve", args=[10**12])
        self.assertRedirects(self.client.get(url), reverse("admin:index"))

    def test_begins_from_the_list_too(self) -> None:
        response = self.choose(self.row.pk)
        self.assertRedirects(response, self.url(self.row, "resolve"))
        everything = Transaction.objects.values_list("pk", flat=True)
        self.assertContains(self.choose(*everything), "Choose one row.")

    def choose(self, *pks: int) -> Any:
        return self.client.post(
            reverse("admin:wallets_transaction_changelist"),
            {"action": "resolve", "_selected_action": pks, "index": 0},
            follow=True,
            headers={"accept-language": "en"},
        )

    def test_offers_no_action_to_those_who_may_only_look(self) -> None:
        url = reverse("admin:wallets_transaction_changelist")
        self.assertContains(self.client.get(url), 'name="action"')
        self.client.force_login(make_person("clerk", "view_transaction"))
        self.assertNotContains(self.client.get(url), 'name="action"')


class ReturnTest(DeedsCase):
    def setUp(self) -> None:
        super().setUp()
        self.wallet = make_wallet(100)
        [pk] = make_due(self.wallet, 30)
        [claimed] = take().claimed
        finish(claimed, Verdict.PAID)
        self.row = Transaction.objects.get(pk=pk)

    def test_credits_the_wallet_once_confirmed(self) -> None:
        given = {"reference": "R-1", "reason": "account closed"}
        response = self.send(self.row, "return", confirmed=False, **given)
        self.assertContains(response, "will be credited to the wallet by a new transaction")
        self.send(self.row, "return", confirmed=True, **given)
        self.assertEqual(Transaction.objects.get(type=Type.RETURN).returned_withdrawal, self.row)
        self.assertEqual(Wallet.objects.get(pk=self.wallet).balance, 100)

    def test_is_offered_until_it_has_come_back(self) -> None:
        self.assertIn("/return/", self.page(self.row))
        self.send(self.row, "return", confirmed=True, reference="R-1", reason="account closed")
        self.assertNotIn("/return/", self.page(self.row))


class PauseTest(DeedsCase):
    permission = "pause_payouts"

    def setUp(self) -> None:
        super().setUp()
        self.gate = BankGate.objects.create(name="bank")

    def test_pauses_and_resumes_in_the_persons_name(self) -> None:
        response = self.send(self.gate, "pause", confirmed=False, reason="odd references")
        self.assertContains(response, "No executor will pay anything")
        self.assertIsNone(current_pause())
        self.send(self.gate, "pause", confirmed=True, reason="odd references")
        pause = current_pause()
        assert pause is not None
        self.assertEqual((pause.by, pause.reason), ("eva", "odd references"))
        self.assertContains(
            self.send(self.gate, "resume", confirmed=False, reason="explained"),
            "Paused by eva: odd references",
        )
        self.send(self.gate, "resume", confirmed=True, reason="explained")
        self.assertIsNone(current_pause())
        self.assertEqual(PayoutPause.objects.latest("id").reason, "explained")

    def test_offers_the_one_that_fits(self) -> None:
        self.assertIn("/pause/", self.page(self.gate))
        self.assertNotIn("/resume/", self.page(self.gate))
        pause_payouts(by="omid", reason="drill")
        self.assertIn("/resume/", self.page(self.gate))
        self.assertNotIn("/pause/", self.page(self.gate))

    def test_lets_nobody_in_without_the_permission(self) -> None:
        self.client.force_login(make_person("clerk", "view_bankgate", "resolve_withdrawals"))
        self.assertNotIn("/pause/", self.page(self.gate))
        self.assertEqual(self.client.get(self.url(self.gate, "pause")).status_code, 403)


class LanguagesTest(DeedsCase):
    def test_asks_and_confirms_in_both_languages(self) -> None:
        self.client.force_login(User.objects.create_superuser("boss"))
        gate = BankGate.objects.create(name="bank")
        for language, direction in zip(LANGUAGES, ("ltr", "rtl"), strict=True):
            form = self.client.get(self.url(gate, "pause"), headers={"accept-language": language})
            asked = self.send(gate, "pause", confirmed=False, language=language, reason="x")
            for page in (form, asked):
                self.assertContains(page, f'<html lang="{language}" dir="{direction}">')
        self.assertContains(asked, "بله، مطمئنم")
