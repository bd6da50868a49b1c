"""The rows of the table: what is asked, of whom, over how many connections, and what it is compared with."""

import json
from dataclasses import dataclass

from targets import CLAUDE, MODEL

PATH = "/v1/chat/completions"
PIECES = 50


@dataclass(frozen=True)
class Row:
    """One row."""

    name: str
    target: str
    basis: str | None = None
    """The row of the same round that its figures are divided by."""
    kilobytes: int = 1
    model: str = MODEL
    pieces: int = 0
    """Of a stream; 0 for an answer in one."""
    asks: str = "new"
    """`new`: something else each time; `same`: the same; `turns`: a few thousand things in turn."""
    level: str = ""
    """Where each answer must come from, if not from the vendor."""
    connections: int = 16

    def body(self):
        """What is asked. The vendor and the load replace nothing but `SEED`, which stands near the beginning."""
        script = f"[[pieces={self.pieces} gap=1000]] " if self.pieces else ""
        rest = self.kilobytes * 1024 - 300
        words = "What does this mean? " * (rest // 21 + 1)
        asked = {
            "model": self.model, "max_tokens": 200, "temperature": 0.7, **({"stream": True} if self.pieces else {}),
            "messages": [{"role": "system", "content": f"{script}You are a careful reader, number SEED."},
                         {"role": "user", "content": words[:rest]}],
        }
        return json.dumps(asked)


def compared(kilobytes):
    """The same request to the vendor, to a bare Envoy, and to Weir."""
    of = f"{kilobytes} KB"
    return [Row(f"bare {of}", "bare", None, kilobytes), Row(f"relay {of}", "weir", f"bare {of}", kilobytes)]


def streams(pieces):
    return [Row(f"bare stream of {pieces}", "bare", None, pieces=pieces),
            Row(f"stream of {pieces}", "weir", f"bare stream of {pieces}", pieces=pieces)]


def alone(row):
    """The same over one connection."""
    basis = f"{row.basis}, alone" if row.basis else None
    return Row(**{**row.__dict__, "name": f"{row.name}, alone", "basis": basis, "connections": 1})


MANY = [
    Row("direct", "direct", "bare 1 KB"),
    *compared(1), *compared(10), *compared(100),
    Row("Anthropic", "weir", "bare 1 KB", model=CLAUDE),
    *streams(1), *streams(PIECES),
    Row("limits", "limited", "bare 1 KB"),
    Row("limits in Redis", "shared", "bare 1 KB"),
    Row("L1 hit", "l1", "bare 1 KB", asks="same", level="l1"),
    Row("L2 hit", "l2", "bare 1 KB", asks="turns", level="l2"),
    Row("everything", "everything", "bare 1 KB"),
]
ALONE = ["direct", "bare 1 KB", "relay 1 KB", "relay 100 KB", "Anthropic", "L1 hit", "L2 hit", "everything", "bare 100 KB"]
ROWS = [*MANY, *(alone(row) for row in MANY if row.name in ALONE)]


def chosen(names):
    """Rows by name, with those that they are compared with; all of them without names. A direct row measures no Envoy."""
    if not names:
        return ROWS
    wanted = {row.name for row in ROWS if row.name in names}
    if unknown := set(names) - wanted:
        raise SystemExit(f"no such row: {sorted(unknown)}; there are {[row.name for row in ROWS]}")
    wanted |= {row.basis for row in ROWS if row.name in wanted and row.basis}
    return [row for row in ROWS if row.name in wanted]
