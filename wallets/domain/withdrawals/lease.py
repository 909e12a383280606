"""Keep the leases of withdrawals that are still in a worker's hands."""

import uuid
from collections.abc import Mapping

from django.db import transaction

from wallets.domain.policy import PayoutPolicy
from wallets.models import Status, Transaction
from wallets.models.clock import database_now


def renew(*, worker: uuid.UUID, held: Mapping[int, int], policy: PayoutPolicy) -> set[int]:
    """Extend the leases of ``held`` (id -> epoch); return the ids that are still the worker's."""
    if not held:
        return set()
    ours = Transaction.objects.filter(pk__in=held, status=Status.PROCESSING, lease_owner=worker)
    with transaction.atomic():
        rows = dict(ours.select_for_update(no_key=True).order_by("pk").values_list("pk", "epoch"))
        kept = {pk for pk, epoch in rows.items() if held[pk] == epoch}
        now = database_now()
        Transaction.objects.filter(pk__in=kept).update(lease_expires_at=now + policy.lease)
    return kept
