"""Hundreds of bad requests, from the tables in `tests/hostile/requests`, all to one gateway.

Each is refused as its row says: in the shape of its surface where the filter sees it, by Envoy where it is no HTTP. No
vendor hears of any: their case has no script, and a request of no case is a violation. After each table the gateway
answers as before, in the virtual machines that it began with, and at the end its memory is what it was.
"""

import hashlib
import http.client
import io
import json
import socket
import subprocess
import threading

import pytest
import yaml

import hostile
from conftest import Setting
from gateway import CHAT, EMBED, ROOT, V1, V1_EMBED, WEIR, envoy_with, free_port, read
from scripts import answer

VENDORS = {"openai": "openai", "claude": "anthropic", "gemini": "gemini", "bedrock": "bedrock"}
GOOD = {
    "chat": {"model": "openai", "messages": [{"role": "user", "content": "%s"}]},
    "embeddings": {"model": "openai", "input": "%s"},
}
SURFACES = {"chat": [V1, CHAT], "embeddings": [V1_EMBED, EMBED]}
BATCH = f"{CHAT}/batch"
GROWTH = 64 << 20
"""What the memory may grow by over all tables: less than a body of each of twelve clients at a time."""


@pytest.fixture(scope="module")
def gateway(stage, launch, tmp_path_factory):
    setting = Setting(stage, tmp_path_factory.mktemp("hostile-input"))
    setting.config["routing"] |= {"answer_timeout": "20s", "total_timeout": "20s"}
    for name, kind in VENDORS.items():
        setting.vendor(stage.vendor(f"in-{name}", kind))
        setting.model(name, f"in-{name}")
    gateway = setting.gateway(setting.key("input"))
    gateway.few = setting.key("few", ["claude"])
    with launch(gateway):
        serves(gateway, stage)
        gateway.machines = machines(gateway)
        yield gateway


def serves(gateway, stage):
    """Every vendor's format, on connections enough to meet every worker."""
    for name in VENDORS:
        assert gateway.chat(stage.case(**{f"in-{name}": answer()}), name).status == 200


def machines(gateway):
    """How many virtual machines there are and ever were; one that traps is replaced."""
    text = gateway.admin("/stats?filter=wasm.*(created|active|reload|fail)")
    return dict(line.rsplit(": ", 1) for line in text.splitlines())


def filling(gateway, stage):
    """What stands for the words of the tables, and the prompt of a case without scripts."""
    prompt = stage.case().prompt
    user = json.dumps({"role": "user", "content": prompt})
    words = {"%m": '"model":"openai"', "%u": user, "%c": f'{{"model":"openai","messages":[{user}]}}', "%s": prompt,
             "%b": json.dumps(GOOD["chat"]), "%k": gateway.key, "%f": gateway.few,
             "%d": hashlib.sha256(gateway.key.encode()).hexdigest()}

    def fill(text):
        for word in ["%b", "%c", "%m", "%u", "%s", "%k", "%f", "%d"]:
            text = text.replace(word, words[word])
        return text

    return fill


def rows(table, fill):
    """Every row of a table: a name, a function that makes the request, and what is wrong with what comes of it."""
    for row in table["rows"]:
        if table.get("http"):
            yield from over_http(row, fill)
        elif "field" in row:
            yield from fields(table.get("task", "chat"), row, fill)
        else:
            yield from bodies(table, row, fill)


def fields(task, row, fill):
    """Each value, in a good request."""
    expected = {"param": row["field"], "says": "", "status": 400, **row}
    for value in row["values"]:
        good = {**GOOD[task], **({"model": row["model"]} if "model" in row else {})}
        raw = hostile.joined(value).decode()
        body = fill(hostile.replaced(good, row["field"], raw)).encode()
        name = f"{row['field']} = {raw[:40]}"
        for path in SURFACES[task]:
            yield name, posting(path, body), refusal(path, expected)


def bodies(table, row, fill):
    """The body as it stands."""
    expected = {"status": 400, "says": "", "param": None, **row}
    body = hostile.joined(row["send"], fill)
    if table.get("items"):
        yield row["name"], posting(BATCH, b"[%b]" % body), of_item(expected)
        return
    for path in [table["path"]] if "path" in table else SURFACES["chat"]:
        yield row["name"], posting(path, body), refusal(path, expected)


