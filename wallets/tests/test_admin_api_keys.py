"""Keys are issued, rotated and revoked in the admin, and shown once."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import TestCase
from django.urls import reverse

from wallets.domain.api_keys import IssuedKey, authenticate, issue, revoke
from wallets.models import ApiKey, Tenant, Wallet
from wallets.models.clock import database_now

LIST = reverse("admin:wallets_apikey_changelist")
ADD = reverse("admin:wallets_apikey_add")
GOOD = {"account": "shop", "name": "till", "scopes": ["wallets:read", "deposits:write"]}


def new_key(tenant: str = "shop", name: str = "till", **options: Any) -> IssuedKey:
    given = {"scopes": ["wallets:read"], "expires_at": None, "now": database_now()} | options
    return issue(tenant=tenant, name=name, **given)


class KeyAdminCase(TestCase):
    def setUp(self) -> None:
        self.client.force_login(User.objects.create_superuser("boss"))

    def act(self, action: str, *keys: ApiKey) -> str:
        response = self.client.post(
            LIST, {"action": action, "_selected_action": [key.pk for key in keys]}, follow=True
        )
        self.assertEqual(response.status_code, 200)
        return response.content.decode()

    def as_clerk(self, *permissions: str) -> None:
        clerk = User.objects.create_user("clerk", is_staff=True)
        clerk.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        self.client.force_login(clerk)

    def secret_in(self, page: str) -> str:
        self.assertEqual(page.count("wlt_"), 1)
        return "wlt_" + page.split("wlt_")[1].split("<")[0]


class AddTest(KeyAdminCase):
    def add(self, **changes: object) -> Any:
        return self.client.post(ADD, GOOD | changes, follow=True)

    def test_shows_the_new_key_once_and_keeps_it_nowhere(self) -> None:
        page = self.add().content.decode()
        secret = self.secret_in(page)
        caller = authenticate(secret)
        self.assertEqual(caller.scopes, {"wallets:read", "deposits:write"})
        self.assertEqual(caller.tenant_id, Tenant.objects.get(name="shop").pk)
        for url in (LIST, reverse("admin:wallets_apikey_change", args=[caller.key_id])):
            self.assertNotContains(self.client.get(url), secret)
        kept: list[Any] = [*ApiKey.objects.values_list(), *LogEntry.objects.values_list()]
        kept += [SessionStore().decode(row.session_data) for row in Session.objects.all()]
        self.assertNotIn(secret.split("_", 2)[2], str(kept))

    def test_ends_a_key_with_the_operators_day(self) -> None:
        day = (database_now() + timedelta(days=40)).date()
        self.add(last_day=day.isoformat())
        end = ApiKey.objects.get().expires_at
        # Midnight in Tehran.
        midnight = datetime(day.year, day.month, day.day, 20, 30, tzinfo=UTC)
        self.assertEqual(end, midnight)

    def test_refuses_what_makes_no_key_and_makes_none(self) -> None:
        new_key(name="taken")
        before = ApiKey.objects.count()
        refused: tuple[dict[str, Any], ...] = (
            {"name": "taken"},
            {"name": ""},
            {"name": "a\u200eb"},
            {"name": "x" * 101},
            {"account": ""},
            {"account": "x" * 101},
            {"scopes": []},
            {"scopes": ["everything"]},
            {"last_day": "2020-01-01"},
            {"last_day": "9999-12-31"},
            {"last_day": "soon"},
        )
        for changes in refused:
            with self.subTest(changes):
                response = self.add(**changes)
                self.assertContains(response, "errornote")
                self.assertEqual(ApiKey.objects.count(), before)

    def test_takes_a_name_again_once_its_key_is_revoked(self) -> None:
        revoke(prefix=new_key().key.prefix, now=database_now())
        self.secret_in(self.add().content.decode())


class ActionTest(KeyAdminCase):
    def test_revokes(self) -> None:
        issued, other = new_key(), new_key(name="other")
        self.assertIn("is revoked", self.act("revoke_keys", issued.key))
        self.assertIsNotNone(ApiKey.objects.get(pk=issued.key.pk).revoked_at)
        self.assertIsNone(ApiKey.objects.get(pk=other.key.pk).revoked_at)
        self.assertIn("not valid any more", self.act("revoke_keys", issued.key))
        self.assertEqual(LogEntry.objects.get().object_id, str(issued.key.pk))

    def test_rotates_and_shows_the_successor(self) -> None:
        old = new_key()
        new = authenticate(self.secret_in(self.act("rotate_key", old.key)))
        self.assertEqual(authenticate(old.secret).tenant_id, new.tenant_id)
        ends = ApiKey.objects.get(pk=old.key.pk).expires_at
        assert ends is not None
        self.assertLess(ends - database_now(), timedelta(hours=24, seconds=1))

    def test_rotates_one_at_a_time(self) -> None:
        page = self.act("rotate_key", new_key().key, new_key(name="other").key)
        self.assertIn("Choose one key", page)
        self.assertEqual(ApiKey.objects.count(), 2)


class PermissionTest(KeyAdminCase):
    def test_lets_nobody_do_what_their_permissions_do_not_say(self) -> None:
        issued = new_key()
        for permissions, may_add, may_revoke in (
            (("view_apikey",), False, False),
            (("view_apikey", "add_apikey"), True, False),
            (("view_apikey", "change_apikey"), False, True),
        ):
            with self.subTest(permissions):
                self.client.logout()
                User.objects.filter(username="clerk").delete()
                self.as_clerk(*permissions)
                self.assertEqual(self.client.get(ADD).status_code, 200 if may_add else 403)
                if not may_add:
                    self.assertEqual(self.client.post(ADD, GOOD).status_code, 403)
                page = self.client.get(LIST).content.decode()
                self.assertEqual("revoke_keys" in page, may_revoke)
                self.assertNotIn("rotate_key", page)
                self.act("rotate_key", issued.key)
                if not may_revoke:
                    self.act("revoke_keys", issued.key)
                self.assertEqual(ApiKey.objects.count(), 1)
                self.assertIsNone(ApiKey.objects.get().revoked_at)

    def test_edits_and_deletes_nothing_for_anybody(self) -> None:
        key = new_key().key
        for row in (key, key.tenant):
            name = f"admin:wallets_{row._meta.model_name}"
            for page in ("change", "delete"):
                url = reverse(f"{name}_{page}", args=[row.pk])
                self.assertEqual(self.client.post(url, {"name": "x"}).status_code, 403)
        self.assertEqual(self.client.post(reverse("admin:wallets_tenant_add")).status_code, 403)


class PagesTest(KeyAdminCase):
    def test_shows_accounts_and_keys_in_both_languages_but_no_digest(self) -> None:
        now = database_now()
        keys = [new_key().key, new_key(name="late", expires_at=now + timedelta(hours=1)).key]
        ApiKey.objects.filter(name="late").update(expires_at=now - timedelta(hours=1))
        revoke(prefix=new_key(name="gone").key.prefix, now=now)
        wallet = Wallet.objects.create(
            currency="IRR", tenant=keys[0].tenant, created_at=now, updated_at=now
        )
        shop = reverse("admin:wallets_tenant_change", args=[keys[0].tenant_id])
        urls = [
            LIST,
            f"{LIST}?q={keys[0].prefix}",
            ADD,
            reverse("admin:wallets_apikey_change", args=[keys[0].pk]),
            reverse("admin:wallets_tenant_changelist"),
            shop,
        ]
        for language in ("en", "fa"):
            for url in urls:
                with self.subTest(language=language, url=url):
                    response = self.client.get(url, headers={"accept-language": language})
                    self.assertEqual(response.status_code, 200)
                    for key in ApiKey.objects.all():
                        self.assertNotContains(response, key.digest)
        page = self.client.get(LIST).content.decode()
        for word in ("Valid", "Expired", "Revoked", "wallets:read", keys[0].prefix):
            self.assertIn(word, page)
        for url in (
            reverse("admin:wallets_wallet_changelist"),
            reverse("admin:wallets_wallet_change", args=[wallet.pk]),
        ):
            self.assertContains(self.client.get(url), f'<a href="{shop}">shop</a>')
        filtered = f"{reverse('admin:wallets_wallet_changelist')}?tenant__id__exact="
        self.assertContains(self.client.get(f"{filtered}{wallet.tenant_id}"), str(wallet.uuid))
        self.assertNotContains(self.client.get(f"{filtered}0"), str(wallet.uuid))

    def test_needs_no_more_queries_for_more_keys(self) -> None:
        later = database_now() + timedelta(days=1)
        new_key(expires_at=later)
        with self.assertNumQueries(4):
            self.client.get(LIST)
        for number in range(5):
            new_key(tenant=f"t{number}", expires_at=later)
        with self.assertNumQueries(4):
            self.client.get(LIST)
