"""Who plays in a measurement or under chaos: vendors and clients that are programs of their own, and cores for them."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "suite"))
from gateway import free_port, wait_for_port  # noqa: E402

TARGET = ROOT / "target" / "load"


def build():
    """Makes the two programs, which takes seconds."""
    subprocess.run(["cargo", "build", "--quiet", "--release", "--manifest-path", HERE / "Cargo.toml", "--target-dir", TARGET],
                   check=True)


class Vendor:
    """A vendor as a process, so that it can be killed, paused and started again at the same port."""

    def __init__(self, name="vendor", kind="openai"):
        self.name, self.kind, self.port = name, kind, free_port()

    def start(self):
        self.process = subprocess.Popen([TARGET / "release" / "vendor", "--port", str(self.port), "--name", self.name])
        wait_for_port(self.port, self.process)
        return self

    def counts(self):
        return json.loads(fetch(self.port, "GET", "/counts")[1])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    stop = kill

    def entry(self, port=None, **more):
        """Its place in `weir.yaml`; behind another port, if something stands in between."""
        return {"name": self.name, "kind": self.kind, "url": f"http://127.0.0.1:{port or self.port}/v1",
                "credential": {"env": "LOAD_CREDENTIAL"}, **more}


@dataclass
class Kind:
    """A kind of request: how often, how its client behaves, and what may come of it."""

    name: str
    weight: int
    body: dict
    key: str
    manner: str = "reads"
    path: str = "/v1/chat/completions"
    may: frozenset = frozenset({"200"})
    raw: str = ""
    """Instead of the body, what is no JSON."""

    def line(self):
        return "\t".join([self.name, str(self.weight), self.manner, self.key, self.path, self.raw or json.dumps(self.body)])


@dataclass
class Account:
    """What became of every request."""

    counts: Counter = field(default_factory=Counter)
    """By kind and outcome."""
    bins: list = field(default_factory=list)
    """For each tenth of a second: its number, good answers, others, the longest in milliseconds."""
    lost: list = field(default_factory=list)
    clients: list = field(default_factory=list)
    """For each client, how many of its requests got no good answer."""

    @property
    def sent(self):
        """Requests that reached the gateway, as far as a client can know."""
        return sum(count for (_, outcome), count in self.counts.items() if outcome != "unreachable")

    def of(self, outcome):
        return sum(count for (_, known), count in self.counts.items() if known == outcome)

    def unexplained(self, kinds):
        """What came of requests and should not, by their kinds."""
        may = {kind.name: kind.may for kind in kinds}
        return {key: count for key, count in self.counts.items() if key[1] not in may[key[0]]}


def parse(text):
    """What the load prints."""
    account = Account()
    for word, *rest in (line.split("\t") for line in text.splitlines()):
        if word == "count":
            account.counts[rest[0], rest[1]] += int(rest[2])
        elif word == "bin":
            account.bins.append(tuple(map(int, rest)))
        elif word == "client":
            account.clients.append(int(rest[0]))
        else:
            account.lost.append((int(rest[0]), *rest[1:]))
    return account


class Load:
    """Clients at work; `end` lets each finish and gives the account."""

    def __init__(self, port, kinds, directory, connections=16, seconds=3600, pace_us=0):
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "kinds"
        file.write_text("".join(kind.line() + "\n" for kind in kinds))
        words = {"port": port, "kinds": file, "connections": connections, "seconds": seconds, "pace": pace_us}
        command = [TARGET / "release" / "load", *(str(word) for name, value in words.items() for word in (f"--{name}", value))]
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end(self):
        return parse(self.process.communicate(timeout=90)[0])

    def now(self):
        """Seconds since it began, by which its bins are counted."""
        return time.monotonic() - self.began


def fetch(port, method, path, body=None, headers=None):
    """A status and a body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


@contextmanager
def on(cores):
    """What is started meanwhile runs on these cores for ever."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def split_cores():
    """The cores of what is measured, and those of all else: one and the rest, or the only one for both."""
    *rest, last = sorted(os.sched_getaffinity(0))
    return {last}, set(rest) or {last}


def machine():
    """What a table of figures says of the machine."""
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), os.uname().machine)
    return {"cores": len(os.sched_getaffinity(0)), "cpu": model, "kernel": ".".join(os.uname().release.split(".")[:2])}
