"""Weir as its users run it: the command, a file, a port. And clients, from well-mannered to raw bytes."""

import hashlib
import http.client
import itertools
import json
import os
import re
import secrets
import signal
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WEIR = ROOT / "dist" / "weir"
CHAT, V1 = "/api/chat/completions", "/v1/chat/completions"
EMBED, V1_EMBED = "/api/embeddings", "/v1/embeddings"


def envoy():
    """The Envoy to test with: the environment's, else the one that `make` installs into .venv."""
    if given := os.environ.get("ENVOY"):
        return given
    found = sorted(ROOT.glob(".venv/lib/python3*/site-packages/envoy/_bin/envoy"))
    if not found:
        pytest.exit("no Envoy: `make` installs one into .venv, or set ENVOY to its path", 2)
    return str(found[0])


OLDEST_ENVOY = ROOT / ".venv" / "envoy-1.39.3" / "envoy" / "_bin" / "envoy"
"""What `make test` installs to see whether it takes what is printed."""


def takes(binary, file):
    """Whether an Envoy takes a configuration; if not, what it says."""
    said = subprocess.run([binary, "--mode", "validate", "-c", file], cwd=ROOT, env={}, capture_output=True, text=True,
                          timeout=60, check=False)
    return said.returncode == 0 or said.stderr[-2000:]


