"""What a scripted vendor does with one request.

A script is a function of a format and a call that yields steps: bytes to write exactly as they are, a `Gate` to wait
at, a `Pause`, or one of the ends `CLOSE`, `RESET` and `HANG`. A script that runs out leaves the connection open for the
next request. Code between two yields runs when the step before has been written, so a script can also tell the test
how far it has come.
"""

import asyncio
import gzip
import struct
import threading
import zlib
from dataclasses import dataclass
from http import HTTPStatus
from itertools import takewhile

import frames
from formats import Reply, Tool, dump, event

CLOSE, RESET, HANG = "close", "reset", "hang"


class Gate:
    """A point that a script waits at until the test opens it; or the other way round."""

    def __init__(self):
        self._event = threading.Event()

    def open(self):
        self._event.set()

    def passed(self, seconds=10):
        """Waits; says whether the gate was opened in time."""
        return self._event.wait(seconds)

    async def reached(self):
        await asyncio.to_thread(self.passed)


@dataclass(frozen=True)
class Pause:
    """The vendor is slow, and this is the point of the script."""

    seconds: float


def answer(text=Reply.text, *tools, finish="", sequence=None, framing="length"):
    """A good answer, whole or as a stream, as the request wants it."""
    reply = Reply(text, tuple(Tool(*tool) for tool in tools), finish, sequence)

    def script(format, call):
        if call.streams:
            yield stream_head(format)
            for data in format.events(reply, call.model, format.wants_usage(call.json)):
                yield chunk(data)
            yield END
        elif framing == "chunked":
            yield head(200, [*format.headers(), JSON, CHUNKED]) + chunk(format.whole(reply, call.model)) + END
        else:
            yield message(200, [*format.headers(), JSON], format.whole(reply, call.model))

    return script


def vectors():
    """A good answer to a request for embeddings."""
    return lambda format, call: iter([message(200, [*format.headers(), JSON], format.vectors(call.json, call.model))])


def gated(text, gates, before=lambda index: None):
    """A stream that waits at a gate after each of its first pieces of text."""

    def script(format, call):
        yield stream_head(format)
        left = list(gates)
        words = Reply(text).pieces
        for data in format.events(Reply(text), call.model, format.wants_usage(call.json)):
            yield chunk(data)
            if left and any(word.strip().encode() in data for word in words):
                yield left.pop(0)
        yield END

    return script


def fail(status, said="The vendor says no.", retry_after=None, body=None, headers=()):
    """An error in the vendor's own shape, or with the given body."""

    def script(format, call):
        own, error = format.error(status, said)
        own = [*own, *headers, *([("retry-after", str(retry_after))] if retry_after is not None else [])]
        yield message(status, [*own, JSON], error if body is None else body)

    return script


def page(status=200, body=b"<!DOCTYPE html><html><body><h1>Bad gateway</h1>cloudflare</body></html>"):
    """A web page, as the machine in front of a vendor sends it."""
    return lambda format, call: iter([message(status, [("content-type", "text/html"), ("server", "cdn")], body)])


def reset():
    """The connection is reset before a byte of the answer."""
    return lambda format, call: iter([RESET])


def close():
    """The connection is closed before a byte of the answer."""
    return lambda format, call: iter([CLOSE])


def silence():
    """Never a byte."""
    return lambda format, call: iter([HANG])


def headers_then_silence():
    """Good headers, and never a byte of the body."""
    return lambda format, call: iter([stream_head(format) if call.streams else _begun(format), HANG])


def reset_after_headers():
    """Good headers, then a reset."""
    return lambda format, call: iter([stream_head(format) if call.streams else _begun(format), RESET])


def gzipped(text=Reply.text):
    """A compressed answer, which nobody asked for."""

    def script(format, call):
        plain = format.whole(Reply(text), call.model)
        if call.streams:
            plain = b"".join(format.events(Reply(text), call.model, False))
        kind = events_type(format) if call.streams else JSON
        yield message(200, [*format.headers(), kind, ("content-encoding", "gzip")], gzip.compress(plain))

    return script


def empty():
    """A 200 without a body."""
    return lambda format, call: iter([message(200, [*format.headers(), _type(format, call)], b"")])


def nonsense():
    """A 200 with JSON that is no answer."""

    def script(format, call):
        body = framed(format, format.other_json()) if call.streams else format.other_json()
        yield message(200, [*format.headers(), _type(format, call)], body)

    return script


def not_json():
    """A 200 that says it is JSON, or events, and is not."""

    def script(format, call):
        body = framed(format, b"{oh no") if call.streams else b'{"id": oh no'
        yield message(200, [*format.headers(), _type(format, call)], body)

    return script


def error_with_200(status=503, said="Overloaded"):
    """An error in the vendor's own shape, with a status that says that all is well."""

    def script(format, call):
        own, error = format.error(status, said)
        yield message(200, [*own, JSON], error)

    return script


def drip(text=Reply.text, apart=0.1):
    """A good answer, a byte at a time."""

    def script(format, call):
        body = b"".join(format.events(Reply(text), call.model, False)) if call.streams else format.whole(Reply(text), call.model)
        yield stream_head(format) if call.streams else _begun(format)
        for place in range(len(body)):
            yield chunk(body[place : place + 1])
            yield Pause(apart)
        yield END

    return script


