"""Limits and budgets on one real Envoy: what passes under load, and what a request comes to in the end."""

import json
import threading

import openai
import pytest

import load
from conftest import Setting
from formats import Reply
from gateway import CHAT, V1, until
from scripts import JSON, Gate, answer, fail, gated, message, reset, silence

ROUNDS = 10
# Four words and a little more: some 9 tokens, of which the answer repeats 5.
ASKED = {"model": "echo", "max_tokens": 20, "messages": [{"role": "user", "content": "one two three four"}]}
DEAR = {"input": 100, "output": 100}
PER_TOKEN = 100 / 1_000_000
CLAIM = 40
"""More than such a request reserves, in tokens."""
BOUNDS = {
    "requests": load.Bound({"limits": {"requests": {"rate": "20/s", "burst": 50}}}, 50, lambda account: account.admitted,
                           rate=20),
    "tokens": load.Bound({"limits": {"tokens": {"rate": "500/s", "burst": 1500}}}, 1500, lambda account: account.tokens,
                         rate=500, reserved=64 * CLAIM / 2),
    "dollars": load.Bound({"budget_usd": {"month": 0.15}}, 0.15, lambda account: account.tokens * PER_TOKEN,
                          reserved=2 * CLAIM * PER_TOKEN),
}


class Limited(Setting):
    """A gateway with the echo vendor and keys that have limits."""

    def __init__(self, stage, directory):
        super().__init__(stage, directory)
        self.config["vendors"].append({"name": "echo", "kind": "echo"})
        self.config["models"].append({"name": "echo", "serve": [{"vendor": "echo", "price": DEAR}]})

    def limited(self, **more):
        key = self.key(f"limited-{len(self.config['keys'])}")
        self.config["keys"][-1].update(more)
        return key

    def bounded(self):
        """For each bound a key that has it, for every round."""
        return {name: [self.limited(**bound.entry) for _ in range(ROUNDS)] for name, bound in BOUNDS.items()}


@pytest.fixture(scope="module", params=[2, 4], ids=["2 workers", "4 workers"])
def crowded(request, stage, launch, tmp_path_factory):
    setting = Limited(stage, tmp_path_factory.mktemp("crowded"))
    keys = setting.bounded()
    gateway = setting.gateway(setting.key("free"), request.param)
    gateway.keys = keys
    with launch(gateway):
        yield gateway


@pytest.mark.parametrize("turn", range(ROUNDS))
@pytest.mark.parametrize("bound", BOUNDS)
def test_nothing_passes_beyond_a_bound(crowded, bound, turn):
    load.use_up(BOUNDS[bound], [crowded], crowded.keys[bound][turn], ASKED)


@pytest.fixture(scope="module")
def scripted(stage, launch, tmp_path_factory):
    """A gateway with scripted vendors, one of which has limits of its own."""
    setting = Limited(stage, tmp_path_factory.mktemp("limits"))
    for name in ["limit-first", "limit-second"]:
        setting.vendor(stage.vendor(name, "openai"))
    setting.vendor(stage.vendor("limit-claude", "anthropic"))
    setting.vendor(stage.vendor("limit-guarded", "openai"), limits={"requests": {"rate": "1/h", "burst": 2}})
    price = {"price": {"input": 1, "output": 1}}
    for model, vendors in [("lone", ["first"]), ("both", ["first", "second"]), ("claude", ["claude"]),
                           ("guarded", ["guarded", "second"]), ("guarded-alone", ["guarded"])]:
        setting.config["models"].append({"name": model, "serve": [
            {"vendor": f"limit-{vendor}", "model": f"limit-{vendor}-model", **price} for vendor in vendors]})
    setting.config["models"].append({"name": "rare", "serve": [{"vendor": "echo"}],
                                     "limits": {"requests": {"rate": "1/h", "burst": 3}}})
    setting.config["tenants"] = [{"name": "acme", "limits": {"requests": {"rate": "1/h", "burst": 3}}}]
    gateway = setting.gateway(setting.key("free"))
    gateway.tokens = [setting.limited(limits={"tokens": {"rate": "150/h", "burst": 100_000}}) for _ in range(30)]
    gateway.budgets = [setting.limited(budget_usd={"month": 0.01}) for _ in range(5)]
    gateway.slow = [setting.limited(limits={"requests": {"rate": "2/s", "burst": 1}}) for _ in range(3)]
    gateway.concurrent = setting.limited(limits={"concurrent": 3})
    gateway.observed = setting.limited(limits={"requests": {"rate": "1/h", "burst": 1, "mode": "observe"}})
    gateway.tenants = [setting.limited(tenant="acme") for _ in range(2)]
    gateway.one_vendor = setting.limited(vendors=["limit-second"])
    gateway.expired = setting.limited(expires="2020-01-01T00:00:00Z")
    gateway.disabled = setting.limited(enabled=False)
    with launch(gateway):
        yield gateway


