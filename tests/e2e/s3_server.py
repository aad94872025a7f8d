"""A small S3 for tests: objects of one bucket (PUT, GET with ranges, HEAD, DELETE, lists by pages, uploads in parts), with every
Signature V4 checked by an implementation that shares nothing with the one under test, and faults by script.

    with S3Server(faults=["slow", "reset"]) as server:      # the first two uploads go wrong, later ones do not
        ...                                                 # endpoint: server.endpoint, or server.virtual_endpoint
        server.objects["out/a.wav"].body, server.log        # [("PUT", "out/a.wav", 503, "SlowDown"), ...]

Faults of PUT, POST and DELETE: "500"; "slow" (503 SlowDown, Retry-After: 1); "403"; "reset" (the connection, after the body);
"stall" (no answer until the client goes away); "error200" (an <Error> in an answer of status 200); "empty200" (an answer of status
200, and nothing done); "lost" (all is done, but the connection is reset instead of an answer); "noupload" (404 NoSuchUpload);
"early403" (an answer, and the end, before the body was read); "ok" (none). Of GET, in get_faults, also "cut" (half of the body) and
"shift" (bytes of elsewhere, and a Content-Range that says so) and "nothing" (the right Content-Range, and no bytes). A wrong clock is no fault but `clock_skew_s`: the server's clock less
the true one.
By hand: python3 s3_server.py [PORT]
"""

import calendar
import collections
import hashlib
import hmac
import http.server
import re
import socket
import struct
import sys
import threading
import time
import urllib.parse
import xml.etree.ElementTree
from xml.sax.saxutils import escape

ACCESS_KEY, SECRET_KEY = "voxtestkey", "voxtest/secret+key"
SKEW_MAX_S = 900
EXPIRES_MAX_S = 604800
STATUS = {"AccessDenied": 403, "SignatureDoesNotMatch": 403, "InvalidAccessKeyId": 403, "RequestTimeTooSkewed": 403,
          "AuthorizationHeaderMalformed": 400, "AuthorizationQueryParametersError": 400, "BadDigest": 400,
          "EntityTooSmall": 400, "InvalidPart": 400, "InvalidRange": 416, "MalformedXML": 400, "NoSuchUpload": 404,
          "PreconditionFailed": 412, "InvalidArgument": 400, "InvalidToken": 400, "XAmzContentSHA256Mismatch": 400, "NoSuchBucket": 404,
          "NoSuchKey": 404, "MethodNotAllowed": 405, "InternalError": 500, "SlowDown": 503}

PART_BYTES_MIN = 5 << 20

Object = collections.namedtuple("Object", "body content_type metadata etag modified")
Upload = collections.namedtuple("Upload", "key content_type metadata parts")


class Refused(Exception):
    """What the answer's <Code> says; `extra` is more XML."""

    def __init__(self, code, extra=""):
        super().__init__(code)
        self.code, self.extra = code, extra


def encode(text):
    return urllib.parse.quote(text, safe="-_.~")


def canonical_path(raw):
    return "/".join(urllib.parse.quote(urllib.parse.unquote_to_bytes(part), safe="-_.~") for part in raw.split("/"))


def canonical_query(pairs):
    return "&".join("=".join(pair) for pair in sorted((encode(name), encode(value)) for name, value in pairs))


def signature_of(secret, date, scope, request):
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(request.encode()).hexdigest()])
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


