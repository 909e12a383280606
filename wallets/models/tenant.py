from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Scope(models.TextChoices):
    WALLETS_READ = "wallets:read", _("Read wallets")
    WALLETS_CREATE = "wallets:create", _("Open wallets")
    DEPOSITS_WRITE = "deposits:write", _("Deposit")
    WITHDRAWALS_WRITE = "withdrawals:write", _("Schedule withdrawals")
    # Reads the wallets of every account.
    ADMIN_READ = "admin:read", _("Read all accounts")


class Tenant(models.Model):
    """An account of this service: whoever its wallets and keys belong to."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """A secret that lets its bearer act for an account, within its scopes.

    Only the SHA-256 of the secret is kept. That is enough for 256 random bits: a slow password
    hash protects short secrets from guessing, and would cost each request a fifth of a second.
    """

    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, related_name="api_keys", verbose_name=_("account")
    )
    name = models.CharField(_("name"), max_length=100)
    prefix = models.CharField(_("prefix"), max_length=16, unique=True, editable=False)
    digest = models.CharField(_("digest"), max_length=64, editable=False)  # SHA-256, hex
    scopes = models.JSONField(_("scopes"), default=list)
    created_at = models.DateTimeField(_("created at"))
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)
    # To the minute: a write for each request would cost more than the request.
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = [
            models.UniqueConstraint(
                name="api_key_name_unique_while_valid",
                fields=["tenant", "name"],
                condition=Q(revoked_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"
