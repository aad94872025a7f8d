"""Makes reference.txt: what upstream does with references and finished speech, for tests/unit/f5tts/test_reference.c and
tests/unit/dsp/test_resample.c. Run it with f5-tts 1.1.22, pydub 0.25.1 (and ffmpeg, for float wav), numpy,
soundfile, torch 2.13.0 and torchaudio 2.11.0 (its lib folder removed: only the Python part is used):

    python make_reference.py > reference.txt

The signals are made from numbers in the file, here and in the C test alike: uniform noise of given amplitude, segment by
segment, from a hash of the sample's index. The functions of upstream are taken out of utils_infer.py as they are,
since importing it would load everything else. Only what follows them (the begin of infer_batch_process) is
written again here.
"""

import ast
import hashlib
import importlib.util
import math
import pathlib
import sys
import tempfile
import types
import warnings
import wave

import numpy as np
import soundfile
import torch
import torchaudio

warnings.filterwarnings("ignore")  # pydub's escapes
from pydub import AudioSegment, silence  # noqa: E402

UPSTREAM = ("remove_silence_edges", "preprocess_ref_audio_text", "remove_silence_for_generated_wav")
SCALE = {16: 2.0**15, 24: 2.0**23, 32: 2.0**31}
QUIET = 40  # amplitude in 16-bit steps: -63 dBFS


def upstream():
    folder = list(importlib.util.find_spec("f5_tts").submodule_search_locations)[0]
    tree = ast.parse((pathlib.Path(folder) / "infer" / "utils_infer.py").read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in UPSTREAM]
    scope = {"AudioSegment": AudioSegment, "silence": silence, "hashlib": hashlib, "tempfile": tempfile,
             "_ref_audio_cache": {}, "_ref_text_cache": {}, "tempfile_kwargs": {"delete": False},
             "print": lambda *args: None}
    exec(compile(tree, "utils_infer.py", "exec"), scope)
    return scope


def noise(seed, count):
    """32 bits of noise in uint64 [count]"""
    x = (np.arange(count, dtype=np.uint64) + np.uint64(seed * 7919)) * np.uint64(2654435761) & np.uint64(0xFFFFFFFF)
    for shift, factor in ((15, 2246822519), (13, 3266489917)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor) & np.uint64(0xFFFFFFFF)
    return x ^ (x >> np.uint64(16))


def integers(case):
    """int64 [frames, channels], of case["depth"] bits"""
    frames = sum(count for count, _ in case["segments"])
    steps = 2 ** (case["depth"] - 16)
    amplitude = np.repeat([amp * steps for _, amp in case["segments"]], [count for count, _ in case["segments"]])
    amplitude = np.repeat(amplitude, case["channels"])
    raw = noise(case["seed"], frames * case["channels"])
    scaled = raw * (2 * amplitude).astype(np.uint64) >> np.uint64(32)
    return (scaled.astype(np.int64) - amplitude).reshape(frames, case["channels"])


def floats(case):
    return (integers(case).astype(np.float32) * np.float32(1 / SCALE[case["depth"]])).astype(np.float32)


def write_source(path, case):
    if case["depth"] == 32:
        soundfile.write(path, floats(case), case["rate"], subtype="FLOAT")
        return
    width = case["depth"] // 8
    data = integers(case).astype("<i4").reshape(-1).view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
    with wave.open(path, "wb") as file:
        file.setnchannels(case["channels"])
        file.setsampwidth(width)
        file.setframerate(case["rate"])
        file.writeframes(data)


def read_wav(path):
    """float32 [channels, frames] and rate, as torchaudio.load gives them. pydub wrote it, 16 or 32 bits."""
    with wave.open(path, "rb") as file:
        kind, scale = (("<i2", 2.0**15), ("<i4", 2.0**31))[file.getsampwidth() == 4]
        data = np.frombuffer(file.readframes(file.getnframes()), kind).astype(np.float32) / np.float32(scale)
        return torch.from_numpy(data.reshape(-1, file.getnchannels()).T.copy()), file.getframerate()


