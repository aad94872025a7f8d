#!/usr/bin/env python3
"""Compares the F5-TTS text front end with upstream's: test_text.py TOKENIZE LEXICON [LINES [SEED]]

TOKENIZE is the program of tokenize.c. The oracle is rjieba 0.2.2 and pypinyin 0.55.0 under upstream's rules,
stated once more below. Lines without ideographs must give the same tokens, every one of them; of the others
99.5 %, and each that differs must stand in known_differences.txt."""
import importlib.metadata
import importlib.util
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time

VERSIONS = {"rjieba": "0.2.2", "pypinyin": "0.55.0", "jieba": "0.42.1"}
FOLDER = os.path.dirname(os.path.abspath(__file__))
LINES, SEED = 6000, 1
EQUAL_MIN = 0.995
CHUNK_LIMITS = (-5, 0, 1, 20, 60, 135, 400)


def check_packages():
    for name, version in VERSIONS.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            sys.exit(f"{name}=={version} is not installed for {sys.executable}: nothing to compare with")
        if found != version:
            sys.exit(f"{name} is {found}, the front end follows {version}")


def package_file(package, name):
    return os.path.join(importlib.util.find_spec(package).submodule_search_locations[0], name)


def oracle_tokens(text):
    """f5-tts 1.1.22, model/utils.py, convert_char_to_pinyin."""
    def syllables(word):
        return lazy_pinyin(word, style=Style.TONE3, tone_sandhi=True)

    tokens = []
    for word in rjieba.cut(text.translate(str.maketrans(";“”‘’", ",\"\"''"))):
        size = len(word.encode())
        if size == len(word):
            if tokens and size > 1 and tokens[-1] not in " :'\"":
                tokens.append(" ")
            tokens += word
        elif size == 3 * len(word):
            for character, syllable in zip(word, syllables(word), strict=True):
                tokens += [" ", syllable] if "\u3100" <= character <= "\u9fff" else [syllable]
        else:
            for character in word:
                tokens += [" ", *syllables(character)] if "\u3100" <= character <= "\u9fff" else [character]
    return tokens


def oracle_chunks(text, bytes_max):
    """f5-tts 1.1.22, infer/utils_infer.py, chunk_text."""
    chunks, chunk = [], ""
    for sentence in filter(None, re.split(r"(?<=[;:,.!?])\s+|(?<=[；：，。！？])", text)):
        if len(chunk.encode()) + len(sentence.encode()) > bytes_max:
            chunks += [chunk.strip()] if chunk else []
            chunk = ""
        chunk += sentence + (" " if sentence[-1] < "\x80" else "")
    return chunks + ([chunk.strip()] if chunk else [])


def oracle_reference(text):
    """f5-tts 1.1.22, infer/utils_infer.py: the ends of preprocess_ref_audio_text and, added, infer_batch_process."""
    if not text.endswith((". ", "。")):
        text += " " if text.endswith(".") else ". "
    return [text, text + (" " if text[-1] < "\x80" else "")]


def ours(program, lexicon, lines, *mode):
    escaped = (re.sub(r'[\\"]', r"\\\g<0>", line).replace("\n", "\\n").replace("\r", "\\r") for line in lines)
    result = subprocess.run([program, lexicon, *mode], input="".join(line + "\n" for line in escaped).encode(),
                            stdout=subprocess.PIPE, check=True)
    answers = result.stdout.decode().split("\n")[:-1]
    if len(answers) != len(lines):
        sys.exit(f"{program}: {len(lines)} lines in, {len(answers)} out")
    return [json.loads(answer) for answer in answers]


def is_latin(line):
    return all(c < "\u2e80" for c in line)


def differing(name, lines, expected, got):
    lines = [(line, e, g) for line, e, g in zip(lines, expected, got, strict=True) if e != g]
    for line, e, g in lines[:10]:
        print(f"{name}: {line!r}\n  upstream {e}\n  here     {g}")
    return [line for line, _, _ in lines]


def known_differences():
    with open(os.path.join(FOLDER, "known_differences.txt"), encoding="utf-8") as file:
        return {json.loads(line) for line in file if not line.startswith("#")}


