"""Tiny F5-TTS checkpoints in the official layout and synthetic voices, all from private seeds.

make_golden.py calls it first. It must not know what is spoken. Every parameter is random, because
upstream's own initialisation sets adaLN, proj_out and GRN to zero and would hide most mistakes.
"""

import math
import re
from importlib.resources import files

import numpy as np
import soundfile
import torch
from safetensors.torch import save_file

import upstream

# Log magnitude of the vocoder: peaks of some tenths after a loud reference.
LEVEL = -0.7
# Layers that fan-in alone leaves too weak for a mistake in them (say, the other GELU) to show.
GAINS = [
    (r"(attn_norm|norm_out)\.linear\.weight", 3.0),
    (r"attn\.to_[qk]\.weight", 1.5),
    (r"(ff\.ff\.(0\.0|2)|convnext\.\d+\.pwconv[12])\.weight", 2.5),
    (r"convnext\.\d+\.gamma", 2.0),
]

VOCOS_V1 = {"dim": 32, "intermediate_dim": 64, "num_layers": 2}
VOCOS_V0 = {"dim": 16, "intermediate_dim": 48, "num_layers": 3}

# dim_head stays at the constructor's 64, so the inner width of attention is heads * 64, not dim.
COMMON = {"text_dim": 32, "qk_norm": None, "attn_backend": "torch", "attn_mask_enabled": False}
MODELS = {
    "v1": {"dim": 32, "depth": 2, "heads": 2, "ff_mult": 2, "conv_layers": 2,
           "text_mask_padding": True, "pe_attn_head": None, **COMMON},
    "v0": {"dim": 32, "depth": 3, "heads": 2, "ff_mult": 4, "conv_layers": 3,
           "text_mask_padding": False, "pe_attn_head": 1, **COMMON},
    "v1_half": {"dim": 48, "depth": 1, "heads": 2, "ff_mult": 2, "conv_layers": 2,
                "text_mask_padding": True, "pe_attn_head": None, **COMMON},
}


