"""What is read from a running gateway, again and again."""

import json
import os
import re
from pathlib import Path

from growth import Bound

MIB = 1 << 20
GIB = 1 << 30

SERIES = {
    "resident": ("resident memory of Envoy, MB", Bound(0.02, 4)),
    "vm": ("memory of the virtual machines, MB", Bound(0.02, 2)),
    "allocated": ("what Envoy itself has allocated, MB", Bound(0.03, 2)),
    "statistics": ("statistics of Envoy", Bound(0.01, 5)),
    "files": ("open files", Bound(0.1, 40)),
    "rate": ("requests a second", None),
}
"""A title for each, and how much may pass for flat. Connections come and go with their clients, so files waver most; of shared
data Envoy tells nothing, but it is a part of what Envoy has allocated."""


def sample(gateway):
    """One of each, but the rate."""
    pid = gateway.envoy_pid
    return {
        "resident": gateway.resident() / MIB,
        "vm": machines(Path(f"/proc/{pid}/smaps").read_text()) / MIB,
        "allocated": int(json.loads(gateway.admin("/memory"))["allocated"]) / MIB,
        "statistics": gateway.admin("/stats").count("\n"),
        "files": len(os.listdir(f"/proc/{pid}/fd")),
    }


def machines(smaps):
    """The bytes of all memories of virtual machines, from the list of a process's mappings.

    V8 reserves gigabytes of addresses for a memory and makes as many pages writable as it has: so it is a writable mapping
    of no file with a large inaccessible one right behind it.
    """
    found = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)", smaps, re.M)
    maps = [(int(begin, 16), int(end, 16), rights, inode) for begin, end, rights, inode in found]
    return sum(end - begin for (begin, end, rights, inode), (then, last, others, _) in zip(maps, maps[1:])
               if rights == "rw-p" and inode == "0" and then == end and others == "---p" and last - then > GIB)


def requests(metrics):
    """How many requests there were, by status, from the samples of /metrics; and attempts, by vendor and outcome."""
    statuses, attempts = {}, {}
    for (name, labels), value in metrics.items():
        labels = dict(labels)
        if name == "api_gateway_requests_total" and labels["method"] == "POST":
            statuses[labels["status"]] = statuses.get(labels["status"], 0) + int(value)
        elif name == "api_gateway_attempts_total":
            key = labels["vendor"], labels["outcome"]
            attempts[key] = attempts.get(key, 0) + int(value)
    return statuses, attempts