class Check:
    """The signature of one request, in its headers or its query."""

    def __init__(self, server, method, target, headers):
        self.server, self.method, self.headers = server, method, headers
        self.path, _, query = target.partition("?")
        self.query = urllib.parse.parse_qsl(query.replace("+", "%2B"), keep_blank_values=True, strict_parsing=bool(query))

    def header(self, name):
        values = self.headers.get_all(name) or []
        if len(values) != 1:
            raise Refused("AccessDenied" if not values else "InvalidArgument")
        return " ".join(values[0].split())

    def run(self, body):
        if "X-Amz-Signature" in dict(self.query):
            self.check_query()
        else:
            self.check_headers(body)

    def check_headers(self, body):
        match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^ ]+), SignedHeaders=([a-z0-9;_-]+), Signature=([0-9a-f]{64})",
                             self.header("Authorization"))
        if not match:
            raise Refused("AuthorizationHeaderMalformed")
        credential, names, signature = match.groups()
        names = names.split(";")
        must = {"host"} | {name.lower() for name in self.headers if name.lower().startswith("x-amz-")}
        if not must <= set(names) or names != sorted(set(names)):
            raise Refused("AccessDenied")
        date, payload = self.header("x-amz-date"), self.header("x-amz-content-sha256")
        scope = self.check_scope(credential, date, "AuthorizationHeaderMalformed")
        if abs(parse_date(date) - self.server.now()) > SKEW_MAX_S:
            raise Refused("RequestTimeTooSkewed", "<MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>")
        if self.headers.get("x-amz-security-token", "") != self.server.session_token:
            raise Refused("InvalidToken")
        self.compare(date, scope, self.query, names, payload, signature)
        if payload != "UNSIGNED-PAYLOAD" and payload != hashlib.sha256(body).hexdigest():
            raise Refused("XAmzContentSHA256Mismatch")

    def check_query(self):
        query = dict(self.query)
        if len(query) != len(self.query) or query.get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256":
            raise Refused("AuthorizationQueryParametersError")
        try:
            date, expires = query["X-Amz-Date"], int(query["X-Amz-Expires"])
            credential, names = query["X-Amz-Credential"], query["X-Amz-SignedHeaders"].split(";")
        except (KeyError, ValueError):
            raise Refused("AuthorizationQueryParametersError") from None
        scope = self.check_scope(credential, date, "AuthorizationQueryParametersError")
        age = self.server.now() - parse_date(date)
        if not 1 <= expires <= EXPIRES_MAX_S or "host" not in names:
            raise Refused("AuthorizationQueryParametersError")
        if age < -SKEW_MAX_S or age > expires:
            raise Refused("AccessDenied", "<Message>Request has expired</Message>")
        if query.get("X-Amz-Security-Token", "") != self.server.session_token:
            raise Refused("InvalidToken")
        signed = [pair for pair in self.query if pair[0] != "X-Amz-Signature"]
        self.compare(date, scope, signed, names, "UNSIGNED-PAYLOAD", query["X-Amz-Signature"])

    def check_scope(self, credential, date, malformed):
        access_key, *scope = credential.rsplit("/", 4)
        if access_key != self.server.access_key:
            raise Refused("InvalidAccessKeyId")
        if not re.fullmatch(r"\d{8}T\d{6}Z", date) or scope != [date[:8], self.server.region, "s3", "aws4_request"]:
            raise Refused(malformed, f"<Region>{self.server.region}</Region>")
        return "/".join(scope)

    def compare(self, date, scope, query, names, payload, signature):
        lines = [f"{name}:{self.header(name)}\n" for name in names]
        request = "\n".join([self.method, canonical_path(self.path), canonical_query(query), "".join(lines),
                             ";".join(names), payload])
        if not hmac.compare_digest(signature, signature_of(self.server.secret_key, date, scope, request)):
            raise Refused("SignatureDoesNotMatch")


