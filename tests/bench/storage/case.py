"""Case `storage`: a large object into and out of a bucket beside curl, and presigned URLs. host/store always hashes: a put for its
signatures, a get for the check; curl hashes nothing, and with openssl dgst behind it in a second figure."""

import contextlib
import json
import subprocess

from harness import Wrong, row

MIB = 1 << 20
OBJECT_MIB = 1024
URLS = 10_000
MEMORY_GOAL_KB = 32 * 1024


def make_object(path, mib):
    block = subprocess.run(["head", "-c", str(MIB), "/dev/urandom"], capture_output=True, check=True).stdout
    with open(path, "wb") as file:
        for number in range(mib):
            file.write(number.to_bytes(8, "big") + block[8:])


@contextlib.contextmanager
def server(bench, path):
    with subprocess.Popen([bench.program("storage_server"), path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield int(process.stdout.readline())
        process.stdin.close()


def storage(bench):
    path, out = bench.folder / "object", bench.folder / "out"
    size = bench.count(OBJECT_MIB)
    make_object(path, size)
    tool = str(bench.build / "tests" / "e2e" / "storage_tool")

    def fetch(*command):
        # Ours keeps the old file until the new one is whole; both get fresh pages.
        out.unlink(missing_ok=True)
        return bench.measure(*command)

    def check():
        if subprocess.run(["cmp", path, out]).returncode != 0:
            raise Wrong("storage: what came back is not what was put")

    with server(bench, path) as port:
        manifest = bench.write("storage.yaml", json.dumps({
            "version": 1, "models": [{"model_type": "none", "plugin": "none.so"}],
            "storage": {"endpoint": f"http://127.0.0.1:{port}", "bucket": "bench", "access_key": "key", "secret_key": "secret"}}))
        url = f"http://127.0.0.1:{port}/bench/object"
        rounds = bench.rounds or 5
        put = bench.alternate({
            "ours": lambda: bench.measure(tool, manifest, "put", "object", path),
            "curl": lambda: bench.measure("curl", "-sf", "-T", path, url),
            "curl_and_digest": lambda: bench.measure("sh", "-c", 'openssl dgst -sha256 "$1" && curl -sf -T "$1" "$2"', "sh", path, url),
        }, rounds)
        get = bench.alternate({
            "ours": lambda: fetch(tool, manifest, "get", "object", out),
            "curl": lambda: fetch("curl", "-sf", "-o", out, url),
            "curl_and_digest": lambda: fetch("sh", "-c", 'curl -sf -o "$1" "$2" && openssl dgst -sha256 "$1"', "sh", out, url),
        }, rounds, check)
        presign = min(float(subprocess.run([tool, manifest, "presign", str(URLS)], capture_output=True, text=True,
                                           check=True).stdout) for _ in range(3))
    return [*rows("put", size, put), *rows("get", size, get),
            row(f"{URLS} presigned URLs", presign, "s", "< 1", presign < 1)]


def rows(name, size, sides):
    ours, curl, both = (sides[side]["wall_s"] for side in ("ours", "curl", "curl_and_digest"))
    peak = sides["ours"]["peak_kb"]
    return [
        row(f"{name} of {size} MiB, hashed: throughput / curl", curl / ours, "x", ">= 0.8", curl / ours >= 0.8, **sides),
        row(f"{name} of {size} MiB, hashed: throughput / curl and openssl dgst", both / ours, "x", None, None),
        row(f"{name} of {size} MiB: peak memory", peak / 1024, "MiB", "< 32", peak < MEMORY_GOAL_KB),
    ]
