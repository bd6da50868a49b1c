"""The scripted vendors: small HTTP servers whose every byte is under the control of a test.

No header of a client reaches a vendor, so the script rides in the prompt: a `Case` says what each vendor does, its
prompt carries `[[case:17]]`, and a vendor that finds this token in a body looks up what to do. Each vendor also insists
on what the real one insists on, and on what must never reach any; what is wrong is a violation, and a test with
violations fails. A request that belongs to no case, or comes to a vendor without a script in its case, is one too.
"""

import asyncio
import itertools
import json
import re
import secrets
import socket
import struct
import threading
from dataclasses import dataclass, field

import signatures
from formats import FORMATS
from scripts import CLOSE, HANG, RESET, Gate, Pause

TOKEN = re.compile(rb"\[\[case:(\d+)\]\]")


@dataclass
class Call:
    """One request as it reached a vendor."""

    vendor: str
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    models: set[str]
    finished: Gate = field(default_factory=Gate)
    """Opened when the vendor has written its whole script, or found its peer gone."""
    abandoned: bool = False
    """The gateway closed the connection before the script was over."""

    def __post_init__(self):
        self.json = parse(self.body)
        # Gemini and Bedrock are asked for a stream by the path.
        asked = isinstance(self.json, dict) and self.json.get("stream") is True
        self.streams = asked or ":streamGenerateContent" in self.path or self.path.endswith("/converse-stream")
        self.model = sorted(self.models)[0]

    def header(self, name):
        return next((value for known, value in self.headers if known == name), None)

    @property
    def case(self):
        found = TOKEN.findall(self.body)
        return int(found[-1]) if found else None


