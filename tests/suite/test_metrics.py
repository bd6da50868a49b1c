"""What is counted, to the number: one gateway of two workers, whose every request is known."""

import re

import pytest

from conftest import KIND_OF, KINDS, Setting
from gateway import CHAT, V1, until
from scripts import answer, fail, reset


@pytest.fixture(scope="module")
def metered(stage, launch, tmp_path_factory):
    setting = Setting(stage, tmp_path_factory.mktemp("metered"))
    for name in KINDS:
        setting.vendor(stage.vendor(f"metered-{name}", KIND_OF[name]))
    setting.config["models"] = [
        {"name": "gpt-3.5-turbo", "serve": [{"vendor": "metered-openai", "model": "metered-openai-model"}]},
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
    page = until(lambda: (text := metered.send("GET", "/metrics").text) and line in text.splitlines() and text)
    assert page, metered.send("GET", "/metrics").text


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


def test_a_client_cannot_make_labels(metered, stage):
    """Names that nobody configured, of whatever shape, are no label: each would live for ever."""
    before = len(metered.metrics())
    for number in range(30):
        metered.chat(stage.case(), f"made-up-{number};;status=200")
        metered.send("GET", f"/made/up/{number}")
        metered.raw(b"BREW%d /health HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n" % number)
    assert until(lambda: metered.counted(status="404") >= 60)
    page = metered.send("GET", "/metrics").text
    assert "made" not in page and "BREW" not in page
    assert len(metered.metrics()) - before < 10


def test_the_page(metered):
    """Text that Prometheus reads, and nothing of Envoy's own."""
    response = metered.send("GET", "/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    for line in response.text.splitlines():
        assert re.fullmatch(r'# (TYPE|HELP) .*|[a-z_]+(\{(\w+="[^"]*",?)*\})? [0-9.e+-]+', line), line
    assert "# TYPE api_gateway_requests_total counter" in response.text
    assert "envoy_" not in response.text
    labels = set(re.findall(r'requests_total\{method="[^"]*",endpoint="[^"]*",status="[^"]*",vendor="[^"]*",'
                            r'model="[^"]*"\}', response.text))
    assert len(labels) == response.text.count("api_gateway_requests_total{")


def test_a_crash_would_show(metered):
    """No worker has lost its filter in all of this."""
    stats = metered.admin("/stats?filter=wasm")
    assert not re.search(r"wasm.*(vm_reload|remote_load_fetch_fail\S*|vm_failed)\S*: [1-9]", stats), stats
