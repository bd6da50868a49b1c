"""Every fault, whole and streaming, between every two formats: the client gets one good answer, or one clear error.

A test is a row of the matrix, a fault and a delivery, for all ordered pairs of formats at once; a failure names the
pairs that failed. Another format is another line in `ROWS`.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import Setting, served_with
from gateway import V1, told, until
from scripts import (CLOSE, RESET, answer, close, cut, drip, empty, error_before_content, error_event, error_with_200,
                     fail, gzipped, headers_then_silence, nonsense, not_json, page, reset, reset_after_headers, silence,
                     stalls)
from vendors import closed_port

ROWS = {"openai": "openai", "azure": "azure", "anthropic": "anthropic", "gemini": "gemini",
        "bedrock": "bedrock", "mistral": "mistral"}
"""A name, and the kind in `weir.yaml`."""

PAIRS = [(first, second) for first in ROWS for second in ROWS]

RING = list(zip(ROWS, [*ROWS][1:] + [*ROWS][:1]))
"""Each format first once, and second once."""

ABSENT = {"refused": "unreachable", "unresolvable": "unreachable", "untrusted": "unreachable"}
"""What is wrong with a vendor that cannot be reached, and what the attempt is called."""

SAID = (502, 503)
"""What the vendor's word for its error means; without one that says more, it is just an error."""

FAULTS = {
    "reset": (reset(), "unreachable", 503),
    "close": (close(), "unreachable", 503),
    "headers then reset": (reset_after_headers(), "unreachable", 503),
    "429": (fail(429), "429", 429),
    "429 with retry-after": (fail(429, retry_after=7), "429", 429),
    "401": (fail(401), "401", 502),
    "403": (fail(403), "403", 502),
    **{str(status): (fail(status), str(status), seen)
       for status, seen in [(408, 504), (500, 502), (502, 502), (503, 503), (504, 504), (529, 503)]},
    "500 without a body": (fail(500, body=b""), "500", 502),
    "503 page": (page(503), "503", 503),
    "200 page": (page(200), "bad_reply", 502),
    "no JSON": (not_json(), "bad_reply", 502),
    "other JSON": (nonsense(), "bad_reply cut_off", 502),
    "empty": (empty(), "bad_reply", 502),
    "compressed": (gzipped(), "bad_reply", 502),
    "error with 200": (error_with_200(), "error_event", SAID),
    "silence": (silence(), "timeout", 504),
    "headers then silence": (headers_then_silence(), "timeout", 504),
    "drip": (drip(), "timeout", 504),
}
"""What a vendor does, what the attempt may be called, and the status for the client if nobody answers."""

WHOLE = {
    "cut off by close": (cut(CLOSE), "unreachable", 503),
    "cut off by reset": (cut(RESET), "unreachable", 503),
    "cut off cleanly": (cut("clean"), "bad_reply", 502),
}
STREAMS = {
    "error event": (error_event(), "error_event", SAID),
    "error event before the first word": (error_before_content(), "error_event", SAID),
    "cut off at once": (cut("clean", share=0.02), "cut_off", 502),
}
CASES = [pytest.param(stream, *row, id=f"{name}-{'stream' if stream else 'whole'}")
         for stream, faults in [(False, FAULTS | WHOLE), (True, FAULTS | STREAMS)] for name, row in faults.items()]


@pytest.fixture(scope="module")
def matrix(stage, launch, certificates, tmp_path_factory):
    """For each pair a vendor of its own that fails: Envoy puts a host aside for which five at once were reset."""
    setting = Setting(stage, tmp_path_factory.mktemp("matrix"))
    patience = ["first_token_timeout", "answer_timeout", "idle_timeout"]
    setting.config["routing"] |= {"attempts": 2, **dict.fromkeys(patience, "1500ms")}
    port, setting.held = closed_port()
    _, stranger = certificates
    untrusted = stage.vendor("m-untrusted", "openai", tls=served_with(stranger, "localhost"), host="localhost").port
    for row, kind in ROWS.items():
        good = stage.vendor(f"m-{row}", kind)
        setting.vendor(good)
        base = good.format.base
        setting.dead(f"m-{row}-refused", kind, f"http://127.0.0.1:{port}{base}")
        setting.dead(f"m-{row}-unresolvable", kind, f"http://no-such-host.invalid:{port}{base}")
        setting.dead(f"m-{row}-untrusted", kind, f"https://localhost:{untrusted}{base}")
        for fault in ABSENT:
            setting.model(f"m-{row}-{fault}", f"m-{row}-{fault}")
    for first, second in PAIRS:
        setting.vendor(stage.vendor(f"m-{first}-{second}", ROWS[first]))
        for bad in ["", *(f"-{fault}" for fault in ABSENT)]:
            setting.model(f"{first}{bad}/{second}", f"m-{first}{bad or f'-{second}'}", f"m-{second}")
    with launch(setting.gateway(setting.key("matrix"))) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def every():
    """Runs an exchange for each of the pairs at once, and says of all that fail which they are and why."""
    with ThreadPoolExecutor(len(PAIRS)) as pool:
        def every(exchange, pairs=PAIRS):
            def attempt(pair):
                try:
                    return exchange(*pair)
                except Exception as error:  # whatever it is, the pair has to be named
                    wrong.append(f"{' -> '.join(pair)}: {str(error).splitlines()[0]}")

            wrong = []
            results = list(pool.map(attempt, pairs))
            if wrong:
                pytest.fail("\n".join(sorted(wrong)))
            return results

        yield every


