"""The bytes of a transfer request: the same for every try, today and after a restart.

A bank that compares bodies refuses a repeated key whose body differs, if only in a blank.
"""

import json
from collections.abc import Mapping

from wallets.domain.outcomes import Transfer


def request_body(transfer: Transfer) -> bytes:
    fields = {
        "idempotency_key": transfer.idempotency_key,
        "wallet_owner_ref": transfer.wallet_owner_ref,
        "amount": transfer.amount,
        "currency": transfer.currency,
    }
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


def key_headers(transfer: Transfer) -> Mapping[str, str]:
    """The key again, under both names banks look for it."""
    return {
        "Idempotency-Key": transfer.idempotency_key,
        "X-Idempotency-Key": transfer.idempotency_key,
    }
