"""The admin shows everything, quickly, in two languages, and changes nothing."""

import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest import mock
from urllib.parse import urlencode

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import Model
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation

from wallets.admin.read_only import ReadOnlyAdmin
from wallets.admin.shown import moment, money, number
from wallets.admin.story import MOST, tell
from wallets.models import (
    BankCall,
    BankGate,
    LedgerEntry,
    PayoutPause,
    Resolution,
    StatusChange,
    Transaction,
    Wallet,
)
from wallets.models.clock import database_now
from wallets.tests import books
from wallets.tests.books import AT

MODELS: tuple[type[Model], ...] = (
    Wallet,
    Transaction,
    LedgerEntry,
    StatusChange,
    BankCall,
    BankGate,
    PayoutPause,
    Resolution,
)
LANGUAGES = ("en", "fa")


def list_url(model: type[Model], **query: object) -> str:
    url = reverse(f"admin:wallets_{model._meta.model_name}_changelist")
    return f"{url}?{urlencode(query)}" if query else url


def page_url(row: Model) -> str:
    return reverse(f"admin:wallets_{row._meta.model_name}_change", args=[row.pk])


def shown_rows(response: Any) -> list[Model]:
    return list(response.context["cl"].result_list)


class AdminTestCase(TestCase):
    superuser: User
    wallet: Wallet
    rows: dict[str, Transaction]

    @classmethod
    def setUpTestData(cls) -> None:
        cls.superuser = User.objects.create_superuser("boss")
        cls.wallet = books.open_wallet()
        cls.rows = books.one_of_each(cls.wallet)
        gate = books.open_gate()
        PayoutPause.objects.create(gate=gate, step="paused", reason="test", by="me", created_at=AT)

    def setUp(self) -> None:
        self.client.force_login(self.superuser)
        # Refusals are what is asked for here.
        for name in ("django.request", "django.security"):
            logger = logging.getLogger(name)
            self.addCleanup(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)

    def page(self, url: str, language: str = "en") -> str:
        response = self.client.get(url, headers={"accept-language": language})
        self.assertEqual(response.status_code, 200, url)
        return response.content.decode()

    def every_url(self) -> Iterator[str]:
        yield reverse("admin:index")
        for model in MODELS:
            yield list_url(model)
            row = model._default_manager.first()
            assert row is not None, model
            yield page_url(row)


class PagesTest(AdminTestCase):
    def test_shows_every_page_in_both_languages(self) -> None:
        for language in LANGUAGES:
            for url in self.every_url():
                with self.subTest(language=language, url=url):
                    page = self.page(url, language)
                    direction = "rtl" if language == "fa" else "ltr"
                    self.assertIn(f'<html lang="{language}" dir="{direction}">', page)

    def test_shows_a_page_for_a_transaction_in_every_state(self) -> None:
        for language in LANGUAGES:
            for state, row in self.rows.items():
                with self.subTest(language=language, state=state):
                    self.page(page_url(row), language)

    def test_is_registered_read_only_for_every_model_of_money(self) -> None:
        for model in MODELS:
            self.assertIsInstance(admin.site.get_model_admin(model), ReadOnlyAdmin)

    def test_sends_strangers_to_the_login(self) -> None:
        self.client.force_login(User.objects.create_user("stranger"))
        for url in self.every_url():
            with self.subTest(url=url):
                response = self.client.get(url)
                self.assertRedirects(
                    response, f"{reverse('admin:login')}?{urlencode({'next': url}, safe='/')}"
                )

    def test_shows_staff_only_what_they_may_view(self) -> None:
        clerk = User.objects.create_user("clerk", is_staff=True)
        clerk.user_permissions.add(Permission.objects.get(codename="view_wallet"))
        self.client.force_login(clerk)
        self.assertEqual(self.client.get(list_url(Wallet)).status_code, 200)
        self.assertEqual(self.client.get(list_url(Transaction)).status_code, 403)
        self.assertEqual(self.client.get(page_url(self.rows["deposit"])).status_code, 403)
        self.assertNotContains(self.client.get(reverse("admin:index")), "overview")

    def test_answers_404_or_goes_home_for_rows_that_do_not_exist(self) -> None:
        for model in (Wallet, Transaction):
            url = reverse(f"admin:wallets_{model._meta.model_name}_change", args=[10**12])
            self.assertRedirects(self.client.get(url), reverse("admin:index"))


