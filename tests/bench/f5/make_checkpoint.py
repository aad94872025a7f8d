"""Writes an F5-TTS model of the official size and layout with random parameters, and a voice of 5 s.

    python make_checkpoint.py FOLDER    (with upstream's packages: case.py makes the environment)

FOLDER becomes what the bench gives to both sides: the checkpoint as F5TTS_v1_Base ships it (fp32, EMA
prefix), its vocab.txt, vocos/ as charactr/vocos-mel-24khz ships it, and voice.wav. It must not know
what is spoken. Everything is random, because speed does not depend on the values and the official
weights are not free to use; the scales keep a trained model's order of magnitude.
"""

import importlib.resources
import math
import pathlib
import re
import sys

import numpy as np
import soundfile
import torch
import yaml
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "golden/f5tts"))
import upstream  # noqa: E402

TENSORS, PARAMETERS, VOCOS_PARAMETERS = 364, 337_096_804, 13_531_650  # of the official files
VOICE_S = 5

# Layers that fan-in alone leaves too weak to matter: adaLN, queries and keys.
GAINS = {"linear": 2.0, "to_q": 1.5, "to_k": 1.5}

VOCOS_CONFIG = """\
feature_extractor:
  class_path: vocos.feature_extractors.MelSpectrogramFeatures
  init_args: {sample_rate: 24000, n_fft: 1024, hop_length: 256, n_mels: 100, padding: center}
backbone:
  class_path: vocos.models.VocosBackbone
  init_args: {input_channels: 100, dim: 512, intermediate_dim: 1536, num_layers: 8}
head:
  class_path: vocos.heads.ISTFTHead
  init_args: {dim: 512, n_fft: 1024, hop_length: 256, padding: center}
"""


def fill(module, seed):
    """Random values that keep activations near 1: weights by fan-in, norms around 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in module.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if re.search(r"norm\.weight$", name):
            noise = 1 + 0.1 * noise
        elif name.endswith((".gamma", ".beta")):
            noise *= 0.4
        elif p.ndim >= 2 and not name.endswith("text_embed.weight"):
            noise *= GAINS.get(name.split(".")[-2], 1) / math.sqrt(p[0].numel())
        elif p.ndim == 1:
            noise *= 0.1
        p.data.copy_(noise)


def official_sizes():
    config = importlib.resources.files("f5_tts").joinpath("configs/F5TTS_v1_Base.yaml").read_text("utf-8")
    return yaml.safe_load(config)["model"]["arch"]


def checkpoint(folder):
    vocab = importlib.resources.files("f5_tts").joinpath("infer/examples/vocab.txt").read_text("utf-8")
    (folder / "vocab.txt").write_text(vocab, "utf-8")
    network = upstream.DiT(**official_sizes(), text_num_embeds=vocab.count("\n"), mel_dim=100)
    model = upstream.cfm.CFM(transformer=network, mel_spec_kwargs={"mel_spec_type": "vocos"})
    fill(model, 1)
    tensors = {f"ema_model.{name}": tensor for name, tensor in model.state_dict().items()}
    assert (len(tensors), sum(p.numel() for p in model.parameters())) == (TENSORS, PARAMETERS)
    tensors |= {"initted": torch.tensor(True), "step": torch.tensor(1250000)}
    save_file(tensors, folder / "model_1250000.safetensors")


def vocoder(folder):
    from vocos import Vocos

    folder.mkdir()
    (folder / "config.yaml").write_text(VOCOS_CONFIG)
    model = Vocos.from_hparams(str(folder / "config.yaml"))
    fill(model, 2)
    assert sum(p.numel() for p in model.parameters()) == VOCOS_PARAMETERS
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


def voice(path, rate=24000):
    """A buzz in syllables, with no pause at which upstream would cut."""
    t = np.arange(VOICE_S * rate) / rate
    angle = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.7 * t)) / rate
    buzz = sum(np.sin(k * angle) / k for k in range(1, 30))
    breath = 0.1 * np.random.default_rng(3).standard_normal(t.size)
    wave = (0.3 + 0.7 * np.sin(np.pi * 4 * t) ** 2) * (buzz + breath)
    soundfile.write(path, 0.5 * wave / np.abs(wave).max(), rate, "PCM_16")


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True)
    checkpoint(folder)
    vocoder(folder / "vocos")
    voice(folder / "voice.wav")


main()
