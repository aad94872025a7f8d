"""A small model hub for tests, in the shapes of Hugging Face's HTTP interface: the list of a repository at a revision, and
/REPO/resolve/REV/FILE, which redirects large files to a "CDN" on another port and small ones to a relative address. Things go
wrong by script.

    with HubServer() as hub:
        commit = hub.add("owner/name", {"model.safetensors": data}, licence="mit")
        ...                         # endpoint: hub.endpoint
        hub.log                     # [Request("hub" or "cdn", method, path, range, status, authorization), ...]

Faults are attributes, read at each request: `cut` (of each CDN answer, the odds that its connection is cut somewhere in it),
`rate` (bytes a second of each CDN answer), `cdn_statuses` and `hub_statuses` (answers to come, (status, headers), before the
true ones), `corrupt` (so many CDN answers have a byte flipped), `no_ranges`, `other_etag`, `expire` (a CDN address is good for so
many requests), `base` (the path of the endpoint), `stall` (so many CDN answers stop in the middle, the connection stays open), `on_cdn` (called first).
By hand: python3 hub_server.py FILE...      # serves them as owner/name and prints the endpoint
"""

import collections
import dataclasses
import hashlib
import http.server
import json
import os
import pathlib
import random
import re
import socket
import struct
import sys
import threading
import time
import urllib.parse

BLOCK = 64 << 10
LFS_FROM = 4096  # smaller files are git's own
SLICE_S = 0.02

Request = collections.namedtuple("Request", "server method path range status authorization")


@dataclasses.dataclass
class Blob:
    """One file's content, in memory or on disk."""

    path: str
    data: bytes = None
    file: pathlib.Path = None
    fields: dict = dataclasses.field(default_factory=dict)  # laid over its entry in the list

    def __post_init__(self):
        self.size = self.file.stat().st_size if self.file else len(self.data)
        sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % self.size)
        for block in self.blocks():
            sha256.update(block)
            git.update(block)
        self.sha256, self.git = sha256.hexdigest(), git.hexdigest()
        self.lfs = self.size >= LFS_FROM

    def blocks(self):
        if self.data is not None:
            yield self.data
            return
        with self.file.open("rb") as file:
            while block := file.read(1 << 20):
                yield block

    def entry(self):
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%b\nsize %d\n" % (self.sha256.encode(), self.size)
        entry = {"rfilename": self.path, "size": self.size, "blobId": self.git}
        if self.lfs:
            entry["blobId"] = hashlib.sha1(b"blob %d\0%b" % (len(pointer), pointer)).hexdigest()
            entry["lfs"] = {"sha256": self.sha256, "size": self.size, "pointerSize": len(pointer)}
        entry.update(self.fields)
        return {key: value for key, value in entry.items() if value is not None}


@dataclasses.dataclass
class Repo:
    revisions: dict = dataclasses.field(default_factory=dict)  # branch, tag or commit -> commit
    commits: dict = dataclasses.field(default_factory=dict)    # commit -> {path: Blob}
    licence: str = None
    gated: bool = False
    token: str = None  # who may read it; None: everybody
    moved_to: str = None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    name = None

    def log_message(self, *args):
        pass

    @property
    def hub(self):
        return self.server.hub

    def note(self, status):
        with self.hub.lock:
            self.hub.log.append(Request(self.name, self.command, urllib.parse.unquote(self.path.partition("?")[0]),
                                        self.headers.get("Range"), status, self.headers.get("Authorization")))

    def answer(self, status, headers=None, body=b""):
        self.note(status)
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def scripted(self, statuses):
        with self.hub.lock:
            status = statuses.pop(0) if statuses else None
        if status:
            self.answer(status[0], status[1], b"scripted")
        return bool(status)

    def do_HEAD(self):
        self.do_GET()


