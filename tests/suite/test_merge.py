"""Identical requests at the same time: one goes to the vendor, and the others get its answer."""

import json
import socket
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager

import pytest

import load
from gateway import Response, chat, told, until
from scripts import Gate, answer, cut, fail, gated
from test_cache import COST, Keeping, cache, grow_older
from test_redis import is_whole

CROWD = 1000


@pytest.fixture(scope="module")
def merging(stage, launch, tmp_path_factory):
    """A gateway that takes many requests at once, and waits for up to ten seconds for an identical one."""
    setting = Keeping(stage, tmp_path_factory.mktemp("merging"), merge="10s")
    setting.config["routing"] |= {"first_token_timeout": "20s", "answer_timeout": "20s", "idle_timeout": "20s",
                                  "total_timeout": "40s"}
    setting.config["limits"]["in_flight"] = 12_000
    for name in ["merged", "merged-claude"]:
        setting.vendor(stage.vendor(name, "anthropic" if name == "merged-claude" else "openai"))
        setting.kept(name, name)
    setting.kept("brief", "merged", ttl="1s")
    keys = {name: setting.keyed(name) for name in ["one", "other", "third"]}
    gateway = setting.gateway(setting.key("suite"))
    gateway.keys = keys
    with launch(gateway):
        yield gateway
        assert is_whole(gateway)


def behind(gate, script=None):
    """Waits until the gate is open before anything else."""
    def play(format, call):
        yield gate
        yield from (script or answer("For all."))(format, call)

    return play


def in_flight(gateway):
    """How many requests Envoy knows of."""
    return int(gateway.admin("/stats?filter=^http.weir.downstream_rq_active$").rpartition(":")[2])


