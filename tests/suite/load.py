"""Load: many connections that ask without a pause, and an exact account of what they were answered."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Account:
    """What a load came to."""

    statuses: Counter = field(default_factory=Counter)
    tokens: int = 0
    """The usage of all answers."""
    seconds: float = 0
    """From before the first request to after the last answer."""
    broken: list = field(default_factory=list)
    """What was no answer."""
    slowest: float = 0

    @property
    def admitted(self):
        return self.statuses[200]


def run(gateways, key, body, connections=64, seconds=2.0, during=None, enough=lambda account: True,
        ended=None):
    """Loads the gateways, in turn over the connections. `during` is a function that runs meanwhile, in a thread.

    It goes on until that is enough, if a slow machine needs longer, and ends before its time with the event `ended`.
    """
    return asyncio.run(_run(gateways, key, json.dumps(body).encode(), connections, seconds, during, enough, ended))


@dataclass
class Got:
    """What one of many got."""

    status: int
    headers: dict
    body: bytes

    @property
    def cache(self):
        return self.headers.get("x-weir-cache")


def at_once(gateways, asked, during=None, seconds=30):
    """Sends each of these (key, body) once, in turn to the gateways, and gives what each got, in order; `None` for one
    that got no answer in time. Every request is sent before the first answer is read. `during` is a function that runs
    when all are sent, in a thread."""
    return asyncio.run(_at_once(gateways, asked, during, seconds))


@dataclass
class Bound:
    """What a key may use, and how much of it a load has to."""

    entry: dict
    """How a key of the configuration says it."""
    burst: float
    """At once."""
    used: Callable[[Account], float]
    rate: float = 0
    """In a second."""
    reserved: float = 0
    """What requests in flight may keep from each other to the end: they reserve more than they use."""


def use_up(bound, gateways, key, body):
    """A load uses all that its key may, and nothing beyond."""
    least = bound.burst - bound.reserved

    def enough(account):
        return account.statuses[429] > 64 and bound.used(account) >= least

    account = run(gateways, key, body, seconds=0.5, enough=enough)
    used, most = bound.used(account), bound.burst + bound.rate * account.seconds
    assert not account.broken, account.broken[:3]
    assert least <= used <= most + ROUNDING, (account, used, most)
    assert account.statuses[429] > 64, "the load was no load"


ROUNDING = 1e-9
PATIENCE = 20


async def _run(gateways, key, body, connections, seconds, during, enough, ended):
    account, began, asked = Account(), time.monotonic(), request(key, body)
    asking = [_ask(gateways[number % len(gateways)].port, asked, began + seconds, account, enough, ended)
              for number in range(connections)]
    beside = [asyncio.to_thread(during)] if during else []
    await asyncio.gather(*asking, *beside)
    account.seconds = time.monotonic() - began
    return account


async def _ask(port, asked, until, account, enough, ended):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while time.monotonic() < until + (0 if enough(account) else PATIENCE):
            if ended and ended.is_set():
                break
            began = time.monotonic()
            writer.write(asked)
            status, body = await asyncio.wait_for(_answer(reader), 20)
            account.statuses[status] += 1
            account.slowest = max(account.slowest, time.monotonic() - began)
            if status == 200:
                account.tokens += json.loads(body)["usage"]["total_tokens"]
            elif status not in (429, 503):
                account.broken.append((status, body[:300]))
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
        account.broken.append(repr(error))
    finally:
        writer.close()


async def _at_once(gateways, asked, during, seconds):
    # Connected in small groups, so that no backlog overflows.
    gate = asyncio.Semaphore(200)
    connections = await asyncio.gather(*(_connect(gateways[n % len(gateways)].port, gate) for n in range(len(asked))))
    try:
        for (_, writer), (key, body) in zip(connections, asked, strict=True):
            writer.write(request(key, json.dumps(body).encode()))
        beside = [asyncio.to_thread(during)] if during else []
        reading = [asyncio.wait_for(_got(reader), seconds) for reader, _ in connections]
        got = await asyncio.gather(*reading, *beside, return_exceptions=True)
        return [one if isinstance(one, Got) else None for one in got[: len(asked)]]
    finally:
        for _, writer in connections:
            writer.close()


async def _connect(port, gate):
    async with gate:
        return await asyncio.open_connection("127.0.0.1", port)


def request(key, body):
    return (b"POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer %s\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (key.encode(), len(body), body))


async def _got(reader):
    """A whole answer, or a stream to its last chunk."""
    line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    return Got(int(line.split(" ")[1]), headers, body)


async def _answer(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].split("\r\n")[0])
    return int(head.split(" ")[1]), await reader.readexactly(length)
