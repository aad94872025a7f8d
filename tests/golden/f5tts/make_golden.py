"""Writes data/: tiny F5-TTS checkpoints, voices, and what upstream f5-tts 1.1.22 makes of them.

    python make_golden.py [--out DIR]

Runs upstream's own inference on one CPU thread in fp32 (upstream.py), on models of random parameters
(tiny.py), for the list in cases.py, with intermediate tensors from taps.py. Prints a table of cases.
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import save_file

import upstream
import tiny
from cases import CASES, DEFAULTS
from taps import Recorder

# A wave is kept whole up to this many samples, else every stride-th sample of it.
WAVE_SAMPLES_MAX = 3600
CHECKPOINTS = {"v1": "model_tiny_v1.safetensors", "v0": "model_tiny_v0.pt",
               "v1_half": "model_tiny_v1_half.safetensors"}
VOCODERS = {"v1": "v1/vocos", "v0": "v0/vocos", "v1_half": "v1/vocos"}


def keep_all(chunk, step, steps, name):
    """Each module once: at the first step of the first chunk. Then only the way of the ODE."""
    if chunk > 0:
        return name in ("noise", "sampled")
    return step in (None, 0) or name == "time_embed" or (step == steps - 1 and name in ("norm_out", "velocity"))


def keep_outline(chunk, step, steps, name):
    """What differs from keep_all's model: the evaluations of one step, or the weights' type."""
    if chunk > 0:
        return False
    return name in ("grid", "sampled") or (step == 0 and name in ("time_embed", "block[0].out", "velocity"))


KEEP = {"v1_taps": keep_all, "v0_taps": keep_all, "v0_taps_midpoint": keep_outline,
        "v1_half_taps": keep_outline}


def thin(wave):
    """wave -> (kept samples, stride). An odd stride, so that it walks through every hop position."""
    stride = 1 if len(wave) <= WAVE_SAMPLES_MAX else len(wave) // WAVE_SAMPLES_MAX | 1
    return torch.from_numpy(np.ascontiguousarray(wave[::stride], dtype=np.float32)), stride


def without_silence(speaker, wave, scratch):
    """export_wav with remove_silence, read back: int16 / 32768."""
    path = scratch / "export.wav"
    speaker.export_wav(wave, str(path), remove_silence=True)
    return soundfile.read(path, dtype="int16")[0].astype(np.float32) / 32768


def run_case(speaker, name, model, options, data, scratch):
    """-> (entry of cases.json, kept wave, taps)"""
    recorder = Recorder(KEEP[name]) if name in KEEP else None
    call = {k: v for k, v in options.items() if k not in ("reference", "ode_method", "remove_silence")}
    speaker.ema_model.odeint_kwargs = {"method": options["ode_method"]}
    wave, run = upstream.speak(speaker, recorder, ref_file=str(data / "references" / options["reference"]), **call)
    if options["remove_silence"]:
        wave = without_silence(speaker, wave, scratch)
    wave = np.asarray(wave, dtype=np.float32).reshape(-1)
    kept, stride = thin(wave)
    if recorder:
        for i, chunk in enumerate(run.waves):
            run.taps[f"chunk[{i}].wave"] = torch.from_numpy(chunk)
    vocab = speaker.ema_model.vocab_char_map
    entry = {
        "name": name, "model": model, "arch": model[:2], "checkpoint": f"{model}/{CHECKPOINTS[model]}",
        "vocab": f"{model}/vocab.txt", "vocoder": VOCODERS[model], **options,
        "expected": {
            "file": f"waves_{model}.safetensors", "tensor": name, "samples": len(wave), "stride": stride,
            "peak": round(float(np.abs(wave).max()), 6), "rms": round(float(np.sqrt(np.mean(wave**2))), 6),
            "taps": f"taps_{name.replace('_taps', '')}.safetensors" if recorder else None,
            "chunks": [
                {"text": text, "samples": len(chunk), "tokens": tokens, "ids": [vocab.get(t, 0) for t in tokens]}
                for text, chunk, tokens in zip(run.texts, run.waves, run.tokens, strict=True)
            ],
        },
    }
    return entry, kept, run.taps


def make_cases(data, scratch):
    v0_vocoder = tiny.make_v0_vocoder(data, scratch)
    speakers = {
        model: upstream.Speaker(tiny.MODELS[model], data / model / file, data / model / "vocab.txt",
                                v0_vocoder if model == "v0" else data / VOCODERS[model])
        for model, file in CHECKPOINTS.items()
    }
    entries, waves = [], {model: {} for model in CHECKPOINTS}
    for name, model, changes in CASES:
        options = {**DEFAULTS, **changes}
        entry, waves[model][name], taps = run_case(speakers[model], name, model, options, data, scratch)
        entries.append(entry)
        expected = entry["expected"]
        if expected["taps"]:
            save_file(taps, data / expected["taps"])
        print(f"{name:20} {expected['samples'] / 24000:7.2f} s  peak {expected['peak']:.3f}  rms "
              f"{expected['rms']:.4f}  chunks {len(expected['chunks'])}  stride {expected['stride']}")
    for model, tensors in waves.items():
        save_file(tensors, data / f"waves_{model}.safetensors")
    (data / "cases.json").write_text(json.dumps(entries, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return entries, waves


def make_preprocess(data):
    """What preprocess_ref_audio_text leaves of each reference, and its 24 kHz form."""
    entries, tensors = [], {}
    for path in sorted((data / "references").iterdir()):
        samples, rate, _ = upstream.prepare_reference(path)
        audio = torch.from_numpy(np.ascontiguousarray(samples.T))
        mono = audio.mean(dim=0, keepdim=True) if audio.shape[0] > 1 else audio
        rms = torch.sqrt(torch.mean(torch.square(mono)))
        resampled = upstream.torchaudio.transforms.Resample(rate, 24000)(mono) if rate != 24000 else mono
        entry = {
            "file": path.name, "rate": rate, "frames": samples.shape[0], "channels": samples.shape[1],
            "sha256_float32": hashlib.sha256(samples.astype("<f4").tobytes()).hexdigest(),
            "frame_1000": [float(x) for x in samples[1000:1004].reshape(-1)],
            "frame_1000_from_end": [float(x) for x in samples[-1000:-996].reshape(-1)],
            "rms": float(rms), "frames_24k": resampled.shape[-1],
        }
        tensors[path.name], entry["stride_24k"] = thin(resampled[0].numpy())
        entries.append(entry)
    save_file(tensors, data / "preprocess.safetensors")
    (data / "preprocess.json").write_text(json.dumps(entries, indent=1) + "\n")
    for e in entries:
        print(f"{e['file']:24} {e['rate']} Hz x {e['channels']}, {e['frames']} frames, rms {e['rms']:.4f}")


def check(entries, waves):
    """A golden that is silent, clipped or equal to another one proves nothing."""
    seen = {}
    for entry in entries:
        expected, wave = entry["expected"], waves[entry["model"]][entry["name"]]
        assert torch.isfinite(wave).all(), entry["name"]
        assert 0.01 < expected["peak"] < 1, (entry["name"], expected["peak"])
        digest = hashlib.sha256(wave.numpy().tobytes()).hexdigest()
        assert seen.setdefault(digest, entry["name"]) == entry["name"], (entry["name"], seen[digest])
        unknown = sum(i == 0 and t != " " for c in expected["chunks"] for t, i in zip(c["tokens"], c["ids"]))
        assert unknown == (entry["name"] == "v1_nfe4_linspace"), (entry["name"], unknown)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    data = parser.parse_args().out
    torch.set_num_threads(1)
    holder = upstream.scratch_directory()
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    texts = [{**DEFAULTS, **changes}[key] for _, _, changes in CASES for key in ("ref_text", "gen_text")]
    # "|" is in no official table: it stays, to be the unknown symbol of one case.
    tiny.make_models(data, [text.replace("|", "") for text in texts])
    tiny.make_references(data / "references")
    entries, waves = make_cases(data, Path(holder.name))
    check(entries, waves)
    make_preprocess(data)


if __name__ == "__main__":
    main()
