"""What the F5-TTS tests share: where the build is, manifests and batches, wav files, and weight files that are made on the spot."""
import collections
import io
import json
import os
import pathlib
import pickle
import shutil
import struct
import subprocess
import sys
import tempfile
import types
import unittest
import unittest.mock
import zipfile

VOXHOST = os.environ.get("VOXHOST") or os.environ["VOXHOST_BUILD"] + "/voxhost"
PLUGIN = os.environ.get("F5TTS_PLUGIN") or os.environ["VOXHOST_BUILD"] + "/plugins/f5tts.so"
SANITIZE = os.environ.get("VOXHOST_SANITIZE", "")
DATA = pathlib.Path(__file__).parent / "data"
REFERENCES = DATA / "references"
V1 = {"arch": "v1", "checkpoint": "v1/model_tiny_v1.safetensors", "vocab": "v1/vocab.txt", "vocoder": "v1/vocos"}
V0 = {"arch": "v0", "checkpoint": "v0/model_tiny_v0.pt", "vocab": "v0/vocab.txt", "vocoder": "v0/vocos"}


# --- Running -----------------------------------------------------------------------------------------------------


def manifest(folder, models, **defaults):
    """Writes a manifest whose models are {model_type: load options}; `defaults` are further keys of each model."""
    entries = [{"model_type": name, "plugin": PLUGIN, "model_dir": str(DATA), "options": options} | defaults
               for name, options in models.items()]
    path = folder / "voxhost.yaml"
    path.write_text(json.dumps({"version": 1, "paths": {"cache": str(folder / "cache")}, "models": entries}))
    return path


def batch(folder, manifest_path, jobs, *args, out="out", **kw):
    """Runs the jobs in one process; the finished process and {id: result}."""
    (folder / "jobs.jsonl").write_text("".join(json.dumps(job) + "\n" for job in jobs))
    run = subprocess.run([VOXHOST, "batch", "--manifest", manifest_path, "--out", folder / out,
                          "--jobs", folder / "jobs.jsonl", *args],
                         capture_output=True, text=True, timeout=600, **kw)
    if not (folder / out / "results.jsonl").exists():
        raise AssertionError(run.stderr)
    results = [json.loads(line) for line in (folder / out / "results.jsonl").read_text().splitlines()]
    return run, {result["id"]: result for result in results}


def job(name, **fields):
    """A small job, spoken by the model "v1" unless the fields say otherwise."""
    options = {"nfe_step": 5} | fields.pop("options", {})
    return {"id": name, "model_type": "v1", "text": "Hello, world.", "seed": 1, "encoding": "float32",
            "voice": str(REFERENCES / "ref_24k_mono.wav"), "voice_text": "Some call me nature."} | fields | {"options": options}


class Case(unittest.TestCase):
    """A test with a folder of its own in self.dir."""

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="voxhost-f5-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def batch(self, jobs, *args, models=None, defaults=None, **kw):
        """A batch with model "v1" unless others are given."""
        return batch(self.dir, manifest(self.dir, models or {"v1": V1}, **(defaults or {})), jobs, *args, **kw)

    def assert_ok(self, result):
        self.assertEqual(result["status"], "ok", result.get("error"))
        return result["audio"]["sha256"]

    def assert_error(self, result, code, field, *parts):
        self.assertEqual(result["status"], "error", result)
        self.assertEqual((result["error"]["code"], result["error"].get("field")), (code, field), result["error"])
        for part in parts:
            self.assertIn(part, result["error"]["message"])


# --- Audio -----------------------------------------------------------------------------------------------------


def wav_f32(path):
    """The samples of a mono float wav file."""
    raw = path.read_bytes()
    at = 12
    while raw[at:at + 4] != b"data":
        at += 8 + struct.unpack("<I", raw[at + 4:at + 8])[0]
    size = struct.unpack("<I", raw[at + 4:at + 8])[0]
    return struct.unpack(f"<{size // 4}f", raw[at + 8:at + 8 + size])


def wav_write(path, pcm, rate=24000, channels=1, sample_size=2):
    """Writes PCM bytes as a wav file; 4 bytes a sample are float."""
    kind = 3 if sample_size == 4 else 1
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * channels * sample_size, channels * sample_size, 8 * sample_size)
    path.write_bytes(b"RIFF" + struct.pack("<I", 36 + len(pcm)) + b"WAVEfmt " + struct.pack("<I", 16) + form +
                     b"data" + struct.pack("<I", len(pcm)) + pcm)
    return path


# --- Weight files --------------------------------------------------------------------------------------------------


def safetensors_read(path):
    """{name: (dtype, shape, bytes)}."""
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    tensors = {}
    for name, entry in json.loads(raw[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            tensors[name] = (entry["dtype"], entry["shape"], raw[begin:end])
    return tensors


def safetensors_write(path, tensors):
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))
    return path


def safetensors_f32(path):
    """{name: floats} of a file's F32 tensors."""
    return {name: struct.unpack(f"<{len(data) // 4}f", data)
            for name, (dtype, _, data) in safetensors_read(path).items() if dtype == "F32"}


def _torch_modules():
    """Modules with torch's names, so that the standard library's pickler names what torch.save names."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for dtype, name in (("F32", "FloatStorage"), ("I64", "LongStorage"), ("BOOL", "BoolStorage")):
        setattr(torch, name, type(name, (), {"__module__": "torch", "dtype": dtype}))

    def _rebuild_tensor_v2():
        """Only named, never called."""
    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    torch._utils = utils
    return {"torch": torch, "torch._utils": utils}


class _Storage:
    def __init__(self, key, dtype, data):
        self.key, self.dtype, self.data = key, dtype, data


class _Tensor:
    def __init__(self, storage, shape):
        self.storage, self.shape = storage, shape

    def __reduce__(self):
        strides, step = [], 1
        for size in reversed(self.shape):
            strides.insert(0, step)
            step *= size
        return (sys.modules["torch._utils"]._rebuild_tensor_v2,
                (self.storage, 0, tuple(self.shape), tuple(strides), False, collections.OrderedDict()))


def torch_write(path, tree):
    """Writes nested dictionaries and lists as torch.save does; tensors are (dtype, shape, bytes) as in safetensors_read."""
    modules, storages, stream = _torch_modules(), [], io.BytesIO()
    classes = {value.dtype: value for value in vars(modules["torch"]).values() if isinstance(value, type)}

    def convert(node):
        if isinstance(node, dict):
            return {key: convert(value) for key, value in node.items()}
        if isinstance(node, list):
            return [convert(value) for value in node]
        if isinstance(node, tuple):
            storages.append(_Storage(str(len(storages)), node[0], node[2]))
            return _Tensor(storages[-1], node[1])
        return node

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if not isinstance(item, _Storage):
                return None
            count = len(item.data) // {"F32": 4, "I64": 8, "BOOL": 1}[item.dtype]
            return "storage", classes[item.dtype], item.key, "cpu", count

    with unittest.mock.patch.dict(sys.modules, modules):
        Pickler(stream, protocol=2).dump(convert(tree))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        archive.writestr("archive/byteorder", "little")
        for storage in storages:
            archive.writestr(f"archive/data/{storage.key}", storage.data)
        archive.writestr("archive/version", "3\n")
    return path
