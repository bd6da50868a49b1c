"""The tables of bad input in `tests/hostile`: from what is written there to the bytes that are sent.

What is sent is written in pieces, one or a list of them: a text, which is sent in UTF-8, or a mapping with one of the
words of `PIECES`. What a word with a percent sign stands for, the test of a table says.
"""

import gzip
import json
import struct
import zlib
from pathlib import Path

import yaml

import frames

TABLES = Path(__file__).resolve().parents[1] / "hostile"


def tables(folder):
    """The names of the tables in a folder."""
    return sorted(file.stem for file in (TABLES / folder).glob("*.yaml"))


def table(folder, name):
    """A table as it is written."""
    return yaml.load((TABLES / folder / f"{name}.yaml").read_text(), yaml.CSafeLoader)


def joined(pieces, fill=lambda text: text):
    """The bytes of pieces; `fill` sees each text."""
    if isinstance(pieces, str):
        return fill(pieces).encode()
    if isinstance(pieces, list):
        return b"".join(joined(piece, fill) for piece in pieces)
    [(word, value)] = pieces.items()
    return PIECES[word](value, fill)


def _repeat(value, fill):
    piece, times = value
    return joined(piece, fill) * times


def _prelude(value, fill):
    """The lengths of a frame, of the whole and of its headers, and the sum that is right for them."""
    lengths = struct.pack(">II", *value)
    return lengths + struct.pack(">I", zlib.crc32(lengths))


def _event(value, fill):
    name, payload = value
    return frames.event(name, joined(payload, fill))


PIECES = {
    "hex": lambda value, fill: bytes.fromhex(value),
    "repeat": _repeat,
    "gzip": lambda value, fill: gzip.compress(joined(value, fill)),
    "deflate": lambda value, fill: zlib.compress(joined(value, fill)),
    "utf16": lambda value, fill: fill(value).encode("utf-16"),
    "chunk": lambda value, fill: b"%x\r\n%b\r\n" % (len(data := joined(value, fill)), data),
    "frame": _event,
    "corrupt": lambda value, fill: frames.corrupt(_event(value, fill)),
    "exception": lambda value, fill: frames.exception(value[0], joined(value[1], fill)),
    "bare-frame": lambda value, fill: frames.frame(value[0], joined(value[1], fill)),
    "prelude": _prelude,
}


def replaced(good, path, raw):
    """The JSON text of a value in which another text stands at a path such as `messages[0].role`."""
    mark = "\0here\0"
    value = json.loads(json.dumps(good))
    *way, last = keys(path)
    place = value
    for key in way:
        place = place[key]
    place[last] = mark
    return json.dumps(value).replace(json.dumps(mark), raw)


def keys(path):
    """`a[0].b` as ["a", 0, "b"]."""
    for name in path.split("."):
        first, *indices = name.split("[")
        if first:
            yield first
        yield from (int(index.rstrip("]")) for index in indices)
