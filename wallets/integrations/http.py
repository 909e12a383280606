"""One thread's way to the bank: sends a request once and reports what could be seen."""

import hashlib
import http.client
import logging
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPResponse
from urllib3.exceptions import HTTPError

from wallets.domain.outcomes import CallKind, Observation, Transfer, Transport
from wallets.integrations.backoff import retry_after_seconds
from wallets.integrations.config import KEY_PLACEHOLDER, BankConfig
from wallets.integrations.deadline import AnswerTooLargeError, Attempt, connection_pool
from wallets.integrations.idempotency import key_headers, request_body
from wallets.integrations.lookup import LookupTimeoutError

# It prints, as a warning with a traceback, whatever a server put where headers should be. What came
# of the call is ours to tell, and the bytes are nobody's business.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)

# Room for the headers on top of the body, per try.
_HEADER_BYTES = 131_072

_HEADERS = {
    "User-Agent": "wallet-service",
    "Accept": "application/json",
    # Answers are never unpacked: a few kilobytes may unpack to gigabytes.
    "Accept-Encoding": "identity",
}

# What broke, most telling first. The first table is for tries of which nothing was sent.
_UNSENT_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (LookupTimeoutError, "name_lookup_timeout"),
    (socket.gaierror, "name_not_resolved"),
    (ConnectionRefusedError, "connection_refused"),
    (ssl.SSLError, "tls_error"),
    (ssl.CertificateError, "tls_error"),
    (TimeoutError, "connect_timeout"),
    (ConnectionError, "connection_lost"),
)
_SENT_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (AnswerTooLargeError, "body_too_large"),
    (http.client.RemoteDisconnected, "closed_unanswered"),
    (ConnectionError, "reset"),
    (http.client.IncompleteRead, "truncated"),
    (http.client.HTTPException, "garbage"),
    (ssl.SSLError, "tls_error"),
)


class _Adapter(HTTPAdapter):
    """Keeps to the one pool, without a search for it, proxies or cookies."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._pool = pool

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        return self._pool

    def build_response(self, req: requests.PreparedRequest, resp: BaseHTTPResponse) -> Any:
        response = requests.Response()
        response.status_code = resp.status
        response.raw = resp
        return response

    def close(self) -> None:
        super().close()
        self._pool.close()


class BankTransport:
    """Owned by one thread. Never raises for anything the network or the bank does."""

    def __init__(self, config: BankConfig) -> None:
        self._config = config
        self._base_url = config.base_url.rstrip("/")
        self._attempt = Attempt(max_bytes=config.max_answer_bytes + _HEADER_BYTES)
        parts = urlsplit(self._base_url)
        pool = connection_pool(parts.scheme, parts.hostname or "", parts.port, self._attempt)
        self._adapter = _Adapter(pool)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.clear()
        self._session.headers.update(_HEADERS)
        self._session.mount(f"{parts.scheme}://", self._adapter)
        self._transfer_request = self._session.prepare_request(
            requests.Request(
                "POST",
                f"{self._base_url}/",
                data=b"{}",
                headers={"Content-Type": "application/json"},
            )
        )

    def send_transfer(self, transfer: Transfer) -> Observation:
        # Prepared once: what changes from one transfer to the next are the body and the key.
        request = self._transfer_request
        request.body = body = request_body(transfer)
        request.headers.update(key_headers(transfer))
        request.headers["Content-Length"] = str(len(body))
        return self._exchange(CallKind.TRANSFER, request)

    def send_inquiry(self, transfer: Transfer) -> Observation:
        key = quote(transfer.idempotency_key, safe="")
        path = self._config.inquiry_path.replace(KEY_PLACEHOLDER, key)
        request = self._session.prepare_request(requests.Request("GET", self._base_url + path))
        return self._exchange(CallKind.INQUIRY, request)

    def close(self) -> None:
        self._session.close()

    def _exchange(self, kind: CallKind, request: requests.PreparedRequest) -> Observation:
        attempt, started = self._attempt, time.monotonic()
        attempt.begin(self._config.timeout)
        try:
            # Past Session.send, which keeps cookies and, to know where a redirect would lead, reads
            # the whole body of one. The timeout is for urllib3's bookkeeping: the deadline rules.
            response = self._adapter.send(
                request, stream=True, timeout=self._config.timeout, verify=True
            )
            raw = cast(HTTPResponse, response.raw)
            body = self._read_body(raw)
        except (requests.RequestException, HTTPError, OSError, http.client.HTTPException) as error:
            attempt.finish(reusable=False)
            return self._broken(kind, started, error)
        # An interim answer announces another, which must not be taken for the next transfer's.
        attempt.finish(reusable=body is not None and raw.status >= 200)
        if not attempt.sent:
            # The server spoke before we did, say to close an idle connection: no answer of ours.
            attempt.finish(reusable=False)
            return self._observe(kind, started, Transport.NOT_SENT, detail="connection_lost")
        return self._answered(kind, started, raw, body)

    def _read_body(self, raw: HTTPResponse) -> bytes | None:
        """The body as it came, undecoded; None when it is longer than we read."""
        limit = self._config.max_answer_bytes
        body = b""
        while len(body) <= limit:
            chunk = raw.read(limit + 1 - len(body), decode_content=False)
            body += chunk
            # At the end urllib3 raises if the length that was announced was not reached.
            if not chunk or raw.length_remaining == 0:
                return body
        raw.close()
        raw.release_conn()
        return None

    def _answered(
        self, kind: CallKind, started: float, raw: HTTPResponse, body: bytes | None
    ) -> Observation:
        return self._observe(
            kind,
            started,
            Transport.ANSWERED,
            detail="body_too_large" if body is None else "",
            http_status=raw.status,
            body=body or b"",
            retry_after=retry_after_seconds(
                raw.headers.get("Retry-After"),
                now=time.time(),
                cap=self._config.retry_after_cap,
            ),
            digest=hashlib.sha256(body).hexdigest() if body else "",
        )

    def _broken(self, kind: CallKind, started: float, error: Exception) -> Observation:
        if not self._attempt.sent:
            detail = _word(error, _UNSENT_WORDS) or "connection_failed"
            return self._observe(kind, started, Transport.NOT_SENT, detail=detail)
        late = "deadline" if self._attempt.received else "read_timeout"
        detail = _word(error, (*_SENT_WORDS, (TimeoutError, late))) or "transport_error"
        return self._observe(kind, started, Transport.MAY_HAVE_ARRIVED, detail=detail)

    @staticmethod
    def _observe(kind: CallKind, started: float, transport: Transport, **seen: Any) -> Observation:
        return Observation(
            kind=kind,
            started=started,
            duration=time.monotonic() - started,
            transport=transport,
            **seen,
        )


def _word(error: BaseException, words: tuple[tuple[type[BaseException], str], ...]) -> str:
    causes = list(_causes(error))
    for kind, word in words:
        if any(isinstance(cause, kind) for cause in causes):
            return word
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it was raised from; the libraries wrap theirs three deep."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
