"""The service's machine words in the language of the reader."""

import re
from typing import Any

from django.utils.translation import gettext as _, gettext_lazy

# Reasons and verdicts; a word that is not here came from the bank and is shown as it came.
_WORDS: dict[str, Any] = {
    "scheduled": gettext_lazy("scheduled"),
    "rescheduled": gettext_lazy("moved to another time"),
    "cancelled": gettext_lazy("cancelled"),
    "claimed": gettext_lazy("claimed by an executor"),
    "lease_lapsed": gettext_lazy("taken over from an executor that went silent"),
    "awaiting_operator": gettext_lazy("waits for a person"),
    "insufficient_funds": gettext_lazy("the wallet did not cover it"),
    "paid": gettext_lazy("paid"),
    "not_paid": gettext_lazy("not paid"),
    "refund_does_not_fit": gettext_lazy("the wallet cannot hold the refund"),
    "operator_not_paid": gettext_lazy("a person found that it was not paid"),
    "refused": gettext_lazy("refused"),
    "refused_while_in_doubt": gettext_lazy("refused, while an earlier try may have been paid"),
    "bank_refused": gettext_lazy("the bank refused"),
    "bank_unavailable": gettext_lazy("the bank was unavailable"),
    "pending": gettext_lazy("pending at the bank"),
    "pending_at_bank": gettext_lazy("pending at the bank"),
    "not_found": gettext_lazy("the bank knows nothing of it"),
    "not_sent": gettext_lazy("not sent"),
    "unsent": gettext_lazy("not sent"),
    "resend_forbidden": gettext_lazy("may not be sent again"),
    "network_error": gettext_lazy("the bank could not be reached"),
    "throttled": gettext_lazy("the bank asked to slow down"),
    "misconfigured": gettext_lazy("the bank did not accept our access"),
    "unclear": gettext_lazy("unclear"),
    "conflict": gettext_lazy("the bank is already at it"),
    "key_reused": gettext_lazy("the bank knows the key with other contents"),
    "echo_mismatch": gettext_lazy("the answer was about another payment"),
    "contradictory_answer": gettext_lazy("the answer contradicted itself"),
    "unreadable_answer": gettext_lazy("the answer could not be read"),
    "redirected": gettext_lazy("the bank redirected us"),
    "read_timeout": gettext_lazy("no answer in time"),
    "deadline": gettext_lazy("the answer took too long"),
    "truncated": gettext_lazy("the answer broke off"),
    "garbage": gettext_lazy("the answer could not be read"),
    "body_too_large": gettext_lazy("the answer was too large"),
    "reset": gettext_lazy("the connection was reset"),
    "closed_unanswered": gettext_lazy("the connection was closed without an answer"),
    "connection_lost": gettext_lazy("the connection was lost"),
    "connection_failed": gettext_lazy("no connection"),
    "connection_refused": gettext_lazy("the connection was refused"),
    "connect_timeout": gettext_lazy("no connection in time"),
    "name_not_resolved": gettext_lazy("the bank's name was not found"),
    "name_lookup_timeout": gettext_lazy("the bank's name was not found in time"),
    "tls_error": gettext_lazy("no secure connection"),
    "transport_error": gettext_lazy("the connection failed"),
}
_STATUS = re.compile(r"http_(\d{3})")


def in_words(word: str) -> str:
    status = _STATUS.fullmatch(word)
    if status:
        return _("the bank answered HTTP %(status)s") % {"status": status[1]}
    return str(_WORDS.get(word, word))