def parse_date(text):
    return calendar.timegm(time.strptime(text, "%Y%m%dT%H%M%SZ"))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string(self.server.s3.now() if timestamp is None else timestamp)

    def key(self):
        """Of the object, decoded, from a request in path style or virtual-host style."""
        s3 = self.server.s3
        path = urllib.parse.unquote(self.path.partition("?")[0], errors="strict")
        if (self.headers.get("Host") or "").startswith(s3.bucket + "."):
            return path[1:]
        bucket, _, key = path[1:].partition("/")
        if bucket != s3.bucket:
            raise Refused("NoSuchBucket")
        return key

    def handle_expect_100(self):
        faults = self.server.s3.faults
        return (faults and faults[0] == "early403") or super().handle_expect_100()

    def handle_one(self):
        s3, key, code, status = self.server.s3, self.path, "", 200
        fault = s3.next_fault(self.command)
        early = fault == "early403"
        body = b"" if early else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.lost = fault == "lost"
        try:
            if early:
                self.close_connection = True
                raise Refused("AccessDenied")
            if fault in ("reset", "stall"):
                status = 0
                return self.break_off(fault)
            if fault == "error200":
                code = "InternalError"
                return self.answer(200, b"<Error><Code>InternalError</Code></Error>", {"Content-Type": "application/xml"})
            if fault == "empty200":
                return self.answer(200, b"", {})
            if fault and fault not in ("cut", "shift", "nothing", "lost", "ok"):
                raise Refused({"500": "InternalError", "slow": "SlowDown", "403": "AccessDenied", "noupload": "NoSuchUpload"}[fault])
            Check(s3, self.command, self.path, self.headers).run(body)
            key = self.key()
            query = dict(urllib.parse.parse_qsl(self.path.partition("?")[2], keep_blank_values=True))
            status = self.serve(key, query, body, fault)
        except Refused as refused:
            code, status = refused.code, STATUS[refused.code]
            self.answer_refusal(refused)
        finally:
            s3.log.append((self.command, key, status, code))

    def serve(self, key, query, body, fault):
        """Answers; returns the status."""
        s3 = self.server.s3
        if self.command == "GET" and not key:
            return self.list(query)
        if not key:
            raise Refused("MethodNotAllowed")
        if "uploads" in query or "uploadId" in query:
            return self.serve_upload(key, query, body)
        if self.command == "PUT":
            s3.objects[key] = self.make_object(body, self.headers.get("Content-Type"), self.metadata())
            return self.answer(200, b"", {"ETag": s3.objects[key].etag})
        if self.command == "DELETE":
            s3.objects.pop(key, None)
            return self.answer(204, b"", {})
        if key not in s3.objects:
            raise Refused("NoSuchKey")
        return self.get(s3.objects[key], fault)

    def metadata(self):
        return {name.lower()[11:]: value for name, value in self.headers.items() if name.lower().startswith("x-amz-meta-")}

    def make_object(self, body, content_type, metadata, etag=None):
        return Object(body, content_type, metadata, etag or '"%s"' % hashlib.md5(body).hexdigest(), int(self.server.s3.now()))

    def get(self, found, fault):
        headers = {"Content-Type": found.content_type, "ETag": found.etag, "Accept-Ranges": "bytes",
                   "Last-Modified": self.date_time_string(found.modified)}
        if self.headers.get("If-Match") not in (None, found.etag):
            raise Refused("PreconditionFailed")
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not match or not self.server.s3.ranges:
            return self.answer(200, found.body, headers, fault)
        first, last = int(match.group(1)), min(int(match.group(2)), len(found.body) - 1)
        if first >= len(found.body):
            raise Refused("InvalidRange")
        if fault == "shift":
            first, last = first - 1, last - 1
        headers["Content-Range"] = f"bytes {first}-{last}/{len(found.body)}"
        return self.answer(206, b"" if fault == "nothing" else found.body[first:last + 1], headers, fault)

    def list(self, query):
        s3 = self.server.s3
        prefix, after = query.get("prefix", ""), query.get("continuation-token", "")
        keys = sorted((key for key in s3.objects if key.startswith(prefix)), key=str.encode)
        start = keys.index(after[1:]) if after else 0
        page, more = keys[start:start + s3.page_size], keys[start + s3.page_size:]
        rows = "".join(f"<Contents><Key>{escape(key)}</Key><LastModified>"
                       + time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(s3.objects[key].modified))
                       + f"</LastModified><ETag>{escape(s3.objects[key].etag)}</ETag><Size>{len(s3.objects[key].body)}</Size>"
                       + "</Contents>" for key in page)
        token = f"<NextContinuationToken>{escape('+' + more[0])}</NextContinuationToken>" if more else ""
        text = (f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                f"<Name>{s3.bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
                f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{rows}{token}</ListBucketResult>")
        return self.answer(200, text.encode(), {"Content-Type": "application/xml"})

    def serve_upload(self, key, query, body):
        s3 = self.server.s3
        if self.command == "POST" and "uploads" in query:
            with s3.lock:
                s3.upload_count += 1
                name = f"up+load/{s3.upload_count}=="
            s3.uploads[name] = Upload(key, self.headers.get("Content-Type"), self.metadata(), {})
            text = f"<InitiateMultipartUploadResult><Key>{escape(key)}</Key><UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
            return self.answer(200, text.encode(), {"Content-Type": "application/xml"})
        upload = s3.uploads.get(query.get("uploadId"))
        if not upload or upload.key != key:
            raise Refused("NoSuchUpload")
        if self.command == "PUT":
            part = upload.parts[int(query["partNumber"])] = self.make_object(body, None, None)
            return self.answer(200, b"", {"ETag": part.etag})
        del s3.uploads[query["uploadId"]]
        if self.command == "DELETE":
            return self.answer(204, b"", {})
        return self.join(key, upload, body)

    def join(self, key, upload, body):
        try:
            wanted = [(int(part.find("PartNumber").text), part.find("ETag").text)
                      for part in xml.etree.ElementTree.fromstring(body).iter("Part")]
        except (xml.etree.ElementTree.ParseError, AttributeError, ValueError):
            raise Refused("MalformedXML") from None
        for number, etag in wanted:
            if number not in upload.parts or upload.parts[number].etag != etag:
                raise Refused("InvalidPart")
        parts = [upload.parts[number].body for number, _ in wanted]
        if any(len(part) < PART_BYTES_MIN for part in parts[:-1]):
            raise Refused("EntityTooSmall")
        digest = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
        self.server.s3.objects[key] = self.make_object(b"".join(parts), upload.content_type, upload.metadata,
                                                       f'"{digest}-{len(parts)}"')
        return self.answer(200, b"<CompleteMultipartUploadResult/>", {"Content-Type": "application/xml"})

    def break_off(self, fault):
        if fault == "stall":
            self.connection.recv(1)
        else:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def answer_refusal(self, refused):
        # As AWS does, the refusal repeats who asked; nothing of that may reach a log.
        text = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{refused.code}</Code>{refused.extra}'
                f"<AWSAccessKeyId>{self.server.s3.access_key}</AWSAccessKeyId></Error>")
        extra = {"Retry-After": "1"} if refused.code == "SlowDown" else {}
        self.answer(STATUS[refused.code], text.encode(), {"Content-Type": "application/xml", **extra})

    def answer(self, status, body, headers, fault=None):
        if self.lost:
            self.break_off("reset")
            return status
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        try:
            self.end_headers()
            if fault == "cut":
                self.wfile.write(body[:len(body) // 2])
                self.wfile.flush()
                self.break_off(fault)
            elif self.command != "HEAD":
                self.wfile.write(body)
        except ConnectionError:  # who asked is gone
            self.close_connection = True
        return status

    do_PUT = do_GET = do_HEAD = do_POST = do_DELETE = handle_one


class S3Server:
    def __init__(self, bucket="results", region="us-east-1", session_token="", faults=(), clock_skew_s=0, port=0):
        self.access_key, self.secret_key, self.session_token = ACCESS_KEY, SECRET_KEY, session_token
        self.bucket, self.region, self.clock_skew_s = bucket, region, clock_skew_s
        self.objects, self.log = {}, []
        self.uploads, self.upload_count = {}, 0  # that have begun and not ended
        self.page_size, self.ranges = 1000, True
        self.faults, self.get_faults, self.lock = collections.deque(faults), collections.deque(), threading.Lock()
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.http.s3 = self
        self.endpoint = f"http://127.0.0.1:{self.http.server_port}"
        self.virtual_endpoint = f"http://localhost:{self.http.server_port}"  # BUCKET.localhost is loopback too
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def now(self):
        return time.time() + self.clock_skew_s

    def next_fault(self, method):
        faults = {"PUT": self.faults, "POST": self.faults, "DELETE": self.faults, "GET": self.get_faults}.get(method)
        with self.lock:
            return faults.popleft() if faults else None

    def environment(self):
        """What a worker needs to use it."""
        env = {"BUCKET_ENDPOINT_URL": self.endpoint, "BUCKET_NAME": self.bucket, "BUCKET_REGION": self.region,
               "BUCKET_ACCESS_KEY_ID": self.access_key, "BUCKET_SECRET_ACCESS_KEY": self.secret_key}
        return {**env, **({"BUCKET_SESSION_TOKEN": self.session_token} if self.session_token else {})}

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


if __name__ == "__main__":
    with S3Server(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0) as server:
        print(server.endpoint, server.bucket, server.access_key, server.secret_key, flush=True)
        threading.Event().wait()
