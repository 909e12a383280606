"""What people tell the service: who they are, why, and the bank's reference."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from wallets.domain.bank_answer import REFERENCE_LENGTH

# Leaves room for what the history puts before it.
REASON_LENGTH = 170
_NAME_LENGTH = 140
# Persian spelling needs the first, some names the second. Neither shows, so names go without.
_JOINERS = {ord("\u200c"): None, ord("\u200d"): None}


class OperatorRefusal(Exception):
    """What a person asked for was not done, and nothing was changed. The text says why."""

    code: ClassVar[str] = "refused"


class BadInput(OperatorRefusal):
    """A name, a reason or a reference that cannot be stored as it is."""

    code = "bad_input"


def checked_name(name: str) -> str:
    return _checked("name", name, _NAME_LENGTH)


def checked_reason(reason: str) -> str:
    return _checked("reason", reason, REASON_LENGTH, unseen=_JOINERS)


def checked_reference(reference: str) -> str:
    return _checked("reference", reference, REFERENCE_LENGTH)


def _checked(
    what: str, text: str, length: int, *, unseen: Mapping[int, None] = MappingProxyType({})
) -> str:
    """``text`` with its blanks in order. Raises ``BadInput``: nothing else is cut or replaced.

    ``unseen``: characters that may be there, though they do not print.
    """
    text = " ".join(text.split())
    seen = text.translate(unseen)
    if not seen or len(text) > length or not seen.isprintable():
        raise BadInput(f"The {what} must have 1 to {length} printable characters.")
    return text
