"""Hundreds of bad replies, from the tables in `tests/hostile/replies`, all to one gateway with nobody to fall back on.

What comes of a reply, by the word in its row: `refused`, a clear error before anything; `broken`, a clear error or a
stream that has an error event or no end; `answer`, an answer in OpenAI's shape; `told`, any of these. Whatever it is,
the client sees nothing that the vendor has no say in, nothing is charged that cannot be, and the gateway goes on.
"""

import json
import re

import pytest

import hostile
from conftest import Setting
from formats import Reply, event
from gateway import V1
from scripts import CLOSE, END, HANG, JSON, answer, chunk, events_type, head, message, stream_head

VENDORS = {"openai": "openai", "claude": "anthropic", "gemini": "gemini", "bedrock": "bedrock"}
GROWTH = 64 << 20
"""What the memory may grow by over all tables: less than a reply of 32 MiB, the longest, for each of two workers."""
STEERING = ["x-weir-retry", "set-cookie", "x-envoy-overloaded", "x-envoy-ratelimited", "strict-transport-security",
            "content-security-policy", "access-control-allow-origin", "location"]
"""Headers of a vendor's that no client gets."""


@pytest.fixture(scope="module")
def gateway(stage, launch, tmp_path_factory):
    setting = Setting(stage, tmp_path_factory.mktemp("hostile-replies"))
    setting.config["routing"] |= {"first_token_timeout": "1s", "idle_timeout": "1s", "total_timeout": "3s"}
    for name, kind in VENDORS.items():
        setting.vendor(stage.vendor(f"bad-{name}", kind))
        setting.model(name, f"bad-{name}")
        setting.config["models"][-1]["price"] = {"input": 1, "output": 1}
    with launch(setting.gateway(setting.key("replies"))) as gateway:
        serves(gateway, stage)
        gateway.machines = machines(gateway)
        yield gateway


def serves(gateway, stage):
    """Every vendor, whole and as a stream."""
    for name in VENDORS:
        for stream in [False, True]:
            assert gateway.chat(stage.case(**{f"bad-{name}": answer()}), name, stream=stream).status == 200


def machines(gateway):
    text = gateway.admin("/stats?filter=wasm.*(created|active|reload|fail)")
    return dict(line.rsplit(": ", 1) for line in text.splitlines())


def rows(table):
    """Every reply of a table: a name, whose it is, whether to a request for a stream, a script and what is expected."""
    for row in table["rows"]:
        pieces = made(row)
        for vendor in row.get("only", table["formats"]):
            if "values" in row:
                yield from members(vendor, row)
                continue
            deliveries = [True] if table.get("stream") or row.get("of") == "stream" else [False, True]
            for stream in deliveries:
                yield f"{vendor}: {row['name']}", vendor, stream, written(row, pieces, stream), {"expect": "refused", **row}


def members(vendor, row):
    """A good reply but for one member."""
    path, stream = row.get("whole", row.get("field")), "event" in row
    for value in row["values"]:
        script = changed_event(row["event"], path, value) if stream else changed_whole(path, value)
        yield f"{vendor}: {'event ' * stream}{path} = {value[:50]}", vendor, stream, script, row


def changed_whole(path, value):
    def script(format, call):
        good = json.loads(format.whole(Reply(), call.model))
        yield message(200, [*format.headers(), JSON], hostile.replaced(good, path, value).encode())

    return script


def changed_event(index, path, value):
    def script(format, call):
        events = list(format.events(Reply(), call.model, False))
        # Only a format of lines has its members changed; frames are built in the table.
        name, data = re.fullmatch(rb"(?:event: (\w+)\n)?data: (.*)\n\n", events[index], re.DOTALL).groups()
        changed = hostile.replaced(json.loads(data), path, value).encode()
        events[index] = event(changed, name.decode() if name else None)
        yield stream_head(format)
        yield chunk(b"".join(events)) + END

    return script


def made(row):
    """The bytes of a row, before any vendor waits for them; `%g` and `%e` stand for themselves."""
    written = row.get("raw", row.get("send", ""))
    pieces = written if isinstance(written, list) else [written]
    return [piece if piece in ("%g", "%e") else hostile.joined(piece) for piece in pieces]


def written(row, pieces, stream):
    """The reply to the byte."""
    def script(format, call):
        if "before" in row:
            yield hostile.joined(row["before"])
        if row.get("good"):
            yield from good(row, format, call)
            return
        if "raw" in row:
            yield b"".join(pieces)
            yield HANG if row.get("then") == "hang" else CLOSE
            return
        events = list(format.events(Reply(), call.model, False))
        parts = {"%g": b"".join(events[:4]), "%e": b"".join(events[4:])}
        body = b"".join(parts.get(piece, piece) for piece in pieces)
        lines = [b"HTTP/1.1 %d Status" % row.get("status", 200), b"content-length: %d" % len(body),
                 *kind(row, format, stream), *(hostile.joined(header) for header in row.get("headers", []))]
        yield b"\r\n".join([*lines, b"", body])

    return script