def shown(response):
    """What of a response says why it is not the expected one, in a line."""
    return response.status, response.attempts, response.body[-300:]


def outcomes(response, *vendors):
    """How the attempts at these vendors, and no others, ended."""
    names, words = zip(*(attempt.split(":") for attempt in response.attempts.split(",")))
    return words if names == vendors else response.attempts


def content(response):
    """What an answer says, however it came, and that there is only one."""
    assert response.status == 200 and response.whole, shown(response)
    if response.headers["content-type"].startswith("text/event-stream"):
        return told(response.events)[0]
    [choice] = response.json["choices"]
    return choice["message"]["content"]


def logged(gateway, responses):
    """The access log's lines for these responses, in their order."""
    numbers = [response.headers["x-request-id"] for response in responses]

    def found():
        lines = {line.get("request_id"): line for line in gateway.lines()}
        return [lines[number] for number in numbers] if lines.keys() >= set(numbers) else None

    lines = until(found)
    assert lines, "the access log lacks some of these requests"
    return lines


def in_the_log(gateway, responses):
    """What the client is told of the attempts stands in the log, too."""
    for response, line in zip(responses, logged(gateway, responses)):
        assert (line["status"], line["attempts"]) == (response.status, response.attempts), line


@pytest.mark.parametrize(("stream", "fault", "outcome", "_"), CASES)
def test_the_next_vendor_answers(matrix, stage, every, stream, fault, outcome, _):
    def exchange(first, second):
        bad, good = f"m-{first}-{second}", f"m-{second}"
        case = stage.case(**{bad: fault, good: answer(f"From {second}.")})
        response = matrix.chat(case, f"{first}/{second}", stream=stream)
        assert outcomes(response, bad, good) in [(word, "ok") for word in outcome.split()], shown(response)
        assert content(response) == f"From {second}."
        assert response.vendor == good
        assert case.called() == [bad, good]
        return response

    in_the_log(matrix, every(exchange))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", ABSENT)
def test_the_next_vendor_answers_for_one_that_is_not_there(matrix, stage, every, fault, stream):
    def exchange(first, second):
        case = stage.case(**{f"m-{second}": answer("Here.")})
        response = matrix.chat(case, f"{first}-{fault}/{second}", stream=stream)
        assert response.attempts == f"m-{first}-{fault}:{ABSENT[fault]},m-{second}:ok", shown(response)
        assert content(response) == "Here."
        assert case.called() == [f"m-{second}"]
        return response

    in_the_log(matrix, every(exchange))


@pytest.mark.parametrize(("stream", "fault", "outcome", "status"), CASES)
def test_nobody_answers(matrix, stage, every, stream, fault, outcome, status):
    """One error, which says who failed and how; never a stream, never a vendor's own page."""
    def exchange(first, second):
        one, other = f"m-{first}-{second}", f"m-{second}"
        case = stage.case(**{one: fault, other: fault})
        response = matrix.chat(case, f"{first}/{second}", stream=stream)
        assert set(outcomes(response, one, other)) <= set(outcome.split()), shown(response)
        refused(response, status)
        assert response.said(V1).startswith(other), shown(response)
        assert case.called() == [one, other]
        return response

    in_the_log(matrix, every(exchange, RING))


@pytest.mark.parametrize("fault", ABSENT)
def test_nobody_is_there(matrix, stage, every, fault):
    def exchange(row):
        response = matrix.chat(stage.case(), f"m-{row}-{fault}")
        said = response.attempts
        assert set(said.split(",")) == {f"m-{row}-{fault}:{ABSENT[fault]}"}, shown(response)
        refused(response, 503)
        assert f"m-{row}-{fault}" in response.said(V1)
        return response

    in_the_log(matrix, every(exchange, [(row,) for row in ROWS]))


