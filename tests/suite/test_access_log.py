"""One line for each request, whatever becomes of it: what stands in it, and what never does."""

import json
import socket
import threading

import pytest

from conftest import KIND_OF, KINDS, Setting
from gateway import CHAT, EMBED, V1, chat, until
from scripts import CLOSE, RESET, Gate, answer, cut, fail, gated, vectors

COST = (11 * 2 + 7 * 10) / 1e6
"""Of an answer, in dollars."""
BATCH = f"{CHAT}/batch"
ENVOYS = {"time", "client", "response_code", "response_flags", "bytes_received", "bytes_sent", "total_ms"}


@pytest.fixture(scope="module")
def logged(stage, launch, tmp_path_factory):
    setting = Setting(stage, tmp_path_factory.mktemp("logged"))
    for name in KINDS:
        setting.vendor(stage.vendor(f"logged-{name}", KIND_OF[name]))
        setting.model(name, f"logged-{name}")
    setting.model("two", "logged-openai", "logged-claude")
    for model in setting.config["models"]:
        model["price"] = {"input": 2, "output": 10}
    setting.config["tenants"] = [{"name": "acme"}]
    setting.config["cache"] = {"ttl": "1m"}
    setting.config["embeddings"] = {"merge": True}
    gateway = setting.gateway(setting.key("payer"))
    setting.config["keys"][-1]["tenant"] = "acme"
    with launch(gateway):
        yield gateway


@pytest.fixture
def ask(logged, request):
    """Makes a request that can be found again; the answer and the line."""
    numbers = iter(range(100))

    def ask(case, model="openai", **more):
        number = f"{request.node.name}-{next(numbers)}"
        headers = [("x-request-id", number), *more.pop("headers", [])]
        response = logged.chat(case, model, headers=headers, **more)
        line = logged.line(number)
        assert line, logged.tail()
        return response, line

    return ask


def test_an_answer(ask, stage):
    response, line = ask(stage.case(logged_openai=answer()))
    times = {name: line.pop(name) for name in ["total_ms", "vendor_ms", "overhead_ms"]}
    assert line.pop("time").startswith("20") and line.pop("request_id") == response.headers["x-request-id"]
    assert line.pop("bytes_received") > 50 and line.pop("bytes_sent") == len(response.body)
    assert line.pop("cost_usd") == pytest.approx(COST)
    assert line == {
        "client": "127.0.0.1", "response_code": 200, "response_flags": "-", "status": 200, "method": "POST",
        "endpoint": V1, "key": "payer", "tenant": "acme", "model": "openai", "vendor": "logged-openai",
        "served": "logged-openai-model", "attempts": "logged-openai:ok", "cache": "miss", "tokens_input": 11,
        "tokens_output": 7, "tokens_cached_input": 3,
    }
    assert 0 < times["vendor_ms"] + times["overhead_ms"] <= times["total_ms"] + 1


def test_a_stream(ask, stage):
    _, line = ask(stage.case(logged_claude=answer()), "claude", stream=True)
    assert (line["streamed"], line["tokens_input"], line["tokens_output"]) == (True, 11, 7)
    assert 0 < line["first_token_ms"] <= line["vendor_ms"] + 0.001


def test_a_kept_answer_costs_nothing(ask, stage):
    case = stage.case(logged_openai=answer())
    first, second = (ask(case)[1] for _ in range(2))
    assert (first["cache"], second["cache"]) == ("miss", "hit-l1")
    assert "cost_usd" not in second and "attempts" not in second and "tokens_input" not in second
    assert second["vendor"] == "logged-openai" and second["overhead_ms"] >= 0


def test_every_attempt(ask, stage):
    response, line = ask(stage.case(logged_openai=fail(429), logged_claude=answer()), "two")
    assert line["attempts"] == response.attempts == "logged-openai:429,logged-claude:ok"
    response, line = ask(stage.case(logged_openai=fail(500), logged_claude=fail(500)), "two")
    assert (line["status"], line["response_code"], line["reason"]) == (502, 502, "upstream_error")
    assert line["attempts"] == response.attempts and "cost_usd" not in line


@pytest.mark.parametrize("how", [CLOSE, RESET])
def test_a_stream_that_the_vendor_breaks_off(ask, stage, how):
    response, line = ask(stage.case(logged_openai=cut(how)), stream=True)
    assert not response.whole
    assert (line["status"], line["reason"], line["attempts"]) == (200, "cut_off", "logged-openai:cut_off")


def test_a_client_that_leaves(logged, stage):
    gate = Gate()
    stream = logged.stream(case := stage.case(logged_openai=gated("one two three", [gate])), "openai")
    number = stream.getheader("x-request-id")
    stream.read(1)
    stream.close()
    line = logged.line(number)
    assert (line["status"], line["response_flags"], line["attempts"]) == (200, "DC", "logged-openai:cancelled")
    assert case.called() and "reason" not in line
    gate.open()


def frame(kind, flags, payload, stream=1):
    """A frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name, value):
    """A header that no table of HPACK's knows."""
    return b"\0" + b"".join(len(text).to_bytes(1, "big") + text.encode() for text in (name, value))


