"""When one vendor fails, the next answers: what goes around it. The faults themselves are in `test_fault_matrix.py`."""

import json
import socket

import pytest

from conftest import KINDS
from gateway import V1, chat, told, until
from scripts import answer, cut, fail, page, reset, silence

PAIRS = [(first, second) for first in KINDS for second in KINDS]


def content(response):
    """What an answer says, however it came."""
    assert response.status == 200 and response.whole, response
    if response.headers["content-type"].startswith("text/event-stream"):
        return told(response.events)[0]
    return response.json["choices"][0]["message"]["content"]


@pytest.mark.parametrize("name", ["tls-stranger", "tls-misnamed"])
def test_a_vendor_with_a_bad_certificate_is_not_spoken_to(gateway, stage, name):
    case = stage.case(openai_2=answer())
    response = gateway.chat(case, name)
    assert (response.status, response.attempts) == (200, f"{name}:unreachable,openai-2:ok")
    assert case.called() == ["openai-2"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_vendor_behind_tls(gateway, stage, stream):
    case = stage.case(tls=answer("In private."))
    assert content(gateway.chat(case, "tls", stream=stream)) == "In private."


@pytest.mark.parametrize("megabytes", [0.9, 3, 7.9])
def test_a_large_body_fails_over_too(gateway, stage, at_once, megabytes):
    def exchange(pair):
        first, second = pair
        case = stage.case(**{first: fail(503), f"{second}-2": answer("All read.")})
        padding = "x" * int(megabytes * (1 << 20))
        messages = [{"role": "user", "content": padding}, {"role": "user", "content": case.prompt}]
        response = gateway.chat(model=f"{first}/{second}", messages=messages)
        assert content(response) == "All read."
        assert all(len(call.body) > len(padding) for call in case.calls) and len(case.calls) == 2

    for pair in PAIRS:  # one after the other: nine such bodies at once would test the memory, not Weir
        exchange(pair)


@pytest.mark.parametrize("fault", [fail(500), fail(401), page(200), reset()], ids=["500", "401", "bad reply", "reset"])
def test_a_vendor_is_not_blamed_for_ever(gateway, stage, fault):
    """However often it failed just now, a vendor that nobody can stand in for is asked again, at once."""
    for _ in range(8):
        gateway.chat(stage.case(claude=fault), "claude")
    response = gateway.chat(stage.case(claude=answer("Back.")), "claude")
    assert content(response) == "Back."


def test_a_chain_of_three_formats(gateway, stage):
    case = stage.case(openai=reset(), azure=fail(529), claude=answer("Third time lucky."))
    response = gateway.chat(case, "all")
    assert content(response) == "Third time lucky."
    assert response.attempts == "openai:unreachable,azure:529,claude:ok"


@pytest.mark.parametrize("stream", [False, True])
def test_attempts_are_counted(gateway, stage, stream):
    """Four vendors serve the model and `routing.attempts` is 3."""
    case = stage.case(openai=fail(500), azure=fail(503), claude=fail(429, retry_after=9))
    response = gateway.chat(case, "all", stream=stream)
    assert response.attempts == "openai:500,azure:503,claude:429"
    assert response.status in (429, 502, 503) and response.said(V1)
    assert case.called() == ["openai", "azure", "claude"]


def test_nobody_is_there(gateway, stage):
    response = gateway.chat(stage.case(), "all-refused")
    assert response.status == 503 and response.said(V1)
    assert response.attempts == "openai-refused:unreachable,azure-refused:unreachable,claude-refused:unreachable"


def test_nobody_answers_in_time(gateway, stage, at_once):
    def exchange(stream):
        case = stage.case(**{name: silence() for name in KINDS})
        response = gateway.chat(case, "all", stream=stream)
        assert response.status == 504 and response.said(V1)
        assert response.attempts == "openai:timeout,azure:timeout,claude:timeout"
        assert all(call.finished.passed() and call.abandoned for call in case.calls)

    at_once(exchange, [False, True])


def test_nothing_of_a_failed_attempt_is_seen(gateway, stage):
    """Not a byte of its body, not a header, not its half an answer."""
    marked = fail(500, said="marker-in-body", headers=[("x-marker", "marker-in-header")])
    case = stage.case(openai=marked, azure=cut("clean", text="marker-in-half " * 9), claude=answer("Clean."))
    response = gateway.chat(case, "all")
    assert content(response) == "Clean."
    assert "marker" not in repr(response)


def test_each_vendor_gets_the_request_as_if_it_were_the_first(gateway, stage):
    """No translation is of a translation, in either direction, over one connection after another."""
    for first, second in PAIRS:
        alone = stage.case(**{f"{second}-2": answer()})
        gateway.chat(alone, f"{first}-refused/{second}", temperature=0.5, max_tokens=9)
        after = stage.case(**{first: fail(500), f"{second}-2": answer()})
        gateway.chat(after, f"{first}/{second}", temperature=0.5, max_tokens=9)
        [one], [_, two] = alone.calls, after.calls
        # The model's name in Azure's body is the client's, and so another; the prompts differ by their case.
        rewritten = json.dumps(two.json | {"model": ""}).replace(after.prompt, alone.prompt)
        assert json.loads(rewritten) == one.json | {"model": ""}
        assert {name for name, _ in one.headers} == {name for name, _ in two.headers}


def test_many_at_once(gateway, stage, at_once):
    """Two hundred exchanges over both workers, each with its own fate and its own answer."""
    fates = [answer, lambda text: reset(), lambda text: fail(503), lambda text: fail(429)]

    def exchange(number):
        first, second = PAIRS[number % 9]
        fate = fates[number % 4]
        case = stage.case(**{first: fate(f"A{number}."), f"{second}-2": answer(f"B{number}.")})
        response = gateway.chat(case, f"{first}/{second}", stream=number % 2 == 0)
        assert content(response) == (f"A{number}." if fate is answer else f"B{number}.")

    at_once(exchange, range(200))


def test_a_client_that_leaves_is_not_served_elsewhere(gateway, stage):
    case = stage.case(openai=silence())
    body = json.dumps(chat(case, "openai/azure")).encode()
    with socket.create_connection(("127.0.0.1", gateway.port)) as sock:
        sock.sendall(b"POST %b HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\ncontent-length: %d\r\n\r\n%b" % (
            V1.encode(), gateway.key.encode(), len(body), body))
        assert until(lambda: case.calls)
    [call] = case.calls
    assert call.finished.passed(1.5) and call.abandoned, "the vendor still works for nobody"
    assert case.called() == ["openai"]