@dataclass
class Response:
    """An answer, and whether it was told to the end."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode()

    @property
    def events(self):
        """The data of every complete event: parsed, except [DONE]."""
        return [data if data == "[DONE]" else json.loads(data) for data in sse(self.body)]

    @property
    def attempts(self):
        return self.headers.get("x-weir-attempts")

    @property
    def vendor(self):
        return self.headers.get("x-weir-vendor")

    def said(self, surface):
        """The error text, checked to be in the shape of its surface."""
        error = self.json["error"]
        assert set(self.json) == {"error"}
        assert self.headers["content-type"].startswith("application/json"), self.headers
        if f"{surface}/".startswith("/v1/"):
            assert set(error) == {"message", "type", "param", "code"}, error
            return error["message"]
        assert isinstance(error, str)
        return error


def sse(body):
    """The data of the events of a stream that uses no fields but data."""
    for block in body.decode().split("\n\n")[:-1]:
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            assert all(line.startswith("data: ") for line in lines), block
            yield "\n".join(line.removeprefix("data: ") for line in lines)


def told(events):
    """Folds the events of a good stream into (text, tool calls, finish reason, usage), checking its laws."""
    assert events[-1] == "[DONE]" and events.count("[DONE]") == 1, events[-2:]
    chunks = events[:-1]
    assert {chunk["object"] for chunk in chunks} <= {"chat.completion.chunk", ""}
    assert len({chunk["id"] for chunk in chunks} - {""}) == 1
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    deltas = [choice.get("delta", {}) for choice in choices]
    assert sum("role" in delta for delta in deltas) == 1
    [finish] = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
    calls = {}
    for piece in itertools.chain.from_iterable(delta.get("tool_calls", []) for delta in deltas):
        if "id" in piece:
            assert piece["type"] == "function" and piece["index"] == len(calls)
            calls[piece["index"]] = {"id": piece["id"], "name": piece["function"]["name"], "arguments": ""}
        calls[piece["index"]]["arguments"] += piece["function"].get("arguments", "")
    usage = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    tools = [(call["id"], call["name"], json.loads(call["arguments"])) for call in calls.values()]
    return "".join(delta.get("content") or "" for delta in deltas), tools, finish, usage


@dataclass
class Gateway:
    """A running Weir."""

    config: dict
    directory: Path
    env: dict[str, str] = field(default_factory=dict)
    workers: int = 2
    secrets: list[str] = field(default_factory=list)
    """What must stand in no log, besides every prompt."""
    key: str = ""
    tls: ssl.SSLContext | None = None
    """How clients come in, if not in the clear."""
    wasm: str = ""
    """Another filter than the one in dist."""

    def start(self):
        self.port = int(self.config["listen"].rpartition(":")[2])
        self.admin_port = int(self.config["admin"].rpartition(":")[2])
        self.log = self.directory / "weir.log"
        file = self.save()
        command = [str(WEIR), "run", "--config", str(file), "--concurrency", str(self.workers)]
        command += ["--wasm", self.wasm] if self.wasm else []
        env = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "ENVOY": envoy(), "REDIS_SERVER": "", **self.env}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        try:
            self._await_health()
        except BaseException:
            self.process.kill()
            raise
        self.family = [self.process.pid, *descendants(self.process.pid)]
        return self

    def save(self):
        """Writes its `weir.yaml`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self.directory / "weir.yaml"
        # Who is tried first is left to the file, but where it is what a test is about.
        routing = {"weights": {"cost": 0, "success": 0, "latency": 0}, **self.config.get("routing", {})}
        file.write_text(yaml.safe_dump({**self.config, "routing": routing}, sort_keys=False))
        return file

    def _await_health(self):
        """Waiting for the process to end is the pause between two tries."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if self.send("GET", "/health").status == 200:
                    return
            except OSError:
                pass
            try:
                code = self.process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"weir run ended with {code}:\n{self.tail()}", pytrace=False)
        pytest.fail(f"weir run is not healthy after 30 s:\n{self.tail()}", pytrace=False)

    def stop(self):
        """Stops it as a service manager does, and checks that nothing is left and nothing was told."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(15)
        except subprocess.TimeoutExpired:
            for pid in self.family:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"weir run ignores SIGTERM:\n{self.tail()}") from None
        assert code == 0, f"weir run ended with {code} on SIGTERM:\n{self.tail()}"
        left = [pid for pid in self.family if alive(pid)]
        assert not left, f"left behind: {left}"
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", self.port)), "the port is still served"
        logged = self.log.read_text(errors="replace")
        told = [secret for secret in [*self.secrets, "[[case:"] if secret in logged]
        assert not told, f"a log tells {told}"

    def tail(self, lines=60):
        """The end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    @property
    def envoy_pid(self):
        [pid] = [pid for pid in self.family if Path(f"/proc/{pid}/exe").resolve().name.startswith("envoy")]
        return pid

    def resident(self):
        """Envoy's memory, in bytes."""
        status = Path(f"/proc/{self.envoy_pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def connect(self, timeout):
        """A connection that is not made yet."""
        if self.tls:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def send(self, method, path, body=None, headers=(), timeout=30):
        """One request on a connection of its own."""
        connection = self.connect(timeout)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            return read(connection.getresponse())
        finally:
            connection.close()

    def chat(self, case=None, model="echo", path=V1, key=None, headers=(), body=None, timeout=30, **fields):
        """A chat request; the prompt is the case's, unless `messages` or the whole body is given."""
        if body is None:
            body = json.dumps(chat(case, model, **fields)).encode()
        who = [("authorization", f"Bearer {key or self.key}")]
        return self.send("POST", path, body, [("content-type", "application/json"), *who, *headers], timeout)

    def stream(self, case, model, **fields):
        """A chat request whose answer is read piece by piece: an open `http.client.HTTPResponse`."""
        connection = self.connect(20)
        body = json.dumps(chat(case, model, stream=True, **fields))
        # With `close` the response alone owns the socket, so that closing it is leaving.
        connection.request("POST", V1, body, {"authorization": f"Bearer {self.key}", "connection": "close"})
        return connection.getresponse()

    def raw(self, data, timeout=20):
        """Exactly these bytes; the first response to them, or None if the connection just ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as sock:
            # The gateway may answer, and close, before it has read everything.
            sender = threading.Thread(target=_send_quietly, args=(sock, data), daemon=True)
            sender.start()
            response = http.client.HTTPResponse(sock, method=data.split(b" ", 1)[0].decode("latin-1"))
            try:
                response.begin()
                return read(response)
            except (http.client.BadStatusLine, ConnectionError):
                return None

    def metrics(self):
        """Every sample of /metrics, as (name, labels) to value."""
        response = self.send("GET", "/metrics")
        assert response.status == 200, response
        return dict(sample(line) for line in response.text.splitlines() if line and not line.startswith("#"))

    def counted(self, name="api_gateway_requests_total", **labels):
        """The sum of the samples of this name that have these labels."""
        return sum(value for (known, having), value in self.metrics().items()
                   if known == name and set(labels.items()) <= set(having))

    def lines(self):
        """The access log: an object for each request that is over, as soon as Envoy has written it, which may be by half."""
        written, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in written.splitlines() if line.startswith("{")]

    def line(self, request_id):
        """The line of the request with this number."""
        return until(lambda: next((line for line in self.lines() if line.get("request_id") == request_id), None))

    def envoy_requests(self):
        """How many requests of clients are under way, by Envoy's own count; calls of the gateway to itself are among them."""
        return int(re.search(r"^http\.weir\.downstream_rq_active: (\d+)$", self.admin("/stats"), re.M)[1])

    def admin(self, path, method="GET"):
        """A page of Envoy's own interface."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=20)
        connection.request(method, path)
        body = connection.getresponse().read().decode()
        connection.close()
        return body


def read(response):
    """Reads to the end, or to where the other side broke off."""
    try:
        body, whole = response.read(), True
    except http.client.IncompleteRead as cut:
        body, whole = cut.partial, False
    except ConnectionError:
        body, whole = b"", False
    headers = {}
    for name, value in response.getheaders():
        headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
    return Response(response.status, headers, body, whole)


def sample(line):
    """One line of Prometheus text."""
    name, labels, value = re.fullmatch(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", line).groups()
    pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")
    return (name, frozenset(pairs)), float(value)


def chat(case, model, **fields):
    """The body of a chat request."""
    prompt = case.prompt if case else "Hello."
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **fields}


FIRST = secrets.choice(range(10_000, 30_000))
PORTS = itertools.cycle([*range(FIRST, 30_000), *range(10_000, FIRST)])
"""Below those that the kernel gives to clients: one of them could take a port before the server it is meant for. Who else
runs on this machine begins elsewhere."""


def free_port():
    """A port that was free just now, and not given before; what is started next takes it."""
    for port in PORTS:
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def wait_for_port(port, process, seconds=20):
    """Waits until somebody listens on a port, or the process that should has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.02)
    pytest.fail(f"nobody listens on {port}; the process says {process.poll()}")


@contextmanager
def envoy_with(file, port, *options, log=None, env=None):
    """An Envoy of one worker with this configuration, once it listens on the port. What it says at this level it says to `log`."""
    command = [envoy(), "-c", file, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error", *options]
    with open(log or os.devnull, "wb") as told:
        process = subprocess.Popen(command, cwd=ROOT, env=env or {}, stdout=told, stderr=told if log else None)
    try:
        wait_for_port(port, process)
        yield
    finally:
        process.terminate()
        process.wait(10)


def client_key(name):
    """A new client key and its entry for `keys`."""
    key = f"weir-{name}-{secrets.token_hex(16)}"
    return key, {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest()}


def until(condition, seconds=3):
    """For the few things that are told by no event, such as a counter: polls, and gives the last value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    return value


def descendants(pid):
    children = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, rest = entry.parent.name, entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(rest[1]), []).append(int(number))
    found = children.get(pid, [])
    return [*found, *(deeper for child in found for deeper in descendants(child))]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _send_quietly(sock, data):
    try:
        for piece in [data] if isinstance(data, bytes) else data:
            sock.sendall(piece)
    except OSError:
        pass
