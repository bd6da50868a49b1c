"""Kept answers that gateways share through one Redis, or one Redis Cluster, and what may go wrong with both."""

import json
import os
import secrets
import signal
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

import load
from gateway import chat, client_key, until
from redis_servers import Cluster, Redis
from scripts import Gate, answer, fail
from test_cache import STREAM, Keeping, cache, grow_older, said
from test_merge import ask, asking, behind, in_flight
from test_merge import said as told_to
from test_redis import is_whole

MERGE = 2
"""How long a gateway waits for another, in seconds."""


class Family:
    """Gateways with the same keys in front of one Redis."""

    def __init__(self, stage, launch, make, kind):
        self.stage, self.launch, self.make, self.kind = stage, launch, make, kind
        self.server = (Cluster if kind == "cluster" else Redis)(make("redis"))
        self.first, self.stack = Keeping(stage, make("first")), ExitStack()
        self.vendor = stage.vendor(f"pooled-{kind}", "openai")
        self.free = self.first.key("free")
        limited = {"limits": {"requests": {"rate": "1/h", "burst": 2}}}
        self.keys = {"limited": self.first.keyed("limited", **limited), "acme": self.first.keyed("acme", tenant="acme"),
                     "busy": self.first.keyed("busy", limits={"requests": {"rate": "1000/s", "burst": 100_000}})}

    def gateway(self):
        """One more; it is not started."""
        setting = Keeping(self.stage, self.make("gateway"), merge=f"{MERGE}s")
        setting.secrets, setting.config["keys"] = self.first.secrets, self.first.config["keys"]
        setting.config["tenants"] = [{"name": "acme"}]
        # Long, so that on a busy machine Redis answers.
        setting.config["redis"] = {"urls": self.server.urls if self.kind == "cluster" else [self.server.url],
                                   "cluster": self.kind == "cluster", "timeout": "2s"}
        setting.config["routing"] |= {"first_token_timeout": "20s", "answer_timeout": "20s", "idle_timeout": "20s",
                                      "total_timeout": "40s"}
        setting.vendor(self.vendor)
        setting.kept("merged", self.vendor.name)
        setting.kept("brief", self.vendor.name, ttl="1s", stale="60s")
        setting.kept("tenants", self.vendor.name, scope="tenant")
        gateway = setting.gateway(self.free)
        gateway.keys = self.keys
        return gateway

    def start(self, gateway):
        return self.stack.enter_context(self.launch(gateway))


@pytest.fixture(scope="module", params=["single", "cluster"])
def family(request, stage, launch, tmp_path_factory):
    family = Family(stage, launch, tmp_path_factory.mktemp, request.param)
    try:
        family.server.start()
        with family.stack:
            family.a, family.b = (family.start(family.gateway()) for _ in range(2))
            yield family
            assert is_whole(family.a) and is_whole(family.b)
            assert until(lambda: not family.server.names("weir:lease:*")), "somebody holds what nobody asks"
            failed = [one.counted("api_gateway_redis_batches_total", result="failed") for one in (family.a, family.b)]
            assert failed == [0, 0]
    finally:
        family.server.stop()


@pytest.fixture
def question(family, stage):
    """Makes a question for these answers in turn, and tells where its answer is kept."""

    def holds(text):
        records = ((place, family.server("TYPE", place)) for place in family.server.names("weir:cache:*"))
        return next((place for place, kind in records if kind == "string" and text in family.server("GET", place)), None)

    def question(*scripts, model="merged"):
        case = stage.case(**{family.vendor.name.replace("-", "_"): list(scripts)})

        def at(gateway, key=None, **fields):
            return gateway.chat(case, model, key=family.keys.get(key), **fields)

        def kept(**fields):
            """A gateway keeps the answer; its place in Redis."""
            response = at(family.a, **fields)
            assert cache(response) == "miss"
            number = response.events[0]["id"] if fields else response.json["id"]
            return until(lambda: holds(number))

        return SimpleNamespace(at=at, kept=kept, case=case, called=lambda: len(case.calls))

    return question