def kind(row, format, stream):
    if "type" in row:
        return [b"content-type: " + hostile.joined(row["type"])] if row["type"] is not None else []
    usual = events_type(format) if stream and row.get("status", 200) == 200 else JSON
    return [f"{usual[0]}: {usual[1]}".encode()]


def good(row, format, call):
    """An answer as it should be, with more headers."""
    more = [tuple(header.split(": ", 1)) for header in row.get("headers", [])]
    if call.streams:
        yield head(200, [*more, events_type(format), ("transfer-encoding", "chunked")])
        yield chunk(b"".join(format.events(Reply(), call.model, False))) + END
    else:
        yield message(200, [*more, JSON], format.whole(Reply(), call.model))


def judged(gateway, stage, row):
    """What is wrong with what came of a row, in a line."""
    name, vendor, stream, script, expected = row
    try:
        case = stage.case(**{f"bad-{vendor}": script})
        response = gateway.chat(case, vendor, stream=stream, timeout=15)
        lines = [*wrong(response, stream, expected), *charged(response, expected)]
        if "calls" in expected and len(case.calls) != expected["calls"]:
            lines.append(f"{len(case.calls)} calls")
    except Exception as error:  # noqa: BLE001 - every row is to be judged, whatever happens to one
        lines = [repr(error)]
    return f"{name}{', a stream' * stream}: {'; '.join(lines)}" if lines else ""


def wrong(response, stream, expected):
    if found := [name for name in STEERING if name in response.headers]:
        yield f"has {found}"
    outcome = what(response, stream)
    allowed = {"told": {"answer", "refused", "broken"}, "broken": {"refused", "broken"}}
    if outcome not in allowed.get(expected["expect"], {expected["expect"]}):
        yield f"is {outcome}: {response.status} {response.body[:150]}"
    if outcome == "refused" and response.status not in expected.get("statuses", [502, 503, 504]):
        yield f"is {response.status}: {response.body[:150]}"


def what(response, stream):
    """In a word. Whatever is in no shape at all is an error of this function's."""
    if response.status != 200:
        assert 0 < len(response.said(V1)) < 1000
        return "refused"
    if not stream:
        choices = response.json["choices"]
        assert isinstance(choices, list) and choices and response.whole
        return "answer"
    if response.whole and response.events[-1] == "[DONE]":
        assert all(isinstance(chunk["choices"], list) for chunk in response.events[:-1])
        return "answer"
    assert b"[DONE]" not in response.body
    if response.whole:
        assert set(response.events[-1]) == {"error"} and response.events[-1]["error"]["message"]
    return "broken"


def charged(response, expected):
    """A price is a number of dollars that a person could have spent; of a count that cannot be there is none."""
    cost = response.headers.get("x-weir-cost-usd")
    if cost is not None and not re.fullmatch(r"\d{1,3}(\.\d+)?", cost):
        yield f"costs {cost}"
    if expected.get("free") and cost is not None:
        yield f"costs {cost}, which nobody counted"


@pytest.fixture(scope="module")
def before(gateway, stage, at_once):
    """Its memory after what is large and no attack."""
    def large(number):
        name = list(VENDORS)[number % len(VENDORS)]
        gateway.chat(stage.case(**{f"bad-{name}": answer("word " * 1_000_000)}), name)

    at_once(large, range(24))
    return gateway.resident()


@pytest.mark.parametrize("name", hostile.tables("replies"))
def test_every_reply_is_taken_for_what_it_is(gateway, stage, at_once, before, name):
    found = at_once(lambda row: judged(gateway, stage, row), rows(hostile.table("replies", name)))
    assert not (wrong := [line for line in found if line]), "\n".join(wrong)
    serves(gateway, stage)
    assert machines(gateway) == gateway.machines, "a virtual machine was replaced"
    assert gateway.resident() - before < GROWTH
    for (sample, labels), value in gateway.metrics().items():
        if re.search("token|cost|usd", sample):
            assert 0 <= value < 1e12, (sample, labels, value)


def test_there_are_enough():
    """So that a table that is not read any more is missed."""
    count = sum(len(row.get("values", row.get("only", table["formats"])))
                for table in (hostile.table("replies", name) for name in hostile.tables("replies")) for row in table["rows"])
    assert count >= 700
