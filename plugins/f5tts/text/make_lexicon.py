#!/usr/bin/env python3
"""Compiles the Chinese word and reading tables of f5tts into one file that the plugin maps: make_lexicon.py OUTPUT

Runs at build time, on the data files of the PyPI packages jieba (words, hidden Markov model) and pypinyin
(readings), whose versions are fixed: the token lists must be those of the upstream program. The same
packages give the same bytes. lexicon.c reads the file; the layout below is the contract between the two.

    8 bytes   magic "F5TTSLEX"
    u32       version; u32 number of sections
    u64       size of the file
    sections  u64 offset (of 8 bytes' alignment), u64 size in bytes; in the order of SECTIONS
    ...       the sections; every number little endian

A trie is three arrays over its nodes in breadth-first order, children sorted by character:
labels (u32 code point), children (u32 first child; those of node n end where those of n+1 begin; one
more entry than nodes), values (u32; 0: no word ends here). Node 0 is the root.
"""
import ast
import array
import importlib.metadata
import importlib.util
import json
import math
import os
import re
import struct
import sys
import unicodedata

VERSIONS = {"jieba": "0.42.1", "pypinyin": "0.55.0"}
MAGIC, FORMAT = b"F5TTSLEX", 1
SECTIONS = (
    "notice",           # UTF-8: sources and licences
    "word_labels", "word_children", "word_values",        # trie; value: index + 1 in word_logs
    "word_logs",        # f64: ln(count) - ln(sum of counts), each once
    "model",            # f64[21]: ln(1) - ln(sum of counts), HMM start[4], HMM transition[4][4]; states B E M S
    "emissions",        # f64[4] for each character U+4E00..U+9FD5
    "phrase_labels", "phrase_children", "phrase_values",  # trie; value: index + 1 in phrase_readings
    "phrase_readings",  # u16: syllable of each character of the phrase
    "char_readings",    # u16 by code point: syllable + 1, 0: none
    "syllables",        # char[8]: "zhong1", "de", "lv4"; padded with NUL
)
WORD_MAX, PHRASE_MAX = 32, 16  # characters; as in internal.h
HMM_FIRST, HMM_LAST = 0x4E00, 0x9FD5
STATES = "BEMS"
IMPOSSIBLE = -3.14e100  # of the HMM's authors
TONES = {"\u0304": "1", "\u0301": "2", "\u030c": "3", "\u0300": "4"}


def package_folder(name):
    """Where a package lies, without importing it (jieba and pypinyin load their tables on import)."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        sys.exit(f"make_lexicon.py: {name}=={VERSIONS[name]} is not installed for {sys.executable}")
    if version != VERSIONS[name]:
        sys.exit(f"make_lexicon.py: {name} is {version}, expected {VERSIONS[name]}")
    return importlib.util.find_spec(name).submodule_search_locations[0]


def read_words(folder):
    """Word -> count. One word stands in the file twice; jieba-rs counts it once."""
    with open(os.path.join(folder, "dict.txt"), encoding="utf-8") as file:
        return {word: int(count) for word, count, _tag in (line.split() for line in file)}


def read_model(folder, name):
    with open(os.path.join(folder, "finalseg", f"prob_{name}.py"), encoding="utf-8") as file:
        return ast.literal_eval(file.read().partition("=")[2].strip())


def read_json(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)


def tone3(reading):
    """zhōng -> zhong1, lǜ -> lv4, de -> de: pypinyin's Style.TONE3."""
    decomposed = unicodedata.normalize("NFD", reading).replace("u\u0308", "v")
    tone = "".join(TONES.get(c, "") for c in decomposed)
    syllable = "".join(c for c in decomposed if c not in TONES) + tone
    if not re.fullmatch(r"[a-z]{1,6}[1-4]?", syllable):
        sys.exit(f"make_lexicon.py: the reading {reading!r} has no numbered form that the lexicon can hold")
    return syllable


def u16(values):
    return pack("H", values)


def u32(values):
    return pack("I", values)


