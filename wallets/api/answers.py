"""Answers that go well."""

from wallets.api.catalogue import Text
from wallets.api.envelope import Envelope
from wallets.api.serializers import transaction_json, wallet_json
from wallets.domain.receipts import Receipt

REPLAYED = "Idempotent-Replayed"


def created(receipt: Receipt, detail: str, message: Text) -> Envelope:
    data = {"wallet": wallet_json(receipt.wallet)}
    if receipt.transaction is not None:
        data["transaction"] = transaction_json(receipt.transaction)
    return Envelope(201, detail, message, data, {REPLAYED: "true"} if receipt.replayed else None)


def ok(data: dict[str, object], message: Text) -> Envelope:
    return Envelope(200, message.en, message, data)
