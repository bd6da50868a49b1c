"""Batches on a real Envoy: each request in one has its own fate, and nothing is paid twice."""

import http.client
import json
import time

import pytest

from conftest import Setting
from formats import Reply
from gateway import CHAT, chat, client_key, until
from redis_servers import Redis
from scripts import JSON, Gate, Pause, answer, fail, huge_event, message, silence

BATCH = f"{CHAT}/batch"
WIDTH = 16
"""How many requests of a batch are under way at once."""


def batch(gateway, requests, key=None, headers=()):
    """Sends a batch: a list, or whatever else is to be the body."""
    body = requests if isinstance(requests, bytes) else json.dumps(requests).encode()
    who = [("x-api-key", key or gateway.key), ("content-type", "application/json")]
    return gateway.send("POST", BATCH, body, [*who, *headers])


def results(gateway, requests, **more):
    """What came of each request of a good batch."""
    response = batch(gateway, requests, **more)
    assert response.status == 200 and response.headers["content-type"] == "application/json", response
    assert all(set(result) == {"status", "body"} for result in response.json)
    return response.json


def statuses(results):
    return [result["status"] for result in results]


def said(result):
    """The text of an answer."""
    return result["body"]["choices"][0]["message"]["content"]


def after(seconds, script):
    def slow(format, call):
        yield Pause(seconds)
        yield from script(format, call)

    return slow


def gate(gate, script=None):
    def gated(format, call):
        yield gate
        yield from (script or answer())(format, call)

    return gated


def echoes(count):
    return [chat(None, "echo") | {"messages": [{"role": "user", "content": f"No. {n}"}]} for n in range(count)]


@pytest.mark.parametrize("form", ["a list", "an object"])
def test_answers_come_in_the_order_of_the_requests(gateway, stage, form):
    """The last vendor answers first, and all are asked at once."""
    waits = {"openai": 0.6, "azure": 0.4, "claude": 0.2}
    cases = [stage.case(**{name: after(wait, answer(f"I am {name}."))}) for name, wait in waits.items()]
    requests = [chat(case, name) for case, name in zip(cases, waits, strict=True)]
    began = time.monotonic()
    found = results(gateway, requests if form == "a list" else {"requests": requests})
    assert statuses(found) == [200] * 3
    assert [said(result) for result in found] == [f"I am {name}." for name in waits]
    assert time.monotonic() - began < sum(waits.values())


def test_an_answer_is_what_the_vendor_said_to_the_byte(gateway, stage):
    bodies = []

    def script(format, call):
        bodies.append(format.whole(Reply("Grüß Gott, \U0001f600 \"friend\".\n"), call.model))
        yield message(200, [*format.headers(), JSON], bodies[-1] + b"\n")

    case = stage.case(openai=script)
    response = batch(gateway, [chat(case, "openai"), chat(case, "openai")])
    item = b'{"status":200,"body":%b}' % bodies[0]
    assert response.body == b"[%b,%b]" % (item, item) and len(bodies) == 1


def test_each_has_its_own_status(gateway, stage):
    """Good and bad ones side by side; the vendor hears only of those that are its own."""
    good, limited = stage.case(openai=answer()), stage.case(openai=fail(429, "Slow down."))
    found = results(gateway, [
        chat(good, "openai"),
        chat(None, "openai", temperature=9),
        chat(None, "claude"),
        chat(limited, "openai"),
        chat(None, "nonesuch"),
        "Hello.",
        chat(None, "openai", stream=True),
        {"requests": [chat(None, "openai")]},
        chat(good, "openai", user="another"),
    ], key=gateway.limited)
    assert statuses(found) == [200, 400, 403, 429, 404, 400, 400, 400, 200]
    errors = [result["body"]["error"] for result in found if result["status"] != 200]
    for error, says in zip(errors, ["temperature", "claude", "Slow down.", "nonesuch", "object", "stream", "model"],
                           strict=True):
        assert says in error, errors
    assert good.called() == ["openai"] * 2 and limited.called() == ["openai"]


def test_each_has_its_own_number(gateway, stage):
    case = stage.case(openai=answer())
    found = results(gateway, [chat(case, "openai", user="a"), chat(case, "openai", user="b")],
                    headers=[("x-request-id", "ours")])
    assert statuses(found) == [200, 200]
    assert {(call.json["user"], call.header("x-request-id")) for call in case.calls} == {("a", "ours-0"), ("b", "ours-1")}


