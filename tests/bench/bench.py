"""What Weir costs: the same load straight to a vendor, through a bare route of an Envoy, and through Weir, in turns.

The vendor (tests/load) answers from memory, so that it is no bottleneck: how far it is from one says the row `direct`. What is
compared is the CPU time of the one Envoy process between the load and the vendor, per request, and what it adds to a
request's time. The Envoy that is measured has a core for itself; vendor, load and Redis have the others. All run in
turns, each round in another order, because a machine is not the same from minute to minute; a ratio is the median of
the rounds', each with the bare Envoy of its round.

    make bench                                     all rows; target/bench/summary.json has what each round said
    UPDATE=1 make bench                            and writes the tables in docs/performance.md
    bench.py --only "relay 1 KB" --rounds 3        some rows, and those that they are compared with

Pieces of a stream come a millisecond apart, as from a fast model: without a pause several would arrive at once, and pass
for one. So requests per second of streams say nothing, and CPU says all.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "load"))
from actors import ROOT, Vendor, build, machine, on, split_cores  # noqa: E402

import figures  # noqa: E402
from gateway import client_key  # noqa: E402
from measure import measure, tell  # noqa: E402
from rows import ROWS, chosen  # noqa: E402
from targets import start  # noqa: E402

KEPT = ROOT / "target" / "bench" / "summary.json"
PAGE = ROOT / "docs" / "performance.md"


def main():
    options = arguments()
    rows = chosen(options.only)
    build()
    measured, others = split_cores()
    about = {"machine": machine(), "rounds": options.rounds, "seconds": options.seconds}
    key, entry = client_key("bench")
    with ExitStack() as stack, on(others):
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
        vendor = Vendor().start()
        stack.callback(vendor.stop)
        vendor.pid = vendor.process.pid
        with on(measured):
            targets = {name: start(name, directory, vendor, entry, stack) for name in dict.fromkeys(row.target for row in rows)}
        results = rounds_of(rows, targets, vendor, key, options)
    told = figures.summary(rows, results, about)
    made = figures.page(told)
    print(made)
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    KEPT.write_text(json.dumps(told, indent=2) + "\n")
    if os.environ.get("UPDATE"):
        PAGE.write_text(figures.put(PAGE.read_text(), made))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--only", nargs="+", metavar="ROW", help=f"of {[row.name for row in ROWS]}")
    if not shutil.which("wrk"):
        raise SystemExit("wrk is missing: apt-get install wrk")
    return parser.parse_args()


def rounds_of(rows, targets, vendor, key, options):
    """The figures of each row, round by round."""
    results = {row.name: [] for row in rows}
    for number in range(options.rounds):
        first = number * len(rows) // options.rounds
        for row in rows[first:] + rows[:first]:
            results[row.name].append(one := measure(row, targets[row.target], vendor, key, options.seconds))
            tell(f"round {number + 1} {row.name:24} {one['requests_per_second']:8.0f} requests/s {one['cpu_us']:8.1f} us")
    return results


if __name__ == "__main__":
    main()
