"""Vendors that send what no vendor should, with nobody to fall back on.

The client gets a clear error: a 502 or 504, or, once an answer has begun, an error event and no `[DONE]`. Where the
vendor's connection breaks in the middle of an answer, Envoy breaks the client's too, which every client reports. A row
is one misbehaviour for all formats, whole and as a stream, at once.
"""

import pytest

from conftest import KIND_OF, KINDS, Setting
from gateway import CHAT, V1
from scripts import (CLOSE, RESET, answer, close, cut, empty, endless, error_event, gzipped, headers_then_silence,
                     huge_event, ignores_stream, nonsense, not_json, page, reset, reset_after_headers, silence, stalls)


@pytest.fixture(scope="module")
def hostile(stage, launch, tmp_path_factory):
    """A gateway of its own, so that its memory is its own."""
    setting = Setting(stage, tmp_path_factory.mktemp("hostile"))
    setting.config["routing"]["total_timeout"] = "3s"
    for name in KINDS:
        setting.vendor(stage.vendor(f"hostile-{name}", KIND_OF[name]))
        setting.model(name, f"hostile-{name}")
    with launch(setting.gateway(setting.key("hostile"))) as gateway:
        for name in KINDS * 2:
            gateway.chat(stage.case(**{f"hostile-{name}": answer()}), name)
        yield gateway


EVERY = {
    "web page": page(200), "web page with an error status": page(502), "compressed": gzipped(), "empty": empty(),
    "other JSON": nonsense(), "no JSON": not_json(), "close": close(), "reset": reset(),
    "headers, then reset": reset_after_headers(), "cut off by close": cut(CLOSE), "cut off by reset": cut(RESET),
    "cut off cleanly": cut("clean"),
    "10 MB": huge_event(10), "100 MB": huge_event(100),
    "silence": silence(), "headers, then silence": headers_then_silence(), "no end": endless(),
}
WHOLE = {"cut off before the last bytes": cut("clean", share=0.97)}
STREAMS = {
    "error event first": error_event(0), "error event in the middle": error_event(4),
    "cut off after the first event": cut("clean", share=0.2), "stalls": stalls(),
}


def refused(response, path):
    """A clear error, in the only way that is left."""
    if response.status == 200:
        assert response.headers["content-type"].startswith("text/event-stream"), response.headers
        assert b"[DONE]" not in response.body
        if response.whole:
            *_, last = response.events
            assert set(last) == {"error"}, last
            assert set(last["error"]) == {"message", "type", "param", "code"} and last["error"]["message"]
    else:
        assert response.status in (502, 503, 504), response
        assert response.said(path)
        assert "cloudflare" not in response.text and "<html" not in response.text


@pytest.mark.parametrize("name", ["10 MB", "100 MB", "no end"])
def test_memory_is_bounded(hostile, stage, name):
    """One after the other, on a gateway that has not seen worse."""
    before = hostile.resident()
    for kind in KINDS:
        for stream in [False, True]:
            case = stage.case(**{f"hostile-{kind}": EVERY[name] if name != "no end" else endless(0)})
            refused(hostile.chat(case, kind, stream=stream, timeout=15), V1)
    assert hostile.resident() - before < 100 << 20


@pytest.mark.parametrize("name", [*EVERY, *WHOLE, *STREAMS])
def test_a_clear_error(hostile, stage, at_once, name):
    deliveries = [stream for stream in [False, True] if name not in (WHOLE if stream else STREAMS)]
    script = (EVERY | WHOLE | STREAMS)[name]

    def exchange(row):
        kind, stream, path = row
        case = stage.case(**{f"hostile-{kind}": script})
        refused(hostile.chat(case, kind, path, stream=stream, timeout=15), path)
        for call in case.calls:
            assert call.finished.passed(5), "the gateway still listens to this vendor"

    at_once(exchange, [(kind, stream, path) for kind in KINDS for stream in deliveries for path in [CHAT, V1]])
    serves(hostile, stage)


def test_a_vendor_that_ignores_stream(hostile, stage):
    """Either an honest error, or the answer as the stream that was asked for."""
    for kind in KINDS:
        case = stage.case(**{f"hostile-{kind}": ignores_stream("All at once.")})
        response = hostile.chat(case, kind, stream=True)
        if response.status == 200:
            assert response.events[-1] == "[DONE]" and b"All at once." in response.body
        else:
            refused(response, V1)


def test_many_at_once_leave_nothing(hostile, stage, at_once):
    """Enormous answers at the same time, half of them streams: what the first round took, the second needs no more."""
    def exchange(number):
        kind = KINDS[number % 3]
        case = stage.case(**{f"hostile-{kind}": huge_event(10)})
        refused(hostile.chat(case, kind, stream=number % 2 == 0), V1)

    at_once(exchange, range(24))
    before = hostile.resident()
    at_once(exchange, range(24))
    assert hostile.resident() - before < 50 << 20
    serves(hostile, stage)


def test_a_client_that_does_not_read(hostile, stage):
    """The vendor is slowed down to the client's pace; the gateway does not buffer the difference."""
    before = hostile.resident()
    case = stage.case(hostile_openai=endless(bytes_apart=0))
    response = hostile.stream(case, "openai")
    [call] = case.calls
    assert response.status == 200 and call.finished.passed(12), "total_timeout ends it"
    assert hostile.resident() - before < 100 << 20
    response.close()
    serves(hostile, stage)


def serves(gateway, stage):
    for kind in KINDS:
        assert gateway.chat(stage.case(**{f"hostile-{kind}": answer()}), kind).status == 200