@pytest.mark.parametrize("first", [{}, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("then", [{}, STREAM], ids=["whole", "stream"])
def test_what_one_keeps_another_gives(family, question, first, then):
    asked = question(answer("For everywhere."))
    place = asked.kept(**first)
    for result in ["hit-l2", "hit-l1"]:
        response = asked.at(family.b, **then)
        assert (cache(response), said(response)) == (result, "For everywhere.")
        assert (response.headers["x-weir-cost-usd"], response.vendor) == ("0", family.vendor.name)
        assert 0 <= int(response.headers["age"]) < 10
    assert asked.called() == 1
    lasts = (600 + 86_400) * 1000
    assert lasts - 30_000 < family.server("PTTL", place) <= lasts


def test_an_old_answer_of_another_is_better_than_none(family, question):
    asked = question(answer("Old."), *[fail(503)] * 3, model="brief")
    place = asked.kept()
    assert 0 < family.server("PTTL", place) <= 61_000
    grow_older(1.05)
    response = asked.at(family.b)
    assert (cache(response), said(response)) == ("stale", "Old.")


def test_the_same_name_is_not_the_same_key(family, question):
    """A key that Redis keeps is called like one of the file, or like a tenant."""
    for name, tenant, model in [("free", None, "merged"), ("acme", None, "tenants"), ("acme", None, "merged")]:
        key, entry = client_key(name)
        family.a.secrets.append(key)
        family.server("SET", f"weir:key:{entry['sha256']}", json.dumps({"name": name}))
        family.keys["stored"] = key
        asked = question(answer("the file's"), answer("the other's"), model=model)
        filed = "acme" if name == "acme" else None
        assert cache(asked.at(family.a, filed)) == "miss"
        for gateway in [family.a, family.b]:
            response = asked.at(gateway, "stored")
            assert said(response) == "the other's", (name, model)
        assert asked.called() == 2


def test_what_is_taken_of_limits_for_nothing_is_given_back(family, question):
    asked, other = question(answer()), question(*[answer()] * 2)
    began = time.monotonic()
    assert asked.at(family.a, "limited").headers["x-ratelimit-remaining-requests"] == "1"
    assert time.monotonic() - began < MERGE, "it waited for itself"
    assert until(lambda: cache(asked.at(family.b, "limited")) == "hit-l1")
    last = until(lambda: got if (got := other.at(family.b, "limited")).status == 200 else None)
    assert last and last.headers["x-ratelimit-remaining-requests"] == "0"
    assert asked.called() == 1


# Poison

def changed(record, at):
    return record[:at] + chr(ord(record[at]) ^ 1) + record[at + 1 :]


POISON = {
    "nothing": lambda record, other: [("SET", "")],
    "rubbish": lambda record, other: [("SET", secrets.token_bytes(300).decode(errors="surrogateescape"))],
    "cut short": lambda record, other: [("SET", record[:-1])],
    "its head": lambda record, other: [("SET", record[:40])],
    "too long": lambda record, other: [("SET", record + "x")],
    "another's": lambda record, other: [("SET", other)],
    "another version": lambda record, other: [("SET", changed(record, 0))],
    "another text": lambda record, other: [("SET", record.replace("Mine.", "Evil."))],
    "an answer": lambda record, other: [("SET", json.dumps({"choices": []}))],
    "huge": lambda record, other: [("SET", "x" * (33 << 20))],
    "a number": lambda record, other: [("SET", "7")],
    "a list": lambda record, other: [("DEL",), ("RPUSH", record)],
    "a hash": lambda record, other: [("DEL",), ("HSET", "record", record)],
}


@pytest.mark.parametrize("poison", POISON)
def test_what_cannot_be_read_is_not_there(family, question, poison):
    other = question(answer("Another's."))
    other = family.server("GET", other.kept())
    asked = question(answer("Mine."), answer("Mine again."))
    place = asked.kept()
    for command, *words in POISON[poison](family.server("GET", place), other):
        family.server(command, place, *words)
    response = asked.at(family.b)
    assert (cache(response), said(response)) == ("miss", "Mine again.")
    assert until(lambda: family.server("TYPE", place) == "string" and "Mine again." in family.server("GET", place))
    assert cache(question(answer()).at(family.b)) == "miss", "and all goes on"


# Who is at it

def test_gateways_ask_once_together(family, question):
    gate = Gate()
    asked = question(behind(gate, answer("For all.")))
    body = chat(asked.case, "merged")
    got = []
    crowd = threading.Thread(target=lambda: got.extend(load.at_once([family.a, family.b], [(family.free, body)] * 80)))
    crowd.start()
    assert until(lambda: asked.called())
    assert until(lambda: in_flight(family.a) + in_flight(family.b) >= 80)
    gate.open()
    crowd.join()
    assert {(one.status, told_to(one)) for one in got} == {(200, "For all.")}
    assert sorted({one.cache for one in got} - {"coalesced"}) == ["hit-l2", "miss"]
    assert asked.called() == 1


def test_who_takes_over_does_not_wait_for_itself(family, question):
    gate, began = Gate(), time.monotonic()
    asked = question(behind(gate, fail(503)), answer("Second."))
    got = ask(family.a, asked.case, 20, gate)
    assert sorted(one.status for one in got) == [200] * 19 + [503] and asked.called() == 2
    assert time.monotonic() - began < MERGE


def test_a_gateway_that_dies_holds_nobody_up(family, question):
    doomed, never = family.gateway().start(), Gate()
    asked = question(behind(never), answer("Survived."))
    with asking(doomed, asked.case):
        assert until(lambda: asked.called())
        for pid in doomed.family:
            os.kill(pid, signal.SIGKILL)
        doomed.process.wait()
        began = time.monotonic()
        assert said(asked.at(family.b)) == "Survived."
        assert time.monotonic() - began < MERGE + 2
    assert asked.called() == 2
    never.open()


def lease_of(place):
    return place.replace("weir:cache:", "weir:lease:")


def test_a_gateway_waits_for_another_and_takes_nothing_from_it(family, question):
    """Who waits, and leaves, leaves the other's claim alone."""
    asked = question(answer("Elsewhere's."))
    place = asked.kept()
    record, lease = family.server("GET", place), lease_of(place)
    family.server("DEL", place)
    family.server("SET", lease, "elsewhere", "PX", 60_000)
    before = family.b.counted(status="499")
    with asking(family.b, asked.case):
        grow_older(0.3)
    assert until(lambda: family.b.counted(status="499") == before + 1)
    got = []
    waits = threading.Thread(target=lambda: got.append(asked.at(family.b)))
    waits.start()
    assert until(lambda: in_flight(family.b) == 1)
    assert family.server("GET", lease) == "elsewhere"
    family.server("SET", place, record)
    waits.join()
    assert (cache(got[0]), said(got[0])) == ("hit-l2", "Elsewhere's.")
    assert family.server("GET", lease) == "elsewhere"
    family.server("DEL", lease)


def test_a_thousand_answers_of_redis_at_once(family, stage):
    """All wait for one reply of Redis, and none of them for each other."""
    number = 900
    case = stage.case(**{family.vendor.name.replace("-", "_"): answer()})
    asked = [(family.keys["busy"], chat(case, "merged", seed=seed)) for seed in range(number)]
    got = load.at_once([family.a], asked)
    assert [one.status for one in got if one] == [200] * number
    assert is_whole(family.a)


# Without Redis

@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_without_redis_each_keeps_its_own(stage, launch, tmp_path_factory, fault):
    family = Family(stage, launch, tmp_path_factory.mktemp, f"absent-{fault}")
    try:
        family.server.start()
        with family.stack:
            gateway = family.gateway()
            gateway.config["redis"]["timeout"] = "200ms"
            family.start(gateway)
            cases = [stage.case(**{family.vendor.name.replace("-", "_"): answer("On my own.")}) for _ in range(4)]
            assert cache(gateway.chat(cases[0], "merged")) == "miss"
            getattr(family.server, fault)()
            assert cache(gateway.chat(cases[0], "merged")) == "hit-l1"
            for case in cases[1:]:
                began = time.monotonic()
                assert cache(gateway.chat(case, "merged")) == "miss"
                assert time.monotonic() - began < 1
                assert cache(gateway.chat(case, "merged")) == "hit-l1"
            gate = Gate()
            crowd = stage.case(**{family.vendor.name.replace("-", "_"): behind(gate)})
            got = ask(gateway, crowd, 40, gate)
            assert {one.status for one in got} == {200} and len(crowd.calls) == 1
    finally:
        family.server.stop()