def cut(how, text=Reply.text, share=0.6):
    """An answer that stops at a share of its bytes, in the middle of an event; `how` is an end, or "clean"."""

    def script(format, call):
        if call.streams:
            body = b"".join(format.events(Reply(text), call.model, False))
            yield stream_head(format)
            yield chunk(body[: int(len(body) * share)])
            yield END if how == "clean" else how
        else:
            body = format.whole(Reply(text), call.model)
            yield _begun(format)
            yield chunk(body[: int(len(body) * share)])
            yield END if how == "clean" else how

    return script


def huge_event(megabytes):
    """A stream with one enormous event after a good one, or an enormous whole answer."""

    def script(format, call):
        filler = b"x" * (1 << 20)
        if call.streams:
            events = list(format.events(Reply("One two three."), call.model, False))
            yield stream_head(format)
            yield chunk(b"".join(events[:-3]))
            yield chunk(enormous(format, megabytes))
            yield from (chunk(filler) for _ in range(megabytes))
            yield chunk(b'"}}]}\n\n')
            yield chunk(b"".join(events[-3:])) + END
        else:
            yield _begun(format)
            yield chunk(b'{"padding":"')
            yield from (chunk(filler) for _ in range(megabytes))
            yield chunk(b'"}') + END

    return script


def endless(bytes_apart=0.005):
    """An answer that goes on for ever."""

    def script(format, call):
        yield stream_head(format) if call.streams else _begun(format)
        if call.streams:
            first, *events = format.events(Reply("word " * 4), call.model, False)
            yield chunk(first)
            words = [data for data in events if b"word" in data] if format.kind != "azure" else events[1:3]
            if format.kind == "anthropic":
                yield chunk(events[0])
        while True:
            yield chunk(b"".join(words) if call.streams else b" " * 65536)
            yield Pause(bytes_apart)

    return script


def stalls(text=Reply.text):
    """A stream that begins well and falls silent without an end."""

    def script(format, call):
        events = list(format.events(Reply(text), call.model, False))
        yield stream_head(format)
        yield chunk(b"".join(events[:-3]))
        yield HANG

    return script


def ignores_stream(text=Reply.text):
    """A whole answer, though a stream was asked for."""
    return lambda format, call: iter([message(200, [*format.headers(), JSON], format.whole(Reply(text), call.model))])


def error_event(after=0, said="Overloaded"):
    """A stream of `after` good events and an error."""

    def script(format, call):
        events = list(format.events(Reply(), call.model, False))
        yield stream_head(format)
        for data in events[:after]:
            yield chunk(data)
        yield chunk(format.error_event(said)) + END

    return script


def error_before_content(said="Overloaded"):
    """A stream with all that a vendor sends before the first word, and an error."""

    def script(format, call):
        first = Reply().pieces[0].strip().encode()
        yield stream_head(format)
        for data in takewhile(lambda data: first not in data, format.events(Reply(), call.model, False)):
            yield chunk(data)
        yield chunk(format.error_event(said)) + END

    return script


def framed(format, data):
    """The bytes of one event with this data, in a format's own framing."""
    return format.framed(data) if hasattr(format, "framed") else event(data)


def enormous(format, megabytes):
    """How an event begins that is larger than anybody reads."""
    if not hasattr(format, "framed"):
        return b'data: {"choices":[{"index":0,"delta":{"content":"'
    lengths = struct.pack(">II", (megabytes << 20) + 16, 0)
    return lengths + struct.pack(">I", zlib.crc32(lengths))


def events_type(format):
    """What a format calls its streams."""
    return ("content-type", format.stream_type) if hasattr(format, "stream_type") else EVENTS


def _type(format, call):
    return events_type(format) if call.streams else JSON


JSON = ("content-type", "application/json")
EVENTS = ("content-type", "text/event-stream; charset=utf-8")
CHUNKED = ("transfer-encoding", "chunked")
END = b"0\r\n\r\n"


def head(status, headers):
    """A status line and headers."""
    reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Site is overloaded"
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode()


def message(status, headers, body):
    """A response with a content-length."""
    return head(status, [*headers, ("content-length", str(len(body)))]) + body


def chunk(data):
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream_head(format):
    """The headers of a stream of events."""
    return head(200, [*format.headers(), events_type(format), ("cache-control", "no-cache"), CHUNKED])


def _begun(format):
    return head(200, [*format.headers(), JSON, CHUNKED])


def corrupted(after=3, text=Reply.text):
    """A stream of frames of which one was changed on its way; the sum at its end says so."""

    def script(format, call):
        events = list(format.events(Reply(text), call.model, False))
        yield stream_head(format)
        yield chunk(b"".join(events[:after]) + frames.corrupt(events[after]))
        yield from (chunk(data) for data in events[after + 1:])
        yield END

    return script


def exception(name, after=0, said="The vendor says no."):
    """A stream of frames in which an exception takes the place of the rest."""

    def script(format, call):
        events = list(format.events(Reply(), call.model, False))
        yield stream_head(format)
        yield chunk(b"".join(events[:after]) + frames.exception(name, dump({"message": said}))) + END

    return script