def is_equal_enough(name, lines, wrong):
    """None without ideographs may differ; of the others few, and none that is not known."""
    latin = [line for line in lines if is_latin(line)]
    others = len(lines) - len(latin)
    latin_wrong = sum(map(is_latin, wrong))
    others_wrong = len(wrong) - latin_wrong
    unknown = len(set(wrong) - known_differences())
    print(f"{name}: {len(latin)} lines without ideographs, {latin_wrong} differ; {others} others, {others_wrong} differ, "
          f"{unknown} of them unknown")
    return latin_wrong == 0 and others_wrong <= (1 - EQUAL_MIN) * others and unknown == 0


def check_words(program, lexicon, lines):
    got = ours(program, lexicon, lines, "words")
    return is_equal_enough("words", lines, differing("words", lines, [rjieba.cut(line) for line in lines], got))


def check_tokens(program, lexicon, lines):
    begin = time.monotonic()
    got = ours(program, lexicon, lines, "tokens")
    spent = time.monotonic() - begin
    print(f"tokens: {1e6 * spent / len(lines):.0f} us a line, with start and printing")
    return is_equal_enough("tokens", lines, differing("tokens", lines, [oracle_tokens(line) for line in lines], got))


def check_ids(program, lexicon, lines):
    """Numbers, with a vocabulary that lacks every seventh token, and with each kind of line end."""
    tokens = [oracle_tokens(line) for line in lines]
    different = sorted({token for line in tokens for token in line} - {" ", "\n", "\r"})
    entries = [" "] + [token for i, token in enumerate(different) if i % 7]
    wrong = []
    for end, last in (("\n", "\n"), ("\r\n", "\r\n"), ("\n", "")):
        with tempfile.NamedTemporaryFile("wb") as file:
            file.write((end.join(entries) + last).encode())
            file.flush()
            with open(file.name, encoding="utf-8") as vocab:
                numbers = {line[:-1]: i for i, line in enumerate(vocab)}  # upstream's rule
            expected = [[numbers.get(token, 0) for token in line] for line in tokens]
            wrong += differing("ids", lines, expected, ours(program, lexicon, lines, "ids", file.name))
    print(f"ids: {len(entries)} tokens known, {len(wrong)} lines differ")
    return not wrong


def check_chunks(program, lexicon, lines):
    rng = random.Random(SEED)
    characters = " \t\n\r\x1c\x85\xa0\u2003\u3000ab你。，；：！？.,;:!?éz字"
    texts = ["".join(rng.choices(characters, k=rng.randint(0, 60))) for _ in range(3000)]
    texts += [rng.choice(("", " ", "\n")).join(rng.sample(lines, 5)) for _ in range(500)]
    wrong = []
    for most in CHUNK_LIMITS:
        wrong += differing(f"chunks of {most}", texts, [oracle_chunks(text, most) for text in texts],
                           ours(program, lexicon, texts, "chunks", str(most)))
    print(f"chunks: {len(texts)} texts at {len(CHUNK_LIMITS)} limits, {len(wrong)} differ")
    return not wrong


def check_reference(program, lexicon, lines):
    ends = ("", ".", ". ", ".  ", "。", "？", "!", " ", "…")
    texts = [line + end for line in lines[:100] if line.strip() for end in ends]
    got = ours(program, lexicon, texts, "reference")
    wrong = differing("reference", texts, [oracle_reference(text) for text in texts], got)
    print(f"reference: {len(texts)} texts, {len(wrong)} differ")
    return not wrong


def main():
    program, lexicon = sys.argv[1:3]
    count, seed = (int(a) for a in (sys.argv[3:] + [LINES, SEED][len(sys.argv) - 3:]))
    files = package_file("jieba", "dict.txt"), package_file("pypinyin", "phrases_dict.json")
    lines = generate.Generator(seed, *files).lines(count)
    checks = [check(program, lexicon, lines)
              for check in (check_words, check_tokens, check_ids, check_chunks, check_reference)]
    sys.exit(0 if all(checks) else 1)


check_packages()
import rjieba  # noqa: E402
from pypinyin import Style, lazy_pinyin  # noqa: E402

import generate  # noqa: E402

main()
