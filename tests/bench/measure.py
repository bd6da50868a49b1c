"""One round of one row: load, CPU time, and a check that every answer came from where it should."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from actors import fetch
from rows import PATH

HERE = Path(__file__).resolve().parent
TURNS = 1500
"""How many things are asked in turn: more than fits into the smallest memory, few enough to be asked in a moment."""

SCHEDULED = 2
"""Of a process's clocks, the one that its scheduler keeps (CPUCLOCK_SCHED, as clock_getcpuclockid(3) asks for it)."""

TURN = {}
"""Whose turn it is at each target, so that what was asked last is asked again last."""


def measure(row, target, vendor, key, seconds):
    """The figures of one round."""
    check(row, target, key)
    warm(row, target, vendor, key, seconds)
    before, cpu = answers(row, target, vendor), spent(target.pid)
    result = load(row, target, key, seconds)
    cpu, answered = spent(target.pid) - cpu, answers(row, target, vendor) - before
    if result["errors"]:
        raise SystemExit(f"{row.name}: {result['errors']} of {result['requests']} requests went wrong")
    # The last requests may be counted when the load has stopped already, and the other way round; and where things are
    # asked in turn, a few are still in a smaller memory.
    if answered + 2 * row.connections + result["requests"] // 50 < result["requests"]:
        raise SystemExit(f"{row.name}: {result['requests']} answers, but {row.level or 'the vendor'} gave {answered}")
    # Requests that were still open when the load stopped cost CPU too: divide by those that were answered there.
    return {"requests_per_second": result["requests"] / result["seconds"], "cpu_us": cpu * 1e6 / max(answered, result["requests"], 1),
            "p50_us": result["p50"], "p99_us": result["p99"], "resident_mb": resident(target.pid)}


def warm(row, target, vendor, key, seconds):
    """Until nothing is new: connections, the translator of the machine code, and what is kept."""
    load(row, target, key, min(1, seconds))
    for _ in range(20 if row.asks == "turns" else 0):
        before = vendor.counts()["answered"]
        load(row, target, key, 1)
        if vendor.counts()["answered"] == before:
            return
    if row.asks == "turns":
        raise SystemExit(f"{row.name}: the vendor is still asked")


def answers(row, target, vendor):
    """How many answers have come from where they should."""
    if not row.level:
        return vendor.counts()["answered"]
    page = fetch(target.port, "GET", "/metrics")[1].decode()
    found = re.findall(rf'^api_gateway_cache_total{{(?=[^}}]*result="hit")(?=[^}}]*level="{row.level}")[^}}]*}} (\S+)$', page, re.M)
    return int(sum(map(float, found)))


def load(row, target, key, seconds):
    """Requests, seconds, and latencies in microseconds."""
    command = ["wrk", "-t1", f"-c{row.connections}", f"-d{seconds}s", "-s", HERE / "post.lua",
               f"http://127.0.0.1:{target.port}{PATH}"]
    env = {**os.environ, "BENCH_BODY": row.body(), "BENCH_KEY": key, "BENCH_ASKS": row.asks, "BENCH_TURNS": str(TURNS),
           "BENCH_FROM": str(TURN.get(row.target, 0))}
    told = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    result = json.loads(told.splitlines()[-1])
    TURN[row.target] = (TURN.get(row.target, 0) + result["requests"] + row.connections) % TURNS
    return result


def check(row, target, key):
    """The answer is a 200 and the vendor's."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    body = row.body().replace("SEED", "%012d" % 0)
    status, answer = fetch(target.port, "POST", PATH, body, headers)
    if status != 200 or b"words" not in answer and b"sentence for its beauty" not in answer and row.pieces != 1:
        raise SystemExit(f"{row.name} does not answer from the vendor: {status} {answer[:300]!r}")
    if row.pieces and answer.count(b"words, words") != row.pieces - 1:
        raise SystemExit(f"{row.name}: not {row.pieces} pieces: {answer[:300]!r}")


def spent(pid):
    """The CPU time of a process so far, in seconds to the nanosecond, with that of threads that have ended."""
    return time.clock_gettime(~pid << 3 | SCHEDULED)


def resident(pid):
    """Memory, in MB."""
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) / 1000


def tell(text):
    print(text, file=sys.stderr, flush=True)
