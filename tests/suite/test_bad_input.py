"""Requests that are refused: each with a JSON 4xx that names the problem, without a vendor ever hearing of it.

Every body carries the token of a case without scripts, so that a vendor that gets one all the same makes the test fail;
after each refusal the gateway answers a good request.
"""

import gzip
import json
import socket

import pytest

from gateway import CHAT, EMBED, V1, V1_EMBED
from scripts import answer

USER = b'{"role":"user","content":"%s"}'


def body(fields, model=b"openai"):
    """A good body with more fields."""
    return b'{"model":"%b","messages":[%b]%b}' % (model, USER, b"," + fields if fields else b"")


def messages(value):
    return b'{"model":"openai","messages":%b}' % value


DEEP = b"[" * 10_000 + b"]" * 10_000

# name: (body with %s for the prompt, status, what the message says, param)
BODIES = {
    "no body": (b"", 400, "body", None),
    "blank": (b" \r\n", 400, "body", None),
    "no JSON": (b"hello %s", 400, "JSON", None),
    "form": (b"model=openai&messages=%s", 400, "JSON", None),
    "truncated": (body(b"")[:-1], 400, "JSON", None),
    "truncated in a string": (b'{"model":"openai","messages":[{"role":"user","content":"%s', 400, "JSON", None),
    "two values": (body(b"") + b"{}", 400, "JSON", None),
    "trailing comma": (body(b"")[:-1] + b",}", 400, "JSON", None),
    "NaN": (body(b'"temperature":NaN'), 400, "JSON", None),
    "a control character": (body(b'"user":"a\x01b"'), 400, "JSON", None),
    "byte order mark": (b"\xef\xbb\xbf" + body(b""), 400, "JSON", None),
    "UTF-16": (body(b"").decode().replace("%s", "x").encode("utf-16"), 400, "", None),
    "array": (b"[%b]" % body(b""), 400, "object", None),
    "string": (b'"%s"', 400, "object", None),
    "null": (b"null", 400, "object", None),
    "10,000 deep arrays": (body(b'"x":' + DEEP), 400, "", None),
    "10,000 deep objects": (body(b'"x":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000), 400, "", None),
    "10,000 deep and cut": (b'{"model":"openai","x":' + b"[" * 10_000, 400, "", None),
    "10,000 deep content": (messages(b'[{"role":"user","content":%b}]' % DEEP), 400, "", None),
    "duplicate key": (body(b'"model":"claude"'), 400, "model", None),
    "duplicate key, escaped": (body(b'"mod\\u0065l":"claude"'), 400, "model", None),
    "duplicate key, nested": (messages(b'[{"role":"user","content":"%s","role":"user"}]'), 400, "role", None),
    "duplicate key, nested and escaped": (
        messages(b'[{"role":"user","content":"%s","\\u0063ontent":"x"}]'), 400, "content", None),
    "duplicate key, deep in an unknown field": (body(b'"x":[{"y":{"a":1,"a":1}}]'), 400, "a", None),
    "invalid UTF-8": (body(b'"user":"\xff\xfe"'), 400, "UTF-8", None),
    "invalid UTF-8 in a prompt": (messages(b'[{"role":"user","content":"%s \xc3("}]'), 400, "UTF-8", None),
    "overlong UTF-8": (body(b'"user":"\xc0\xaf"'), 400, "UTF-8", None),
    "a lone surrogate in UTF-8": (body(b'"user":"\xed\xa0\x80"'), 400, "UTF-8", None),
    "messages missing": (b'{"model":"openai","user":"%s"}', 400, "messages", "messages"),
    "messages null": (messages(b"null"), 400, "messages", "messages"),
    "messages empty": (messages(b"[]"), 400, "messages", "messages"),
    "messages a string": (messages(b'"%s"'), 400, "messages", "messages"),
    "messages an object": (messages(USER), 400, "messages", "messages"),
    "a message that is a string": (messages(b'["%s"]'), 400, "messages[0]", "messages[0]"),
    "a message without role": (messages(b'[{"content":"%s"}]'), 400, "role", "messages[0].role"),
    "an unknown role": (messages(b'[{"role":"boss","content":"%s"}]'), 400, "role", "messages[0].role"),
    "a message without content": (messages(b'[%b,{"role":"user"}]' % USER), 400, "content", "messages[1].content"),
    "content a number": (messages(b'[%b,{"role":"user","content":5}]' % USER), 400, "content", "messages[1].content"),
    "model missing": (messages(b"[%b]" % USER).replace(b'"model":"openai",', b""), 400, "model", "model"),
    "model null": (body(b"").replace(b'"openai"', b"null"), 400, "model", "model"),
    "model a number": (body(b"").replace(b'"openai"', b"4"), 400, "model", "model"),
    "model empty": (body(b"", b""), 400, "model", "model"),
    "model unknown": (body(b"", b"gpt-nonesuch"), 404, "gpt-nonesuch", "model"),
    "model of another case": (body(b"", b"OpenAI"), 404, "OpenAI", "model"),
    "stream a string": (body(b'"stream":"yes"'), 400, "stream", "stream"),
    "stream_options without stream": (body(b'"stream_options":{}'), 400, "stream_options", "stream_options"),
    **{f"{field} = {value}": (body(f'"{field}":{value}'.encode()), 400, field, field) for field, values in {
        "temperature": ["2.1", "-0.1", "1e999", '"warm"', "[1]", "true"],
        "top_p": ["1.01", "-1"],
        "n": ["0", "-1", "129", "1.5", "99999999999999999999"],
        "max_tokens": ["0", "-5", "1e400", "2.5", '"10"'],
        "max_completion_tokens": ["0", "-1"],
        "presence_penalty": ["2.5", "-3"],
        "frequency_penalty": ["2.0001", "-2.5"],
        "top_logprobs": ["21", "-1"],
        "seed": ["1.5", "9223372036854775808", '"x"'],
        "tools": ["{}", '"x"'],
        "stop": ["7", "[7]"],
        "logit_bias": ["[]"],
        "logprobs": ["1"],
        "response_format": ['"json"'],
    }.items() for value in values},
    "n = 2 for Anthropic": (body(b'"n":2', b"claude"), 400, "n is not supported", "n"),
    "logprobs for Anthropic": (body(b'"logprobs":true', b"claude"), 400, "logprobs", "logprobs"),
    "logit_bias for Anthropic": (body(b'"logit_bias":{"50256":-100}', b"claude"), 400, "logit_bias", "logit_bias"),
    "a penalty for Anthropic": (body(b'"presence_penalty":1', b"claude"), 400, "penalty", "presence_penalty"),
    "temperature = 1.5 for Anthropic": (body(b'"temperature":1.5', b"claude"), 400, "temperature", "temperature"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_refused(gateway, stage, name):
    data, status, says, param = BODIES[name]
    case = stage.case()
    data = data.replace(b"%s", case.prompt.encode())
    for path in [V1, CHAT]:
        response = gateway.chat(path=path, body=data)
        assert response.status == status, response
        assert says in response.said(path)
        if path == V1 and param:
            assert response.json["error"]["param"] == param
    assert case.calls == []
    serves(gateway, stage)


def inputs(value, model=b"openai"):
    return b'{"model":"%b","input":%b}' % (model, value)


# The same for embeddings.
INPUTS = {
    "no body": (b"", 400, "input", None),
    "no JSON": (b"hello %s", 400, "JSON", None),
    "a chat request": (body(b""), 400, "input", "input"),
    "input null": (inputs(b"null"), 400, "input", "input"),
    "input empty": (inputs(b'""'), 400, "empty", "input"),
    "input a list of none": (inputs(b"[]"), 400, "empty", "input"),
    "input an object": (inputs(b'{"text":"%s"}'), 400, "string", "input"),
    "input a number": (inputs(b"7"), 400, "string", "input"),
    "an empty text among others": (inputs(b'["%s",""]'), 400, "empty", "input[1]"),
    "a number among texts": (inputs(b'["%s",1]'), 400, "string", "input[1]"),
    "a text among tokens": (inputs(b'[1,"%s"]'), 400, "token", "input[1]"),
    "a negative token": (inputs(b"[1,-1]"), 400, "token", "input[1]"),
    "a list in a list of texts": (inputs(b'["%s",["%s"]]'), 400, "string", "input[1]"),
    "texts in lists": (inputs(b'[["%s"]]'), 400, "token", "input[0][0]"),
    "lists in lists of tokens": (inputs(b"[[1],[[2]]]"), 400, "token", "input[1][0]"),
    "an empty list of tokens": (inputs(b"[[1],[]]"), 400, "empty", "input[1]"),
    "2049 texts": (inputs(json.dumps(["%s"] * 2049).encode()), 400, "2048", "input"),
    "10,000 deep input": (inputs(DEEP), 400, "", None),
    "a format that is none": (inputs(b'"%s","encoding_format":"hex"'), 400, "base64", "encoding_format"),
    "no dimensions": (inputs(b'"%s","dimensions":0'), 400, "dimensions", "dimensions"),
    "a stream": (inputs(b'"%s","stream":true'), 400, "stream", "stream"),
    "a model that is not there": (inputs(b'"%s"', b"gpt-nonesuch"), 404, "gpt-nonesuch", "model"),
    "a vendor without embeddings": (inputs(b'"%s"', b"claude"), 400, "embeddings are not supported by claude", "model"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_is_refused(gateway, stage, name):
    data, status, says, param = INPUTS[name]
    case = stage.case()
    for path in [V1_EMBED, EMBED]:
        response = gateway.chat(path=path, body=data.replace(b"%s", case.prompt.encode()))
        assert response.status == status, response
        assert says in response.said(path)
        if path == V1_EMBED and param:
            assert response.json["error"]["param"] == param
    assert case.calls == []
    serves(gateway, stage)


def request(path=CHAT, method="POST", headers=(), body=b"", key=None):
    """The bytes of a request, with a content-length unless there is a transfer-encoding."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"host: weir"]
    lines += [b"x-api-key: " + key.encode()] if key else []
    lines += headers
    if not any(b"transfer-encoding" in line or b"content-length" in line for line in lines):
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])


def good(stage):
    """A good body whose case has no script: it is refused for something else."""
    return body(b"").replace(b"%s", stage.case().prompt.encode())


def serves(gateway, stage):
    """Still alive, on connections enough to meet every worker."""
    for _ in range(2):
        assert gateway.chat(stage.case(openai=answer()), "openai").status == 200


HEADERS = {
    "invalid UTF-8": ([b"x-note: \xff\xfe"], 400, "header"),
    "invalid UTF-8 in a common header": ([b"user-agent: caf\xe9"], 400, "header"),
    "invalid UTF-8 in content-type": ([b"content-type: \xff"], 400, "header"),
    "two keys": ([b"authorization: Bearer another"], 400, "key"),
    "the key twice": ([b"x-api-key: another"], 400, "key"),
    "x-weir-vendor": ([b"x-weir-vendor: openai"], 400, "x-weir-vendor"),
    "x-weir-plan": ([b"X-Weir-Plan: azure"], 400, "x-weir-plan"),
    "x-envoy-attempt-count": ([b"x-envoy-attempt-count: 2"], 400, "x-envoy-attempt-count"),
    "x-envoy-retry-on": ([b"x-envoy-retry-on: 5xx"], 400, "x-envoy-retry-on"),
    "x-envoy-max-retries": ([b"x-envoy-max-retries: 100"], 400, "x-envoy-max-retries"),
    "x-envoy-upstream-rq-timeout-ms": ([b"x-envoy-upstream-rq-timeout-ms: 1"], 400, "x-envoy-upstream-rq-timeout-ms"),
    "x-envoy-original-path": ([b"x-envoy-original-path: /"], 400, "x-envoy-original-path"),
    "x-envoy-decorator-operation": ([b"x-envoy-decorator-operation: x"], 400, "x-envoy-decorator-operation"),
    "gzip": ([b"content-encoding: gzip"], 415, "gzip"),
    "br": ([b"content-encoding: br"], 415, "br"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_is_refused(gateway, stage, name):
    headers, status, says = HEADERS[name]
    data = gzip.compress(good(stage)) if name == "gzip" else good(stage)
    for path in [CHAT, V1]:
        response = gateway.raw(request(path, headers=headers, body=data, key=gateway.key))
        assert response.status == status, response
        assert says in response.said(path)
    serves(gateway, stage)


def test_a_key_that_is_no_text(gateway, stage):
    for header in [b"x-api-key: \xff\xfe", b"authorization: Bearer \xff\xfe", b"authorization: \xff"]:
        response = gateway.raw(request(headers=[header], body=good(stage)))
        assert response.status in (400, 401) and response.said(CHAT)
    serves(gateway, stage)


PLACES = [
    *[(method, CHAT, 405) for method in ["HEAD", "PUT", "OPTIONS", "GET", "DELETE", "PATCH", "TRACE"]],
    *[(method, V1, 405) for method in ["HEAD", "PUT", "OPTIONS", "GET"]],
    *[(method, path, 405) for method in ["GET", "PUT", "DELETE"] for path in [EMBED, V1_EMBED]],
    *[("POST", path, 405) for path in ["/health", "/metrics", "/v1/models"]],
    *[("DELETE", path, 405) for path in ["/health", "/metrics", "/v1/models"]],
    *[("GET", path, 404) for path in [
        "/", "/nope", "/v1", "/v1/", "/v1/nope", "/api", "/v10/models", "/healthy", "/metrics/x", "/stats",
        "/config_dump", "/metrics%3fformat=json", "/v1/models/x"]],
    *[("POST", path, 404) for path in [
        "/", "/nope", "/chat/completions", "/v1/chat", "/v1/completions", "/v1/embeddings/x", "/embeddings", "/V1/chat/completions",
        "/quitquitquit", "/logging?level=trace", "/api/chat/completionsx"]],
]


@pytest.mark.parametrize(("method", "path", "status"), PLACES)
def test_nothing_is_there(gateway, stage, method, path, status):
    data = good(stage) if method not in ("HEAD", "GET") else b""
    response = gateway.raw(request(path, method, body=data, key=gateway.key))
    assert response.status == status, response
    assert method == "HEAD" or response.said(path)
    if status == 405:
        assert response.headers["allow"]
    serves(gateway, stage)


@pytest.mark.parametrize("path", ["/%00", "/v1/models/..%2f..", "/../..", "/a\\..\\b", "/\xff", "*"])
def test_a_path_that_is_none(gateway, stage, path):
    """Refused by Envoy before the filter sees it: still as JSON that says something."""
    line = b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path.encode("latin-1")
    response = gateway.raw(line)
    assert response.status in (400, 404) and response.said(path), response


LIMIT = 8 << 20


@pytest.mark.parametrize("path", [CHAT, V1])
@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_a_body_over_the_limit(gateway, stage, path, framing):
    data = body(b'"user":"%b"' % (b"x" * LIMIT)).replace(b"%s", stage.case().prompt.encode())
    key = gateway.key
    if framing == "content-length":
        sent = request(path, body=data, key=key)
    else:
        pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        sent = request(path, headers=[b"transfer-encoding: chunked"], body=chunks + b"0\r\n\r\n", key=key)
    response = gateway.raw(sent)
    assert response.status == 413, response
    assert "body" in response.said(path)
    serves(gateway, stage)


def test_a_body_at_the_limit(gateway, stage):
    case = stage.case(openai=answer())
    data = body(b'"user":"%%"').replace(b"%s", case.prompt.encode())
    data = data.replace(b"%%", b"x" * (LIMIT - len(data) + 2))
    assert len(data) == LIMIT
    assert gateway.chat(body=data).status == 200


@pytest.mark.parametrize("data", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n",
    b"POST /api/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n12345",
    b"POST /health HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    b"POST /api/chat/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"POST /api/chat/completions HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
    b"GET /health HTTP/1.1\r\n\r\n",
], ids=["TLS", "no target", "version", "two lengths", "length and chunked", "bad chunk", "long header", "no host"])
def test_what_is_no_http(gateway, stage, data):
    """Envoy's part; the gateway has only to survive it and to say what it says as JSON, if anything."""
    response = gateway.raw(data)
    assert response is None or 400 <= response.status < 500
    serves(gateway, stage)


def test_a_client_that_leaves_in_the_middle_of_a_body(gateway, stage):
    data = good(stage)
    head = request(headers=[b"content-length: 100000"], key=gateway.key)
    with socket.create_connection(("127.0.0.1", gateway.port)) as sock:
        sock.sendall(head + data)
    serves(gateway, stage)


def test_the_error_shapes_to_the_byte(gateway, stage):
    response = gateway.chat(body=body(b'"temperature":9').replace(b"%s", stage.case().prompt.encode()))
    assert json.loads(response.body) == {"error": {
        "message": "temperature: must be a number between 0 and 2", "type": "invalid_request_error",
        "param": "temperature", "code": None}}
