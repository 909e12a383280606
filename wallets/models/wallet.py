import uuid
from typing import TypeVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from wallets.models.tenant import Tenant

MAX_BALANCE = 2**63 - 1  # what a bigint holds

Row = TypeVar("Row", bound=models.Model)


class Wallet(models.Model):
    """Money of one owner in one currency.

    ``balance`` is in integer minor units of ``currency`` and changes only together with a
    ledger entry, through ``wallets.domain.ledger``.
    """

    uuid = models.UUIDField(_("UUID"), unique=True, default=uuid.uuid4, editable=False)
    # Nobody's: opened while the API asked for no key. No account's key reaches it.
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.PROTECT,
        related_name="wallets",
        null=True,
        blank=True,
        db_index=False,
        verbose_name=_("account"),
    )
    currency = models.CharField(_("currency"), max_length=3)  # ISO 4217
    balance = models.BigIntegerField(_("balance"), default=0)
    request_key = models.CharField(
        _("request key"), max_length=128, null=True, blank=True, editable=False
    )
    request_fingerprint = models.CharField(
        _("request fingerprint"), max_length=64, null=True, blank=True, editable=False
    )
    created_at = models.DateTimeField(_("created at"))
    updated_at = models.DateTimeField(_("updated at"))

    class Meta:
        verbose_name = _("wallet")
        verbose_name_plural = _("wallets")
        indexes = [models.Index(name="wallet_tenant_page", fields=["tenant", "-id"])]
        constraints = [
            models.CheckConstraint(name="wallet_balance_not_negative", condition=Q(balance__gte=0)),
            models.CheckConstraint(
                name="wallet_currency_is_iso_4217", condition=Q(currency__regex=r"^[A-Z]{3}$")
            ),
            models.UniqueConstraint(
                name="wallet_request_key_unique",
                fields=["request_key"],
                condition=Q(request_key__isnull=False, tenant__isnull=True),
            ),
            models.UniqueConstraint(
                name="wallet_request_key_unique_for_tenant",
                fields=["tenant", "request_key"],
                condition=Q(request_key__isnull=False, tenant__isnull=False),
            ),
            models.CheckConstraint(
                name="wallet_request_key_has_fingerprint",
                condition=Q(request_key__isnull=True, request_fingerprint__isnull=True)
                | Q(request_key__isnull=False, request_fingerprint__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} ({self.currency})"


_NOBODY = -1


def of_one_wallet(rows: models.QuerySet[Row], wallet_id: int) -> models.QuerySet[Row]:
    """``rows`` of a wallet, to be ordered by ``wallet_id`` and then by ``id``.

    Asked for the newest rows of a wallet that it knows to have many, PostgreSQL expects to meet
    them soon and reads the whole table backwards by ``id``; where they are all old, that was
    measured to take five thousand times as long. Among several wallets only the index on wallet and
    id has the order that is asked for, so a second one is named that does not exist.
    """
    return rows.filter(wallet_id__in=(_NOBODY, wallet_id))
