"""What the golden set speaks: one entry a case, only what differs from upstream's defaults.

Read by make_golden.py. Options carry the names of upstream's F5TTS.infer; ode_method is upstream's
load option, here given by case. Several chunks of a short wave need a small `speed` (which sets
max_chars) together with `fix_duration` (which sets the length).
"""

DEFAULTS = {
    "reference": "ref_24k_mono.wav",
    "ref_text": "Some call me nature.",
    "seed": 1,
    "nfe_step": 5,
    "cfg_strength": 2.0,
    "sway_sampling_coef": -1.0,
    "speed": 1.0,
    "cross_fade_duration": 0.15,
    "target_rms": 0.1,
    "fix_duration": None,
    "ode_method": "euler",
    "remove_silence": False,
}

TAP_CASE = {"reference": "ref_short.wav", "ref_text": "Hi.", "seed": 7, "speed": 0.25, "fix_duration": 1.0,
            "gen_text": "One two three, four five six. Seven eight nine, ten eleven twelve."}
LONG = "The first sentence, of many; is short. Is the second one longer? Yes! It said 3.14, e.g.x, and went on."
# Two chunks whose letters reach far into the frames to be spoken: the models are louder there.
LETTERS = (
    "This one sentence goes on without any stop so that its letters reach far into the frames which are "
    "still to be spoken and then there is nothing left. Another sentence comes here and it is as long as "
    "the first one was so that two chunks have a loud part and a part that counts as a pause."
)

CASES = [
    # name, model, what differs
    ("v1_short", "v1", {"gen_text": "Hello, world."}),
    ("v1_taps", "v1", TAP_CASE),
    ("v1_nfe32", "v1", {"gen_text": "I don't care what you call me.", "nfe_step": 32, "seed": 2}),
    ("v1_nfe16_stereo", "v1", {"gen_text": "Empires rise and fall (twice).", "nfe_step": 16,
                               "reference": "ref_44k_stereo.wav", "ref_text": "Really?", "seed": 3}),
    ("v1_nfe7_16k", "v1", {"gen_text": "Naïve café, state-of-the-art: $5.20…", "nfe_step": 7,
                           "reference": "ref_16k.wav", "ref_text": "It ends with a stop. "}),
    ("v1_nfe4_linspace", "v1", {"gen_text": "Four equal steps | before the sway.", "nfe_step": 4}),
    ("v1_chinese", "v1", {"gen_text": "你好，世界！今天天气很好。", "ref_text": "对，这就是我。"}),
    ("v1_mixed", "v1", {"gen_text": "我有3个apples，“OK”吗？Yes; 不一样。", "reference": "ref_16k.wav",
                        "ref_text": "你好 world", "nfe_step": 6}),
    ("v1_chinese_chunks", "v1", {"gen_text": "第一句话。第二句话，长一点！第三句？", "ref_text": "好的。",
                                 "speed": 0.25, "fix_duration": 3.6, "seed": 4}),
    ("v1_tiny_text", "v1", {"gen_text": "Hi!", "ref_text": "A longer transcript for a short answer…"}),
    ("v1_slow", "v1", {"gen_text": "Slower than usual.", "speed": 0.8}),
    ("v1_fast", "v1", {"gen_text": "Faster than the speaker would.", "speed": 1.3}),
    ("v1_midpoint", "v1", {"gen_text": "Two evaluations a step.", "ode_method": "midpoint"}),
    ("v1_no_sway", "v1", {"gen_text": "Hello, world.", "sway_sampling_coef": 0.0}),
    ("v1_sway_half", "v1", {"gen_text": "Hello, world.", "sway_sampling_coef": 0.5, "nfe_step": 10}),
    ("v1_no_cfg", "v1", {"gen_text": "Hello, world.", "cfg_strength": 0.0}),
    ("v1_cfg3", "v1", {"gen_text": "Hello, world.", "cfg_strength": 3.0, "nfe_step": 12}),
    ("v1_fix_duration", "v1", {"gen_text": "Hello, world.", "fix_duration": 3.0}),
    ("v1_fix_too_short", "v1", {"gen_text": "Hello, world.", "fix_duration": 1.0}),
    ("v1_fix_chunks", "v1", {"gen_text": LONG, "ref_text": "Ok", "speed": 0.7, "fix_duration": 5.5}),
    ("v1_natural_chunks", "v1", {"gen_text": LONG, "ref_text": "Yes", "seed": 5}),
    ("v1_no_cross_fade", "v1", {"gen_text": "One two three. Four five six.", "ref_text": "Hi.",
                                "speed": 0.4, "fix_duration": 3.2, "cross_fade_duration": 0.0}),
    ("v1_long_cross_fade", "v1", {"gen_text": "One two three. Four five six.", "ref_text": "Hi.",
                                  "speed": 0.4, "fix_duration": 3.2, "cross_fade_duration": 2.0}),
    ("v1_remove_silence", "v1", {"gen_text": LETTERS, "ref_text": "Hi.", "reference": "ref_short.wav",
                                 "fix_duration": 9.5, "target_rms": 0.75, "remove_silence": True}),
    ("v1_target_rms", "v1", {"gen_text": "Hello, world.", "target_rms": 0.2}),
    ("v0_short", "v0", {"gen_text": "Hello, world."}),
    ("v0_taps", "v0", TAP_CASE),
    ("v0_taps_midpoint", "v0", {**TAP_CASE, "gen_text": "Short text.", "fix_duration": 0.9, "nfe_step": 3,
                                "ode_method": "midpoint"}),
    ("v0_chinese_stereo", "v0", {"gen_text": "银行行长，不要一起走。", "reference": "ref_44k_stereo.wav",
                                 "ref_text": "你好！", "nfe_step": 7}),
    ("v0_chunks", "v0", {"gen_text": LONG, "ref_text": "Ok", "speed": 0.5, "fix_duration": 4.5, "nfe_step": 16}),
    ("v1_half_short", "v1_half", {"gen_text": "Hello, world."}),
    ("v1_half_taps", "v1_half", {**TAP_CASE, "fix_duration": 0.9}),
    ("v1_half_fast_16k", "v1_half", {"gen_text": "Half the bytes; e-mail me @ home.", "speed": 1.2, "nfe_step": 32,
                                     "reference": "ref_16k.wav", "ref_text": "“Quoted.”"}),
]
