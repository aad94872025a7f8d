"""Compares two waves: compare.py WAVE OTHER prints {"samples", "other_samples", "peak", "difference", "mel_cosine"}.

A wave is a .npy of upstream's side or an audio file of voxhost's. The cosine is that of the log mels as
upstream's vocoder takes them (f5_tts/model/modules.py, MelSpec), less the first wave's mean: with it, any two loud
waves would look alike.
"""

import json
import sys

import numpy as np
import soundfile
import torch
import torchaudio


def read(path):
    if path.endswith(".npy"):
        return np.load(path)
    return soundfile.read(path, dtype="float32")[0]


def log_mel(wave):
    mel = torchaudio.transforms.MelSpectrogram(24000, n_fft=1024, hop_length=256, n_mels=100, power=1)
    return mel(torch.from_numpy(wave)).clamp(min=1e-5).log()  # [mels, frames]


def main():
    wave, other = map(read, sys.argv[1:3])
    size = min(wave.size, other.size)
    ours, theirs = log_mel(wave[:size]), log_mel(other[:size])
    mean = ours.mean()
    cosine = torch.nn.functional.cosine_similarity((ours - mean).ravel(), (theirs - mean).ravel(), dim=0)
    print(json.dumps({"samples": wave.size, "other_samples": other.size, "peak": float(np.abs(wave).max()),
                      "difference": float(np.abs(wave[:size] - other[:size]).max()),
                      "mel_cosine": float(cosine)}))


main()