def prepare(scope, case):
    """wave float32 [n] at 24 kHz, rms, seconds, clipped"""
    notes = []
    if case["trim"]:
        def split(*args, **kwargs):
            notes.clear()  # what the first try clipped does not matter when there is a second
            return silence.split_on_silence(*args, **kwargs)

        scope["silence"] = types.SimpleNamespace(split_on_silence=split,
                                                 detect_leading_silence=silence.detect_leading_silence)
        with tempfile.TemporaryDirectory() as folder:
            source = f"{folder}/source.wav"
            write_source(source, case)
            scope["_ref_audio_cache"].clear()
            path, _ = scope["preprocess_ref_audio_text"](source, "text. ", show_info=notes.append)
            audio, rate = read_wav(path)
            pathlib.Path(path).unlink()
    else:
        audio, rate = torch.from_numpy(floats(case).T.copy()), case["rate"]
    seconds = audio.shape[-1] / rate
    if audio.shape[0] > 1:
        audio = torch.mean(audio, dim=0, keepdim=True)
    rms = torch.sqrt(torch.mean(torch.square(audio)))
    if rms < case["target_rms"]:
        audio = audio * case["target_rms"] / rms
    if rate != 24000:
        audio = torchaudio.transforms.Resample(rate, 24000)(audio)
    return audio[0].numpy(), float(rms), seconds, any("clipping" in note for note in notes)


def remove_silence(scope, case):
    """int16 values / 32768, float32 [n]"""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/speech.wav"
        soundfile.write(path, floats(case)[:, 0] * np.float32(case["gain"]), 24000)
        scope["remove_silence_for_generated_wav"](path)
        with wave.open(path, "rb") as file:
            data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return data.astype(np.float32) / np.float32(32768)


def make(name, rate, seconds_and_amps, channels=1, depth=16, trim=1, target_rms=0.1, seed=1, extra=0, gain=1.0):
    segments = [(int(s * rate), amp) for s, amp in seconds_and_amps]
    segments[-1] = (segments[-1][0] + extra, segments[-1][1])
    return {"name": name, "rate": rate, "channels": channels, "depth": depth, "trim": trim, "target_rms": target_rms,
            "seed": seed, "segments": segments, "gain": gain}


def varied(seed):
    """Anything: rates, channels, levels about the thresholds."""
    rng = np.random.default_rng(seed)
    rate = int(rng.choice([8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000]))
    parts = []
    for _ in range(int(rng.integers(2, 14))):
        level = rng.choice([rng.uniform(-20, -5), rng.uniform(-53, -37), rng.uniform(-80, -55)])
        parts.append((rng.choice([0.05, 0.3, 1.1, 3.0]) * rng.uniform(0.5, 1.5), int(32768 * 10 ** (level / 20) * 3**0.5)))
    parts.insert(int(rng.integers(0, len(parts))), (1.0, 9000))
    return make(f"varied_{seed}", rate, parts, int(rng.choice([1, 1, 2, 3])), int(rng.choice([16, 16, 24, 32])), 1,
                float(rng.choice([0.02, 0.1])), seed, int(rng.integers(0, 60)))


