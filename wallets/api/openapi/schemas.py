"""The shapes of what goes in and out, as OpenAPI components."""

from typing import Any

from wallets.api.catalogue import CATALOGUE
from wallets.api.currencies import CURRENCIES
from wallets.models import MAX_BALANCE, Status, Type

Schema = dict[str, Any]

_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Schema, *, required: list[str] | None = None, **more: Any) -> Schema:
    shape = {"type": "object", "properties": properties, "additionalProperties": False, **more}
    if required is None:
        required = list(properties)
    # An empty list of required names is not valid OpenAPI.
    return shape | {"required": required} if required else shape


def _integer(description: str, *, minimum: int, example: int) -> Schema:
    return {
        "type": "integer",
        "format": "int64",
        "minimum": minimum,
        "maximum": MAX_BALANCE,
        "description": description,
        "example": example,
    }


def _count(description: str) -> Schema:
    return {"type": "integer", "minimum": 0, "description": description}


def _time(description: str, **more: Any) -> Schema:
    return {"type": "string", "format": "date-time", "description": description, **more}


def _nullable_text(description: str) -> Schema:
    return {"type": "string", "nullable": True, "description": description}


CURRENCY = {
    "type": "string",
    "enum": sorted(CURRENCIES),
    "description": "A code of ISO 4217.",
    "example": "IRR",
}
_ID = _integer("Numbered by the service.", minimum=1, example=1)
_AMOUNT = _integer(
    "Minor units, written as digits only. Readers that keep numbers as doubles lose "
    "precision above 2^53.",
    minimum=1,
    example=150_000,
)
_OPTIONAL_CURRENCY = CURRENCY | {
    "description": "If sent, must equal the wallet's currency: a guard against a factor of ten "
    "between rial and toman."
}
_EXECUTE_AT = _time(
    "With an offset, and later than now by the service's clock.",
    example="2030-01-31T12:30:00+03:30",
)

BALANCE = _integer("Minor units.", minimum=0, example=150_000)
WALLET_ID = {
    "type": "string",
    "pattern": rf"^([1-9][0-9]{{0,18}}|{_UUID})$",
    "example": "1",
}
WITHDRAWAL_ID = {"type": "string", "pattern": "^[1-9][0-9]{0,18}$", "example": "8"}
IDEMPOTENCY_KEY = {
    "type": "string",
    "minLength": 1,
    "maxLength": 128,
    "pattern": "^[!-~]([ -~]*[!-~])?$",
}


def _foreseen(**more: Any) -> Schema:
    return _object(
        {
            "id": _ID,
            "execute_at": _time("UTC."),
            "amount": _AMOUNT,
            "covered": {"type": "boolean", "description": "Whether the balance will do."},
            "missing": _integer("What the balance lacks, in minor units.", minimum=0, example=0),
            "balance_after": _integer("Minor units.", minimum=0, example=100_000),
        },
        **more,
    )


def envelope(status: int, data: Schema) -> Schema:
    return _object(
        {
            "detail": {"type": "string", "description": "For developers, in English."},
            "message": ref("Message"),
            "status": {"type": "integer", "enum": [status], "description": "The HTTP status."},
            "data": data,
        }
    )


def _error_envelope(status: int) -> Schema:
    codes = [e.code for e in CATALOGUE.values() if e.status == status and not e.of_field]
    return envelope(
        status,
        _object(
            {
                "code": {"type": "string", "enum": codes, "description": "See /api/errors/."},
                "errors": {"type": "array", "items": ref("FieldError")},
            },
            required=["code"],
            additionalProperties=True,
        ),
    )


def _wallet_and(*, status: int, **more: Schema) -> Schema:
    return envelope(status, _object({"wallet": ref("Wallet"), **more}))


def _bulk(status: int) -> Schema:
    return envelope(
        status,
        _object(
            {
                "accepted": _count("How many deposits are made, now or by an earlier request."),
                "refused": _count("How many are not."),
                "results": {"type": "array", "maxItems": 1000, "items": ref("BulkResult")},
            }
        ),
    )


def _page_of(component: str) -> Schema:
    return envelope(
        200,
        _object(
            {
                "results": {"type": "array", "maxItems": 100, "items": ref(component)},
                "next": _nullable_text("Address of the page with older ones; null at the end."),
                "previous": _nullable_text("Address of the page with newer ones; null at the top."),
            }
        ),
    )


