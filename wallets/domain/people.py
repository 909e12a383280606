"""What people tell the service: who they are, why, and the bank's reference."""

from typing import ClassVar

from wallets.domain.bank_answer import REFERENCE_LENGTH

# Leaves room for what the history puts before it.
REASON_LENGTH = 170
_NAME_LENGTH = 140


class OperatorRefusal(Exception):
    """What a person asked for was not done, and nothing was changed. The text says why."""

    code: ClassVar[str] = "refused"


class BadInput(OperatorRefusal):
    """A name, a reason or a reference that cannot be stored as it is."""

    code = "bad_input"


def checked_name(name: str) -> str:
    return _checked("name", name, _NAME_LENGTH)


def checked_reason(reason: str) -> str:
    return _checked("reason", reason, REASON_LENGTH)


def checked_reference(reference: str) -> str:
    return _checked("reference", reference, REFERENCE_LENGTH)


def _checked(what: str, text: str, length: int) -> str:
    """``text`` with its blanks in order. Raises ``BadInput``: nothing else is cut or replaced."""
    text = " ".join(text.split())
    if not text or len(text) > length or not text.isprintable():
        raise BadInput(f"The {what} must have 1 to {length} printable characters.")
    return text
