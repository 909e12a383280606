"""HTTP/1.1 as bytes: requests read strictly out of a stream, responses written into one."""

import re
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 64 * 1024

_TCHAR = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_REQUEST_LINE = re.compile(rf"({_TCHAR}{{1,32}}) ([!-~]+) HTTP/([0-9])\.([0-9])")
_HEADER = re.compile(rf"({_TCHAR}+):[ \t]*(.*?)[ \t]*", re.DOTALL)
_LENGTH = re.compile(r"[0-9]{1,12}")
# What would end a line, or the text, for one reader and not for another.
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class BadRequestError(Exception):
    """What came cannot be answered but with ``status``, and nothing after it can be trusted."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(slots=True)
class Request:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    """Names in lower case; a name that came twice has its values joined by a comma."""
    http_1_0: bool
    keep_alive: bool
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class RequestReader:
    """Cuts a stream into requests. A body is as long as its Content-Length says, or empty."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._request: Request | None = None
        self._body_length = 0

    def __len__(self) -> int:
        """Bytes received and not yet handed out."""
        return len(self._buffer)

    @property
    def is_between_requests(self) -> bool:
        return self._request is None and not self._buffer

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def clear(self) -> None:
        self._buffer.clear()

    def next(self) -> Request | None:
        """The next whole request, or None until more has come. Raises ``BadRequestError``."""
        if self._request is None and not self._read_head():
            return None
        if len(self._buffer) < self._body_length:
            return None
        request, self._request = self._request, None
        if request is not None and self._body_length:
            request.body = bytes(self._buffer[: self._body_length])
            del self._buffer[: self._body_length]
        return request

    def take_continue(self) -> bool:
        """Whether the client waits, not yet told, for leave to send its body."""
        request = self._request
        if request is None:
            return False
        return request.headers.pop("expect", "").lower() == "100-continue"

    def _read_head(self) -> bool:
        # Some clients end a body with a line break that belongs to nothing.
        while self._buffer.startswith(b"\r\n"):
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_HEAD_BYTES:
                raise BadRequestError(431, f"the head is over {MAX_HEAD_BYTES} bytes")
            return False
        head = self._buffer[:end].decode("latin-1")
        del self._buffer[: end + 4]
        self._request = request = _read_request(head)
        self._body_length = _body_length(request.headers)
        return True


def _read_request(head: str) -> Request:
    line, *header_lines = head.split("\r\n")
    matched = _REQUEST_LINE.fullmatch(line)
    if matched is None:
        raise BadRequestError(400, "this is not a request line of HTTP")
    method, target, major, minor = matched.groups()
    if major != "1":
        raise BadRequestError(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    headers = _read_headers(header_lines)
    path, query = _read_target(target)
    wish = headers.get("connection", "").lower()
    http_1_0 = minor == "0"
    keep_alive = "keep-alive" in wish if http_1_0 else "close" not in wish
    return Request(method, path, query, headers, http_1_0, keep_alive)


def _read_headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        matched = _HEADER.fullmatch(line)
        if matched is None or _CONTROLS.search(matched[2]):
            raise BadRequestError(400, "this is not a header line of HTTP")
        name = matched[1].lower()
        headers[name] = f"{headers[name]}, {matched[2]}" if name in headers else matched[2]
    return headers


def _read_target(target: str) -> tuple[str, str]:
    try:
        if not target.startswith("/"):
            parts = urlsplit(target)
            path, query = parts.path or target, parts.query
        else:
            path, _, query = target.partition("?")
        if "%" in path:
            path = unquote(path, errors="strict")
    except ValueError as error:
        raise BadRequestError(400, "the request target cannot be read") from error
    return path, query


def _body_length(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise BadRequestError(411, "send a Content-Length, not a Transfer-Encoding")
    length = headers.get("content-length")
    if length is None:
        return 0
    if _LENGTH.fullmatch(length) is None:
        raise BadRequestError(400, "Content-Length is not one whole number")
    if int(length) > MAX_BODY_BYTES:
        raise BadRequestError(413, f"the body is over {MAX_BODY_BYTES} bytes")
    return int(length)


CHUNKED = "Transfer-Encoding: chunked\r\n"
UNTIL_CLOSE = ""


def content_length(length: int) -> str:
    return f"Content-Length: {length}\r\n"


def render_head(response: Response, *, framing: str, connection: str) -> bytes:
    """The head of ``response``; ``framing`` says where its body ends."""
    if response.status in (204, 304):
        framing = ""
    extra = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
    head = _head_start(response.status, response.content_type, connection)
    return f"{head}{framing}{extra}\r\n".encode("latin-1")


@lru_cache(maxsize=64)
def _head_start(status: int, content_type: str, connection: str) -> str:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unassigned"
    ending = f"Connection: {connection}\r\n" if connection else ""
    return f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {content_type}\r\n{ending}"
