"""Streams arrive as they are written: a client has a piece in hand before the vendor has written the next.

No clock is involved. The vendor waits at a gate after each piece, and the test opens it when the client has the piece.
"""

import itertools
import json

import pytest

from conftest import KINDS, Setting
from formats import Reply
from gateway import sse, told
from scripts import END, Gate, Pause, answer, chunk, error_event, gated, stalls, stream_head


def pieces(response):
    """The events of an open response, as they come."""
    rest = b""
    while data := response.read1(1 << 16):
        *events, rest = (rest + data).split(b"\n\n")
        for event in events:
            for text in sse(event + b"\n\n"):
                yield text if text == "[DONE]" else json.loads(text)
    assert rest == b""


def words(events):
    for event in events:
        if event != "[DONE]":
            for choice in event["choices"]:
                if text := choice["delta"].get("content"):
                    yield text


@pytest.mark.parametrize("vendor", KINDS)
def test_each_piece_comes_before_the_next_is_written(gateway, stage, vendor):
    gates = [Gate(), Gate(), Gate()]
    case = stage.case(**{vendor: gated("one two three four", gates)})
    events, seen = itertools.tee(pieces(gateway.stream(case, vendor)))
    said = words(seen)
    for word, gate in zip(["one ", "two ", "three "], gates, strict=True):
        assert next(said) == word
        gate.open()
    assert list(said) == ["four"]
    assert told(list(events))[0] == "one two three four"


@pytest.mark.parametrize("vendor", KINDS)
def test_events_cut_at_any_byte(gateway, stage, at_once, vendor):
    """Also within a character, a line end and a chunk: the client sees the same stream."""
    def script(size):
        def play(format, call):
            body = b"".join(format.events(Reply("Grüße, \U0001f600!"), call.model, False))
            yield stream_head(format)
            for at in range(0, len(body), size):
                yield chunk(body[at : at + size])
                yield Pause(0)
            yield END
        return play

    def exchange(size):
        response = gateway.chat(stage.case(**{vendor: script(size)}), vendor, stream=True)
        assert told(response.events)[0] == "Grüße, \U0001f600!"

    at_once(exchange, [1, 2, 3, 7, 64, 100_000])


@pytest.mark.parametrize("vendor", KINDS)
def test_line_ends_and_comments(gateway, stage, vendor):
    """CR LF, comments and fields that nobody needs are legal."""
    def play(format, call):
        events = format.events(Reply("Legal."), call.model, False)
        yield stream_head(format)
        for data in events:
            yield chunk(b": a comment\r\n\r\nretry: 5\r\nid: 3\r\n" + data.replace(b"\n", b"\r\n"))
        yield END

    assert told(gateway.chat(stage.case(**{vendor: play}), vendor, stream=True).events)[0] == "Legal."


@pytest.mark.parametrize("vendor", KINDS)
def test_an_error_after_the_first_words(gateway, stage, vendor):
    """Too late for another vendor: the words stand, the error follows, and nothing says that this was all."""
    case = stage.case(**{vendor: error_event(5, "Overloaded")})
    response = gateway.chat(case, f"{vendor}/openai", stream=True)
    assert response.status == 200 and case.called() == [vendor]
    *good, last = response.events
    assert list(words(good)) and "Overloaded" in last["error"]["message"]
    assert b"[DONE]" not in response.body


def test_a_stream_that_stalls(stage, launch, tmp_path):
    """`idle_timeout` ends it, also when the stream is older than `first_token_timeout`: long before `total_timeout`."""
    setting = Setting(stage, tmp_path)
    setting.config["routing"] = {"attempts": 1, "first_token_timeout": "1s", "idle_timeout": "2s", "total_timeout": "60s"}
    setting.vendor(stage.vendor("stalling", "openai"))
    setting.model("stalling", "stalling")
    with launch(setting.gateway(setting.key("stalling"), workers=1)) as gateway:
        case = stage.case(stalling=stalls())
        response = gateway.chat(case, "stalling", stream=True, timeout=20)
        assert b"[DONE]" not in response.body
        said = list(words(event for event in response.events if "choices" in event))
        assert said and (not response.whole or "error" in response.events[-1])
        assert case.call("stalling").finished.passed(5)


def test_a_slow_stream_is_no_stalled_one(gateway, stage):
    """Longer in all than `first_token_timeout` and `idle_timeout`, but never silent for so long."""
    def play(format, call):
        yield stream_head(format)
        for data in format.events(Reply("a b c d"), call.model, False):
            yield Pause(0.5)
            yield chunk(data)
        yield END

    assert told(gateway.chat(stage.case(openai=play), "openai", stream=True).events)[0] == "a b c d"


@pytest.mark.parametrize("vendor", KINDS)
def test_a_client_that_leaves_ends_the_vendors_work(gateway, stage, vendor):
    case = stage.case(**{vendor: stalls()})
    response = gateway.stream(case, vendor)
    assert next(words(pieces(response)))
    response.close()
    assert case.call(vendor).finished.passed(1.5), "the vendor still works for nobody"


def test_a_long_stream(gateway, stage):
    text = "word " * 20_000
    for vendor in KINDS:
        response = gateway.chat(stage.case(**{vendor: answer(text)}), vendor, stream=True)
        assert told(response.events)[0] == text