class HubHandler(Handler):
    name = "hub"

    def do_GET(self):
        if self.scripted(self.hub.hub_statuses):
            return
        path = urllib.parse.urlsplit(self.path).path
        if not path.startswith(self.hub.base):
            self.refuse(404, "", "no such page")
            return
        path = path[len(self.hub.base):]
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", path):
            self.list(match[1], urllib.parse.unquote(match[2]))
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.resolve(match[1], urllib.parse.unquote(match[2]), urllib.parse.unquote(match[3]))
        elif match := re.fullmatch(r"/api/resolve-cache/models/([^/]+/[^/]+)/([^/]+)/(.+)", path):
            self.small(match[1], match[2], urllib.parse.unquote(match[3]))
        else:
            self.refuse(404, "", "no such page")

    def refuse(self, status, code, text):
        self.answer(status, {"X-Error-Code": code, "X-Error-Message": text, "Content-Type": "application/json"},
                    json.dumps({"error": text}).encode())

    def find(self, name, revision, files):
        """The repository and the commit, or None when the answer has been given."""
        repo = self.hub.repos.get(name)
        authorized = repo and (repo.token is None or self.headers.get("Authorization") == f"Bearer {repo.token}")
        if repo and repo.moved_to:
            self.answer(307, {"Location": self.path.replace(name, repo.moved_to)})
        elif not repo or (not authorized and not repo.gated):
            self.refuse(401, "RepoNotFound", "Repository not found")
        elif not authorized and files:
            self.refuse(403 if self.headers.get("Authorization") else 401, "GatedRepo", "Access to it is restricted")
        elif revision not in repo.revisions:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repo, repo.revisions[revision]
        return None

    def list(self, name, revision):
        found = self.find(name, revision, files=False)
        if not found:
            return
        repo, commit = found
        blobs = "blobs=true" in self.path
        siblings = [blob.entry() if blobs else {"rfilename": blob.path} for blob in repo.commits[commit].values()]
        body = {"_id": "5f0c0000", "id": name, "modelId": name, "author": name.partition("/")[0], "sha": commit,
                "lastModified": "2026-01-01T00:00:00.000Z", "private": False, "gated": "auto" if repo.gated else False,
                "disabled": False, "tags": [], "downloads": 1, "likes": 0, "createdAt": "2025-01-01T00:00:00.000Z",
                "cardData": {"license": repo.licence} if repo.licence else None, "siblings": siblings}
        text = self.hub.list_text or json.dumps(body)
        self.answer(200, {"Content-Type": "application/json; charset=utf-8"}, text.encode())

    def resolve(self, name, revision, path):
        found = self.find(name, revision, files=True)
        if not found:
            return
        repo, commit = found
        blob = repo.commits[commit].get(path)
        if not blob:
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes", **self.hub.resolve_headers}
        if not blob.lfs:
            quoted = urllib.parse.quote(path)
            self.answer(307, {**headers, "ETag": f'"{blob.git}"',
                              "Location": f"{self.hub.base}/api/resolve-cache/models/{name}/{commit}/{quoted}"})
            return
        headers = {"X-Linked-Size": str(blob.size), "X-Linked-ETag": f'"{blob.sha256}"', **headers}
        self.answer(302, {**headers, "Location": self.hub.location(blob)})

    def small(self, name, commit, path):
        blob = self.hub.repos[name].commits[commit][path]
        self.answer(200, {"X-Repo-Commit": commit, "ETag": f'"{blob.git}"'}, blob.data)