class NothingChangesTest(AdminTestCase):
    def everything(self) -> list[tuple[str, list[tuple[Any, ...]]]]:
        return [
            (model.__name__, list(model._default_manager.order_by("pk").values_list()))
            for model in apps.get_app_config("wallets").get_models()
        ]

    def post(self, url: str, **data: object) -> None:
        with self.subTest(url=url, **data):
            before = self.everything()
            response = self.client.post(url, data)
            self.assertIn(response.status_code, (200, 302, 403))
            self.assertEqual(self.everything(), before)

    def test_refuses_to_add(self) -> None:
        for model in MODELS:
            url = reverse(f"admin:wallets_{model._meta.model_name}_add")
            self.assertEqual(self.client.get(url).status_code, 403)
            self.assertEqual(self.client.post(url, {"currency": "IRR"}).status_code, 403)
            self.post(url, currency="IRR", amount=5, name="another", balance=5)

    def test_refuses_to_change(self) -> None:
        for model in MODELS:
            row = model._default_manager.first()
            assert row is not None
            names = {field.name: 7 for field in model._meta.fields}
            self.assertEqual(self.client.post(page_url(row), names).status_code, 403)
            self.post(page_url(row), **names, _save="Save")

    def test_refuses_to_delete(self) -> None:
        for model in MODELS:
            row = model._default_manager.first()
            assert row is not None
            url = reverse(f"admin:wallets_{model._meta.model_name}_delete", args=[row.pk])
            self.assertEqual(self.client.get(url).status_code, 403)
            self.assertEqual(self.client.post(url, {"post": "yes"}).status_code, 403)
            self.post(url, post="yes")

    def test_runs_no_action_on_chosen_rows(self) -> None:
        for model in MODELS:
            chosen = list(model._default_manager.values_list("pk", flat=True))
            for action in ("delete_selected", ""):
                self.post(
                    list_url(model),
                    action=action,
                    _selected_action=chosen,
                    index=0,
                    post="yes",
                    select_across=1,
                )

    def test_offers_no_button_that_would_change_something(self) -> None:
        for model in MODELS:
            row = model._default_manager.first()
            assert row is not None
            for page in (self.page(list_url(model)), self.page(page_url(row))):
                for name in ("_save", "_addanother", "_continue", "deletelink", "addlink"):
                    self.assertNotIn(f'name="{name}"', page)
                self.assertNotIn(f"/{model._meta.model_name}/add/", page)
                self.assertNotIn("delete_selected", page)


class QueriesTest(AdminTestCase):
    def queries(self, url: str) -> list[str]:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            self.page(url)
        return [query["sql"] for query in captured.captured_queries]

    def test_needs_no_more_queries_for_more_rows(self) -> None:
        urls = list(self.every_url()) + [page_url(row) for row in self.rows.values()]
        before = {url: len(self.queries(url)) for url in urls}
        for number_ in range(1, 6):
            books.one_of_each(self.wallet, at=AT + timedelta(days=number_))
            books.one_of_each(books.open_wallet(), at=AT + timedelta(days=number_))
        for url in urls:
            with self.subTest(url=url):
                self.assertEqual(len(self.queries(url)), before[url])
                self.assertLessEqual(before[url], 16)

    def test_never_counts_a_whole_table(self) -> None:
        filters = ("?status__exact=FAILED", "?currency=IRR", "?made=week", "?q=5", "")
        for model in MODELS:
            for query in filters if model is Transaction else ("",):
                for sql in self.queries(list_url(model) + query):
                    if "COUNT(" in sql:
                        self.assertIn("LIMIT", sql)

    def test_sorts_by_nothing_but_the_primary_key(self) -> None:
        for sql in self.queries(list_url(Transaction, o="5.-6")):
            if "ORDER BY" in sql and "LIMIT 50" in sql:
                self.assertIn('ORDER BY "wallets_transaction"."id" DESC', sql)