def test_the_same_request_is_paid_once(gateway, stage):
    case = stage.case(openai=answer("Once."))
    same, other = chat(case, "openai"), chat(case, "openai", user="other")
    found = results(gateway, [same, other, same, same])
    assert [said(result) for result in found] == ["Once."] * 4 and len(case.calls) == 2


def test_requests_go_on_to_the_next_vendor(gateway, stage):
    case = stage.case(openai=fail(500), azure_2=answer("Second."))
    [result] = results(gateway, [chat(case, "openai/azure")])
    assert said(result) == "Second." and case.called() == ["openai", "azure-2"]


def test_sixty_four(gateway, at_once):
    """On both workers, and several batches at a time."""
    for found in at_once(lambda _: results(gateway, echoes(64)), range(8)):
        assert [said(result) for result in found] == [f"No. {n}" for n in range(64)]


NO_BATCH = {
    "none": (b"[]", "at least one"), "none in an object": (b'{"requests":[]}', "at least one"),
    "sixty-five": (json.dumps(echoes(65)).encode(), "at most 64 chat requests, not 65"),
    "a chat request": (json.dumps(chat(None, "echo")).encode(), "must be a list"),
    "a string": (b'"[]"', "must be a list"), "no body": (b"", "no body"), "no JSON": (b"[", "JSON"),
}


@pytest.mark.parametrize("name", NO_BATCH)
def test_what_is_no_batch(gateway, name):
    body, says = NO_BATCH[name]
    response = batch(gateway, body)
    assert response.status == 400 and says in response.said(BATCH), response


def test_what_is_checked_before_the_body(gateway):
    head = f"POST {BATCH} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n"
    for more, status in [("x-api-key: wrong\r\n", 401), ("", 401), (f"x-api-key: {gateway.key}\r\nx-weir-a: b\r\n", 400),
                         (f"x-api-key: {gateway.key}\r\nx-envoy-max-retries: 9\r\n", 400)]:
        response = gateway.raw(f"{head}{more}\r\n".encode())
        assert response.status == status, response
    assert batch(gateway, b"[" + b" " * (9 << 20) + b"]").status == 413
    response = gateway.send("GET", BATCH)
    assert (response.status, response.headers["allow"]) == (405, "POST")


def test_nobody_gets_in_by_the_back_door(gateway):
    """The inner listener has no socket, and no path or header leads a client to its cluster."""
    listeners = gateway.admin("/listeners?format=json")
    addresses = {entry["name"]: entry["local_address"] for entry in json.loads(listeners)["listener_statuses"]}
    assert set(addresses["weir_inner"]) == {"envoy_internal_address"}, addresses
    for path in [f"{BATCH}/", f"{BATCH}/x", f"{BATCH}/..", "/weir_inner"]:
        assert gateway.send("POST", path, b"[]", [("host", "weir_inner")]).status in (404, 401, 400), path


def test_large_requests_and_answers(gateway, stage):
    """More than Envoy's own buffers hold; of answers that are too large together those that came first are there."""
    big = [stage.case(openai=answer("x" * (1 << 20))) for _ in range(6)]
    found = results(gateway, [chat(case, "openai", user="y" * (1 << 20)) for case in big])
    assert statuses(found) == [200] * 6
    assert [len(said(result)) for result in found] == [1 << 20] * 6
    huge = [stage.case(openai=answer("x" * (25 << 20))) for _ in range(3)]
    found = results(gateway, [chat(case, "openai") for case in huge])
    assert sorted(statuses(found)) == [200, 200, 502]
    assert any("64 MiB" in result["body"].get("error", "") for result in found)
    [result] = results(gateway, [chat(stage.case(openai=huge_event(33)), "openai")])
    assert result["status"] == 502


def test_who_leaves_pays_for_no_more(gateway, stage):
    """What has been sent is answered; what waits for its turn is not sent."""
    begin = Gate()
    case = stage.case(openai=gate(begin))
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
    body = json.dumps([chat(case, "openai", user=str(n)) for n in range(WIDTH + 4)])
    before = gateway.counted(endpoint=BATCH, status="499")
    connection.request("POST", BATCH, body, {"x-api-key": gateway.key, "connection": "close"})
    assert until(lambda: len(case.calls) == WIDTH)
    connection.close()
    assert until(lambda: gateway.counted(endpoint=BATCH, status="499") == before + 1)
    begin.open()
    assert all(call.finished.passed() for call in case.calls)
    assert results(gateway, echoes(20)) and len(case.calls) == WIDTH