class CdnHandler(Handler):
    name = "cdn"

    def do_GET(self):
        hub = self.hub
        if hub.on_cdn:
            hub.on_cdn(self)
        if self.scripted(hub.cdn_statuses):
            return
        url = urllib.parse.urlsplit(self.path)
        blob = hub.blobs.get(url.path.rpartition("/")[2])
        signature = urllib.parse.parse_qs(url.query).get("Signature", [""])[0]
        with hub.lock:
            hub.uses[signature] += 1
            used = hub.uses[signature]
        if not blob or signature not in hub.signatures or (hub.expire and used > hub.expire):
            self.answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>")
            return
        self.send_blob(blob, hub.other_etag or f'"{blob.sha256}"')

    def send_blob(self, blob, etag):
        begin, end, status = 0, blob.size, 200
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        if match and not self.hub.no_ranges and self.headers.get("If-Range", etag) == etag:
            begin, end, status = int(match[1]), min(int(match[2]) + 1, blob.size), 206
            if begin >= blob.size:
                self.answer(416, {"Content-Range": f"bytes */{blob.size}"})
                return
        self.note(status)
        self.send_response(status)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(end - begin))
        if status == 206:
            total = self.hub.wrong_total or blob.size
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{total}")
        self.end_headers()
        if self.command == "HEAD":
            return
        with self.hub.lock:
            cut = end if random.random() >= self.hub.cut else random.randrange(begin, end)
            stall, self.hub.stall = self.hub.stall > 0, max(0, self.hub.stall - 1)
            corrupt, self.hub.corrupt = self.hub.corrupt > 0, max(0, self.hub.corrupt - 1)
        try:
            self.send_bytes(blob, begin, (begin + end) // 2 if stall else cut, corrupt)
            if stall:
                self.hub.stop.wait(60)
        except OSError:
            self.close_connection = True
            return
        if cut < end or stall:
            self.close_connection = True
            linger = random.random() < 0.5  # else the connection is reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0 if linger else 1, 0))

    def send_bytes(self, blob, begin, end, corrupt):
        if blob.file and not corrupt and not self.hub.rate:
            self.wfile.flush()
            with blob.file.open("rb") as file:
                while begin < end:
                    begin += os.sendfile(self.connection.fileno(), file.fileno(), begin, end - begin)
            return
        data = blob.data if blob.data is not None else blob.file.read_bytes()
        if corrupt and begin < end:
            data = data[:begin] + bytes([data[begin] ^ 1]) + data[begin + 1:]
        step = max(1, int(self.hub.rate * SLICE_S)) if self.hub.rate else BLOCK
        for at in range(begin, end, step):
            block = data[at:min(at + step, end)]
            self.wfile.write(block)
            with self.hub.lock:
                self.hub.sent += len(block)
            if self.hub.rate:
                time.sleep(SLICE_S)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # a client that left
            super().handle_error(request, client_address)


class HubServer:
    def __init__(self, host="127.0.0.1"):
        self.lock = threading.RLock()
        self.stop = threading.Event()
        self.repos, self.blobs, self.signatures, self.uses = {}, {}, set(), collections.Counter()
        self.log, self.sent = [], 0
        self.cut, self.rate, self.corrupt, self.stall, self.expire = 0, 0, 0, 0, 0
        self.cdn_statuses, self.hub_statuses, self.resolve_headers = [], [], {}
        self.no_ranges, self.other_etag, self.wrong_total, self.on_cdn = False, None, None, None
        self.list_text, self.cdn_host, self.base = None, None, ""
        self.servers = []
        for handler in (HubHandler, CdnHandler):
            server = Server((host, 0), handler)
            server.hub = self
            self.servers.append(server)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self.servers[0].server_address[1]}"
        self.cdn = f"http://127.0.0.1:{self.servers[1].server_address[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.stop.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def add(self, name, files, revision="main", **kw):
        """A commit with these files ({path: bytes, Path or Blob}) on `revision`; returns its id."""
        repo = self.repos.setdefault(name, Repo())
        for key, value in kw.items():
            setattr(repo, key, value)
        blobs = {}
        for path, content in files.items():
            if not isinstance(content, Blob):
                content = Blob(path, file=content) if isinstance(content, pathlib.Path) else Blob(path, content)
            blobs[path] = content
            self.blobs[content.sha256] = content
        commit = hashlib.sha1(repr((name, sorted((p, b.sha256) for p, b in blobs.items()))).encode()).hexdigest()
        repo.commits[commit] = blobs
        repo.revisions.update({revision: commit, commit: commit})
        return commit

    def location(self, blob):
        signature = f"{random.getrandbits(64):016x}"
        with self.lock:
            self.signatures.add(signature)
        return f"{self.cdn_host or self.cdn}/repos/{blob.sha256}?Expires=1&Signature={signature}"

    def requests(self, server):
        with self.lock:
            return [request for request in self.log if request.server == server]


def main():
    with HubServer() as hub:
        hub.add("owner/name", {pathlib.Path(name).name: pathlib.Path(name) for name in sys.argv[1:]}, licence="mit")
        print(hub.endpoint, hub.cdn, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