class PagingTest(AdminTestCase):
    def test_goes_on_past_the_rows_that_it_counts(self) -> None:
        with (
            mock.patch("wallets.admin.paging.MOST", 4),
            mock.patch.object(ReadOnlyAdmin, "list_per_page", 2),
        ):
            seen, url = [], list_url(LedgerEntry)
            while url:
                response = self.client.get(url)
                seen += [row.pk for row in shown_rows(response)]
                changelist = response.context["cl"]
                if changelist.page_num < changelist.paginator.num_pages:
                    url = list_url(LedgerEntry) + changelist.get_query_string(
                        {"p": changelist.page_num + 1}
                    )
                else:
                    self.assertEqual("Older ones" in response.content.decode(), changelist.more)
                    older = changelist.older_query
                    url = older and list_url(LedgerEntry) + older
        every = LedgerEntry.objects.order_by("-pk").values_list("pk", flat=True)
        self.assertEqual(seen, list(every))
        self.assertGreater(len(seen), 8)

    def test_says_that_there_are_more_than_it_counted(self) -> None:
        with mock.patch("wallets.admin.paging.MOST", 4):
            page = self.page(list_url(Transaction))
        self.assertIn("more than 4 transactions", page)
        self.assertIn(f"{len(self.rows)} transactions", self.page(list_url(Transaction)))


class SearchTest(AdminTestCase):
    other: Wallet
    keyed: Transaction

    @classmethod
    def setUpTestData(cls) -> None:
        super().setUpTestData()
        cls.other = books.open_wallet()
        cls.keyed = books.deposit(cls.other, 5, request_key="salary-1405")

    def found(self, model: type[Model], term: object) -> list[Model]:
        response = self.client.get(list_url(model, q=term))
        self.assertEqual(response.status_code, 200)
        return shown_rows(response)

    def test_finds_a_transaction_by_each_of_its_keys(self) -> None:
        paid = self.rows["succeeded"]
        for term in (
            paid.pk,
            in_persian_digits(paid.pk),
            f"  {paid.pk} ",
            paid.idempotency_key,
            str(paid.idempotency_key).upper(),
            paid.idempotency_key.hex if paid.idempotency_key else "",
            paid.bank_reference,
        ):
            with self.subTest(term=term):
                self.assertEqual(self.found(Transaction, term), [paid])
        self.assertEqual(self.found(Transaction, "salary-1405"), [self.keyed])

    def test_finds_all_transactions_of_a_wallet_by_its_uuid(self) -> None:
        self.assertEqual(self.found(Transaction, self.other.uuid), [self.keyed])

    def test_finds_a_wallet_by_id_uuid_and_request_key(self) -> None:
        keyed = Wallet.objects.create(
            currency="IRR",
            request_key="open-7",
            request_fingerprint="print",
            created_at=AT,
            updated_at=AT,
        )
        for term in (keyed.pk, keyed.uuid, "open-7"):
            self.assertEqual(self.found(Wallet, term), [keyed])

    def test_finds_what_belongs_to_a_transaction_by_the_same_keys(self) -> None:
        paid = self.rows["succeeded_after_doubt"]
        for model in (LedgerEntry, StatusChange, BankCall):
            rows = list(model._default_manager.filter(transaction=paid).order_by("-pk"))
            for term in (paid.idempotency_key, paid.bank_reference):
                with self.subTest(model=model, term=term):
                    self.assertEqual(self.found(model, term), rows)
            self.assertTrue(set(rows) <= set(self.found(model, paid.pk)))
            self.assertIn(rows[0], self.found(model, rows[0].pk))
        decided = self.rows["decided_paid"]
        self.assertEqual(
            self.found(Resolution, decided.bank_reference), list(decided.resolutions.all())
        )

    def test_finds_nothing_without_an_error_for_anything_else(self) -> None:
        for model in (Wallet, Transaction, LedgerEntry, StatusChange, BankCall, Resolution):
            for term in ("nothing", "9" * 19, "9" * 40, "-1", "%", "' OR 1=1 --", "٪", "\x00"):
                with self.subTest(model=model, term=term):
                    response = self.client.get(list_url(model, q=term))
                    self.assertEqual(response.status_code, 200)
                    if term != "\x00":
                        self.assertEqual(shown_rows(response), [])

    def test_compares_no_term_with_parts_of_a_column(self) -> None:
        with CaptureQueriesContext(connection) as captured:
            self.found(Transaction, "salary")
        self.assertFalse([q for q in captured.captured_queries if "LIKE" in q["sql"].upper()])


