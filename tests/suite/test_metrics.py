"""What is counted, to the number: one gateway of two workers, whose every request is known."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from conftest import KIND_OF, KINDS, Setting
from gateway import CHAT, V1, until
from scripts import CLOSE, RESET, Gate, Pause, answer, cut, fail, gated, page, reset


@pytest.fixture(scope="module")
def metered(stage, launch, tmp_path_factory):
    setting = Setting(stage, tmp_path_factory.mktemp("metered"))
    for name in KINDS:
        setting.vendor(stage.vendor(f"metered-{name}", KIND_OF[name]))
    setting.config["models"] = [
        {"name": "gpt-3.5-turbo", "serve": [{"vendor": "metered-openai", "model": "metered-openai-model"}]},
        {"name": "priced", "serve": [{"vendor": "metered-openai", "model": "metered-openai-model"}],
         "price": {"input": 2, "output": 10}},
        {"name": "slow", "serve": [{"vendor": "metered-claude", "model": "metered-claude-model"}]},
        {"name": "auto", "serve": [{"vendor": f"metered-{name}", "model": f"metered-{name}-model"} for name in KINDS]},
    ]
    gateway = setting.gateway(setting.key("metered"))
    gateway.limited = setting.key("metered-limited", ["auto"])
    with launch(gateway):
        yield gateway


def test_a_sample_to_the_byte(metered, stage, at_once):
    """Forty-two of one kind, over connections to both workers, are one line that says 42."""
    def exchange(number):
        case = stage.case(metered_openai=answer())
        assert metered.chat(case, "gpt-3.5-turbo", CHAT, stream=number % 2 == 0).status == 200

    at_once(exchange, range(42))
    line = ('api_gateway_requests_total{method="POST",endpoint="/api/chat/completions",status="200",'
            'vendor="metered-openai",model="gpt-3.5-turbo"} 42')
    assert until(lambda: line in metered.send("GET", "/metrics").text.splitlines()), metered.send("GET", "/metrics").text


ROWS = [
    # (what each vendor does, request, labels, how many)
    ({"metered_openai": answer()}, {"model": "auto"}, {"status": "200", "vendor": "metered-openai", "model": "auto"}),
    ({"metered_openai": reset(), "metered_azure": answer()}, {"model": "auto"},
     {"status": "200", "vendor": "metered-azure", "model": "auto"}),
    ({"metered_openai": fail(429)}, {"model": "gpt-3.5-turbo"}, {"status": "429", "model": "gpt-3.5-turbo"}),
    ({"metered_openai": fail(500)}, {"model": "gpt-3.5-turbo"}, {"status": "502", "model": "gpt-3.5-turbo"}),
    ({}, {"model": "gpt-3.5-turbo", "temperature": 9}, {"status": "400"}),
    ({}, {"model": "gpt-3.5-turbo", "key": "wrong"}, {"status": "401"}),
    ({}, {"model": "no such model"}, {"status": "404"}),
]


@pytest.mark.parametrize("path", [CHAT, V1])
@pytest.mark.parametrize("row", range(len(ROWS)))
def test_each_request_is_counted_once(metered, stage, row, path):
    scripts, request, labels = ROWS[row]
    labels = {"method": "POST", "endpoint": path, **labels}
    total = {"endpoint": path}
    before, all_before = metered.counted(**labels), metered.counted(**total)
    metered.chat(stage.case(**scripts), path=path, **request)
    assert until(lambda: metered.counted(**total) > all_before)
    assert metered.counted(**labels) == before + 1
    assert metered.counted(**total) == all_before + 1


def told(gateway, **labels):
    """What was counted of attempts and answers at one vendor."""
    names = ["attempts", "failovers", "tokens", "cost_usd", "unmetered"]
    return {name: gateway.counted(f"api_gateway_{name}_total", **labels) for name in names}


def test_an_answer_is_counted_at_its_vendor(metered, stage):
    at = {"vendor": "metered-openai", "model": "priced"}
    before = told(metered, **at)
    assert metered.chat(stage.case(metered_openai=answer()), "priced").status == 200
    assert until(lambda: told(metered, **at)["attempts"] == before["attempts"] + 1)
    after = told(metered, **at)
    assert after["cost_usd"] - before["cost_usd"] == pytest.approx((11 * 2000 + 7 * 10_000) / 1e9)
    kinds = {kind: metered.counted("api_gateway_tokens_total", kind=kind, **at) for kind in ("input", "output")}
    assert kinds["input"] / kinds["output"] == 11 / 7
    assert after["failovers"] == before["failovers"]


@pytest.mark.parametrize("script, outcome", [
    (fail(429), "429"), (fail(500), "500"), (reset(), "unreachable"), (fail(599), "other"), (page(), "bad_reply"),
], ids=["limited", "error", "reset", "odd", "page"])
def test_a_failover_is_counted_at_who_failed(metered, stage, script, outcome):
    at = {"vendor": "metered-openai", "model": "auto", "outcome": outcome}
    before = told(metered, **at)
    assert metered.chat(stage.case(metered_openai=script, metered_azure=answer()), "auto").status == 200
    assert until(lambda: told(metered, **at)["failovers"] == before["failovers"] + 1)
    assert told(metered, **at)["attempts"] == before["attempts"] + 1


@pytest.mark.parametrize("how", [CLOSE, RESET])
def test_a_vendor_that_breaks_off_is_no_client_that_leaves(metered, stage, how):
    """Envoy tells the filter of both in the same way; they are told apart by its response flags."""
    at = {"vendor": "metered-openai", "model": "gpt-3.5-turbo"}
    count = lambda outcome: metered.counted("api_gateway_attempts_total", outcome=outcome, **at)
    before, left = count("cut_off"), count("cancelled")
    broken = metered.chat(stage.case(metered_openai=cut(how)), "gpt-3.5-turbo", stream=True)
    assert not broken.whole and b"[DONE]" not in broken.body
    assert until(lambda: count("cut_off") == before + 1)
    assert count("cancelled") == left
    gate = Gate()
    stream = metered.stream(stage.case(metered_openai=gated("one two three", [gate])), "gpt-3.5-turbo")
    stream.read(1)
    stream.close()
    assert until(lambda: count("cancelled") == left + 1)
    gate.open()
    assert count("cut_off") == before + 1


def test_times_are_told_in_seconds(metered, stage):
    at = {"endpoint": CHAT, "vendor": "metered-claude", "model": "slow"}
    measured = lambda name, what="_count", **labels: metered.counted(f"api_gateway_{name}_seconds{what}", **labels)
    target = {"vendor": "metered-claude", "model": "slow"}
    before = measured("overhead", endpoint=CHAT)
    paused = lambda format, call: iter([Pause(0.3), *answer()(format, call)])
    for stream in (True, False):
        assert metered.chat(stage.case(metered_claude=paused), "slow", CHAT, stream=stream).status == 200
    # Envoy shows them after its next look at all statistics.
    assert until(lambda: measured("request_duration", **at) == 2, 5)
    assert until(lambda: measured("overhead", endpoint=CHAT) >= before + 2, 5)
    assert measured("first_token", **target) == 1, "only of streams"
    assert 0.55 < measured("request_duration", "_sum", **at) < 5
    assert 0.25 < measured("first_token", "_sum", **target) < 3
    buckets = {float(dict(labels)["le"]): value for (name, labels), value in metered.metrics().items()
               if name == "api_gateway_request_duration_seconds_bucket" and set(at.items()) <= set(labels)}
    assert buckets[0.25] == 0 and buckets[5] == buckets[float("inf")] == 2
    assert list(buckets.values()) == sorted(buckets.values())


def test_a_refusal_is_counted_by_its_reason(metered, stage):
    for reason, request in [("invalid", {"temperature": 9}), ("unauthorized", {"key": "wrong"}),
                            ("unknown_model", {"model": "none"})]:
        count = lambda: metered.counted("api_gateway_refused_total", endpoint=V1, reason=reason)
        before = count()
        assert metered.chat(stage.case(), **{"model": "gpt-3.5-turbo", **request}).status >= 400
        assert until(lambda: count() == before + 1), reason


def test_a_client_cannot_make_labels(metered, stage):
    """Names that nobody configured, of whatever shape, are no label: each would live for ever."""
    before = len(metered.metrics())
    for number in range(30):
        metered.chat(stage.case(), f"made-up-{number};;status=200")
        metered.chat(stage.case(), "gpt-3.5-turbo", key=f"made-up-{number}")
        metered.send("GET", f"/made/up/{number}")
        metered.raw(b"BREW%d /health HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n" % number)
        metered.chat(stage.case(metered_openai=fail(530 + number)), "gpt-3.5-turbo",
                     headers=[("x-request-id", f"made-up-{number}"), ("cache-control", f"made-up-{number}")])
    assert until(lambda: metered.counted(status="404") >= 60)
    page = metered.send("GET", "/metrics").text
    assert "made" not in page and "BREW" not in page
    samples = [name for name, _ in metered.metrics() if not name.endswith("_bucket")]
    assert len(samples) < before + 30


def test_the_page(metered):
    """Text that Prometheus reads, and nothing of Envoy's own."""
    response = metered.send("GET", "/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    assert all(name.startswith("api_gateway_") for name in families), families.keys()
    assert all(family.documentation and family.type in ("counter", "gauge", "histogram") for family in families.values())
    assert {"api_gateway_requests", "api_gateway_in_flight", "api_gateway_breaker_state",
            "api_gateway_vendor_success_ratio", "api_gateway_build_info"} <= families.keys()
    seen = [(sample.name, tuple(sample.labels.items())) for family in families.values() for sample in family.samples]
    assert len(seen) == len(set(seen))
    assert "envoy_" not in response.text and "{}" not in response.text
    assert not re.search(r"\d{7,}\.\d{7,}|\d\.\d*(0{5}|9{5})", response.text), "a number with dirt"
    labels = set(re.findall(r'requests_total\{method="[^"]*",endpoint="[^"]*",status="[^"]*",vendor="[^"]*",'
                            r'model="[^"]*"\}', response.text))
    assert len(labels) == response.text.count("api_gateway_requests_total{")


@pytest.mark.parametrize("accept", [
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    "application/openmetrics-text;version=1.0.0", "application/json",
])
def test_a_scraper_that_would_rather_have_another_form(metered, accept):
    response = metered.send("GET", "/metrics", headers=[("accept", accept), ("accept-encoding", "gzip")])
    assert response.headers["content-type"].startswith("text/plain")
    assert "\napi_gateway_requests_total{" in response.text


def test_what_is_under_way_is_seen(metered, stage):
    gate = Gate()
    stream = metered.stream(stage.case(metered_openai=gated("one two three", [gate])), "gpt-3.5-turbo")
    stream.read(1)
    # A worker keeps the place of a request that is over for a moment.
    assert until(lambda: metered.counted("api_gateway_in_flight") == 1)
    gate.open()
    stream.read()
    stream.close()
    assert until(lambda: metered.counted("api_gateway_in_flight") == 0)


def test_envoys_own_statistics_follow(metered):
    response = metered.send("GET", "/metrics?envoy=true")
    families = {family.name for family in text_string_to_metric_families(response.text)}
    assert {"api_gateway_requests", "envoy_server_live", "api_gateway_build_info"} <= families
    for query in ["envoy=1", "filter=x", "format=json", "envoy=true%26format=json"]:
        assert "envoy_" not in metered.send("GET", f"/metrics?{query}").text, query


def test_a_large_page_is_whole(metered):
    """Envoy's own statistics are some hundred kilobytes, which come in many pieces."""
    response = metered.send("GET", "/metrics?envoy=true")
    assert len(response.body) > 50_000 and response.whole
    assert int(response.headers["content-length"]) == len(response.body)


def test_only_an_admin_may_see_it_where_the_file_says_so(stage, launch, tmp_path):
    setting = Setting(stage, tmp_path)
    setting.vendor(stage.vendor("closed-openai", "openai"))
    setting.model("openai", "closed-openai")
    setting.config["metrics"] = {"access": "admin"}
    gateway = setting.gateway(setting.key("plain"))
    admin = setting.key("admin")
    setting.config["keys"][-1]["admin"] = True
    with launch(gateway):
        assert gateway.send("GET", "/metrics").status == 401
        assert gateway.send("GET", "/metrics", headers=[("x-api-key", "wrong")]).status == 401
        refused = gateway.send("GET", "/metrics", headers=[("x-api-key", gateway.key)])
        assert (refused.status, refused.said("/metrics")) == (403, "this is for keys that are marked admin: true")
        page = gateway.send("GET", "/metrics?envoy=true", headers=[("authorization", f"Bearer {admin}")])
        assert page.status == 200 and "api_gateway_build_info" in page.text and "envoy_server_live" in page.text


def test_a_crash_would_show(metered):
    """No worker has lost its filter in all of this."""
    stats = metered.admin("/stats?filter=wasm")
    assert not re.search(r"wasm.*(vm_reload|remote_load_fetch_fail\S*|vm_failed)\S*: [1-9]", stats), stats
