"""Plugins that break vox.profile/1: a profile that cannot be trusted is never kept, and nobody waits for one that hangs."""

import base64
import hashlib
import json
import unittest

from test_voices import VoiceCase


class Faults(VoiceCase):
    def setUp(self):
        super().setUp()
        self.add("anna", self.low)

    def make_manifest(self, fault="none", wait_ms=0, storage=None, **host):
        self.manifest_file = self.manifest({"model_type": "faulty_profile", "plugin": "faulty_profile.so", "sessions": 2,
                                            "options": {"fault": fault, "wait_ms": wait_ms}},
                                           host=host, paths={"voices": "voices", "cache": "cache"},
                                           **({"storage": storage} if storage else {}))

    def error(self, job, code=1):
        return self.speak(job, code=code)["0"]["error"]

    def test_a_part_of_a_profile_is_not_kept(self):
        """make saw that the job was to stop and said that all is well."""
        self.make_manifest("cancel_is_ok", 60000)
        self.assertEqual(self.error({"voice": "anna", "timeout_s": 0.2})["code"], "timeout")
        self.assertEqual(self.kept_profiles("anna"), [])

    def test_an_empty_or_too_large_profile_is_an_error(self):
        for fault, why in (("empty", "an empty profile"), ("huge", "more than 10485760 bytes")):
            with self.subTest(fault=fault):
                self.make_manifest(fault)
                error = self.error({"voice": "anna"})
                self.assertEqual(error["code"], "internal")
                self.assertIn(why, error["message"])
                self.assertEqual(self.kept_profiles("anna"), [])

    def test_a_check_that_fails_is_no_refusal(self):
        """FM-69: the model has a reason of its own, and is not asked again as if the bytes were wrong."""
        self.make_manifest("other_code")
        job = {"voice": {"audio": base64.b64encode(self.low.read_bytes()).decode(),
                         "profile": base64.b64encode(b"something else").decode()}}
        self.assertEqual(self.error(job)["code"], "model_failed")
        self.make_manifest("wordless")
        results = self.speak(job)
        self.assertIn("made anew", " ".join(results["0"]["warnings"]))

    def test_kept_bytes_that_the_model_refuses_are_made_anew(self):
        """FM-69: the host's container is whole, and what is in it is no profile of this model."""
        self.speak({"voice": "anna"})
        kept = self.kept_profiles("anna")[0]
        made = kept.read_bytes()
        magic, header, _ = made.split(b"\n", 2)
        blob = b"another model's"
        header = {**json.loads(header), "bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()}
        kept.write_bytes(magic + b"\n" + json.dumps(header).encode() + b"\n" + blob)
        result = self.speak({"voice": "anna"})["0"]
        self.assertEqual(result["status"], "ok", result)
        self.assertEqual(kept.read_bytes(), made)

    def test_a_profile_of_another_revision_is_refused(self):
        """FM-69: a profile that the storage holds says by which revision of the format it was made."""
        self.speak({"voice": "anna"})
        magic, header, blob = self.kept_profiles("anna")[0].read_bytes().split(b"\n", 2)
        self.make_manifest(storage={"type": "file", "dir": str(self.dir / "storage")})
        codes = {}
        for revision in (1, 2, None):
            header = json.dumps({**json.loads(header), "revision": revision}).encode()
            self.write("storage/voices/anna.bin", b"\n".join((magic, header, blob)))
            result = self.speak({"profile_path": "voices/anna.bin"}, code=int(revision != 1))["0"]
            codes[revision] = result.get("error", {}).get("code")
        self.assertEqual(codes, {1: None, 2: "invalid_request", None: "invalid_request"})
        self.assertIn("another revision than 1", result["error"]["message"])

    def test_a_plugin_of_any_name_has_its_profiles_kept_shown_and_exported(self):
        self.manifest_file = self.manifest({"model_type": "odd", "plugin": "faulty_profile_name.so"},
                                           paths={"voices": "voices", "cache": "cache"})
        self.speak({"voice": "anna"})
        self.assertEqual(json.loads(self.voices("show", "anna", "--json").stdout)["profiles"], ["_-_ 1.0, 12 bytes"])

    def test_a_session_that_hangs_in_make_holds_up_nobody_else(self):
        """The first job of the voice never comes back; the second one makes the profile itself."""
        self.make_manifest("never_asks", 60000, cancel_grace_s=0.1)
        results = self.speak({"voice": "anna", "timeout_s": 0.2}, {"voice": "anna"}, code=1)
        self.assertEqual(results["0"]["error"]["code"], "timeout")
        self.assertEqual(results["1"]["status"], "ok")
        self.assertEqual(len(self.kept_profiles("anna")), 1)


if __name__ == "__main__":
    unittest.main()
