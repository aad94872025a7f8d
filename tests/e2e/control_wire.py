"""HTTP/1.1 for the control plane of the tests: requests off a socket, answers with scripted faults onto it.

Below control_plane.py, which decides what is answered; this file knows no routes and no jobs. Of the plane it uses
loop, hanging, read_rate and the calls connected, disconnected, arrived and broken.
"""

import asyncio
import contextlib
import dataclasses
import gzip
import http
import json
import socket
import struct
import time
import typing
import urllib.parse

REQUEST_MAX = 256 * 1024 * 1024


@dataclasses.dataclass
class Answer:
    """How one exchange goes. Without a status: as it would anyway, with the rest applied to it.

    With a status the plane's state does not change, except that 2xx on done, stream and ping counts as accepted;
    process=True or False says otherwise ("stored it, but answered 500").
    """

    status: typing.Optional[int] = None
    body: typing.Union[bytes, str, None] = None  # with a status; other JSON values are serialised
    headers: tuple = ()  # pairs; Content-Type defaults to application/json where there is a body
    delay_s: float = 0  # before the first byte of the answer
    head_s: float = 0  # between the first byte and the rest
    slow_s: float = 0  # the body in ten pieces over this time
    drop: typing.Optional[str] = None  # "before": close instead of processing; "after": process, close unanswered
    truncate: typing.Optional[int] = None  # so many bytes of the body, then close
    gzip: bool = False
    chunked: bool = False
    reset: bool = False  # where it closes, by RST; alone: as drop="before"
    stall: bool = False  # never answered, connection left open
    process: typing.Optional[bool] = None

    def processed(self, route):
        if self.process is not None:
            return self.process
        if self.stall or self.drop == "before" or (self.reset and self.drop is None and self.truncate is None):
            return False
        return self.status is None or (route in ("done", "stream", "ping") and 200 <= self.status < 300)


NORMAL = Answer()


class Request:
    """One request as it came, and what became of it."""

    __slots__ = ("route method target path query params headers body connection begun arrived ended status sent "
                 "worker job_id answer jobs timer value final _named").split()

    def __init__(self, method, target, headers, connection, begun):
        self.method, self.target, self.headers, self.connection = method, target, headers, connection
        self.begun, self.arrived, self.ended = begun, None, None  # first byte, last byte, answer written or given up
        self.body, self.status, self.sent = b"", None, False
        self.path, _, self.query = target.partition("?")
        self.params = urllib.parse.parse_qsl(self.query, keep_blank_values=True)
        self.route = self.worker = self.job_id = self.timer = self.value = None
        self.answer, self.jobs, self.final = NORMAL, (), False  # final: a POST to done that is no progress
        self._named = {}
        for name, value in headers:
            name = name.lower()
            self._named[name] = f"{self._named[name]}, {value}" if name in self._named else value

    def header(self, name):
        """The value of a header, None without it; several are joined as HTTP does."""
        return self._named.get(name.lower())

    def param(self, name):
        return next((value for key, value in self.params if key == name), None)

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.method} {self.target} -> {self.status}>"


class NotStrict(ValueError):
    pass


def _no_constant(name):
    raise NotStrict(f"{name} is no JSON")


def _members(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotStrict("a member stands twice")
    return members


_STRICT = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_members)


def strict_json(body):
    """The value of a body that must be JSON in UTF-8 as RFC 8259 has it; ValueError says what it is instead."""
    text = bytes(body).decode("utf-8")
    value = _STRICT.decode(text)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate cannot be written back
    return value


