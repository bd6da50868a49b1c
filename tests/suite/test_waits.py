"""Vendors that ask to be left alone: they are, and no client waits for it."""

import time

import pytest

from conftest import Setting
from gateway import V1, until
from scripts import answer, fail, silence


@pytest.fixture(scope="module")
def pairs(stage, launch, tmp_path_factory):
    """Models of two vendors each, of which the first is cheaper; a model for each test, since vendors are learned."""
    setting = Setting(stage, tmp_path_factory.mktemp("waits"))
    setting.config["routing"] = {"weights": {"cost": 1, "success": 1, "latency": 0}, "attempts": 3,
                                 "first_token_timeout": "1s", "total_timeout": "1500ms"}
    for name in ["left", "both", "late"]:
        for place in ["first", "second", "third"]:
            setting.vendor(stage.vendor(f"{name}-{place}", "openai"))
        serve = [{"vendor": f"{name}-{place}", "model": f"{name}-{place}-model", "price": {"input": usd, "output": usd}}
                 for place, usd in [("first", 1), ("second", 50), ("third", 900)]]
        setting.config["models"].append({"name": name, "serve": serve})
    with launch(setting.gateway(setting.key("waits"))) as gateway:
        yield gateway


def test_a_busy_vendor_is_left_alone_until_its_time_is_over(pairs, stage):
    case = stage.case(**{"left-first": [fail(429, headers=[("retry-after-ms", "1500")]), answer("Back.")],
                         "left-second": answer("Here.")})
    began = time.monotonic()
    assert pairs.chat(case, "left").attempts == "left-first:429,left-second:ok"
    assert time.monotonic() - began < 1, "the client waited"
    seen = []
    assert until(lambda: seen.append(pairs.chat(case, "left").attempts) or seen[-1] == "left-first:ok", 4)
    took = time.monotonic() - began
    assert 1.4 < took and set(seen[:-1]) == {"left-second:ok"}, (took, seen)


def test_all_are_busy(pairs, stage):
    busy = {f"both-{place}": fail(429, retry_after=wait) for place, wait in [("first", 9), ("second", 4), ("third", 6)]}
    for _ in range(2):
        began = time.monotonic()
        response = pairs.chat(stage.case(**busy), "both")
        assert time.monotonic() - began < 1, "the client waited"
        assert (response.status, response.headers["retry-after"]) == (429, "4")
        assert response.said(V1) and len(response.attempts.split(",")) == 3


def test_no_attempt_outlives_the_total_timeout(pairs, stage):
    """The first is silent for a second, the second is cut off after a half, and nobody asks the third."""
    case = stage.case(**{f"late-{place}": silence() for place in ["first", "second", "third"]})
    began = time.monotonic()
    response = pairs.chat(case, "late")
    assert 1.4 < time.monotonic() - began < 3
    assert response.status == 504 and response.said(V1)
    assert case.called() == ["late-first", "late-second"], response.attempts
    assert response.attempts == "late-first:timeout,late-second:timeout"
