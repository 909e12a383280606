"""What the tests of the API share: a client, and one check of the envelope."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import Sum
from django.test import Client, SimpleTestCase

from wallets.api.catalogue import CATALOGUE
from wallets.models import BulkRequest, LedgerEntry, PlanRequest, StatusChange, Transaction, Wallet

KEYS = {"detail", "message", "status", "data"}
FUTURE = "2999-01-31T12:30:00+03:30"


def decoded(response: Any, status: int | None = None) -> Any:
    """The ``data`` of an answer whose envelope is exactly right."""
    content = response.content.decode("utf-8")
    if status is not None:
        assert response.status_code == status, f"{response.status_code}: {content[:500]}"
    assert response.headers["Content-Type"] == "application/json", response.headers
    assert response.headers["Content-Length"] == str(len(response.content))
    body = json.loads(content)
    assert set(body) == KEYS, body
    assert isinstance(body["detail"], str) and body["detail"]
    assert set(body["message"]) == {"en", "fa"}
    assert all(isinstance(text, str) and text for text in body["message"].values())
    assert any("\u0600" <= character <= "\u06ff" for character in body["message"]["fa"])
    assert body["status"] == response.status_code
    assert isinstance(body["data"], dict)
    if response.status_code >= 400:
        entry = CATALOGUE[body["data"]["code"]]
        assert entry.status == response.status_code and not entry.of_field, entry
        for problem in body["data"].get("errors", []):
            assert set(problem) == {"in", "field", "code", "detail", "message"}
            assert problem["code"] in CATALOGUE
            assert set(problem["message"]) == {"en", "fa"}
    return body["data"]


def everything() -> dict[str, Any]:
    """What a request that is refused must leave as it was."""
    return {
        "wallets": Wallet.objects.count(),
        "balances": Wallet.objects.aggregate(Sum("balance")),
        "transactions": Transaction.objects.count(),
        "entries": LedgerEntry.objects.count(),
        "history": StatusChange.objects.count(),
        "kept": (PlanRequest.objects.count(), BulkRequest.objects.count()),
    }


class ApiCase(SimpleTestCase):
    """Mixed into a case with a database."""

    def setUp(self) -> None:
        super().setUp()
        self.client = Client(raise_request_exception=False)

    def send(self, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> Any:
        """POST ``body``: bytes as they are, anything else as JSON."""
        if key is not None:
            headers["Idempotency-Key"] = key
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, raw, content_type="application/json", headers=headers)

    def refused(
        self,
        response: Any,
        status: int,
        code: str,
        *fields: tuple[str, str],
    ) -> Any:
        """The data of a refusal with this code, about exactly these fields and their codes."""
        data = decoded(response, status)
        self.assertEqual(data["code"], code, data)
        if fields:
            found = sorted((problem["field"], problem["code"]) for problem in data["errors"])
            self.assertEqual(found, sorted(fields))
        return data

    @contextmanager
    def nothing_changes(self) -> Iterator[None]:
        before = everything()
        yield
        self.assertEqual(everything(), before)
