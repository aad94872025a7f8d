"""Upstream's side of `./dev bench f5`: loads the model once, speaks the jobs in turn, and says how long each took.

    python speak_upstream.py TASK OUT [--autocast-bf16]

TASK is JSON: {"model": FOLDER, "voice", "voice_text", "text", "threads", "jobs": [{"seed", "nfe_step"}]}.
OUT gets N.npy, the wave of job N, and times.json: {"ready": seconds since the epoch, "jobs_s": [...]}.

All of upstream's own code between the recording and the wave runs. Imports that inference never uses are
stubs (UNUSED in tests/golden/f5tts/upstream.py: gradio, wandb, transformers, accelerate, librosa, matplotlib,
...), and the prints are silent: both make upstream start sooner than a plain installation does.
"""

import importlib.resources
import json
import pathlib
import sys
import time

import numpy as np
import torch
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "golden/f5tts"))
import upstream  # noqa: E402


def under_autocast(sample):
    """The model's `sample` in bf16. Set in upstream's worker thread, since autocast is per thread."""
    def wrapped(*arguments, **options):
        with torch.autocast("cpu", torch.bfloat16):
            return sample(*arguments, **options)
    return wrapped


def main():
    task, out = json.loads(pathlib.Path(sys.argv[1]).read_text("utf-8")), pathlib.Path(sys.argv[2])
    torch.set_num_threads(task["threads"])
    model = pathlib.Path(task["model"])
    config = importlib.resources.files("f5_tts").joinpath("configs/F5TTS_v1_Base.yaml").read_text("utf-8")
    speaker = upstream.Speaker(yaml.safe_load(config)["model"]["arch"], model / "model_1250000.safetensors",
                               model / "vocab.txt", model / "vocos")
    if "--autocast-bf16" in sys.argv:
        speaker.ema_model.sample = under_autocast(speaker.ema_model.sample)
    times = {"ready": time.time(), "jobs_s": []}
    for number, job in enumerate(task["jobs"]):
        begun = time.monotonic()
        wave, _ = upstream.speak(speaker, ref_file=task["voice"], ref_text=task["voice_text"],
                                 gen_text=task["text"], **job)
        times["jobs_s"].append(time.monotonic() - begun)
        np.save(out / f"{number}.npy", np.asarray(wave, np.float32).reshape(-1))
    (out / "times.json").write_text(json.dumps(times))


main()