def pack(kind, values):
    packed = array.array(kind, values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def trie(words):
    """Three arrays of the trie of `words` (text -> value, not 0)."""
    nodes = sorted({word[:i] for word in words for i in range(len(word) + 1)}, key=lambda p: (len(p), p))
    index = {prefix: i for i, prefix in enumerate(nodes)}
    counts = [0] * len(nodes)
    for prefix in nodes[1:]:
        counts[index[prefix[:-1]]] += 1
    children, next_child = [], 1
    for count in counts:
        children.append(next_child)
        next_child += count
    children.append(next_child)
    labels = [0] + [ord(prefix[-1]) for prefix in nodes[1:]]
    return u32(labels), u32(children), u32(words.get(prefix, 0) for prefix in nodes)


def word_sections(counts):
    if max(map(len, counts)) > WORD_MAX:
        sys.exit(f"make_lexicon.py: the word {max(counts, key=len)!r} is longer than {WORD_MAX} characters")
    total = math.log(sum(counts.values()))
    logs = {count: math.log(count) - total for count in counts.values()}
    order = {count: i + 1 for i, count in enumerate(sorted(logs))}
    labels, children, values = trie({word: order[count] for word, count in counts.items()})
    return {"word_labels": labels, "word_children": children, "word_values": values,
            "word_logs": pack("d", (logs[count] for count in sorted(logs)))}, 0.0 - total


def hmm_sections(folder, unknown_log):
    start, transition, emission = (read_model(folder, name) for name in ("start", "trans", "emit"))
    model = [unknown_log] + [start[s] for s in STATES]
    model += [transition[a].get(b, IMPOSSIBLE) for a in STATES for b in STATES]
    emissions = (round(emission[s][chr(c)], 6) if chr(c) in emission[s] else IMPOSSIBLE
                 for c in range(HMM_FIRST, HMM_LAST + 1) for s in STATES)
    return {"model": pack("d", model), "emissions": pack("d", emissions)}


def reading_sections(phrases, chars):
    """phrases: text -> [[reading, ...], ...]; chars: code -> "reading,..."; of several readings the first counts."""
    phrases = {p: [tone3(r[0]) for r in readings] for p, readings in phrases.items()}
    chars = {int(code): tone3(readings.split(",")[0]) for code, readings in chars.items()}
    for phrase, readings in phrases.items():
        if len(phrase) != len(readings) or len(phrase) > PHRASE_MAX:
            sys.exit(f"make_lexicon.py: the phrase {phrase!r} has {len(readings)} readings")
    syllables = sorted(set(chars.values()).union(*phrases.values()))
    index = {syllable: i for i, syllable in enumerate(syllables)}
    readings, values = [], {}
    for phrase in sorted(phrases):
        values[phrase] = len(readings) + 1
        readings += [index[s] for s in phrases[phrase]]
    labels, children, ends = trie(values)
    return {"phrase_labels": labels, "phrase_children": children, "phrase_values": ends,
            "phrase_readings": u16(readings),
            "char_readings": u16(index[chars[c]] + 1 if c in chars else 0 for c in range(max(chars) + 1)),
            "syllables": b"".join(s.encode("ascii").ljust(8, b"\0") for s in syllables)}


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_lexicon.py OUTPUT")
    output = sys.argv[1]
    jieba, pypinyin = package_folder("jieba"), package_folder("pypinyin")
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "LICENCES.md"), "rb") as file:
        sections = {"notice": file.read()}
    words, unknown_log = word_sections(read_words(jieba))
    sections |= words | hmm_sections(jieba, unknown_log)
    sections |= reading_sections(read_json(pypinyin, "phrases_dict.json"), read_json(pypinyin, "pinyin_dict.json"))

    offset = len(MAGIC) + 16 + 16 * len(SECTIONS)
    table = body = b""
    for name in SECTIONS:
        data = sections[name]
        table += struct.pack("<QQ", offset + len(body), len(data))
        body += data + bytes(-len(data) % 8)
    head = MAGIC + struct.pack("<IIQ", FORMAT, len(SECTIONS), offset + len(body))
    os.makedirs(os.path.dirname(os.path.abspath(output)), exist_ok=True)
    with open(output + ".part", "wb") as file:
        file.write(head + table + body)
    os.replace(output + ".part", output)


main()