def test_what_is_counted(gateway):
    """A batch is one request, and so is each of its requests."""
    def counted():
        return [gateway.counted(endpoint=BATCH, status="200", model="none", vendor="none"),
                gateway.counted(endpoint=CHAT, status="200", model="echo")]

    before = counted()
    results(gateway, echoes(5) + echoes(5))
    assert until(lambda: counted() == [before[0] + 1, before[1] + 5]), counted()


@pytest.fixture(scope="module")
def bounded(stage, launch, tmp_path_factory):
    """A gateway with little time and few places, and keys in Redis."""
    setting = Setting(stage, tmp_path_factory.mktemp("batch"))
    server = Redis(setting.directory)
    setting.vendor(stage.vendor("batch", "openai"))
    setting.config["vendors"].append({"name": "echo", "kind": "echo"})
    setting.model("batch", "batch")
    setting.model("echo", "echo")
    setting.config["routing"] = {"attempts": 1, "first_token_timeout": "7s", "total_timeout": "7s", "batch_timeout": "1s"}
    setting.config["limits"]["in_flight"] = 20
    setting.config["redis"] = {"urls": [server.url], "timeout": "1s"}
    gateway = setting.gateway(setting.key("batch"))
    for name, limits in [("few", {"requests": {"rate": "3/min", "burst": 3}}), ("narrow", {"concurrent": 2})]:
        setattr(gateway, name, setting.key(f"batch-{name}"))
        setting.config["keys"][-1]["limits"] = limits
    try:
        gateway.server = server.start()
        with launch(gateway):
            yield gateway
    finally:
        server.stop()


def test_a_batch_ends_in_time(bounded, stage):
    """Whatever has no answer by then gets a 504, and what waited for its turn was never sent."""
    quick, hung = stage.case(batch=answer()), stage.case(batch=silence())
    began = time.monotonic()
    found = results(bounded, [chat(quick, "batch")] + [chat(hung, "batch", user=str(n)) for n in range(WIDTH + 3)])
    assert 0.9 < time.monotonic() - began < 2
    assert statuses(found) == [200] + [504] * (WIDTH + 3)
    assert {result["body"]["error"] for result in found[1:]} == {"no answer within 1 seconds (routing.batch_timeout)"}
    assert len(hung.calls) == WIDTH
    assert until(lambda: all(call.abandoned for call in hung.calls)), "nobody waits for them any more"


def test_limits_are_those_of_each_request(bounded):
    found = results(bounded, echoes(5), key=bounded.few)
    assert sorted(statuses(found)) == [200] * 3 + [429] * 2
    assert {result["body"]["error"] for result in found if result["status"] == 429} == {"Rate limit exceeded"}


def test_a_narrow_key_is_no_obstacle(bounded):
    """Its requests go as many at a time as it may have under way, so none is refused."""
    assert statuses(results(bounded, echoes(20), key=bounded.narrow)) == [200] * 20


def test_places_are_taken_by_the_batch_and_by_its_requests(bounded, stage, at_once):
    begin = Gate()
    case = stage.case(batch=gate(begin))

    def send(number):
        if number == 2:
            assert until(lambda: len(case.calls) >= 18)
            begin.open()
            return []
        return results(bounded, [chat(case, "batch", user=f"{number}-{n}") for n in range(WIDTH)])

    found = statuses(sum(at_once(send, range(3)), []))
    assert (found.count(200), found.count(503)) == (18, 2 * WIDTH - 18), "two places are the batches' own"
    assert statuses(results(bounded, echoes(18))) == [200] * 18, "all places are free again"


def test_a_key_of_redis(bounded, at_once):
    """Its first requests wait until Redis knows it, on whichever worker they are."""
    key, entry = client_key("batch-kept")
    bounded.server("SET", f"weir:key:{entry['sha256']}", json.dumps({"name": "kept", "models": ["echo"]}))
    for found in at_once(lambda _: results(bounded, [*echoes(3), chat(None, "batch")], key=key), range(4)):
        assert statuses(found) == [200] * 3 + [403]