def reference_cases():
    speech = [(0.35, QUIET), (1.2, 5000), (0.4, QUIET), (1.3, 4000), (0.5, QUIET)]
    yield make("mono_24k", 24000, speech)
    yield make("stereo_44k", 44100, speech, channels=2, extra=17)
    yield make("telephone_8k", 8000, speech, extra=3)
    yield make("rate_11025", 11025, speech)
    yield make("six_channels_48k", 48000, speech, channels=6)
    yield make("rate_192k", 192000, [(0.2, QUIET), (0.6, 5000), (0.1, QUIET)])
    yield make("silence_in_the_middle", 16000, [(0.2, QUIET), (2, 7000), (3.5, QUIET), (2, 7000), (2.2, QUIET)])
    yield make("clip_at_long_silence", 22050, [(0.3, QUIET)] + [(4, 6000), (1.5, QUIET)] * 4)
    yield make("clip_at_short_silence", 16000, [(2.7, 6000), (0.3, QUIET)] * 7)
    yield make("clip_at_minus_40_db", 16000, [(2.7, 6000), (0.3, 536)] * 7)
    yield make("silences_that_touch", 16000, [(1, 6000), (1.495, 0), (0.01, 2078), (1.495, 0), (1, 6000)])
    yield make("clip_anywhere", 24000, [(15.0, 3000)], extra=7)
    yield make("long_60s", 44100, [(2.3, 6000), (0.35, QUIET), (3.4, 5000), (1.2, QUIET), (4.75, 200)] * 5)
    yield make("bits_24", 48000, speech, channels=2, depth=24)
    yield make("float_44k", 44100, speech, channels=2, depth=32)
    yield make("loud", 24000, [(0.2, QUIET), (1, 28000), (0.2, QUIET)])
    yield make("target_zero", 24000, speech, target_rms=0.0)
    yield make("edges_at_threshold", 16000, [(0.5, 450), (1, 9000), (0.5, 447), (0.3, 440)])
    yield make("untrimmed_stereo", 44100, speech, channels=2, trim=0)
    yield make("untrimmed_20s", 16000, [(20, 2000)], trim=0)
    for seed in range(100, 112):
        yield varied(seed)


def speech_cases():
    yield make("no_pause", 24000, [(0.3, QUIET), (1.5, 9000), (0.4, QUIET)])
    yield make("pauses", 24000, [(1.3, QUIET), (1.5, 9000), (2.4, QUIET), (0.7, 9000), (1.2, 30), (0.5, 800), (3, 0)], extra=11)
    yield make("too_loud", 24000, [(0.5, 30000), (1.4, QUIET), (0.5, 30000)], gain=1.7, depth=32)
    yield make("silent", 24000, [(2.5, 20)])


def resample_cases():
    """from, to, samples; among them one whose count upstream rounds down, since it divides in float."""
    lengths = (n for n in range(500000, 600000) if math.ceil(80 * n / 147) != math.ceil(np.float32(80 * n / 147)))
    yield 44100, 24000, next(lengths)
    for rate in (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 192000):
        yield rate, 24000, rate // 3 + 1
    yield from ((24000, 44100, 5000), (24000, 8000, 5001), (8001, 24000, 3000), (44100, 24000, 3), (44100, 24000, 1),
                (24000, 24000, 100))


def summary(samples, points):
    """count, stride, sum, weighted sum, every stride-th sample"""
    stride = max(1, len(samples) // points)
    wide = samples.astype(np.float64)
    weighted = float((wide * (np.arange(len(wide)) % 251)).sum())
    print(f"{len(samples)} {stride} {float(wide.sum()):.17g} {weighted:.17g}")
    print(*(f"{value:.9g}" for value in samples[::stride]))


def describe(kind, case):
    segments = " ".join(f"{count} {amp}" for count, amp in case["segments"])
    print(f'{kind} {case["name"]} {case["seed"]} {case["rate"]} {case["channels"]} {case["depth"]} {case["trim"]} '
          f'{case["target_rms"]:.9g} {case["gain"]:.9g} {len(case["segments"])} {segments}')


def main():
    scope = upstream()
    for case in reference_cases():
        samples, rms, seconds, clipped = prepare(scope, case)
        describe("reference", case)
        print(f"{rms:.9g} {seconds:.17g} {int(clipped)}")
        summary(samples, 300)
        print(case["name"], len(samples), "clipped" if clipped else "", file=sys.stderr)
    for case in speech_cases():
        describe("speech", case)
        summary(remove_silence(scope, case), 300)
    for rate, to, count in resample_cases():
        case = make("resample", rate, [(0, 32767)], extra=count, seed=5)
        describe(f"resample {to}", case)
        summary(torchaudio.transforms.Resample(rate, to)(torch.from_numpy(floats(case).T.copy()))[0].numpy(), 500)


if __name__ == "__main__":
    main()