COMPONENTS: dict[str, Schema] = {
    "Message": _object(
        {
            "en": {"type": "string", "description": "For people, in English."},
            "fa": {"type": "string", "description": "For people, in Persian."},
        }
    ),
    "Wallet": _object(
        {
            "id": _ID,
            "uuid": {"type": "string", "format": "uuid"},
            "currency": CURRENCY,
            "balance": BALANCE,
            "created_at": _time("UTC."),
            "updated_at": _time("UTC."),
        }
    ),
    "Transaction": _object(
        {
            "id": _ID,
            "wallet_id": _ID,
            "type": {"type": "string", "enum": Type.values},
            "status": {"type": "string", "enum": Status.values},
            "amount": _AMOUNT,
            "execute_at": _time("UTC; null for deposits.", nullable=True),
            "idempotency_key": {
                "type": "string",
                "format": "uuid",
                "nullable": True,
                "description": "The key the bank knows this withdrawal by; null for deposits. "
                "Not the Idempotency-Key of your request.",
            },
            "bank_reference": _nullable_text("The bank's reference, once it has paid."),
            "failure_reason": _nullable_text("Why it FAILED, such as insufficient_funds."),
            "in_doubt_since": _time(
                "Since when it is unknown whether the bank has paid; the money stays held.",
                nullable=True,
            ),
            "created_at": _time("UTC."),
            "updated_at": _time("UTC."),
        }
    ),
    "StatusChange": _object(
        {
            "from_status": {
                "type": "string",
                "enum": [*Status.values, None],
                "nullable": True,
                "description": "Null for the first.",
            },
            "to_status": {"type": "string", "enum": Status.values},
            "reason": {
                "type": "string",
                "description": "A word for machines, such as claimed, in_doubt or paid.",
            },
            "about": _nullable_text("What the reason is about, such as read_timeout."),
            "at": _time("UTC."),
        }
    ),
    "BankCalls": _object(
        {
            "transfers": _count("How often the bank was asked to pay."),
            "inquiries": _count("How often it was asked what became of it."),
            "last": _object(
                {
                    "kind": {"type": "string", "enum": ["transfer", "inquiry"]},
                    "verdict": {
                        "type": "string",
                        "description": "What the answer was taken to mean, such as paid.",
                    },
                    "http_status": {"type": "integer", "nullable": True},
                    "started_at": _time("UTC."),
                    "duration_ms": _count("Milliseconds."),
                },
                nullable=True,
            ),
        }
    ),
    "Foreseen": _foreseen(),
    "CountAndAmount": _object(
        {
            "count": _count("How many."),
            "amount": {"type": "integer", "minimum": 0, "description": "Minor units."},
        }
    ),
    "StatementEntry": _object(
        {
            "id": _ID,
            "at": _time("UTC."),
            "kind": {"type": "string", "enum": ["deposit", "return", "withdrawal", "refund"]},
            "transaction_id": _ID,
            "amount": {
                "type": "integer",
                "format": "int64",
                "description": "Minor units; below zero for what left the wallet.",
                "example": -50000,
            },
            "balance_after": BALANCE,
        }
    ),
    "FieldError": _object(
        {
            "in": {"type": "string", "enum": ["body", "query", "header"]},
            "field": {"type": "string"},
            "code": {"type": "string", "description": "See /api/errors/."},
            "detail": {"type": "string"},
            "message": ref("Message"),
        }
    ),
    "CatalogueEntry": _object(
        {
            "code": {"type": "string"},
            "status": {"type": "integer"},
            "of_field": {
                "type": "boolean",
                "description": "True when the code appears in data.errors only.",
            },
            "message": ref("Message"),
            "what_to_do": ref("Message"),
        }
    ),
    "OpeningRequest": _object({"currency": CURRENCY}, required=[]),
    "DepositRequest": _object(
        {"amount": _AMOUNT, "currency": _OPTIONAL_CURRENCY}, required=["amount"]
    ),
    "WithdrawalRequest": _object(
        {"amount": _AMOUNT, "execute_at": _EXECUTE_AT, "currency": _OPTIONAL_CURRENCY},
        required=["amount", "execute_at"],
    ),
    "BulkRequest": _object(
        {
            "mode": {
                "type": "string",
                "enum": ["all_or_nothing", "each"],
                "default": "all_or_nothing",
            },
            "items": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1000,
                # Loose, because what is wrong with an item is told in its result.
                "items": {
                    "type": "object",
                    "description": "wallet (id or uuid) and amount; currency and idempotency_key "
                    "may be left out.",
                    "properties": {
                        "wallet": {},
                        "amount": {},
                        "currency": {},
                        "idempotency_key": {},
                    },
                },
            },
        },
        required=["items"],
    ),
    "BulkResult": _object(
        {
            "index": _count("The item's place, from 0."),
            "detail": {"type": "string", "description": "For developers, in English."},
            "message": ref("Message"),
            "status": {"type": "integer", "description": "As of a deposit on its own."},
            "data": {"type": "object", "description": "As of a deposit on its own."},
        }
    ),
    "BulkApplied": _bulk(201),
    "BulkAppliedInPart": _bulk(200),
    "RescheduleRequest": _object({"execute_at": _EXECUTE_AT}),
    "Nothing": _object({}),
    "WithdrawalChanged": envelope(200, _object({"withdrawal": ref("Transaction")})),
    "WithdrawalShown": envelope(
        200,
        _object(
            {
                "withdrawal": ref("Transaction"),
                "history": {
                    "type": "array",
                    "maxItems": 100,
                    "items": ref("StatusChange"),
                    "description": "Oldest first.",
                },
                "history_truncated": {
                    "type": "boolean",
                    "description": "Whether there are older changes than these.",
                },
                "bank_calls": ref("BankCalls"),
            }
        ),
    ),
    "Projected": envelope(
        200,
        _object(
            {
                "balance": _integer("Minor units, now.", minimum=0, example=150_000),
                "withdrawals": {
                    "type": "array",
                    "maxItems": 1000,
                    "items": ref("Foreseen"),
                    "description": "In the order in which they will be decided.",
                },
                "totals": _object(
                    {
                        "scheduled": ref("CountAndAmount"),
                        "covered": ref("CountAndAmount"),
                        "not_covered": ref("CountAndAmount"),
                    }
                ),
                "balance_after": _integer("Once all have been decided.", minimum=0, example=0),
                "first_shortfall": _foreseen(nullable=True),
                "truncated": {
                    "type": "boolean",
                    "description": "Whether there are more than these, which are not counted.",
                },
            }
        ),
    ),
    "BalanceShown": envelope(
        200,
        _object(
            {
                "wallet_id": _ID,
                "currency": CURRENCY,
                "at": _time("The moment that was asked for, in UTC."),
                "balance": BALANCE,
            }
        ),
    ),
    "StatementShown": envelope(
        200,
        _object(
            {
                "wallet_id": _ID,
                "currency": CURRENCY,
                "from": _time("UTC."),
                "to": _time("UTC."),
                "opening_balance": BALANCE,
                "closing_balance": BALANCE,
                "entries": {
                    "type": "array",
                    "maxItems": 100,
                    "items": ref("StatementEntry"),
                    "description": "Oldest first.",
                },
                "next": _nullable_text("Address of the page with later ones; null at the end."),
            }
        ),
    ),
    "WalletOpened": _wallet_and(status=201),
    "MoneyMoved": _wallet_and(status=201, transaction=ref("Transaction")),
    "WalletShown": _wallet_and(
        status=200,
        recent_transactions={"type": "array", "maxItems": 10, "items": ref("Transaction")},
    ),
    "TransactionsPage": _page_of("Transaction"),
    "WalletsPage": _page_of("Wallet"),
    "ErrorCatalogue": envelope(
        200, _object({"errors": {"type": "array", "items": ref("CatalogueEntry")}})
    ),
    "Healthy": envelope(200, _object({"database": {"type": "string", "enum": ["ok"]}})),
    **{
        f"Error{status}": _error_envelope(status)
        for status in sorted({entry.status for entry in CATALOGUE.values()})
    },
}


def add_components(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """drf-spectacular's hook: the operations refer to these by name.

    Those that nothing refers to are left out.
    """
    wanted = _names_in(result["paths"])
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        found.add(name)
        wanted |= _names_in(COMPONENTS[name]) - found
    result["components"] = {
        "schemas": {name: COMPONENTS[name] for name in sorted(found)},
        "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
    }
    return result


def _names_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        here = {value["$ref"].rpartition("/")[2]} if "$ref" in value else set()
        return here.union(*(_names_in(inner) for inner in value.values()))
    if isinstance(value, list):
        return set().union(*(_names_in(inner) for inner in value))
    return set()
