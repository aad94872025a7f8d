"""Lines of text for test_text.py: the hand-written corpus.txt first, then as many as asked for, made from it and
from the words of jieba's and pypinyin's dictionaries. The same seed and count give the same lines."""
import json
import os
import random

FOLDER = os.path.dirname(os.path.abspath(__file__))

FRAMES = (
    "{w}和{w}都是{w}的{w}。", "他把{w}{w}了，还说{w}不{w}。", "我们{w}着{w}，一{w}就{w}。", "{n}{q}{w}，一共{n}元。",
    "{x}说：“{w}得很{w}！”", "{w}不{w}，{w}没有{w}。", "不{w}的{w}，一{q}{w}也不{w}。", "{x}在{w}里{w}了{n}{q}{w}。",
    "老{w}小{w}好{w}你{w}我{w}", "请你给我{n}{q}{w}，好{w}吗？", "因为{w}，所以{w}；虽然{w}，但是{w}。",
    "{y}年{m}月{m}日，{x}从{w}到{w}。", "{x}的{w}重{w}，长{w}行{w}还{w}地{w}着{w}了{w}。", "{w}、{w}、{w}以及{w}",
    "用{e}做{w}，比{w}快{p}。", "{e}的{w}是{e}，{w}{e}{w}。", "《{p2}》里的{w}，{p2}。", "{p2}，{p2}。",
    "一{w}一{w}，不{w}不{w}", "{x}买了{n}{q}{w}给{x}", "{w}{w}{w}{w}", "{w}{w}{w}{w}{w}{w}{w}", "{r}{w}{r}",
    "第{n}{q}，{w}{r}",
)
QUANTIFIERS = "个只条张本把头匹座间位名辆台件场次块片杯碗瓶双对群"
SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗欧曾单仇解查任盖万葛"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰一不好雨小海燕长乐行重朝"
CONNECTORS = ("", "", "-", ".", "_", "%", "+", "#", "&", "--", "..", " ", " ", ", ", ". ", "'", ":", "/", "(", ")", "@",
              "\"", ";")
ENGLISH = """
the of and to in is you that it he was for on are as with his they at be this have from or one had by word
but not what all were we when your can said there use an each which she do how their if will up other about
out many then them these so some her would make like him into time has look two more write go see number no
way could people don't it's I'm we'll iPhone GPT-4 C++ C# AT&T x86_64 covid-19 T R&D c++ OK Wi-Fi e-mail
3.14 50% v1.2 2024
""".split()
LATIN = ("àâäáãåæçéèêëíîïñóôöõøœúûüýÿßÀÉÖÜąćęłńśźżČřšžěůÅØđơưăạảấầẩẫậắ"
         "ằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ")
BLOCKS = (
    (0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F), (0x1E00, 0x1EFF),
    (0x2000, 0x206F), (0x20A0, 0x20BF), (0x2100, 0x21FF), (0x2460, 0x24FF), (0x3000, 0x30FF), (0x3100, 0x33FF),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x4E00, 0x9FFF), (0xA000, 0xA48C), (0xAC00, 0xD7A3), (0xE800, 0xE880),
    (0xF900, 0xFAFF), (0xFF00, 0xFFEF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2EBEF),
    (0x2F800, 0x2FA1F), (0x30000, 0x323AF),
)


class Generator:
    def __init__(self, seed, dictionary_file, phrases_file):
        self.random = random.Random(seed)
        with open(dictionary_file, encoding="utf-8") as file:
            rows = [line.split() for line in file]
        self.words = [row[0] for row in rows]
        self.common = [row[0] for row in sorted(rows, key=lambda row: (-int(row[1]), row[0]))[:20000]]
        with open(phrases_file, encoding="utf-8") as file:
            self.phrases = sorted(json.load(file))
        with open(os.path.join(FOLDER, "corpus.txt"), encoding="utf-8") as file:
            self.corpus = file.read().split("\n")[:-1]
        self.characters = sorted({c for line in self.corpus for c in line if c >= "\u4e00"})

    def word(self):
        kind = self.random.random()
        return self.random.choice(self.common if kind < 0.6 else self.words if kind < 0.85 else self.phrases)

    def name(self):
        return self.random.choice(SURNAMES) + "".join(self.random.choices(GIVEN, k=self.random.randint(1, 2)))

    def number(self):
        r = self.random
        return r.choice((str(r.randint(0, 10 ** r.randint(1, 7))), f"{r.randint(0, 999)}.{r.randint(0, 99)}",
                         "".join(r.choices("一二三四五六七八九十百千万零两〇", k=r.randint(1, 4)))))

    def frame(self):
        r, text = self.random, self.random.choice(FRAMES)
        fill = {"{w}": self.word, "{n}": self.number, "{q}": lambda: r.choice(QUANTIFIERS), "{x}": self.name,
                "{y}": lambda: str(r.randint(1900, 2030)), "{m}": lambda: str(r.randint(1, 31)),
                "{e}": lambda: r.choice(ENGLISH), "{p}": self.number, "{p2}": lambda: r.choice(self.phrases),
                "{r}": lambda: "".join(r.choices(self.characters, k=r.randint(1, 6)))}
        for slot, make in fill.items():
            while slot in text:
                text = text.replace(slot, make(), 1)
        return text

    def ascii(self):
        r, parts = self.random, []
        for _ in range(r.randint(3, 14)):
            kind = r.random()
            parts.append(r.choice(ENGLISH) if kind < 0.5 else self.number_ascii() if kind < 0.7 else
                         "".join(r.choices("abcXYZ019.-_%+#&", k=r.randint(1, 6))))
            parts.append(r.choice(CONNECTORS))
        return "".join(parts)

    def number_ascii(self):
        r = self.random
        unit = r.choice(("", "%", ".5", ",000", "px", "-20"))
        return r.choice(("$", "", "-", "#", "v")) + str(r.randint(0, 99999)) + unit

    def latin(self):
        r = self.random
        words = (r.choice(ENGLISH) for _ in range(r.randint(2, 10)))
        return r.choice((" ", " ", ", ", "-", "'")).join(
            "".join(r.choice(LATIN) if r.random() < 0.2 else c for c in word) for word in words)

    def ideographs(self):
        r = self.random
        return "".join(r.choice(self.characters) if r.random() < 0.7 else chr(r.randint(0x4E00, 0x9FFF))
                       for _ in range(r.randint(2, 24)))

    def blocks(self):
        r, text = self.random, ""
        for _ in range(r.randint(1, 6)):
            low, high = r.choice(BLOCKS)
            text += "".join(chr(r.randint(low, high)) for _ in range(r.randint(1, 4)))
        return text

    def spliced(self):
        r, text = self.random, ""
        for _ in range(r.randint(2, 5)):
            line = r.choice(self.corpus)
            begin = r.randint(0, len(line))
            text += line[begin:begin + r.randint(1, 16)]
        return text

    def mixed(self):
        r = self.random
        parts = (self.word, self.word, self.number, self.name, lambda: r.choice(ENGLISH),
                 lambda: r.choice(CONNECTORS), lambda: r.choice("，。！？、：；—…“”‘’ \u3000"))
        return "".join(r.choice(parts)() for _ in range(r.randint(3, 16)))

    def lines(self, count):
        """corpus.txt, then generated lines up to `count` in all."""
        kinds = (self.frame, self.frame, self.frame, self.ascii, self.latin, self.ideographs, self.blocks,
                 self.spliced, self.mixed, self.mixed)
        lines = list(self.corpus)
        while len(lines) < count:
            lines.append(self.random.choice(kinds)())
        return lines
