"""A voice that a job names by a URL: downloaded from a real server, limited, and never from inside unless allowed."""

import http.server
import json
import threading
import unittest

from common import Case, run


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.paths.append(self.path)
        path = self.path.partition("?")[0]
        if path == "/silent":
            self.server.asked.set()
            self.server.release.wait(60)
            self.close_connection = True
            return
        body = self.server.recording if path == "/voice.wav" else b"no audio"
        self.send_response(200 if path != "/missing" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class VoiceUrl(Case):
    def setUp(self):
        super().setUp()
        made = run("speak", "A reference.", "-v", "kal16", "-o", self.dir / "ref.wav",
                   env={"XDG_CACHE_HOME": str(self.dir / "home")})
        self.assert_exit(made, 0)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.recording = (self.dir / "ref.wav").read_bytes()
        self.server.handle_error = lambda *args: None  # clients that go away are meant to
        self.server.paths = []
        self.server.asked, self.server.release = threading.Event(), threading.Event()
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.addCleanup(self.server.release.set)

    def url(self, path):
        return f"http://127.0.0.1:{self.server.server_address[1]}{path}"

    def run_jobs(self, *jobs, out="out", args=(), **host):
        manifest = self.manifest(host=host)
        jobs = self.jobs(*({"text": "Hi there", "seed": 1, **job} for job in jobs))
        self.done = self.batch(manifest, jobs, *args, out=out)
        return self.by_id(out)

    def test_recording_comes_from_its_url(self):
        results = self.run_jobs({"id": "url", "voice": self.url("/voice.wav?key=secret")},
                                {"id": "path", "voice": str(self.dir / "ref.wav")}, {"id": "none"}, fetch_private=True)
        self.assert_exit(self.done, 0)
        shas = {id: result["audio"]["sha256"] for id, result in results.items()}
        self.assertEqual(shas["url"], shas["path"])
        self.assertNotEqual(shas["url"], shas["none"])
        self.assertEqual(self.server.paths, ["/voice.wav?key=secret"])

    def test_private_address_is_refused_unless_allowed(self):
        results = self.run_jobs({"id": "a", "voice": self.url("/voice.wav?key=secret")})
        self.assert_exit(self.done, 1)
        error = results["a"]["error"]
        self.assertEqual((error["code"], error["field"], error["retryable"]), ("invalid_request", "voice", False))
        self.assertEqual(error["message"], "127.0.0.1: its address is not a public one")
        self.assertEqual(self.server.paths, [])

    def test_failures_name_the_host_and_no_more(self):
        results = self.run_jobs({"id": "missing", "voice": self.url("/missing?key=secret")},
                                {"id": "noise", "voice": self.url("/noise?key=secret")},
                                {"id": "user", "voice": "http://me:secret@127.0.0.1/"}, fetch_private=True)
        self.assert_exit(self.done, 1)
        self.assertIn("127.0.0.1: answered with status 404", results["missing"]["error"]["message"])
        self.assertIn("127.0.0.1", results["noise"]["error"]["message"])
        for result in results.values():
            self.assertEqual((result["error"]["code"], result["error"]["field"]), ("invalid_request", "voice"))
        self.assertNotIn("secret", json.dumps(results) + self.done.stdout + self.done.stderr)

    def test_length_and_time_are_limited(self):
        self.server.recording += bytes(1 << 20)
        results = self.run_jobs({"id": "long", "voice": self.url("/voice.wav")},
                                {"id": "slow", "voice": self.url("/silent")},
                                fetch_private=True, fetch_mb_max=1, fetch_timeout_s=0.5)
        self.assertIn("longer than 1048576 bytes", results["long"]["error"]["message"])
        self.assertEqual(results["slow"]["error"]["code"], "timeout")

    def test_time_of_the_job_ends_a_download(self):
        silent = self.url("/silent")
        create = {"text": None, "seed": None, "op": "voice_create", "name": "Anna", "audio": silent}
        results = self.run_jobs({"id": "speech", "voice": silent, "timeout_s": 0.5},
                                {"id": "voice", **create, "timeout_s": 0.5}, fetch_private=True)
        for result in results.values():
            self.assertEqual(result["error"]["code"], "timeout")
            self.assertIn("ran longer than 0.5 s", result["error"]["message"])

    def test_another_url_is_another_job(self):
        for path, downloads in (("/voice.wav?1", 1), ("/voice.wav?1", 1), ("/voice.wav?2", 2)):
            self.run_jobs({"id": "a", "voice": self.url(path)}, args=["--resume"], fetch_private=True)
            self.assert_exit(self.done, 0)
            self.assertEqual(len(self.server.paths), downloads)


if __name__ == "__main__":
    unittest.main()