class FiltersTest(AdminTestCase):
    def filtered(self, model: type[Model] = Transaction, **query: object) -> set[Model]:
        response = self.client.get(list_url(model, **query))
        self.assertEqual(response.status_code, 200)
        return set(shown_rows(response))

    def states(self, *names: str) -> set[Model]:
        return {self.rows[name] for name in names}

    def test_filters_by_type_status_and_doubt(self) -> None:
        self.assertEqual(self.filtered(type__exact="RETURN"), self.states("returned"))
        self.assertEqual(
            self.filtered(status__exact="PROCESSING"), self.states("processing", "in_doubt")
        )
        self.assertEqual(self.filtered(in_doubt="yes"), self.states("in_doubt"))

    def test_filters_by_what_is_due(self) -> None:
        later = books.scheduled(
            self.wallet, 5, at=database_now(), execute_at=database_now() + timedelta(days=1)
        )
        just = books.scheduled(
            self.wallet, 5, at=database_now(), execute_at=database_now() - timedelta(seconds=5)
        )
        self.assertEqual(self.filtered(due="later"), {later})
        self.assertEqual(self.filtered(due="now"), {just} | self.states("scheduled"))
        self.assertEqual(self.filtered(due="overdue"), self.states("scheduled"))

    def test_filters_by_currency(self) -> None:
        euros = books.open_wallet(currency="EUR")
        row = books.deposit(euros, 5)
        self.assertEqual(self.filtered(currency="EUR"), {row})
        self.assertEqual(self.filtered(Wallet, currency="EUR"), {euros})
        self.assertEqual(self.filtered(LedgerEntry, currency="EUR"), set(row.entries.all()))
        self.assertEqual(self.filtered(currency="XXX"), set())

    def test_filters_by_date_in_the_operators_days(self) -> None:
        now = database_now()
        hour = books.deposit(self.wallet, 5, at=now - timedelta(minutes=5))
        week = books.deposit(self.wallet, 5, at=now - timedelta(days=6))
        month = books.deposit(self.wallet, 5, at=now - timedelta(days=29))
        self.assertEqual(self.filtered(made="hour"), {hour})
        self.assertEqual(self.filtered(made="week") - {hour}, {week})
        self.assertEqual(self.filtered(made="month") - {hour, week}, {month})
        self.assertTrue(self.filtered(made="today") <= {hour})
        self.assertTrue(self.filtered(made="yesterday") <= {hour})

    def test_filters_entries_by_movement_and_wallet(self) -> None:
        refunds = self.filtered(LedgerEntry, movement="IN_TRANSIT-WALLET")
        self.assertEqual(
            {entry.transaction for entry in refunds},  # type: ignore[attr-defined]
            self.states("refused", "decided_not_paid"),
        )
        self.assertEqual(
            self.filtered(LedgerEntry, wallet__id__exact=self.wallet.pk),
            set(self.wallet.entries.all()),
        )

    def test_ignores_or_refuses_filters_that_make_no_sense(self) -> None:
        everything = set(Transaction.objects.all())
        for query in ({"made": "never"}, {"due": "x"}, {"in_doubt": "maybe"}):
            self.assertEqual(self.filtered(Transaction, **query), everything)
        entries = set(LedgerEntry.objects.all())
        self.assertEqual(self.filtered(LedgerEntry, movement="A-B"), entries)
        for query in ({"status__exact": "x" * 99}, {"id__lt": "abc"}, {"wallet__uuid": "x"}):
            status = self.client.get(list_url(Transaction, **query)).status_code
            self.assertIn(status, (200, 302, 400))


