"""Signatures by botocore, for test_storage_moto.py, which runs this with the interpreter that has it: JSON lines in, what
storage_tool's `sign` should print for them out."""

import datetime
import json
import sys
import urllib.parse
from unittest import mock

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def encode(text):
    return urllib.parse.quote(text, safe="/-_.~")


def address(request):
    """The object's URL, as S3's documentation describes it."""
    scheme, host = request["endpoint"].split("://")
    key = (request["prefix"] + "/" if request["prefix"] else "") + request["key"]
    if request["path_style"]:
        return f"{scheme}://{host}/{request['bucket']}/{encode(key)}"
    return f"{scheme}://{request['bucket']}.{host}/{encode(key)}"


def sign(request):
    now = datetime.datetime.fromtimestamp(request["now"], datetime.timezone.utc)
    credentials = Credentials(request["access_key"], request["secret_key"], request["session_token"])
    url = address(request)
    # Version by version botocore asks the clock in one of two ways.
    class Clock(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return now.replace(tzinfo=None)

        @classmethod
        def now(cls, tz=None):
            return now

    patches = [mock.patch.object(botocore.auth, "get_current_datetime", lambda *a, **kw: now.replace(tzinfo=None), create=True),
               mock.patch.object(botocore.auth.datetime, "datetime", Clock) if hasattr(botocore.auth.datetime, "datetime")
               else mock.patch.object(botocore.auth, "datetime", Clock)]
    with patches[0], patches[1]:
        if "headers" not in request:
            prepared = AWSRequest("GET", url)
            botocore.auth.S3SigV4QueryAuth(credentials, "s3", request["region"], expires=request["expires"]).add_auth(prepared)
            base, _, query = prepared.url.partition("?")
            return f"{base} {prepared.url}"
        prepared = AWSRequest(request["method"], url + ("?" + request["query"] if request["query"] else ""))
        given = {name: value for name, value in request["headers"]
                 if name not in ("host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256")}
        for name, value in given.items():
            prepared.headers[name] = value
        auth = botocore.auth.S3SigV4Auth(credentials, "s3", request["region"])
        with mock.patch.object(auth, "payload", lambda request_: request["payload_hash"]):
            auth.add_auth(prepared)
        return f"{url} {prepared.headers['Authorization']}"


for line in sys.stdin:
    print(sign(json.loads(line)))
