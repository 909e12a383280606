"""The baseline for payouts: one row at a time, as one would write the executor first.

Claim, commit, call, commit, next: eleven statements and one new connection to the bank for each
withdrawal. It writes no ledger, no history and no record of the call, which flatters it.
"""

import argparse
import json
import time
import uuid
from datetime import timedelta

import django

django.setup()

import requests  # noqa: E402
from django.db import transaction  # noqa: E402
from django.db.models import F  # noqa: E402
from django.utils import timezone  # noqa: E402

from wallets.models import Status, Transaction, Wallet  # noqa: E402

_WORKER = uuid.uuid4()


def pay_one(url: str) -> bool:
    with transaction.atomic():
        now = timezone.now()
        row = (
            Transaction.objects.select_for_update(skip_locked=True)
            .filter(status=Status.SCHEDULED, execute_at__lte=now)
            .order_by("execute_at", "id")
            .first()
        )
        if row is None:
            return False
        wallet = Wallet.objects.select_for_update().get(pk=row.wallet_id)
        debited = Wallet.objects.filter(pk=wallet.pk, balance__gte=row.amount).update(
            balance=F("balance") - row.amount, updated_at=now
        )
        if not debited:
            raise SystemExit("a wallet has run dry")
        Transaction.objects.filter(pk=row.pk).update(
            status=Status.PROCESSING,
            epoch=1,
            lease_owner=_WORKER,
            lease_expires_at=now + timedelta(seconds=30),
            updated_at=now,
        )
    paid = _call(url, row, wallet)
    with transaction.atomic():
        Wallet.objects.select_for_update().get(pk=row.wallet_id)
        again = Transaction.objects.get(pk=row.pk)
        Transaction.objects.filter(pk=again.pk, status=Status.PROCESSING).update(
            status=Status.SUCCEEDED,
            bank_reference=paid["reference"],
            lease_owner=None,
            lease_expires_at=None,
            updated_at=timezone.now(),
        )
    return True


def _call(url: str, row: Transaction, wallet: Wallet) -> dict[str, str]:
    key = str(row.idempotency_key)
    response = requests.post(
        url,
        json={
            "idempotency_key": key,
            "wallet_owner_ref": str(wallet.uuid),
            "amount": row.amount,
            "currency": wallet.currency,
        },
        headers={"Idempotency-Key": key, "X-Idempotency-Key": key},
        timeout=30,
    )
    answer: dict[str, str] = response.json()
    return answer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", type=int, required=True)
    given = parser.parse_args()
    pay_one(given.url)  # connects
    begun = time.perf_counter()
    paid = 0
    while paid < given.rows and pay_one(given.url):
        paid += 1
    print(json.dumps({"rate": paid / (time.perf_counter() - begun)}))


if __name__ == "__main__":
    main()