class StoryTest(AdminTestCase):
    def titles(self, state: str) -> list[str]:
        row = Transaction.objects.get(pk=self.rows[state].pk)
        return [re.sub(r"<[^>]*>", "", event.title) for event in tell(row).events]

    def test_tells_a_payment_after_doubt_in_the_order_it_happened(self) -> None:
        self.assertEqual(
            self.titles("succeeded_after_doubt"),
            [
                "Scheduled, to be executed at 2026-03-21 15:01:00",
                "Claimed: an executor took it up to pay it",
                "500 IRR left the wallet and is held",
                "The bank was told to pay: no answer in time",
                "In doubt: no answer in time",
                "The bank was asked about it: the bank answered HTTP 500",
                "The bank was asked about it: paid",
                "Succeeded: paid",
                "500 IRR of held money was paid out",
            ],
        )

    def test_tells_why_money_went_back(self) -> None:
        self.assertEqual(
            self.titles("refused")[-3:],
            [
                "The bank was told to pay: refused",
                "Failed: the bank refused",
                "600 IRR went back to the wallet",
            ],
        )
        self.assertIn("The money is back in the wallet.", self.page(page_url(self.rows["refused"])))

    def test_tells_what_a_person_decided(self) -> None:
        page = self.page(page_url(self.rows["decided_not_paid"]))
        self.assertIn("sara decides: Not paid", page)
        self.assertIn("Failed: seen on the statement", page)
        self.assertIn("by sara", page)

    def test_says_that_nothing_moved_when_the_wallet_did_not_cover_it(self) -> None:
        page = self.page(page_url(self.rows["failed_for_funds"]))
        self.assertIn("the wallet did not cover it. No money moved.", page)

    def test_says_what_doubt_means(self) -> None:
        self.assertIn(
            "the bank may or may not have paid", self.page(page_url(self.rows["in_doubt"]))
        )

    def test_links_a_return_and_its_withdrawal_to_each_other(self) -> None:
        paid, returned = self.rows["succeeded"], self.rows["returned"]
        self.assertIn(page_url(returned), self.page(page_url(paid)))
        self.assertIn(page_url(paid), self.page(page_url(returned)))

    def test_tells_the_beginning_and_the_end_of_a_very_long_story(self) -> None:
        row = self.rows["in_doubt"]
        BankCall.objects.bulk_create(
            BankCall(
                transaction=row,
                epoch=1,
                kind="inquiry",
                started_at=AT + timedelta(days=1, seconds=second),
                duration_ms=second,
                verdict="http_500",
            )
            for second in range(3 * MOST)
        )
        story = tell(Transaction.objects.get(pk=row.pk))
        self.assertTrue(story.shortened)
        self.assertLess(len(story.events), MOST + 10)
        self.assertIn(f"{3 * MOST - 1} ms", story.events[-1].detail)
        self.assertFalse(tell(self.rows["refused"]).shortened)

    def test_shows_what_the_bank_said_as_text_and_not_as_markup(self) -> None:
        row = books.succeeded(self.wallet, 5, reference="<script>alert(1)</script>")
        for url in (page_url(row), list_url(Transaction), page_url(self.wallet)):
            page = self.page(url)
            self.assertNotIn("<script>alert", page)
            self.assertIn("&lt;script&gt;alert", page)

    def test_shows_words_it_does_not_know_as_they_are(self) -> None:
        row = books.processing(self.wallet, 5)
        StatusChange.objects.create(
            transaction=row,
            from_status="PROCESSING",
            to_status="PROCESSING",
            reason="in_doubt: {odd} %(word)s",
            created_at=AT,
        )
        self.assertIn("In doubt: {odd} %(word)s", self.page(page_url(row)))