def ask(gateway, case, number, gate=None, during=lambda: None, keys=("suite",), model="merged", **fields):
    """So many identical requests at once, of these keys in turn. When all of them are there, the gate opens."""
    there = in_flight(gateway) + number

    def go_on():
        assert until(lambda: in_flight(gateway) >= there, 20), in_flight(gateway)
        during()
        if gate:
            gate.open()

    body = chat(case, model, **fields)
    asked = [(gateway.keys.get(key, gateway.key), body) for _ in range(number // len(keys)) for key in keys]
    return load.at_once([gateway], asked, go_on if gate else None)


@contextmanager
def asking(gateway, case, model="merged", **fields):
    """A client that has asked and waits; at the end of the block it leaves."""
    body = json.dumps(chat(case, model, **fields)).encode()
    with socket.create_connection(("127.0.0.1", gateway.port), 20) as sock:
        sock.sendall(load.request(gateway.key, body))
        yield sock


def results(got):
    return Counter((one.status, one.cache) if one else None for one in got)


def said(got):
    if got.headers["content-type"].startswith("text/event-stream"):
        return told(Response(got.status, got.headers, got.body, True).events)[0]
    return json.loads(got.body)["choices"][0]["message"]["content"]


def test_a_crowd_is_one_request(merging, stage):
    gate, saved = Gate(), merging.counted("api_gateway_saved_usd_total")
    case = stage.case(merged=behind(gate))
    got = ask(merging, case, CROWD, gate)
    assert results(got) == {(200, "miss"): 1, (200, "coalesced"): CROWD - 1}
    assert len(case.calls) == 1 and {said(one) for one in got} == {"For all."}
    assert all(one.headers["x-weir-cost-usd"] == "0" for one in got if one.cache == "coalesced")
    assert until(lambda: merging.counted("api_gateway_saved_usd_total")
                 == pytest.approx(saved + (CROWD - 1) * COST / 1e9))


@pytest.mark.parametrize("turn", range(5))
def test_a_crowd_that_comes_bit_by_bit_is_one_request(merging, stage, turn):
    """The answer is there before the last have come."""
    case = stage.case(merged=[answer("For all.")])
    got = ask(merging, case, CROWD // 4)
    assert Counter(one.status for one in got) == {200: CROWD // 4}
    assert len(case.calls) == 1 and {said(one) for one in got} == {"For all."}


def test_each_key_has_a_crowd_of_its_own(merging, stage):
    gate = Gate()
    case = stage.case(merged=[behind(gate, answer(text)) for text in "abc"])
    keys = ["one", "other", "third"]
    got = ask(merging, case, CROWD // 2 // 3 * 3, gate, keys=keys)
    assert len(case.calls) == 3
    assert results(got) == {(200, "miss"): 3, (200, "coalesced"): len(got) - 3}
    texts = [{said(one) for one in got[place::3]} for place in range(3)]
    assert sorted(map(sorted, texts)) == [["a"], ["b"], ["c"]], "to each its own"


@pytest.mark.parametrize("vendor", ["merged", "merged-claude"])
@pytest.mark.parametrize("leads", [{}, {"stream": True}], ids=["whole", "stream"])
@pytest.mark.parametrize("follow", [{}, {"stream": True}], ids=["whole", "stream"])
def test_whole_answers_and_streams_are_one_request(merging, stage, vendor, leads, follow):
    gate = Gate()
    case = stage.case(**{vendor.replace("-", "_"): behind(gate)})
    with asking(merging, case, vendor, **leads) as leader:
        assert until(lambda: case.calls)
        got = ask(merging, case, 40, gate, model=vendor, **follow)
        assert results(got) == {(200, "coalesced"): 40} and {said(one) for one in got} == {"For all."}
        assert leader.recv(15) == b"HTTP/1.1 200 OK"
    assert len(case.calls) == 1


def test_a_retry_of_an_sdk_joins(merging, stage, at_once):
    gate = Gate()
    case = stage.case(merged=behind(gate))
    with asking(merging, case):
        assert until(lambda: case.calls)
        threading.Thread(target=lambda: until(lambda: in_flight(merging) >= 4) and gate.open()).start()
        retries = [("x-stainless-retry-count", str(number)) for number in (1, 2, 3)]
        assert {cache(one) for one in at_once(lambda retry: merging.chat(case, "merged", headers=[retry]), retries)} == {"coalesced"}
    assert len(case.calls) == 1


def test_who_does_not_want_what_is_kept_goes_alone(merging, stage):
    gate = Gate()
    case = stage.case(merged=[behind(gate), answer("Mine."), answer("Mine, too.")])
    with asking(merging, case):
        assert until(lambda: case.calls)
        for control, note in [("no-cache", "bypass;no-cache"), ("no-store", "bypass;no-store")]:
            assert cache(merging.chat(case, "merged", headers=[("cache-control", control)])) == note
        gate.open()


# When it does not go well

@pytest.mark.parametrize("leads", [{}, {"stream": True}], ids=["whole", "stream"])
def test_a_leader_whose_client_leaves_is_followed_by_the_next(merging, stage, leads):
    never = Gate()
    case = stage.case(merged=[behind(never), answer("Second.")])
    with ExitStack() as stack:
        stack.enter_context(asking(merging, case, **leads))
        assert until(lambda: case.calls)
        got = ask(merging, case, 60, gate=Gate(), during=stack.close)
    assert Counter(one.status for one in got) == {200: 60} and {said(one) for one in got} == {"Second."}
    assert len(case.calls) == 2
    never.open()


def test_a_leader_that_leaves_in_the_middle_of_its_stream_is_followed_by_the_next(merging, stage):
    never = Gate()
    case = stage.case(merged=[gated("One two three.", [never]), answer("Second.")])
    with ExitStack() as stack:
        leader = stack.enter_context(asking(merging, case, stream=True))
        assert leader.recv(15) == b"HTTP/1.1 200 OK"
        got = ask(merging, case, 60, gate=Gate(), during=stack.close)
    assert {said(one) for one in got} == {"Second."} and len(case.calls) == 2
    never.open()


@pytest.mark.parametrize("leads, first", [
    ({}, fail(503)), ({}, fail(400)), ({"stream": True}, cut("clean")), ({"stream": True}, cut("reset")),
    ({}, answer("Half a", finish="content_filter")), ({}, answer("word " * 80_000)),
], ids=["503", "400", "cut", "reset", "filtered", "too large"])
def test_a_leader_without_an_answer_for_all_is_followed_by_the_next(merging, stage, leads, first):
    gate = Gate()
    case = stage.case(merged=[behind(gate, first), answer("Second.")])
    with asking(merging, case, **leads):
        assert until(lambda: case.calls)
        got = ask(merging, case, 60, gate)
    assert Counter(one.status for one in got) == {200: 60} and {said(one) for one in got} == {"Second."}
    assert len(case.calls) == 2


@pytest.mark.parametrize("status", [400, 503])
def test_if_nobody_gets_an_answer_all_get_the_error(merging, stage, status):
    gate = Gate()
    case = stage.case(merged=behind(gate, fail(status)))
    got = ask(merging, case, 60, gate)
    assert results(got) == {(status, "miss"): 60} and len(case.calls) == 60


def test_who_follows_and_leaves_is_forgotten(merging, stage):
    gate = Gate()
    case = stage.case(merged=behind(gate))
    with asking(merging, case) as leader:
        assert until(lambda: case.calls)
        before = in_flight(merging)
        with ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(asking(merging, case))
            assert until(lambda: in_flight(merging) == before + 20)
        assert until(lambda: in_flight(merging) == before)
        assert until(lambda: merging.counted(status="499", model="merged") >= 20)
        gate.open()
        assert leader.recv(15) == b"HTTP/1.1 200 OK"
    assert len(case.calls) == 1


def test_followers_get_the_old_answer_when_the_vendor_is_gone(merging, stage):
    gate = Gate()
    case = stage.case(merged=[answer("Old."), *[behind(gate, fail(503))] * 10])
    assert cache(merging.chat(case, "brief")) == "miss"
    grow_older(1.05)
    got = ask(merging, case, CROWD, gate, model="brief")
    assert results(got) == {(200, "stale"): CROWD} and {said(one) for one in got} == {"Old."}
    assert len(case.calls) <= 3, "each worker asked once"


def test_a_storm(merging, stage):
    gate = Gate()
    case = stage.case(merged=behind(gate))
    got = ask(merging, case, 10_000, gate)
    assert results(got) == {(200, "miss"): 1, (200, "coalesced"): 9_999} and len(case.calls) == 1
    assert is_whole(merging)


# How long

@pytest.fixture(scope="module", params=["300ms", "0s"])
def hasty(request, stage, launch, tmp_path_factory):
    setting = Keeping(stage, tmp_path_factory.mktemp("hasty"), merge=request.param)
    setting.config["routing"] |= {"first_token_timeout": "20s", "answer_timeout": "20s", "idle_timeout": "20s",
                                  "total_timeout": "40s"}
    name = f"hasty-{request.param}"
    setting.vendor(stage.vendor(name, "openai"))
    setting.kept("merged", name)
    gateway = setting.gateway(setting.key("suite"))
    gateway.keys, gateway.merge, gateway.vendor = {}, request.param, name.replace("-", "_")
    with launch(gateway):
        yield gateway


def test_nobody_waits_for_longer_than_is_configured(hasty, stage):
    """All are with the vendor while the first still waits there."""
    gate = Gate()
    case = stage.case(**{hasty.vendor: behind(gate)})
    got = ask(hasty, case, 8, gate, during=lambda: until(lambda: len(case.calls) == 8, 5))
    assert results(got) == {(200, "miss"): 8} and len(case.calls) == 8