def refused(response, status):
    expected = status if isinstance(status, tuple) else (status,)
    assert response.status in expected and response.whole, shown(response)
    assert response.headers["x-request-id"]
    assert "<" not in response.said(V1)


LATE = {
    "cut off cleanly": (cut("clean", text="word " * 30), "cut_off"),
    "error event": (error_event(5), "error_event"),
}
"""What goes wrong when the client has a part of the answer already."""


@pytest.mark.parametrize("name", LATE)
def test_an_answer_that_has_begun_is_never_begun_again(matrix, stage, every, name):
    fault, outcome = LATE[name]

    def exchange(first, second):
        bad = f"m-{first}-{second}"
        case = stage.case(**{bad: fault})
        response = matrix.chat(case, f"{first}/{second}", stream=True)
        assert response.status == 200 and response.whole, shown(response)
        assert response.attempts == f"{bad}:ok" and b"[DONE]" not in response.body
        *begun, error = response.events
        assert begun and all("choices" in event for event in begun), shown(response)
        assert set(error) == {"error"} and error["error"]["message"].startswith(bad), shown(response)
        assert case.called() == [bad]
        return response

    for line in logged(matrix, every(exchange, list(zip(ROWS, ROWS)))):
        assert line["status"] == 200 and line["attempts"].endswith(f":{outcome}"), line
        assert line["reason"] == outcome


@pytest.mark.parametrize("how", [CLOSE, RESET])
def test_a_connection_that_breaks_within_an_answer(matrix, stage, every, how):
    """Envoy ends the client's connection where the vendor's broke: what has come is no whole answer to anybody."""
    def exchange(first, second):
        case = stage.case(**{f"m-{first}-{second}": cut(how, text="word " * 30)})
        response = matrix.chat(case, f"{first}/{second}", stream=True)
        assert response.status == 200 and not response.whole, shown(response)
        assert b"[DONE]" not in response.body and case.called() == [f"m-{first}-{second}"]
        return response

    for line in logged(matrix, every(exchange, list(zip(ROWS, ROWS)))):
        assert line["attempts"].endswith(":cut_off"), line


def test_a_vendor_that_falls_silent_within_an_answer(matrix, stage, every):
    """No filter is called in a silence, so nobody can write an error event; the vendor is blamed all the same."""
    def exchange(first, second):
        case = stage.case(**{f"m-{first}-{second}": stalls("word " * 30)})
        response = matrix.chat(case, f"{first}/{second}", stream=True)
        assert response.status == 200 and not response.whole, shown(response)
        assert b"[DONE]" not in response.body and case.called() == [f"m-{first}-{second}"]
        assert case.calls[0].finished.passed(5) and case.calls[0].abandoned, "the vendor still works for nobody"
        return response

    for line in logged(matrix, every(exchange, RING)):
        assert line["attempts"].endswith(":timeout") and line["reason"] == "timeout", line


VOCABULARY = {
    400: (400, "stop", True), 401: (502, "next", False), 402: (502, "next", True), 403: (502, "next", False),
    404: (502, "next", True), 408: (504, "next", True), 409: (409, "next", True), 413: (413, "stop", True),
    422: (400, "stop", True), 424: (502, "next", True), 429: (429, "next", True), 498: (429, "next", True),
    500: (502, "next", True), 501: (502, "next", True), 502: (502, "next", True), 503: (503, "next", True),
    504: (504, "next", True), 529: (503, "next", True),
}
"""For a vendor's status: the client's, whether another vendor is asked, and whether the client reads the vendor's text."""


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("status", VOCABULARY)
def test_what_a_vendors_error_becomes(matrix, stage, every, status, stream):
    """In the words of each format, alone and with somebody behind it. A text about a credential may quote a part of it."""
    seen, then, told_on = VOCABULARY[status]
    said = f"Words for {status}."

    def exchange(first, second):
        bad, other = f"m-{first}-{second}", f"m-{second}"
        error = fail(status, said, retry_after=7)
        case = stage.case(**{bad: error, other: error})
        response = matrix.chat(case, f"{first}/{second}", stream=stream)
        assert case.called() == ([bad, other] if then == "next" else [bad]), (case.called(), shown(response))
        refused(response, seen)
        teller = case.called()[-1]
        assert response.said(V1).startswith(teller) and (said in response.said(V1)) is told_on, shown(response)
        wait = response.headers.get("retry-after")
        assert wait == ("7" if seen in (429, 503) else None), (wait, shown(response))
        assert response.json["error"]["type"] and response.json["error"]["code"], shown(response)
        return response

    in_the_log(matrix, every(exchange, RING))