def _fill(module, seed):
    """Random values that keep activations near 1: weights by fan-in, norms around 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in module.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if re.search(r"norm\.weight$", name):
                value = 1 + 0.1 * noise
            elif name.endswith("text_embed.weight"):
                value = 0.7 * noise
            elif name.endswith((".gamma", ".beta")):
                value = 0.4 * noise
            elif p.ndim >= 2:
                value = noise / math.sqrt(p[0].numel())
            else:
                value = 0.1 * noise
            p.copy_(value * next((gain for pattern, gain in GAINS if re.search(pattern, name)), 1))


def _vocoder(folder, size, seed, safetensors):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(
        "feature_extractor:\n"
        "  class_path: vocos.feature_extractors.MelSpectrogramFeatures\n"
        "  init_args:\n    sample_rate: 24000\n    n_fft: 1024\n    hop_length: 256\n"
        "    n_mels: 100\n    padding: center\n\n"
        "backbone:\n  class_path: vocos.models.VocosBackbone\n  init_args:\n"
        "    input_channels: 100\n" + "".join(f"    {k}: {v}\n" for k, v in size.items()) +
        "\nhead:\n  class_path: vocos.heads.ISTFTHead\n  init_args:\n"
        f"    dim: {size['dim']}\n    n_fft: 1024\n    hop_length: 256\n    padding: center\n"
    )
    from vocos import Vocos

    model = Vocos.from_hparams(str(folder / "config.yaml"))
    _fill(model, seed)
    with torch.no_grad():
        # A part common to all bins: loudness that moves with the mel, as speech has.
        model.head.out.weight[:513] += model.head.out.weight[0].clone()
        model.head.out.bias[:513] += LEVEL - torch.linspace(0, 2, 513)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    if safetensors:
        save_file(state, folder / "model.safetensors")
    else:
        torch.save(state, folder / "pytorch_model.bin")
    return state


def _vocab(texts):
    """A cut of the official table in its order: ASCII, punctuation, what texts need, some others."""
    from f5_tts.model.utils import convert_char_to_pinyin

    lines = files("f5_tts").joinpath("infer/examples/vocab.txt").read_text("utf-8").split("\n")[:-1]
    needed = {token for tokens in convert_char_to_pinyin(texts) for token in tokens}
    keep = [
        symbol for i, symbol in enumerate(lines)
        if symbol in needed or (len(symbol) == 1 and ord(symbol) < 128)
        or symbol in "，。！？、：；“”‘’（）《》…—" or i % 12 == 5
    ]
    assert keep[0] == " "
    return "".join(symbol + "\n" for symbol in keep)


def _model(arch, vocab_size, seed):
    model = upstream.cfm.CFM(
        transformer=upstream.DiT(**arch, text_num_embeds=vocab_size, mel_dim=100),
        mel_spec_kwargs={"mel_spec_type": "vocos"},
    )
    _fill(model, seed)
    return {k: v.contiguous() for k, v in model.state_dict().items()}


def make_models(data, texts):
    """data/{v1,v0,v1_half} with their vocabularies; texts are what will be spoken."""
    vocab = _vocab(texts)
    size = vocab.count("\n")
    for name in MODELS:
        (data / name).mkdir(parents=True, exist_ok=True)
        (data / name / "vocab.txt").write_text(vocab, "utf-8")

    ema = {"ema_model." + k: v for k, v in _model(MODELS["v1"], size, 11).items()}
    ema |= {"initted": torch.tensor(True), "step": torch.tensor(1250000)}
    save_file(ema, data / "v1/model_tiny_v1.safetensors")
    vocos = _vocoder(data / "v1/vocos", VOCOS_V1, 23, safetensors=False)

    ema = {"ema_model." + k: v for k, v in _model(MODELS["v0"], size, 12).items()}
    # Checkpoints from before upstream's commit 305e3ea carry the mel module's buffers.
    for key in ("mel_scale.fb", "spectrogram.window"):
        ema["ema_model.mel_spec.mel_stft." + key] = vocos["feature_extractor.mel_spec." + key]
    ema |= {"initted": torch.tensor(True), "step": torch.tensor(1200000)}
    torch.save({"ema_model_state_dict": ema, "update": 1200000}, data / "v0/model_tiny_v0.pt")

    half = {k: v.half() for k, v in _model(MODELS["v1_half"], size, 13).items()}
    save_file(half, data / "v1_half/model_tiny_v1_half.safetensors")


def make_v0_vocoder(data, scratch):
    """data/v0/vocos/model.safetensors, and the same as a pickle in scratch for upstream."""
    _vocoder(data / "v0/vocos", VOCOS_V0, 25, safetensors=True)
    _vocoder(scratch / "v0_vocos", VOCOS_V0, 25, safetensors=False)
    return scratch / "v0_vocos"


def _voice(rate, pattern, seed, level, breath=0.15):
    """pattern: [(seconds, loudness)], 0 for a pause. Gliding harmonics and breath, syllable by syllable."""
    rng = np.random.default_rng(seed)
    parts, phase = [], 0.0
    for seconds, loudness in pattern:
        n = int(seconds * rate)
        t = np.arange(n) / rate
        f0 = 120 + 50 * rng.random() + 25 * np.sin(2 * np.pi * (0.7 + rng.random()) * t)
        angle = phase + 2 * np.pi * np.cumsum(f0) / rate
        formant = 400 + 500 * rng.random()
        tone = sum(
            np.sin(k * angle) / (1 + ((k * 140 - formant) / 300) ** 2)
            for k in range(1, 20) if k * 200 < rate / 2
        )
        air = rng.standard_normal(n) * breath
        syllables = 0.35 + 0.65 * np.sin(np.pi * (3.5 + rng.random()) * t) ** 2
        edge = np.minimum(1, np.minimum(t, t[::-1]) / 0.01)
        parts.append(loudness * edge * syllables * (tone + air))
        phase = float(angle[-1]) if n else phase
    wave = np.concatenate(parts)
    return level * wave / np.abs(wave).max()


def _write(path, wave, rate, quantum=1, subtype="PCM_16"):
    samples = np.round(wave * 32767 / quantum).astype(np.int32) * quantum
    if subtype == "PCM_24":
        soundfile.write(path, np.round(wave * 8388607).astype(np.int32) << 8, rate, subtype)
    else:
        soundfile.write(path, samples.astype(np.int16), rate, subtype)


def make_references(folder):
    """The voices. Levels: above and below the loudness target of 0.1 rms."""
    folder.mkdir(parents=True, exist_ok=True)
    speech = [(0.9, 1.0), (0.15, 0.0), (1.15, 0.8)]
    _write(folder / "ref_24k_mono.wav", _voice(24000, speech, 1, 0.6), 24000)
    quiet = [(0.12, 0.0), (0.3, 1.0), (0.08, 0.0), (0.35, 0.7), (0.1, 0.0)]
    left, right = _voice(44100, quiet, 2, 0.12), _voice(44100, quiet, 3, 0.08)
    _write(folder / "ref_44k_stereo.wav", np.stack([left, right], axis=1), 44100)
    words = [(0.5, 1.0), (0.1, 0.0), (0.6, 0.9)]
    _write(folder / "ref_16k.wav", _voice(16000, words, 4, 0.5), 16000)
    _write(folder / "ref_short.wav", _voice(24000, [(0.51, 1.0)], 5, 0.3), 24000)
    _write(folder / "ref_8k.wav", _voice(8000, [(0.7, 1.0)], 6, 0.5), 8000)
    late = [(0.15, 0.0), (0.5, 1.0)]
    _write(folder / "ref_24bit.wav", _voice(16000, late, 7, 0.3), 16000, subtype="PCM_24")
    _write(folder / "silent.wav", np.zeros(6400), 8000)
    # For the three ways of clipping to 12 s: pauses over 1 s, short pauses only, no pause at all.
    # Coarse steps and no breath keep them small as FLAC.
    for name, rate, pattern in (
        ("long_pauses", 16000, [(5.0, 1.0), (1.6, 0.0), (4.0, 0.8), (1.4, 0.0), (5.2, 1.0)]),
        ("long_short_pauses", 16000,
         [(4.0, 1.0), (0.3, 0.0), (3.5, 0.9), (0.35, 0.0), (3.0, 1.0), (0.25, 0.0), (4.2, 1.0)]),
        ("long_no_pause", 8000, [(13.0, 1.0)]),
    ):
        _write(folder / f"{name}.flac", _voice(rate, pattern, 8, 0.5, breath=0), rate, quantum=512)
