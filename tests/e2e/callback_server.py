"""A receiver of callbacks that verifies every signature and fails on purpose.

What it does with a request is named by the path: each path has a script, a list of answers of which one is used for every request
and the last for all further ones. An answer is a status, or one of the words of Receiver.answer.
"""

import hashlib
import hmac
import http.server
import json
import socket
import struct
import threading
import time

SECRET = "between us"


class Receiver:
    """Requests are in .requests, as dicts; .wrong has what a strict receiver would complain about."""

    def __init__(self, secret=SECRET, timestamp="X-Minstraly-Timestamp", signature="X-Minstraly-Signature", port=0):
        self.secret, self.timestamp_name, self.signature_name = secret, timestamp, signature
        self.scripts, self.requests, self.wrong = {}, [], []
        self.lock = threading.Condition()
        self.released = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.take(self)

            def do_GET(self):
                receiver.complain(f"a GET of {self.path}: the redirect lost the method")
                receiver.reply(self, 405)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass  # whoever calls was killed

        self.server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def complain(self, what):
        with self.lock:
            self.wrong.append(what)

    def verify(self, request):
        """FM-61. As a receiver does: its own path, the headers and the raw body."""
        signature, timestamp = request["headers"].get(self.signature_name), request["headers"].get(self.timestamp_name)
        if self.secret is None:
            if signature or timestamp:
                self.complain("signed without a secret")
            return
        if not signature or not timestamp or not timestamp.isdigit():
            self.complain(f"not signed: {request['headers']}")
            return
        if abs(time.time() * 1000 - int(timestamp)) > 300_000:
            self.complain(f"signed at {timestamp}")
        text = b"POST\n" + request["path"].split("?")[0].encode() + b"\n" + timestamp.encode() + b"\n" + request["body"]
        if not hmac.compare_digest(hmac.new(self.secret.encode(), text, hashlib.sha256).hexdigest(), signature):
            self.complain(f"wrong signature for {request['path']}")

    def take(self, handler):
        length = handler.headers.get("Content-Length")
        request = {
            "path": handler.path,
            "headers": handler.headers,
            "body": handler.rfile.read(int(length)) if length and length.isdigit() else b"",
            "time": time.monotonic(),
        }
        if length is None:
            self.complain(f"no Content-Length for {handler.path}")
        if handler.headers.get("Content-Type") != "application/json":
            self.complain(f"content type {handler.headers.get('Content-Type')}")
        try:
            request["json"] = json.loads(request["body"])
        except ValueError as error:
            self.complain(f"body: {error}")
        self.verify(request)
        with self.lock:
            self.requests.append(request)
            script = self.scripts.get(handler.path.split("?")[0], [200])
            answer = script.pop(0) if len(script) > 1 else script[0]
            self.lock.notify_all()
        self.answer(handler, answer)

    def answer(self, handler, answer):
        headers = {}
        if answer == "reset":
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            handler.connection.close()
            return
        if answer == "hang":
            self.released.wait(60)
            handler.close_connection = True
            return
        if answer == "slow":
            time.sleep(0.5)
            answer = 200
        if answer == "endless":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                while not self.released.is_set():
                    handler.wfile.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
            except OSError:
                pass
            handler.close_connection = True
            return
        if isinstance(answer, tuple):  # a status with headers
            answer, headers = answer
        self.reply(handler, answer, headers)

    @staticmethod
    def reply(handler, status, headers=()):
        handler.send_response(status)
        for name, value in dict(headers).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    def of(self, path):
        with self.lock:
            return [request for request in self.requests if request["path"].split("?")[0] == path]

    def wait(self, count, timeout=60):
        """Until so many requests have come."""
        with self.lock:
            if not self.lock.wait_for(lambda: len(self.requests) >= count, timeout):
                raise AssertionError(f"{len(self.requests)} of {count} requests came within {timeout} s")