def metered(usage):
    """A good answer with this member `usage`, or without one."""

    def script(format, call):
        body = json.loads(format.whole(Reply("Four tokens are this."), call.model))
        del body["usage"]
        yield message(200, [*format.headers(), JSON], json.dumps(body | ({"usage": usage} if usage != "none" else {})).encode())

    return script


def probe(gateway, stage, key):
    """What is left in a bucket of tokens, as the headers of an answer that costs nothing say."""
    case = stage.case(limit_first=metered({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}))
    response = gateway.chat(case, "lone", key=key, max_tokens=10)
    assert response.status == 200, response
    return int(response.headers["x-ratelimit-remaining-tokens"])


def charged(gateway, stage, key, exchange):
    """What an exchange costs, in tokens."""
    before = probe(gateway, stage, key)
    exchange()
    return before - probe(gateway, stage, key)


def about(cost, tokens):
    """The bucket fills by a token in 24 seconds, which may be these."""
    return 0 <= tokens - cost <= 1


USAGES = [
    # (what the vendor reports, what is charged; None for an estimate)
    ({"prompt_tokens": 300, "completion_tokens": 200, "total_tokens": 500}, 500),
    ({"prompt_tokens": 300, "completion_tokens": 200}, 500),
    ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, 0),
    ("none", None),
    (None, None),
    ({}, None),
    ({"prompt_tokens": -300, "completion_tokens": 200}, None),
    ({"prompt_tokens": 300, "completion_tokens": -200}, None),
    ({"prompt_tokens": "300", "completion_tokens": 200}, None),
    ({"prompt_tokens": 1e30, "completion_tokens": 200}, None),
    ({"prompt_tokens": 99_999_999_999, "completion_tokens": 1}, None),
]


@pytest.mark.parametrize("usage, tokens", USAGES, ids=str)
def test_an_answer_is_charged_by_its_usage(scripted, stage, usage, tokens):
    case = stage.case(limit_first=metered(usage))
    key = scripted.tokens[0]
    cost = charged(scripted, stage, key, lambda: scripted.chat(case, "lone", key=key, max_tokens=5000))
    if tokens is None:
        assert 5 <= cost <= 40, "an estimate of the prompt and of what was said"
    else:
        assert about(cost, tokens)


@pytest.mark.parametrize("model, vendor", [("lone", "limit_first"), ("claude", "limit_claude")])
def test_a_stream_is_charged_by_its_usage(scripted, stage, model, vendor):
    case = stage.case(**{vendor: answer("Some words, and no more.")})
    key = scripted.tokens[1]

    def exchange():
        events = scripted.chat(case, model, key=key, max_tokens=5000, stream=True).events
        assert events[-1] == "[DONE]" and not any(event.get("usage") for event in events[:-1]), "nobody asked for it"

    reply = Reply("Some words, and no more.")
    assert about(charged(scripted, stage, key, exchange), reply.prompt_tokens + reply.completion_tokens)


@pytest.mark.parametrize("model, vendor", [("lone", "limit_first"), ("claude", "limit_claude")])
def test_a_stream_that_the_client_leaves_is_charged_for_what_came(scripted, stage, model, vendor):
    gate = Gate()
    words = "word " * 100
    case = stage.case(**{vendor: gated(words, [gate])})
    key = scripted.tokens[2]

    def exchange():
        scripted.key, held = key, scripted.key
        try:
            response = scripted.stream(case, model, max_tokens=5000)
        finally:
            scripted.key = held
        response.fp.readline()
        response.close()
        assert until(lambda: scripted.counted(model=model, status="200") > 0)
        gate.open()
        case.calls[0].finished.passed()

    cost = charged(scripted, stage, key, exchange)
    assert 5 <= cost < 60, "the prompt and the first words, not what was reserved"


