"""One client's connection: its requests one after the other, each answered before the next."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from typing import TypeAlias, cast

from bank.answers import error
from bank.wire import (
    CHUNKED,
    UNTIL_CLOSE,
    BadRequestError,
    Request,
    RequestReader,
    Response,
    content_length,
    render_head,
)

# A client may send ahead while its request is being worked on, up to here.
MAX_WAITING_BYTES = 128 * 1024
UNFINISHED_REQUEST_SECONDS = 30.0
# How long what a refused client still sends is read, so that it sees why before the line is cut.
LINGER_SECONDS = 2.0

# On, and for zero seconds: closing then resets the connection.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Handler: TypeAlias = "Callable[[Request, Exchange], None]"
Log: TypeAlias = Callable[[str], None]


class Exchange:
    """One request's way back: a response, or whatever a misbehaving bank does instead."""

    def __init__(self, connection: "Connection", request: Request) -> None:
        self.request = request
        self.fault = ""
        """The name of the fault this request met, for the log."""
        self.begun = False
        """Whether something of the response has been written."""
        self._connection = connection

    @property
    def gone(self) -> bool:
        """Whether nobody is there any more to be answered."""
        return self._connection.current is not self or self._connection.transport.is_closing()

    def send(self, response: Response) -> None:
        head, body = self.render(response)
        self.write(head + body)
        self.finish(str(response.status))

    def render(self, response: Response) -> tuple[bytes, bytes]:
        """Head and body as they would be sent."""
        empty = self.request.method == "HEAD" or response.status in (204, 304)
        head = render_head(
            response,
            framing=content_length(len(response.body)),
            connection=self._connection_header(),
        )
        return head, b"" if empty else response.body

    async def stream(self, response: Response, chunks: Iterator[bytes]) -> None:
        """Send a body of any length in the pace of the reader."""
        framing = CHUNKED
        if self.request.http_1_0:
            framing, self.request.keep_alive = UNTIL_CLOSE, False
        head = render_head(response, framing=framing, connection=self._connection_header())
        self.write(head)
        for chunk in chunks:
            if self.gone:
                return
            self.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if framing is CHUNKED else chunk)
            await self._connection.wait_until_writable()
        if framing is CHUNKED:
            self.write(b"0\r\n\r\n")
        self.finish(str(response.status))

    def write(self, data: bytes) -> None:
        if not self.gone:
            self.begun = True
            self._connection.transport.write(data)

    def finish(self, how: str) -> None:
        """The response is complete: on to the client's next request, if it may send one."""
        if self.gone:
            return
        self._connection.finished(self, how)

    def close(self) -> None:
        """Hang up in the orderly way (FIN) after what was written, complete or not."""
        self.request.keep_alive = False
        self.finish("closed")

    def reset(self) -> None:
        """Cut the line (RST); what was written and not yet sent is lost."""
        if not self.gone:
            self._connection.reset(self)

    def _connection_header(self) -> str:
        if not self.request.keep_alive:
            return "close"
        return "keep-alive" if self.request.http_1_0 else ""


class Connection(asyncio.Protocol):
    """The server's side of one connection.

    ``connections`` is the set of all that are open; each adds and removes itself.
    """

    transport: asyncio.Transport

    def __init__(
        self,
        handler: Handler,
        connections: "set[Connection]",
        log: Log | None = None,
    ) -> None:
        self.current: Exchange | None = None
        self._handler = handler
        self._connections = connections
        self._log = log
        self._reader = RequestReader()
        self._advancing = False
        self._refused = False
        self._writable: asyncio.Future[None] | None = None
        self._unfinished_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        if self.current is not None:
            self._write_log(self.current, "gave up")
            self.current = None
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._reader.feed(data)
        self._advance()
        if self.current is not None and len(self._reader) > MAX_WAITING_BYTES:
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    async def wait_until_writable(self) -> None:
        if self._writable is not None:
            await self._writable

    def finished(self, exchange: Exchange, how: str) -> None:
        self._write_log(exchange, how)
        self.current = None
        if not exchange.request.keep_alive:
            self.transport.close()
            return
        self.transport.resume_reading()
        self._advance()

    def reset(self, exchange: Exchange) -> None:
        self._write_log(exchange, "reset")
        self.current = None
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        # An orderly close would first wait for what is still to be sent.
        self.transport.abort()

    def drop_if_unfinished(self, now: float) -> None:
        """Give up on a request that began and does not end; ``now`` in seconds of the loop."""
        since = self._unfinished_since
        if since is not None and now - since > UNFINISHED_REQUEST_SECONDS:
            self._refuse(BadRequestError(408, "the request did not end"))

    def _advance(self) -> None:
        # A loop and not a call from finished(): a client may send a thousand requests ahead.
        if self._advancing:
            return
        self._advancing = True
        try:
            while self.current is None and not self.transport.is_closing():
                request = self._reader.next()
                if request is None:
                    break
                self._unfinished_since = None
                self.current = Exchange(self, request)
                self._handler(request, self.current)
        except BadRequestError as refusal:
            self._refuse(refusal)
        finally:
            self._advancing = False
        if self.current is None and not self._refused:
            self._await_the_rest()

    def _await_the_rest(self) -> None:
        if self._reader.is_between_requests:
            return
        if self._unfinished_since is None:
            self._unfinished_since = asyncio.get_running_loop().time()
        if self._reader.take_continue():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, refusal: BadRequestError) -> None:
        """Say what is wrong and end the connection, for what follows cannot be told apart."""
        self._refused = True
        self._unfinished_since = None
        self._reader.clear()
        response = error(refusal.status, "bad_request", refusal.detail).response()
        framing = content_length(len(response.body))
        self.transport.write(
            render_head(response, framing=framing, connection="close") + response.body
        )
        # Closing with bytes unread would reset the connection before the answer is read.
        self.transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self.transport.abort)
        if self._log is not None:
            self._log(f"refused {refusal.status}: {refusal.detail}")

    def _write_log(self, exchange: Exchange, how: str) -> None:
        if self._log is not None:
            request = exchange.request
            fault = f" fault={exchange.fault}" if exchange.fault else ""
            # The path as a literal: it holds whatever the client put there.
            self._log(f"{request.method} {request.path!a} -> {how}{fault}")
