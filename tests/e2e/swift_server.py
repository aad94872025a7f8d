"""OpenStack Swift with its S3 layer, as Debian and Ubuntu package it (python3-swift), on one port of the loopback: proxy, account,
container and object server in one process, without daemons, root or configuration outside its folder, which must be on a file
system with extended attributes.

    /usr/bin/python3 swift_server.py FOLDER BUCKET     prints its port once it serves; ends with its standard input

The account is ACCESS_KEY, SECRET_KEY; the bucket is there.
"""

import eventlet

eventlet.monkey_patch()

import hashlib
import http.client
import os
import pathlib
import sys
import time

import eventlet.hubs
from eventlet import wsgi
from swift.common import utils
from swift.common.http_protocol import SwiftHttpProtocol
from swift.common.ring.builder import RingBuilder
from swift.common.wsgi import loadapp

from s3_server import signature_of

ACCESS_KEY, SECRET_KEY, REGION = "swift:tester", "swift/secret+key", "us-east-1"
PART_POWER = 2

PROXY = f"""[DEFAULT]
swift_dir = {{folder}}
[pipeline:main]
pipeline = catch_errors cache s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
# Must be there for tempauth, which does without what it might hold: nobody listens at that port.
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:s3api]
use = egg:swift#s3api
location = {REGION}
max_bucket_listing = 5
[filter:tempauth]
use = egg:swift#tempauth
user_{ACCESS_KEY.replace(":", "_")} = {SECRET_KEY} .admin
[filter:slo]
use = egg:swift#slo
"""
STORE = """[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""


def listen():
    return eventlet.listen(("127.0.0.1", 0))


def write_ring(folder, kind, port):
    builder = RingBuilder(PART_POWER, 1, 0)
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1.0, "ip": "127.0.0.1", "port": port, "device": "disk"})
    builder.rebalance()
    builder.get_ring().save(str(folder / f"{kind}.ring.gz"))


def serve(folder, kind, listener):
    text = PROXY if kind == "proxy" else STORE
    path = folder / f"{kind}.conf"
    path.write_text(text.format(folder=folder, kind=kind))
    app = loadapp(str(path), global_conf={"log_name": kind})
    # Swift's own servers keep the headers' capitals too, since S3 clients want "ETag".
    eventlet.spawn(wsgi.server, listener, app, open(os.devnull, "w"), protocol=SwiftHttpProtocol,
                   capitalize_response_headers=False)


def make_bucket(port, bucket):
    host, now = f"127.0.0.1:{port}", time.gmtime()
    date, empty = time.strftime("%Y%m%dT%H%M%SZ", now), hashlib.sha256(b"").hexdigest()
    scope = time.strftime("%Y%m%d", now) + f"/{REGION}/s3/aws4_request"
    signed = {"host": host, "x-amz-content-sha256": empty, "x-amz-date": date}
    request = "\n".join(["PUT", f"/{bucket}", "", *(f"{name}:{value}" for name, value in signed.items()), "", ";".join(signed), empty])
    signature = signature_of(SECRET_KEY, date, scope, request)
    signed["authorization"] = f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={';'.join(signed)}, Signature={signature}"
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("PUT", f"/{bucket}", headers=signed)
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(f"swift_server: making the bucket was answered {answer.status}: {answer.read()}")


def main(folder, bucket):
    folder = pathlib.Path(folder)
    (folder / "devices" / "disk").mkdir(parents=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = voxhost\n")
    utils.set_swift_dir(str(folder))
    kinds = {kind: listen() for kind in ("account", "container", "object")}
    for kind, listener in kinds.items():
        write_ring(folder, kind, listener.getsockname()[1])
    for kind, listener in kinds.items():
        serve(folder, kind, listener)
    listener = listen()
    serve(folder, "proxy", listener)
    make_bucket(listener.getsockname()[1], bucket)
    print(listener.getsockname()[1], flush=True)
    eventlet.hubs.trampoline(sys.stdin.fileno(), read=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