class LanguageTest(AdminTestCase):
    def test_shows_times_in_the_operators_zone_and_calendar(self) -> None:
        with translation.override("en"), self.settings(ADMIN_TIME_ZONE="Asia/Tehran"):
            self.assertIn(">2026-03-21</span> <span>10:00:00<", moment(AT))
        with translation.override("fa"), self.settings(ADMIN_TIME_ZONE="Asia/Tehran"):
            self.assertIn(">۱۴۰۵/۰۱/۰۱</span> <span>۱۰:۰۰:۰۰<", moment(AT))
        with translation.override("fa"), self.settings(ADMIN_TIME_ZONE="UTC"):
            self.assertIn(">۱۴۰۵/۰۱/۰۱</span> <span>۰۶:۳۰:۰۰<", moment(AT))

    def test_groups_amounts_for_reading(self) -> None:
        with translation.override("en"):
            self.assertIn("1,234,567</bdi> IRR", money(1_234_567, "IRR"))
        with translation.override("fa"):
            self.assertIn("۱٬۲۳۴٬۵۶۷</bdi> ریال", money(1_234_567, "IRR"))
            self.assertIn("</bdi> EUR", money(1, "EUR"))
            self.assertEqual(number(-1_000), "-۱٬۰۰۰")

    def test_speaks_persian_about_its_own_things(self) -> None:
        page = self.page(list_url(Transaction), "fa")
        for word in ("سامانهٔ کیف پول", "تراکنش‌ها", "زمان‌بندی‌شده", "برداشت", "نامعلوم", "ریال"):
            self.assertIn(word, page)
        for word in ("Scheduled", "Withdrawal", "transactions<"):
            self.assertNotIn(word, page)

    def test_switches_the_language_with_a_button_and_remembers_it(self) -> None:
        url = list_url(Wallet)
        self.assertIn('name="language" value="fa"', self.page(url))
        response = self.client.post(reverse("set_language"), {"language": "fa", "next": url})
        self.assertRedirects(response, url, fetch_redirect_response=False)
        page = self.page(url, "en")
        self.assertIn('dir="rtl"', page)
        self.assertIn('name="language" value="en"', page)

    def test_switches_back_to_no_other_site(self) -> None:
        response = self.client.post(
            reverse("set_language"), {"language": "fa", "next": "https://elsewhere.example/"}
        )
        self.assertEqual(response["Location"], "/")

    def test_offers_the_switch_before_the_login(self) -> None:
        self.client.logout()
        page = self.page(reverse("admin:login"), "fa")
        self.assertIn("سامانهٔ کیف پول", page)
        self.assertIn('name="language" value="en"', page)


class OverviewTest(AdminTestCase):
    def gate_says(self, **changes: Any) -> str:
        BankGate.objects.update(**changes)
        return str(self.client.get(reverse("admin:index")).context["overview"].gate.sentence)

    def test_counts_what_needs_a_look(self) -> None:
        for url in (reverse("admin:index"), list_url(Transaction)):
            overview = self.client.get(url).context["overview"]
            figures = {str(f.label): (f.value, f.alarming) for f in overview.figures}
            self.assertEqual(
                figures,
                {
                    "In doubt": ("1", True),
                    "Overdue by more than a minute": ("1", True),
                    "Due": ("1", False),
                    "Being paid": ("2", False),
                },
            )

    def test_links_each_figure_to_the_rows_it_counts(self) -> None:
        for figure in self.client.get(reverse("admin:index")).context["overview"].figures:
            rows = shown_rows(self.client.get(figure.query))
            self.assertEqual(str(len(rows)), figure.value, figure.label)

    def test_says_whether_money_can_leave(self) -> None:
        now = database_now()
        self.assertIn("Open: withdrawals are paid", self.gate_says())
        self.assertIn("after 3 calls in a row", self.gate_says(consecutive_failures=3))
        self.assertIn("Closed: the bank is not reached", self.gate_says(breaker="OPEN"))
        self.assertIn("Almost closed", self.gate_says(breaker="HALF_OPEN"))
        self.assertIn(
            "The bank asked to wait until", self.gate_says(paused_until=now + timedelta(hours=1))
        )
        self.assertEqual(
            self.gate_says(halted_at=now, halted_by="sara", halted_reason="drill"),
            "Paused by sara: drill",
        )

    def test_stops_counting_when_there_are_very_many(self) -> None:
        with mock.patch("wallets.admin.overview._MOST", 1):
            overview = self.client.get(reverse("admin:index")).context["overview"]
        self.assertEqual([figure.value for figure in overview.figures], ["1", "1", "1", "1+"])


def in_persian_digits(value: int) -> str:
    return str(value).translate(str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹"))