def parse(body):
    """Strict JSON: a key that comes twice is an error. Gives an error text where the body is not acceptable."""

    def once(pairs):
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("a duplicate key")
        return dict(pairs)

    try:
        return json.loads(body.decode(), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        return str(error)


class Case:
    """What each vendor does in one exchange, and what reached them. A list is one script per call, in order."""

    def __init__(self, number, scripts):
        self.number = number
        self.prompt = f"Say something kind. [[case:{number}]]"
        self.calls = []
        self._scripts = {name: iter(s) if isinstance(s, list) else itertools.repeat(s) for name, s in scripts.items()}

    def script(self, vendor):
        return next(self._scripts.get(vendor, iter(())), None)

    def called(self):
        """The vendors that were called, in order."""
        return [call.vendor for call in self.calls]

    def call(self, vendor):
        """The only call to this vendor."""
        [call] = [call for call in self.calls if call.vendor == vendor]
        return call


class Vendor:
    """One vendor: a server on a loopback port. `models` are the names it knows; with `keys`, an id and a secret of AWS,
    requests must be signed."""

    def __init__(self, stage, name, kind, models=(), tls=None, host="127.0.0.1", keys=None):
        self.stage, self.name, self.format, self.host = stage, name, FORMATS[kind], host
        self.models, self.keys = set(models) or {f"{name}-model"}, keys
        self.secret = f"sk-{name}-{secrets.token_hex(16)}"
        self.port, sockets = listening()
        self.servers, self.connections = [], set()
        for sock in sockets:
            stage.run(self._listen(sock, tls))
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}{self.format.base}"

    async def _listen(self, sock, tls):
        self.servers.append(await asyncio.start_server(self._serve, sock=sock, ssl=tls, limit=1 << 24))

    def die(self):
        """From here on connections to it are refused."""
        self.stage.run(self.leave())

    async def leave(self):
        for server in self.servers:
            server.close()
        for task in self.connections:
            task.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)

    async def _serve(self, reader, writer):
        self.connections.add(task := asyncio.current_task())
        try:
            while (call := await self._read(reader)) is not None:
                if not await self._play(call, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass
        finally:
            self.connections.discard(task)
            writer.close()

    async def _read(self, reader):
        """The next request; None at the end of the connection."""
        try:
            text = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as rest:
            if rest.partial:
                self.stage.violation(self, f"rest of a connection is no request: {rest.partial[:80]!r}")
            return None
        line, *lines = text.decode("latin-1").split("\r\n")[:-2]
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        if not re.fullmatch(r"[A-Z]+ \S+ HTTP/1\.1", line):
            self.stage.violation(self, f"not a request line: {line[:80]!r}; a content-length was wrong before it")
            return None
        try:
            body = await asyncio.wait_for(read_body(reader, dict(headers)), 20)
        except TimeoutError:
            self.stage.violation(self, "a body is shorter than its content-length")
            return None
        method, path, _ = line.split(" ")
        return Call(self.name, method, path, headers, body, self.models)

    async def _play(self, call, reader, writer):
        """Runs the call's script; says whether the connection can serve another request."""
        script = self.stage.script_for(self, call)
        if script is None:
            return False
        try:
            for step in script(self.format, call):
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                elif isinstance(step, Gate):
                    await step.reached()
                elif isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                else:
                    return await end(step, call, reader, writer)
        except ConnectionError:
            call.abandoned = True
            return False
        finally:
            call.finished.open()
        return True

    def expect(self, call):
        """What is wrong with a request, for the format and for every vendor."""
        header, prefix = self.format.credential
        names = [name for name, _ in call.headers]
        if call.method != "POST" or not any(call.path in self.format.paths(model) for model in self.models):
            yield f"{call.method} {call.path}"
        if call.header("content-type") != "application/json":
            yield f"content-type is {call.header('content-type')!r}"
        if self.keys:
            yield from signatures.wrong(call, self.keys, self.format.region)
        elif [value for name, value in call.headers if name == header] != [prefix + self.secret]:
            yield f"{header} is not exactly this vendor's credential"
        for name in names:
            signed = bool(self.keys) and name.startswith("x-amz-")
            if name in SECRET_HEADERS - {header} or name.startswith(INTERNAL) and not signed:
                yield f"the header {name} reached the vendor"
        if call.header("accept-encoding") not in (None, "identity"):
            yield f"accept-encoding is {call.header('accept-encoding')!r}"
        if call.header("host") != f"{self.host}:{self.port}":
            yield f"host is {call.header('host')!r}"
        everything = repr(call.headers).encode() + call.path.encode() + call.body
        if any(word.encode() in everything for word in self.stage.forbidden):
            yield "a client's key reached the vendor"
        if isinstance(call.json, dict):
            yield from self.format.expect(call)
        else:
            yield f"the body is not acceptable JSON: {call.json}"


SECRET_HEADERS = {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
INTERNAL = ("x-weir-", "x-envoy-", "x-amz-", "traceparent", "tracestate")


class Stage:
    """All vendors, on one thread."""

    def __init__(self):
        self.vendors, self.cases = {}, {}
        self.forbidden = []
        self.violations = []
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vendors", daemon=True)
        self._thread.start()

    def vendor(self, name, kind, **more):
        self.vendors[name] = Vendor(self, name, kind, **more)
        return self.vendors[name]

    def case(self, **scripts):
        """A new case; a vendor's name with a dash is written with an underscore."""
        case = Case(next(self._numbers), {name.replace("_", "-"): script for name, script in scripts.items()})
        self.cases[case.number] = case
        return case

    def script_for(self, vendor, call):
        """Checks and records a call, and finds what the vendor does with it."""
        try:
            for wrong in vendor.expect(call):
                self.violation(vendor, wrong)
        except (TypeError, KeyError, AttributeError) as error:
            self.violation(vendor, f"a body of another shape altogether: {error!r}")
        case = self.cases.get(call.case)
        if case is None:
            return self.violation(vendor, f"a request of no case: {call.body[:200]!r}")
        case.calls.append(call)
        script = case.script(vendor.name)
        if script is None:
            self.violation(vendor, f"case {case.number} has no script for this call; called: {case.called()}")
        return script

    def violation(self, vendor, text):
        self.violations.append(f"{vendor.name}: {text}")

    def settle(self):
        """Forgets and gives the violations so far."""
        found, self.violations = self.violations, []
        return found

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def stop(self):
        for vendor in self.vendors.values():
            vendor.die()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


async def end(step, call, reader, writer):
    """Ends a connection in the way that a script says; it serves no further request."""
    if step == HANG:
        call.abandoned = not await reader.read(1)
    elif step == RESET:
        # Linger with a time of zero makes the kernel send a reset instead of an orderly end.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        assert step == CLOSE, step
    return False


async def read_body(reader, headers):
    if headers.get("transfer-encoding", "").lower() == "chunked":
        pieces = []
        while size := int(await reader.readline(), 16):
            pieces.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readexactly(2)
        return b"".join(pieces)
    return await reader.readexactly(int(headers.get("content-length", 0)))


def listening():
    """A free port and sockets bound to it, on the loopback addresses that this machine has."""
    first = socket.create_server(("127.0.0.1", 0))
    port = first.getsockname()[1]
    try:
        return port, [first, socket.create_server(("::1", port), family=socket.AF_INET6)]
    except OSError:
        return port, [first]


def closed_port():
    """A port on which connections are refused, and the socket that keeps it so: bound, but not listening."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock.getsockname()[1], sock