def test_a_client_that_resets_its_stream_of_many(logged, stage):
    """Over HTTP/2 a client leaves without closing its connection; that has a flag of its own."""
    gate = Gate()
    case = stage.case(logged_openai=gated("one two three", [gate]))
    body = json.dumps(chat(case, "openai", stream=True)).encode()
    headers = {":method": "POST", ":scheme": "http", ":path": V1, ":authority": "x", "x-api-key": logged.key,
               "x-request-id": "a-reset", "content-length": str(len(body))}
    with socket.create_connection(("127.0.0.1", logged.port), 10) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, b"", 0)
                     + frame(1, 4, b"".join(literal(*header) for header in headers.items())) + frame(0, 1, body))
        stream = sock.makefile("rb")
        while (head := stream.read(9))[3] != 0:
            stream.read(int.from_bytes(head[:3], "big"))
        sock.sendall(frame(3, 0, (8).to_bytes(4, "big")))
        line = logged.line("a-reset")
    gate.open()
    assert (line["response_flags"], line["attempts"]) == ("DR", "logged-openai:cancelled"), line


@pytest.mark.parametrize("request_, status, reason", [
    ({"temperature": 9}, 400, "invalid"),
    ({"key": "nobody's"}, 401, "unauthorized"),
    ({"model": "no \"such\"\nmodel"}, 404, "unknown_model"),
    ({"path": "/v1/nope\""}, 404, "unknown_path"),
    ({"headers": [("x-weir-route", "x")]}, 400, "malformed"),
])
def test_a_refusal(ask, stage, request_, status, reason):
    response, line = ask(stage.case(), **{"model": "openai", **request_})
    assert response.status == status
    assert (line["status"], line["response_code"], line["reason"]) == (status, status, reason)
    assert ("key" in line) == (reason not in ("unauthorized", "unknown_path", "malformed"))


def test_what_is_no_http_has_a_line_too(logged):
    """The filter never sees it; what is Envoy's own is there."""
    before = len(logged.lines())
    for garbage in [b'GARBAGE"\r\n\r\n', b'G"T / HTTP/1.1\r\nhost: x\r\n\r\n', b"GET / HTTP/1.1\r\n\r\n"]:
        logged.raw(garbage)
    lines = until(lambda: (lines := logged.lines()[before:]) and len(lines) == 3 and lines)
    assert lines and all(ENVOYS <= set(line) and line["response_code"] == 400 for line in lines), lines


def test_whatever_a_client_writes_is_one_line(logged, stage):
    """Numbers, models, paths, methods and addresses that would be more than a text."""
    before, ugly = len(logged.lines()), '"}{"forged":1,\\"\\u0000'
    for headers in [[("x-request-id", ugly)], [("x-forwarded-for", ugly)], [("user-agent", ugly)],
                    [("x-request-id", "r" * 5000)], [("traceparent", ugly)], [("x-request-id", "caf\u00e9".encode())]]:
        logged.chat(stage.case(), ugly * 20, headers=headers)
    logged.send("GET", "/%22%7D?%0a=%22\"", headers=[("host", ugly)])
    lines = until(lambda: (lines := logged.lines()[before:]) and len(lines) >= 7 and lines)
    assert lines and not any("forged" in line for line in lines)
    assert all(len(json.dumps(line)) < 2000 for line in lines)
    text = logged.log.read_text()
    assert all(json.loads(line) for line in text.splitlines() if line.startswith("{"))


def test_a_batch_is_paid_once(logged, stage):
    case = stage.case(logged_openai=answer())
    requests = [{"model": "openai", "messages": [{"role": "user", "content": f"{word} {case.prompt}"}]}
                for word in ("one", "two")]
    answered = logged.send("POST", BATCH, json.dumps(requests).encode(),
                           [("x-api-key", logged.key), ("x-request-id", "a-batch")])
    assert [item["status"] for item in answered.json] == [200, 200]
    outer, *inner = [logged.line(number) for number in ("a-batch", "a-batch-0", "a-batch-1")]
    assert "inner" not in outer and "cost_usd" not in outer and outer["endpoint"] == BATCH
    for line in inner:
        assert line["inner"] is True and line["cost_usd"] == pytest.approx(COST) and line["key"] == "payer"


def test_merged_requests_are_paid_once(logged, stage, at_once):
    """While the first is on its way the others gather, and go as one."""
    gate = Gate()
    case = stage.case(logged_openai=lambda format, call: iter([gate, *vectors()(format, call)]))

    def embed(number):
        body = json.dumps({"model": "openai", "input": f"{number} {case.prompt}"}).encode()
        answer = logged.chat(path=EMBED, body=body, headers=[("x-request-id", f"merging-{number}")])
        assert answer.status == 200, answer
        return answer

    threading.Timer(0.5, gate.open).start()
    answers = at_once(embed, range(6))
    together = [answer for answer in answers if "x-weir-merged" in answer.headers]
    lines = [logged.line(answer.headers["x-request-id"]) for answer in answers]
    merged = [line for line in lines if "merged" in line]
    assert len(merged) == len(together) > 0
    assert not any("cost_usd" in line for line in merged)
    calls = until(lambda: [line for line in logged.lines()
                           if line.get("inner") and line["endpoint"] == EMBED and line.get("cost_usd")])
    assert calls and all(line["key"] == "payer" for line in calls)


def test_it_can_be_turned_off(stage, launch, tmp_path):
    setting = Setting(stage, tmp_path)
    setting.vendor(stage.vendor("silent-openai", "openai"))
    setting.model("openai", "silent-openai")
    setting.config["log"] = {"access": False}
    with launch(setting.gateway(setting.key("silent"))) as gateway:
        assert gateway.chat(stage.case(silent_openai=answer()), "openai").status == 200
    assert gateway.lines() == []


def test_no_prompt_no_answer_no_key(logged, stage, ask):
    case = stage.case(logged_openai=answer("A secret answer."), logged_claude=answer("A secret answer."))
    for more in [{}, {"stream": True}, {"model": "claude"}]:
        assert ask(case, **more)[0].status == 200
    text = logged.log.read_text()
    assert "secret answer" not in text and case.prompt not in text and logged.key not in text