class Connection(asyncio.Protocol):
    """HTTP/1.1 on one socket: a request at a time to the plane, answers in order."""

    def __init__(self, plane):
        self.plane, self.buffer, self.current, self.busy = plane, bytearray(), None, False
        self.begun = None
        self.scanned = 0
        self.continued = False

    def connection_made(self, transport):
        self.transport = transport
        self.number = self.plane.connected(self)

    def connection_lost(self, error):
        self.plane.disconnected(self)

    def data_received(self, data):
        if self.plane.hanging:
            return
        if self.plane.read_rate:
            self.transport.pause_reading()
            self.plane.loop.call_later(len(data) / self.plane.read_rate, self._resume)
        if not self.buffer and not self.busy:
            self.begun = time.monotonic()
        self.buffer += data
        self._parse()

    def _resume(self):
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _parse(self):
        while not self.busy and self.buffer and not self.transport.is_closing():
            end = self.buffer.find(b"\r\n\r\n", max(0, self.scanned - 3))
            if end < 0:
                self.scanned = len(self.buffer)
                return
            self.scanned = end
            request = self._head(bytes(self.buffer[:end]))
            if request is None or not self._body(request, end + 4):
                return
            self.scanned, self.continued, self.busy = 0, False, True
            request.arrived = time.monotonic()
            self.current = request
            self.plane.arrived(request)

    def _head(self, head):
        try:
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, version = first.split(" ")
            headers = []
            for line in lines:
                name, colon, value = line.partition(":")
                if not colon or name != name.strip():
                    raise ValueError(line)
                headers.append((name, value.strip(" \t")))
            if version != "HTTP/1.1":
                raise ValueError(version)
        except ValueError as error:
            self.plane.broken(self, f"not an HTTP/1.1 request: {error}")
            return None
        return Request(method, target, headers, self.number, self.begun)

    def _body(self, request, at):
        """Moves the body out of the buffer; false while it is not there whole."""
        if request.header("Expect") and not self.continued:
            self.continued = True
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in (request.header("Transfer-Encoding") or "").lower():
            return self._chunked_body(request, at)
        length = request.header("Content-Length") or "0"
        if not length.isascii() or not length.isdigit() or int(length) > REQUEST_MAX:
            self.plane.broken(self, f"Content-Length: {length}")
            return False
        if len(self.buffer) < at + int(length):
            return False
        request.body = bytes(self.buffer[at:at + int(length)])
        del self.buffer[:at + int(length)]
        return True

    def _chunked_body(self, request, at):
        parts = []
        while True:
            line = self.buffer.find(b"\r\n", at)
            if line < 0:
                return False
            size = int(bytes(self.buffer[at:line]).split(b";")[0], 16)
            if len(self.buffer) < line + 2 + size + 2:
                return False
            parts.append(bytes(self.buffer[line + 2:line + 2 + size]))
            at = line + 2 + size + 2
            if size == 0:
                break
        request.body = b"".join(parts)
        del self.buffer[:at]
        return True

    def respond(self, request, status, headers, body):
        """Writes an answer as the request's script wants it. True: all of it is on its way."""
        answer = request.answer
        if self.transport.is_closing():
            return False
        if answer.gzip and body:
            body = gzip.compress(body)
            headers = (*headers, ("Content-Encoding", "gzip"))
        lines = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if answer.chunked:
            lines.append("Transfer-Encoding: chunked")
        elif status != 204 and status >= 200:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        cut = answer.truncate is not None and answer.truncate < len(body)
        pieces = [body[:answer.truncate] if cut else body]
        if answer.slow_s and body:
            step = max(1, len(pieces[0]) // 10)
            pieces = [pieces[0][i:i + step] for i in range(0, len(pieces[0]), step)]
        if answer.chunked:
            pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece]
            pieces += [] if cut else [b"0\r\n\r\n"]
        if answer.head_s:
            whole = head + b"".join(pieces)
            self.transport.write(whole[:1])
            self.plane.loop.call_later(answer.head_s, self.transport.write, whole[1:])
            self.plane.loop.call_later(answer.head_s * 1.001 + 0.001, self._answered, request, cut)
            return not cut
        if not answer.slow_s:
            self.transport.write(head + b"".join(pieces))
            self._answered(request, cut)
            return not cut
        self.transport.write(head)
        for i, piece in enumerate(pieces):
            self.plane.loop.call_later(answer.slow_s * (i + 1) / len(pieces), self.transport.write, piece)
        self.plane.loop.call_later(answer.slow_s * 1.001 + 0.001, self._answered, request, cut)
        return not cut

    def _answered(self, request, cut):
        self.current, self.busy = None, False
        if cut:
            self.cut(request.answer.reset)
        elif (request.header("Connection") or "").lower() == "close":
            self.transport.close()
        elif self.buffer:
            self.begun = time.monotonic()
            self.plane.loop.call_soon(self._parse)

    def cut(self, reset=False):
        if reset:
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()