def over_http(row, fill):
    """Headers, lines and whole requests, to the byte."""
    expected = {"says": "", "param": None, "by": "weir", **row}
    lines = [row["line"]] if "line" in row else [f"POST {path} HTTP/1.1" for path in SURFACES["chat"]]
    for line in [""] if "send" in row else lines:
        sent = hostile.joined(row["send"], fill) if "send" in row else assembled(fill(line), row, fill)
        name = row.get("name") or f"{line[:60]} {row.get('headers', '')}"
        path = line.split(" ")[1] if line else ""
        check = refusal(expected.get("surface", path), expected) if expected["by"] == "weir" else of_envoy(expected)
        yield name, {"envoy": exchange, "closed": ended}.get(expected["by"], once)(sent), check


def assembled(line, row, fill):
    """A good request but for what the row says."""
    body = hostile.joined(row.get("body", "%b"), fill) if line.startswith("POST") else b""
    given = [hostile.joined(header, fill) for header in row.get("headers", [])]
    usual = {"host": b"host: weir", "key": b"x-api-key: " + fill("%k").encode(),
             "length": b"content-length: %d" % len(body)}
    if any(header.lower().startswith(b"transfer-encoding:") for header in given):
        del usual["length"]
    usual = [header for name, header in usual.items() if name not in row.get("without", [])]
    # A connection that goes on is read for a second answer, so only what is well-formed says that it ends.
    ends = [] if "length" in row.get("without", []) else [b"connection: close"]
    return b"\r\n".join([line.encode(), *usual, *given, *ends, b"", body])


def posting(path, body):
    return lambda gateway: [gateway.chat(path=path, body=body)]


def once(sent):
    """The first answer; the connection may go on."""
    return lambda gateway: [response] if (response := gateway.raw(sent)) else []


def exchange(sent):
    """All answers until the gateway ends the connection."""

    def run(gateway):
        with socket.create_connection(("127.0.0.1", gateway.port), 10) as sock:
            threading.Thread(target=quietly, args=(sock.sendall, sent), daemon=True).start()
            text = b""
            try:
                while piece := sock.recv(65536):
                    text += piece
            except ConnectionError:
                pass
        return list(responses(text))

    return run


def ended(sent):
    """Whatever it says, the gateway ends the connection."""

    def run(gateway):
        with socket.create_connection(("127.0.0.1", gateway.port), 10) as sock:
            sock.sendall(sent)
            while sock.recv(65536):
                pass
        return []

    return run


