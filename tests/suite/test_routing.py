"""Routing that learns: two vendors serve a model, one cheaper, and what happens to them moves the traffic."""

import threading
import time
from dataclasses import dataclass

import pytest

import load
from conftest import Setting
from gateway import until
from scripts import Pause, answer, fail

CONNECTIONS = 16


@dataclass
class Mood:
    """What a vendor does, until the test changes its mind."""

    script: object = answer()
    pause: float = 0.05

    def __call__(self, format, call):
        yield Pause(self.pause)
        yield from self.script(format, call)


class Pair:
    """Two vendors under a load."""

    def __init__(self, gateway, case, first, second):
        self.gateway, self.case, self.moods = gateway, case, {"first": first, "second": second}

    def calls(self):
        names = [call.vendor for call in list(self.case.calls)]
        return {name: sum(name in called for called in names) for name in self.moods}

    def share(self, name, seconds):
        """What part of the calls of the next seconds goes to a vendor."""
        before = self.calls()
        time.sleep(seconds)
        more = {each: count - before[each] for each, count in self.calls().items()}
        return more[name] / max(1, sum(more.values()))

    def await_share(self, name, enough, seconds):
        """How long it takes until a vendor has such a share."""
        began = time.monotonic()
        while (took := time.monotonic() - began) < seconds:
            if enough(self.share(name, 0.5)):
                return took + 0.5
        pytest.fail(f"not within {seconds} s")

    def await_news(self):
        """Until both are known: whoever costs more is only asked now and then."""
        assert until(lambda: min(self.calls().values()) >= 3, 15), self.calls()

    def under_load(self, during):
        """As long as it lasts."""
        ended = threading.Event()

        def and_no_longer():
            try:
                during()
            finally:
                ended.set()

        body = {"model": "pair", "messages": [{"role": "user", "content": self.case.prompt}], "max_tokens": 20}
        account = load.run([self.gateway], self.gateway.key, body, CONNECTIONS, 55, and_no_longer, ended=ended)
        assert not account.broken and set(account.statuses) == {200}, (account.statuses, account.broken[:3])
        return account


@pytest.fixture
def pair(stage, launch, tmp_path):
    """The first vendor costs half of what the second does, so it is the better one."""
    setting = Setting(stage, tmp_path)
    vendors = [stage.vendor(f"routing-{name}", "openai") for name in ["first", "second"]]
    for vendor in vendors:
        setting.vendor(vendor)
    prices = [{"input": 1, "output": 4}, {"input": 2, "output": 8}]
    serve = [{"vendor": vendor.name, "model": f"{vendor.name}-model", "price": price} for vendor, price in zip(vendors, prices)]
    setting.config["models"].append({"name": "pair", "serve": serve})
    setting.config["routing"] = {"weights": {"cost": 1, "success": 1, "latency": 1},
                                 "first_token_timeout": "2s", "answer_timeout": "2s"}
    moods = [Mood(), Mood()]
    with launch(setting.gateway(setting.key("routing"))) as gateway:
        case = stage.case(routing_first=moods[0], routing_second=moods[1])
        yield Pair(gateway, case, *moods)


def test_a_vendor_that_fails_is_left_within_two_seconds_and_found_again_within_thirty(pair):
    seen = {}

    def during():
        pair.await_news()
        seen["before"] = pair.share("first", 1)
        pair.moods["first"].script = fail(500)
        time.sleep(2)
        seen["failing"] = pair.share("first", 2)
        pair.moods["first"].script = answer()
        seen["back"] = pair.await_share("first", lambda share: share > seen["before"] * 0.8, 30)

    pair.under_load(during)
    print(seen)
    # On a busy machine the dearer vendor may seem the faster one.
    assert seen["before"] > 0.2 and seen["failing"] < 0.02, seen


def test_traffic_leaves_a_vendor_that_slows_down_tenfold_within_five_seconds(pair):
    seen = {}

    def during():
        pair.await_news()
        seen["before"] = pair.share("first", 1)
        pair.moods["first"].pause *= 10
        seen["left"] = pair.await_share("first", lambda share: share < 0.2, 5)

    pair.under_load(during)
    print(seen)
    assert seen["before"] > 0.25, seen
