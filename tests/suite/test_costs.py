"""What a request cost: counted by the vendor, told to the client, and nothing that the client did not ask for."""

import pytest

from conftest import KINDS, Setting
from gateway import told
from scripts import answer

PRICE = {"input": 2, "output": 10, "cached_input": 1, "cache_write": 3}
# Of the 11 tokens of the prompt OpenAI's and Azure's have 3 in the cache; Anthropic's 2, and 1 is written.
COST = {"openai": "0.000089", "azure": "0.000089", "claude": "0.000091"}


@pytest.fixture(scope="module")
def priced(stage, launch, tmp_path_factory):
    """A gateway whose models have a price, and one vendor that takes no `stream_options`."""
    setting = Setting(stage, tmp_path_factory.mktemp("priced"))
    for name in KINDS:
        vendor = stage.vendor(f"priced-{name}", "anthropic" if name == "claude" else name)
        setting.vendor(vendor)
        setting.model(name, vendor.name)
        setting.config["models"][-1]["price"] = PRICE
    old = stage.vendor("old", "openai")
    setting.vendor(old, stream_usage=False)
    setting.model("old", "old")
    with launch(setting.gateway(setting.key("priced"))) as gateway:
        yield gateway


@pytest.mark.parametrize("vendor", KINDS)
def test_a_whole_answer_says_what_it_cost(priced, stage, vendor):
    case = stage.case(**{f"priced_{vendor}": answer()})
    assert priced.chat(case, vendor).headers["x-weir-cost-usd"] == COST[vendor]


def test_a_price_that_nobody_knows_is_not_told(priced, stage):
    response = priced.chat(stage.case(old=answer()), "old")
    assert response.status == 200 and "x-weir-cost-usd" not in response.headers


@pytest.mark.parametrize("vendor", KINDS)
def test_a_stream_is_counted_for_a_client_that_did_not_ask(priced, stage, vendor):
    case = stage.case(**{f"priced_{vendor}": answer("One two.")})
    response = priced.chat(case, vendor, stream=True)
    assert told(response.events) == ("One two.", [], "stop", [])
    assert all(event == "[DONE]" or event["choices"] or "prompt_filter_results" in event for event in response.events)
    assert "x-weir-cost-usd" not in response.headers
    options = case.call(f"priced-{vendor}").json.get("stream_options")
    assert options == (None if vendor == "claude" else {"include_usage": True})


@pytest.mark.parametrize("vendor", ["openai", "azure"])
@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_obfuscation": False}])
def test_what_the_client_says_of_streams_stays(priced, stage, vendor, options):
    case = stage.case(**{f"priced_{vendor}": answer("One two.")})
    response = priced.chat(case, vendor, stream=True, stream_options=options)
    assert told(response.events) == ("One two.", [], "stop", [])
    assert case.call(f"priced-{vendor}").json["stream_options"] == {**(options or {}), "include_usage": True}


def test_a_server_that_refuses_is_not_asked(priced, stage):
    case = stage.case(old=answer("One two."))
    assert told(priced.chat(case, "old", stream=True).events)[0] == "One two."
    assert "stream_options" not in case.call("old").json