def quietly(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        pass


class Recorded(io.BytesIO):
    """Bytes for a socket."""

    def makefile(self, _):
        return self

    def close(self):
        pass


def responses(text):
    recorded = Recorded(text)
    while recorded.tell() < len(text):
        response = http.client.HTTPResponse(recorded)
        response.begin()
        yield read(response)


def refusal(path, expected):
    """What is wrong with an answer that should be Weir's."""

    def wrong(answers):
        [response] = answers
        message = "" if expected.get("line", "").startswith("HEAD") else response.said(path)
        if response.status not in one_or_more(expected["status"]):
            yield f"is {response.status}: {message}"
        if str(expected["says"]) not in message:
            yield f"says {message!r}"
        if expected["param"] and path.startswith("/v1/") and response.json["error"]["param"] != expected["param"]:
            yield f"names {response.json['error']['param']!r}, and says {message!r}"
        if len(message) > 1000:
            yield f"repeats what was sent: {len(message)} characters"

    return wrong


def of_item(expected):
    """The same of a request in a batch."""

    def wrong(answers):
        [response] = answers
        [result] = response.json
        if result["status"] != expected["status"] or str(expected["says"]) not in result["body"]["error"]:
            yield str(result)

    return wrong


def of_envoy(expected):
    """What is wrong with what Envoy makes of something that is no HTTP: one answer at most, an error."""

    def wrong(answers):
        if len(answers) > 1:
            yield f"{len(answers)} answers"
        statuses = one_or_more(expected.get("status", [*range(400, 500), 501]))
        if any(response.status not in statuses for response in answers):
            yield f"is {answers[0].status}: {answers[0].body[:100]}"

    return wrong


def one_or_more(value):
    return [value] if isinstance(value, int) else value


@pytest.fixture(scope="module")
def before(gateway, stage, at_once):
    """Its memory after what is no attack, a large body on every connection among it."""
    case = stage.case(**{"in-openai": answer()})
    answers = at_once(lambda _: gateway.chat(case, "openai", user="x" * (7 << 20)).status, range(24))
    assert set(answers) == {200}
    return gateway.resident()


@pytest.mark.parametrize("name", hostile.tables("requests"))
def test_every_request_is_refused(gateway, stage, at_once, before, name):
    found = at_once(lambda row: judged(gateway, row), rows(hostile.table("requests", name), filling(gateway, stage)))
    assert not (wrong := [line for line in found if line]), "\n".join(wrong)
    serves(gateway, stage)
    assert machines(gateway) == gateway.machines, "a virtual machine was replaced"
    assert gateway.resident() - before < GROWTH


def judged(gateway, row):
    """What is wrong with what came of a row, in a line."""
    name, run, wrong = row
    try:
        lines = list(wrong(run(gateway)))
    except Exception as error:  # noqa: BLE001 - every row is to be judged, whatever happens to one
        lines = [repr(error)]
    return f"{name}: {'; '.join(lines)}" if lines else ""


def test_there_are_enough():
    """So that a table that is not read any more is missed."""
    count = sum(len(row.get("values", [row])) for name in hostile.tables("requests")
                for row in hostile.table("requests", name)["rows"])
    assert count >= 850


@pytest.fixture(scope="module")
def impatient(gateway, tmp_path_factory):
    """The listener that is printed, with its patience cut from minutes to a second or two."""
    port, admin = free_port(), free_port()
    directory = tmp_path_factory.mktemp("impatient")
    config = {"listen": f"127.0.0.1:{port}", "admin": f"127.0.0.1:{admin}", "keys": gateway.config["keys"][:1],
              "vendors": [{"name": "echo", "kind": "echo"}], "models": [{"name": "echo", "serve": [{"vendor": "echo"}]}]}
    (directory / "weir.yaml").write_text(yaml.safe_dump(config))
    printed = subprocess.run([WEIR, "render", "--for", "envoy", "--config", directory / "weir.yaml"], cwd=ROOT, env={},
                             capture_output=True, text=True, timeout=30, check=True).stdout
    for patience, short in [("request_headers_timeout: 10s", "request_headers_timeout: 1s"),
                            ("request_timeout: 120s", "request_timeout: 2s"), ("idle_timeout: 900s", "idle_timeout: 1s")]:
        assert patience in printed
        printed = printed.replace(patience, short)
    (directory / "envoy.yaml").write_text(printed)
    with envoy_with(directory / "envoy.yaml", port):
        yield port


SLOW = {
    "nothing": (b"", b"", b""),
    "half a request line": (b"POST /v1/ch", b"a", b" 408 "),
    "headers without an end": (b"POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\n", b"x-a: b\r\n", b" 408 "),
    "a body without an end": (b"POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nx-api-key: %k\r\n"
                              b"content-length: 100000\r\n\r\n{", b" ", b" 408 "),
    "chunks without an end": (b"POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nx-api-key: %k\r\n"
                              b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n", b"1\r\n \r\n", b" 408 "),
    "a body without an end, and no key": (b"POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\ncontent-length: 100000\r\n"
                                          b"\r\n{", b" ", b" 401 "),
    "a connection that was used": (b"GET /health HTTP/1.1\r\nhost: weir\r\n\r\n", b"", b" 200 "),
}
"""What comes first, what then comes again and again, and what is said to it."""


def test_who_is_slow_is_let_go(gateway, impatient, at_once):
    """A client that sends a byte now and then holds its connection for as long as is printed, and no longer."""
    def drip(name):
        first, again, says = (part.replace(b"%k", gateway.key.encode()) for part in SLOW[name])
        with socket.create_connection(("127.0.0.1", impatient), 5) as sock:
            sock.sendall(first)
            sock.settimeout(0.2)
            text = b""
            for _ in range(50):
                try:
                    piece = sock.recv(65536)
                except TimeoutError:
                    quietly(sock.sendall, again)
                    continue
                except ConnectionError:
                    break
                text += piece
                if not piece:
                    break
            else:
                return f"{name}: is still there after ten seconds, and was told {text!r}"
        return "" if says in text else f"{name}: {text[:200]!r}"

    assert not (wrong := [line for line in at_once(drip, SLOW) if line]), "\n".join(wrong)