@pytest.mark.parametrize("script", [fail(500), fail(400), reset(), silence()], ids=["500", "400", "reset", "silence"])
def test_a_failure_costs_nothing(scripted, stage, script):
    case = stage.case(limit_first=script)
    key = scripted.tokens[3]
    cost = charged(scripted, stage, key,
                   lambda: scripted.chat(case, "lone", key=key, max_tokens=5000).status != 200)
    assert about(cost, 0)


def test_a_failover_is_charged_once(scripted, stage):
    case = stage.case(limit_first=fail(503), limit_second=metered({"prompt_tokens": 30, "completion_tokens": 20}))
    key = scripted.tokens[4]
    assert about(charged(scripted, stage, key, lambda: scripted.chat(case, "both", key=key, max_tokens=5000)), 50)


def test_a_refused_request_costs_nothing(scripted, stage):
    key = scripted.tokens[5]

    def exchange():
        assert scripted.chat(model="no such model", key=key).status == 404
        assert scripted.chat(model="lone", temperature=9, key=key).status == 400
        response = scripted.chat(model="lone", key=key, max_tokens=10_000_000, messages=[{"role": "user", "content": "x"}])
        assert response.status == 429 and response.headers["x-should-retry"] == "false"
        assert "retry-after" not in response.headers, "no wait would help"
        assert "100000" in response.said(V1)

    assert about(charged(scripted, stage, key, exchange), 0)


def test_a_budget_ends(scripted, stage):
    """2,500 tokens at a dollar for a million are a quarter of a cent, and the budget is a cent."""
    key = scripted.budgets[0]
    usage = {"prompt_tokens": 2000, "completion_tokens": 500, "total_tokens": 2500}
    for _ in range(4):
        response = scripted.chat(stage.case(limit_first=metered(usage)), "lone", key=key, max_tokens=5)
        assert (response.status, response.headers["x-weir-cost-usd"]) == (200, "0.0025")
    response = scripted.chat(model="lone", key=key, max_tokens=5, messages=[{"role": "user", "content": "x"}])
    assert response.status == 429
    assert "budget of 0.01 USD per month" in response.said(V1)
    assert response.json["error"]["code"] == "insufficient_quota"
    assert response.headers["x-should-retry"] == "false"
    assert 0 < int(response.headers["retry-after"]) <= 31 * 86400
    assert "budget" in scripted.chat(model="lone", path=CHAT, key=key, messages=ASKED["messages"]).said(CHAT)


def test_an_sdk_does_not_storm_against_a_budget(scripted, stage):
    key = scripted.budgets[1]
    usage = {"prompt_tokens": 10_000, "completion_tokens": 0, "total_tokens": 10_000}
    scripted.chat(stage.case(limit_first=metered(usage)), "lone", key=key, max_tokens=5)
    before = scripted.counted(status="429")
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{scripted.port}/v1", api_key=key, max_retries=2)
    with client, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="lone", messages=ASKED["messages"])
    assert until(lambda: scripted.counted(status="429") == before + 1), scripted.counted(status="429") - before


@pytest.mark.parametrize("path", [CHAT, V1])
def test_a_rate_limit_says_when(scripted, path):
    key = scripted.slow[0 if path == CHAT else 1]
    first = scripted.chat(key=key, path=path, **ASKED)
    assert first.status == 200
    assert (first.headers["x-ratelimit-limit-requests"], first.headers["x-ratelimit-remaining-requests"]) == ("1", "0")
    assert first.headers["x-ratelimit-reset-requests"].endswith("ms")
    refused = scripted.chat(key=key, path=path, **ASKED)
    assert refused.status == 429
    if path == CHAT:
        assert refused.json == {"error": "Rate limit exceeded"}
    else:
        assert refused.json["error"]["type"] == "requests" and refused.json["error"]["code"] == "rate_limit_exceeded"
        assert "2/s" in refused.said(V1)
    wait = int(refused.headers["retry-after-ms"])
    assert 0 < wait <= 500 and refused.headers["retry-after"] == "1" and refused.headers["x-should-retry"] == "true"
    threading.Event().wait(wait / 1000)
    assert scripted.chat(key=key, path=path, **ASKED).status == 200, "the wait was exact"


def test_an_sdk_waits_as_it_is_told(scripted):
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{scripted.port}/v1", api_key=scripted.slow[2], max_retries=2)
    with client:
        for _ in range(3):
            assert client.chat.completions.create(model="echo", messages=ASKED["messages"]).choices


