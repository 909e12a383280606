"""A withdrawal as it was read under lock."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from wallets.models import Transaction


@dataclass(frozen=True, slots=True)
class Row:
    id: int
    wallet_id: int
    status: str
    amount: int
    idempotency_key: uuid.UUID
    epoch: int
    lease_owner: uuid.UUID | None
    maybe_sent: bool
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    in_doubt_since: datetime | None
    bank_reference: str | None
    lease_expires_at: datetime | None = None


COLUMNS = tuple(Row.__slots__)


def read(withdrawals: QuerySet[Transaction]) -> list[Row]:
    return [Row(*values) for values in withdrawals.values_list(*COLUMNS)]
