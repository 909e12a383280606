from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from wallets.models.tenant import Tenant


class BulkRequest(models.Model):
    """Append-only record of a client's request, with an Idempotency-Key, for deposits in bulk.

    Its deposits answer for themselves when it is repeated; ``refused`` is what was answered about
    the others. A request of which nothing was accepted leaves none.
    """

    # Nobody's: made while the API asked for no key.
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.PROTECT,
        related_name="bulk_requests",
        null=True,
        blank=True,
        db_index=False,
        verbose_name=_("account"),
    )
    request_key = models.CharField(_("request key"), max_length=128)
    mode = models.CharField(_("mode"), max_length=16)
    items_fingerprint = models.CharField(_("fingerprint of the items"), max_length=64)
    # JSON as it was sent: a column of that type would not keep the order of names.
    refused = models.TextField(_("refused"))
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("request for deposits in bulk")
        verbose_name_plural = _("requests for deposits in bulk")
        constraints = [
            models.UniqueConstraint(
                name="bulk_request_key_unique",
                fields=["request_key"],
                condition=Q(tenant__isnull=True),
            ),
            models.UniqueConstraint(
                name="bulk_request_key_unique_for_tenant",
                fields=["tenant", "request_key"],
                condition=Q(tenant__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.request_key