def test_requests_at_once(scripted, stage, at_once):
    """Three are answered when the gate opens; whoever comes meanwhile is refused."""
    gate = Gate()
    key = scripted.concurrent
    case = stage.case(limit_first=lambda format, call: iter([gate, *answer()(format, call)]))
    refused = threading.Semaphore(0)

    def exchange(_):
        response = scripted.chat(case, "lone", key=key)
        if response.status == 429:
            refused.release()
        return response

    threads = threading.Thread(target=lambda: [refused.acquire(timeout=10) for _ in range(7)] and gate.open())
    threads.start()
    responses = at_once(exchange, range(10))
    threads.join()
    assert sorted(response.status for response in responses) == [200] * 3 + [429] * 7
    [wait] = {int(response.headers["retry-after"]) for response in responses if response.status == 429}
    assert wait == 1
    assert until(lambda: scripted.chat(stage.case(limit_first=answer()), "lone", key=key).status == 200)


def test_an_observed_limit_refuses_nobody_and_counts(scripted):
    labels = {"limit": "requests", "mode": "observe", "role": "key"}
    before = scripted.counted("api_gateway_limited_total", **labels)
    responses = [scripted.chat(key=scripted.observed, **ASKED) for _ in range(4)]
    assert [response.status for response in responses] == [200] * 4
    assert not any("x-ratelimit-limit-requests" in response.headers for response in responses)
    assert until(lambda: scripted.counted("api_gateway_limited_total", **labels) == before + 3)


def test_keys_of_a_tenant_share_its_limit(scripted):
    one, other = scripted.tenants
    statuses = [scripted.chat(key=key, **ASKED).status for key in [one, other, one, other, one]]
    assert statuses == [200, 200, 200, 429, 429]
    assert 'tenant "acme"' in scripted.chat(key=other, **ASKED).said(V1)


def test_a_model_has_a_limit_for_everybody(scripted):
    statuses = [scripted.chat(model="rare", messages=ASKED["messages"]).status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


def test_a_vendor_at_its_limit_is_passed_by(scripted, stage):
    case = stage.case(limit_guarded=answer(), limit_second=answer())
    vendors = [scripted.chat(case, "guarded").vendor for _ in range(4)]
    assert vendors == ["limit-guarded", "limit-guarded", "limit-second", "limit-second"]
    response = scripted.chat(model="guarded-alone", messages=ASKED["messages"])
    assert response.status == 429 and 'vendor "limit-guarded"' in response.said(V1)


def test_a_key_may_use_some_vendors(scripted, stage):
    case = stage.case(limit_second=answer())
    response = scripted.chat(case, "both", key=scripted.one_vendor)
    assert (response.status, response.attempts) == (200, "limit-second:ok")
    refused = scripted.chat(model="lone", key=scripted.one_vendor, messages=ASKED["messages"])
    assert refused.status == 403 and "vendor" in refused.said(V1)


def test_keys_that_are_not_taken(scripted):
    assert "expired" in scripted.chat(key=scripted.expired, **ASKED).said(V1)
    assert "disabled" in scripted.chat(key=scripted.disabled, **ASKED).said(V1)
    assert scripted.chat(key=scripted.disabled, **ASKED).status == 401


@pytest.fixture
def small(stage, launch, tmp_path):
    """A gateway that takes three requests at once."""
    setting = Limited(stage, tmp_path)
    vendor = stage.vendor("limit-small", "openai")
    setting.vendor(vendor)
    setting.model("small", "limit-small")
    setting.config["limits"]["in_flight"] = 3
    with launch(setting.gateway(setting.key("free"))) as gateway:
        yield gateway


def test_a_full_gateway_refuses_at_once(small, stage, at_once):
    gate = Gate()
    case = stage.case(limit_small=lambda format, call: iter([gate, *answer()(format, call)]))
    refused = threading.Semaphore(0)

    def exchange(_):
        response = small.chat(case, "small")
        if response.status == 503:
            refused.release()
        return response

    opener = threading.Thread(target=lambda: [refused.acquire(timeout=10) for _ in range(7)] and gate.open())
    opener.start()
    responses = at_once(exchange, range(10))
    opener.join()
    assert sorted(response.status for response in responses) == [200] * 3 + [503] * 7
    waits = {response.headers["retry-after-ms"] for response in responses if response.status == 503}
    assert len(waits) > 3, "nobody comes back at the same moment"
    assert all(1000 <= int(wait) <= 2000 for wait in waits)
    assert small.send("GET", "/health").status == 200
    assert until(lambda: small.chat(stage.case(limit_small=answer()), "small").status == 200)
