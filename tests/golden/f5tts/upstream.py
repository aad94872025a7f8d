"""Upstream F5-TTS, importable without the packages that inference never calls, and recorded.

Sits between make_golden.py (which says what to run) and the f5-tts package (which runs). It must not
know the cases or the models. Nothing here computes: every number comes from upstream's own code.
Replaced are only the import of unused packages, the number of worker threads (upstream's chunks race
for one random generator), and torchaudio.load, whose decoder lives in the native part that is removed.
"""

import importlib.machinery
import sys
import tempfile
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import soundfile
import torch

UNUSED = [
    "accelerate", "accelerate.utils", "cached_path", "datasets", "ema_pytorch", "encodec",
    "huggingface_hub", "hydra", "hydra.utils", "librosa", "librosa.filters", "matplotlib",
    "matplotlib.pylab", "omegaconf", "transformers", "wandb",
]


class _Stub(types.ModuleType):
    """A module whose every attribute exists and does nothing."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda self, *a, **k: None})


def _stub_unused():
    for name in UNUSED:
        module = _Stub(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        sys.modules[name] = module
    for name in UNUSED:
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, sys.modules[name])
    sys.modules["matplotlib"].use = lambda backend: None
    trainer = _Stub("f5_tts.model.trainer")
    sys.modules["f5_tts.model.trainer"] = trainer


_stub_unused()

import torchaudio  # noqa: E402


def _load_float32(path):
    """torchaudio.load for PCM files: [channels, frames] in [-1, 1)."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(np.ascontiguousarray(samples.T)), rate


torchaudio.load = _load_float32

import f5_tts.api as api  # noqa: E402
import f5_tts.infer.utils_infer as infer  # noqa: E402
import f5_tts.model.cfm as cfm  # noqa: E402
from f5_tts.model import DiT  # noqa: E402

silent = lambda *args, **kwargs: None  # noqa: E731
infer.print = silent


class Speaker(api.F5TTS):
    """upstream's F5TTS from local files instead of downloads; infer and export_wav are upstream's."""

    def __init__(self, arch, checkpoint, vocab, vocoder_dir, ode_method="euler"):
        self.mel_spec_type = "vocos"
        self.target_sample_rate = 24000
        self.device = "cpu"
        self.vocoder = infer.load_vocoder("vocos", True, str(vocoder_dir), "cpu")
        self.ema_model = infer.load_model(
            DiT, arch, str(checkpoint), "vocos", str(vocab), ode_method, True, "cpu"
        )


class Run:
    """What one call of infer leaves: the tokens and wave of each chunk, and the taps if wanted."""

    def __init__(self):
        self.tokens = []   # per chunk, list of strings
        self.waves = []    # per chunk, after loudness and before stitching
        self.taps = {}     # name -> tensor
        self.texts = []    # chunks of the text to speak


class _OneWorker(ThreadPoolExecutor):
    """One thread, so that chunks draw their noise in order."""

    run = None

    def __init__(self):
        super().__init__(max_workers=1)

    def submit(self, function, text, duration):
        run = _OneWorker.run
        run.texts.append(text)

        def recorded():
            wave, mel = function(text, duration)
            run.waves.append(np.array(wave, dtype=np.float32).reshape(-1))
            return wave, mel

        return super().submit(recorded)


infer.ThreadPoolExecutor = _OneWorker
_convert = infer.convert_char_to_pinyin


def speak(speaker, recorder=None, **options):
    """speaker.infer(**options) -> (wave, Run). recorder, if given, holds the hooks for taps."""
    run = Run()
    _OneWorker.run = run

    def convert(texts):
        out = _convert(texts)
        run.tokens.append(out[0])
        return out

    infer.convert_char_to_pinyin = convert
    if recorder:
        recorder.attach(speaker, run)
    try:
        wave, _, _ = speaker.infer(show_info=silent, progress=None, **options)
    finally:
        infer.convert_char_to_pinyin = _convert
        if recorder:
            recorder.detach()
    return wave, run


def prepare_reference(path, text="Some text."):
    """upstream's preprocess_ref_audio_text -> (samples float32 [frames, channels], rate, text)."""
    out, text = infer.preprocess_ref_audio_text(str(path), text, show_info=silent)
    samples, rate = soundfile.read(out, dtype="float32", always_2d=True)
    return samples, rate, text


def scratch_directory():
    """upstream leaves its temporary wav files behind; let them go with the process."""
    holder = tempfile.TemporaryDirectory()
    tempfile.tempdir = holder.name
    return holder
