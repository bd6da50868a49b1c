"""How long is waited: for vendors that ask to be left alone, not at all; for a whole answer, longer than for a stream."""

import time

import pytest

from conftest import Setting
from formats import dump
from gateway import V1, until
from scripts import Pause, answer, fail, silence, vectors


@pytest.fixture(scope="module")
def pairs(stage, launch, tmp_path_factory):
    """Models of two vendors each, of which the first is cheaper; a model for each test, since vendors are learned."""
    setting = Setting(stage, tmp_path_factory.mktemp("waits"))
    setting.config["routing"] = {"weights": {"cost": 1, "success": 1, "latency": 0}, "attempts": 3,
                                 "first_token_timeout": "1s", "answer_timeout": "1s", "total_timeout": "1500ms"}
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


@pytest.fixture(scope="module")
def patient(stage, launch, tmp_path_factory):
    """Vendors have three seconds for a whole answer, and half a one for the first word of a stream."""
    setting = Setting(stage, tmp_path_factory.mktemp("patient"))
    setting.config["routing"] = {"weights": {"cost": 0, "success": 0, "latency": 0}, "attempts": 2, "total_timeout": "20s",
                                 "first_token_timeout": "500ms", "idle_timeout": "700ms", "answer_timeout": "3s"}
    for place in ["a", "b"]:
        setting.vendor(stage.vendor(place, "openai"))
    setting.model("ab", "a", "b")
    with launch(setting.gateway(setting.key("patient"))) as gateway:
        yield gateway


def after(seconds, script):
    """Nothing, and then this."""
    def play(format, call):
        yield Pause(seconds)
        yield from script(format, call)

    return play


# Both timeouts of streams have passed by then, and with the last, the time that a stream may be silent for its client.
LATE, TOO_LATE = 1.5, 9
WHOLE, STREAM, EMBEDDINGS = {}, {"stream": True}, {"path": V1.replace("chat/completions", "embeddings")}


@pytest.mark.parametrize("asked, delay, attempts, least, most", [
    pytest.param(WHOLE, LATE, "a:ok", 1.4, 2.9, id="a whole answer may take as long as it needs"),
    pytest.param(EMBEDDINGS, LATE, "a:ok", 1.4, 2.9, id="vectors may, too"),
    pytest.param(STREAM, LATE, "a:timeout,b:ok", 0.4, 1.4, id="a stream that does not begin"),
    pytest.param(WHOLE, TOO_LATE, "a:timeout,b:ok", 2.9, 6, id="a whole answer that takes too long"),
    pytest.param(EMBEDDINGS, TOO_LATE, "a:timeout,b:ok", 2.9, 6, id="vectors that take too long"),
])
def test_a_whole_answer_is_waited_for_longer_than_a_stream(patient, stage, asked, delay, attempts, least, most):
    good = vectors() if asked is EMBEDDINGS else answer()
    case = stage.case(a=after(delay, good), b=good)
    more = {"body": dump({"model": "ab", "input": case.prompt})} if asked is EMBEDDINGS else {}
    began = time.monotonic()
    response = patient.chat(case, "ab", **asked, **more)
    took = time.monotonic() - began
    assert (response.status, response.attempts) == (200, attempts)
    assert response.whole and least < took < most, took
    assert case.called() == [attempt.split(":")[0] for attempt in attempts.split(",")], "nobody is asked, and paid, twice"


def test_whole_answers_that_nobody_has_in_time(patient, stage):
    """Each vendor has its whole time, though nothing comes for the client all the while."""
    case = stage.case(a=silence(), b=silence())
    began = time.monotonic()
    response = patient.chat(case, "ab")
    assert 5.8 < time.monotonic() - began < 9
    assert (response.status, response.attempts) == (504, "a:timeout,b:timeout") and response.said(V1)
