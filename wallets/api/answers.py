"""Answers that go well."""

from wallets.api.catalogue import Text
from wallets.api.envelope import Envelope
from wallets.api.serializers import transaction_json, wallet_json
from wallets.domain.receipts import PlanReceipt, Receipt

REPLAYED = "Idempotent-Replayed"


def created(receipt: Receipt, detail: str, message: Text) -> Envelope:
    data = {"wallet": wallet_json(receipt.wallet)}
    if receipt.transaction is not None:
        data["transaction"] = transaction_json(receipt.transaction)
    return Envelope(201, detail, message, data, _replayed(receipt))


def changed(receipt: PlanReceipt, message: Text) -> Envelope:
    data = {"withdrawal": transaction_json(receipt.withdrawal)}
    return Envelope(200, message.en, message, data, _replayed(receipt))


def ok(data: dict[str, object], message: Text) -> Envelope:
    return Envelope(200, message.en, message, data)


def _replayed(receipt: Receipt | PlanReceipt) -> dict[str, str] | None:
    return {REPLAYED: "true"} if receipt.replayed else None
