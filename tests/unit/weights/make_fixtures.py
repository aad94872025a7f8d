"""Makes the *.pt files beside it with torch: python make_fixtures.py. The tests hold what is in them.

Written with torch 2.13.0. numbers.pt and legacy.pt hold the same object in the two layouts of torch.save."""

import argparse
import collections
import pathlib
import struct
import zipfile
import zlib

import numpy
import torch

HERE = pathlib.Path(__file__).resolve().parent


class Unknown:
    """A class that no reader can know."""

    def __init__(self):
        self.tensor = torch.ones(2)


def numbers():
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    return {
        "f32": base,
        "f64": torch.tensor([0.5, -2.0], dtype=torch.float64),
        "f16": torch.tensor([1.0, 2.0], dtype=torch.float16),
        "bf16": torch.tensor([1.0, -1.0], dtype=torch.bfloat16),
        "i64": torch.tensor([2**40, -1]),
        "i32": torch.tensor([7], dtype=torch.int32),
        "i16": torch.tensor([-7], dtype=torch.int16),
        "i8": torch.tensor([-8], dtype=torch.int8),
        "u8": torch.tensor([200], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "transposed": base.t(),
        "row": base[1],
        "expanded": torch.tensor([5.0]).expand(3),
    }


def training_state():
    """As a trainer leaves it: weights among everything else."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    for index, parameter in enumerate(model.parameters()):
        torch.nn.init.constant_(parameter, index)
    return {
        "model_state_dict": model.state_dict(),
        "ema_model_state_dict": collections.OrderedDict(
            (f"ema_model.{name}", value) for name, value in model.state_dict().items()),
        "parameter": torch.nn.Parameter(torch.tensor([9.0])),
        "list": [torch.tensor([1.0]), (torch.tensor([2.0]), None)],
        "by_number": {3: torch.tensor([4.0])},
        "args": argparse.Namespace(rate=0.1, layers=[1, 2], name="x", size=torch.Size([2, 3])),
        "object": Unknown(),
        "dtype": torch.float16,
        "device": torch.device("cuda", 1),
        "size": torch.Size([2, 3]),
        "scalar": numpy.float64(0.5),
        "counts": collections.defaultdict(list, {"a": [1]}),
        "large": 2**70,
        "negative": -(2**33),
        "set": {1, 2},
        "bytes": b"abc",
        "float": 1.5,
        "step": 1250000,
    }


def new_dtypes():
    return {"f8": torch.ones(2).to(torch.float8_e4m3fn), "u16": torch.ones(3, dtype=torch.uint16),
            "f32": torch.ones(1)}


def cyclic():
    items = [torch.tensor([1.0])]
    items.append(items)
    return {"items": items}


def write_zip64(path, stored):
    """A zip archive whose directory has every number in its zip64 place, as if the file were huge."""
    wide, huge, body, directory, count = 0xFFFFFFFF, 45, b"", b"", 0
    for name in stored.namelist():
        data, raw = stored.read(name), name.encode()
        crc = zlib.crc32(data)
        extra = struct.pack("<HHQQQ", 1, 24, len(data), len(data), len(body))
        directory += struct.pack("<4s6H3L5H2L", b"PK\1\2", huge, huge, 0, 0, 0, 0, crc, wide, wide, len(raw),
                                 len(extra), 0, 0, 0, 0, wide) + raw + extra
        body += struct.pack("<4s5H3L2H", b"PK\3\4", huge, 0, 0, 0, 0, crc, wide, wide, len(raw), 0) + raw + data
        count += 1
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, huge, huge, 0, 0, count, count, len(directory), len(body))
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(body) + len(directory), 1)
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, wide, wide, 0)
    path.write_bytes(body + directory + end + locator + tail)


def main():
    torch.save(numbers(), HERE / "numbers.pt")
    torch.save(numbers(), HERE / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(training_state(), HERE / "training.pt")
    torch.save(training_state(), HERE / "protocol4.pt", pickle_protocol=4)
    torch.save(new_dtypes(), HERE / "new_dtypes.pt")
    torch.save(cyclic(), HERE / "cyclic.pt")
    torch.save(Unknown(), HERE / "object.pt")
    with zipfile.ZipFile(HERE / "numbers.pt") as stored:
        with zipfile.ZipFile(HERE / "compressed.pt", "w", zipfile.ZIP_DEFLATED) as packed:
            for name in stored.namelist():
                packed.writestr(name, stored.read(name))
        with zipfile.ZipFile(HERE / "plain.pt", "w") as plain:
            for name in stored.namelist():
                plain.writestr(name, stored.read(name))
        write_zip64(HERE / "zip64.pt", stored)


if __name__ == "__main__":
    main()
