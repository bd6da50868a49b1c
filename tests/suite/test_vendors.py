"""The vendors themselves, without a gateway: a test stage that cannot object proves nothing.

The official SDK reads what they say, and every kind of request that they must object to is sent to them.
"""

import hashlib
import http.client
import json
import re
import ssl

import openai
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer

import frames
import signatures

from conftest import served_with
from gateway import sse, told
from scripts import CLOSE, RESET, answer, cut, fail, reset, silence
from vendors import Call, closed_port


@pytest.fixture(scope="module")
def own(stage):
    kinds = ["openai", "azure", "mistral", "anthropic", "gemini", "bedrock"]
    return {kind: stage.vendor(f"own-{kind}", kind) for kind in kinds}


def send(vendor, body, path=None, headers=(), credential=None, drop=()):
    """A request as the gateway should make it, except for what is given."""
    header, prefix = vendor.format.credential
    good = {"content-type": "application/json", header: prefix + (credential or vendor.secret)}
    if vendor.format.kind == "anthropic":
        good["anthropic-version"] = "2023-06-01"
    good = {name: value for name, value in good.items() if name not in drop} | dict(headers)
    connection = http.client.HTTPConnection("127.0.0.1", vendor.port, timeout=10)
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.putrequest("POST", path or vendor.format.path(vendor.name + "-model"), skip_host="host" in good,
                          skip_accept_encoding=True)
    for name, value in {"content-length": str(len(body)), **good}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    return connection.getresponse()


def body(vendor, case, **fields):
    if vendor.format.kind == "bedrock":
        return {"messages": [{"role": "user", "content": [{"text": case.prompt}]}], **fields}
    if vendor.format.kind == "gemini":
        return {"contents": [{"role": "user", "parts": [{"text": case.prompt}]}], **fields}
    messages = [{"role": "user", "content": case.prompt}]
    known = {"model": f"{vendor.name}-model", "messages": messages}
    return known | ({"max_tokens": 10} if vendor.format.kind == "anthropic" else {}) | fields


@pytest.mark.parametrize("kind", ["openai", "azure"])
def test_the_official_sdk_understands_them(stage, own, kind):
    vendor = own[kind]
    header, prefix = vendor.format.credential
    client = openai.OpenAI(
        base_url=f"http://127.0.0.1:{vendor.port}" + vendor.format.path(f"{vendor.name}-model").partition("/chat")[0],
        api_key=vendor.secret, max_retries=0, default_headers={header: prefix + vendor.secret},
        default_query={"api-version": vendor.format.api_version} if kind == "azure" else {})
    call = ("call_1", "weather", {"city": "Bern"})
    case = stage.case(**{vendor.name: answer("Hello there.", call)})
    asked = {"model": f"{vendor.name}-model", "messages": [{"role": "user", "content": case.prompt}]}
    message = client.chat.completions.create(**asked).choices[0].message
    assert (message.content, message.tool_calls[0].function.name) == ("Hello there.", "weather")
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello there."
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**{**asked, "messages": [
            {"role": "user", "content": stage.case(**{vendor.name: fail(429)}).prompt}]})
    # Straight from the client: it asks for gzip, brings its cookies, and authorizes in OpenAI's way at Azure too.
    assert all(re.search("accept-encoding|cookie reached|authorization reached", wrong) for wrong in stage.settle())


@pytest.mark.parametrize("kind", ["openai", "azure"])
def test_a_stream_obeys_its_laws(stage, own, kind):
    vendor = own[kind]
    case = stage.case(**{vendor.name: answer("a b", ("call_1", "f", {}))})
    wanted = body(vendor, case, stream=True, stream_options={"include_usage": True})
    said = [e if e == "[DONE]" else json.loads(e) for e in sse(send(vendor, wanted).read())]
    text, tools, finish, [usage] = told(said)
    assert (text, tools, finish, usage["total_tokens"]) == ("a b", [("call_1", "f", {})], "tool_calls", 18)


def test_anthropic_by_hand(stage, own):
    vendor = own["anthropic"]
    case = stage.case(own_anthropic=answer("Hello there.", ("toolu_1", "weather", {"city": "Bern"})))
    whole = json.loads(send(vendor, body(vendor, case)).read())
    assert [block["type"] for block in whole["content"]] == ["text", "tool_use"]
    assert (whole["stop_reason"], whole["usage"]["input_tokens"]) == ("tool_use", 8)
    blocks = send(vendor, body(vendor, case, stream=True)).read().decode().split("\n\n")[:-1]
    events = [(block.split("\n")[0], json.loads(block.split("\n")[1].removeprefix("data: "))) for block in blocks]
    assert all(line == f"event: {data['type']}" for line, data in events)
    assert [data["type"] for _, data in events][::len(events) - 1] == ["message_start", "message_stop"]
    pieces = [data["delta"] for _, data in events if data["type"] == "content_block_delta"]
    assert "".join(piece.get("text", "") for piece in pieces) == "Hello there."
    assert json.loads("".join(piece.get("partial_json", "") for piece in pieces)) == {"city": "Bern"}


def test_gemini_by_hand(stage, own):
    vendor = own["gemini"]
    case = stage.case(own_gemini=answer("Hello there.", ("", "weather", {"city": "Bern"})))
    whole = json.loads(send(vendor, body(vendor, case)).read())
    [candidate] = whole["candidates"]
    assert [sorted(part) for part in candidate["content"]["parts"]] == [["text"], ["functionCall", "thoughtSignature"]]
    assert (candidate["finishReason"], whole["usageMetadata"]["totalTokenCount"]) == ("STOP", 18)
    path = f"/v1beta/models/{vendor.name}-model:streamGenerateContent?alt=sse"
    events = [json.loads(data) for data in sse(send(vendor, body(vendor, case), path).read())]
    [*first, last] = [event["candidates"][0] for event in events]
    assert last["finishReason"] == "STOP" and not any("finishReason" in candidate for candidate in first)
    parts = [part for candidate in first for part in candidate["content"]["parts"]]
    assert "".join(part.get("text", "") for part in parts) == "Hello there."
    assert parts[-1]["functionCall"] == {"name": "weather", "args": {"city": "Bern"}}


def test_bedrock_by_hand(stage, own):
    """AWS's own parser reads the frames."""
    vendor = own["bedrock"]
    case = stage.case(own_bedrock=answer("Hello there.", ("tooluse_1", "weather", {"city": "Bern"})))
    whole = json.loads(send(vendor, body(vendor, case)).read())
    assert [list(block) for block in whole["output"]["message"]["content"]] == [["text"], ["toolUse"]]
    assert (whole["stopReason"], whole["usage"]["totalTokens"]) == ("tool_use", 18)
    response = send(vendor, body(vendor, case), f"/model/{vendor.name}-model/converse-stream")
    assert response.headers["content-type"] == "application/vnd.amazon.eventstream"
    buffer = EventStreamBuffer()
    buffer.add_data(response.read())
    events = [(event.headers[":event-type"], json.loads(event.payload)) for event in buffer]
    assert [name for name, _ in events][::len(events) - 1] == ["messageStart", "metadata"]
    deltas = [data["delta"] for name, data in events if name == "contentBlockDelta"]
    assert "".join(delta.get("text", "") for delta in deltas) == "Hello there."
    assert json.loads("".join(delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta)) == {"city": "Bern"}
    buffer = EventStreamBuffer()
    buffer.add_data(frames.corrupt(frames.event("a", b"{}")))
    with pytest.raises(ChecksumMismatch):
        next(buffer)


@pytest.mark.parametrize("change, wrong", [
    ({}, None), ({"headers": {"authorization": "Bearer x"}}, "authorization is"),
    ({"body": b"{}"}, "that of the body"), ({"path": "/model/other/converse"}, "does not match"),
    ({"headers": {"host": "elsewhere"}}, "does not match"), ({"headers": {"x-amz-date": "20200101T000000Z"}}, "x-amz-date"),
    ({"headers": {"x-amz-security-token": "t"}}, "not signed"), ({"secret": "other"}, "does not match"),
    ({"region": "us-east-1"}, "is for"),
])
def test_a_signature_is_verified(change, wrong):
    """What AWS's own library signs is taken, and nothing else."""
    keys, path, text = ("AKIA", "sk"), "/model/a%3Ab%2Fc/converse", b'{"messages": []}'
    headers = {"host": "h:1", "content-type": "application/json",
               "x-amz-content-sha256": hashlib.sha256(text).hexdigest()}
    request = AWSRequest("POST", f"http://h:1{path}", headers=headers, data=text)
    signer = SigV4Auth(Credentials(keys[0], change.get("secret", keys[1])), "bedrock", change.get("region", "eu-central-1"))
    signer.add_auth(request)
    signed = {name.lower(): value for name, value in request.headers.items()} | change.get("headers", {})
    call = Call("v", "POST", change.get("path", path), list(signed.items()), change.get("body", text), {"m"})
    said = list(signatures.wrong(call, keys, "eu-central-1"))
    assert (wrong in "".join(said)) if wrong else not said, said


WRONG = {
    # what is wrong: (kind, body fields, request, a part of the objection)
    "credential": ("openai", {}, {"credential": "sk-other"}, "credential"),
    "no credential": ("azure", {}, {"drop": ["api-key"]}, "credential"),
    "a second credential": ("azure", {}, {"headers": [("authorization", "Bearer x")]}, "authorization reached"),
    "cookie": ("openai", {}, {"headers": [("cookie", "a=b")]}, "cookie reached"),
    "internal header": ("openai", {}, {"headers": [("x-weir-plan", "a")]}, "x-weir-plan reached"),
    "Envoy's header": ("openai", {}, {"headers": [("x-envoy-attempt-count", "1")]}, "x-envoy-attempt-count reached"),
    "a client's key": ("openai", {"user": "THE-CLIENT-KEY"}, {}, "client's key"),
    "accept-encoding": ("openai", {}, {"headers": [("accept-encoding", "gzip")]}, "accept-encoding"),
    "content-type": ("openai", {}, {"headers": [("content-type", "text/plain")]}, "content-type"),
    "host": ("openai", {}, {"headers": [("host", "localhost:1")]}, "host is"),
    "path": ("openai", {}, {"path": "/v1/completions"}, "/v1/completions"),
    "api-version": ("azure", {}, {"path": "/openai/deployments/own-azure-model/chat/completions"}, "POST /openai"),
    "model": ("openai", {"model": "gpt-4"}, {}, "model is"),
    "stream_options": ("openai", {"stream_options": {}}, {}, "stream_options"),
    "a field of OpenAI's": ("mistral", {"seed": 1}, {}, "['seed']: Extra inputs"),
    "a null of OpenAI's": ("mistral", {"logit_bias": None}, {}, "['logit_bias']: Extra inputs"),
    "a role of OpenAI's": ("mistral", {"messages": [{"role": "developer", "content": "x"}]}, {}, "role is 'developer'"),
    "an id of OpenAI's": ("mistral", {"messages": [{"role": "tool", "content": "x", "tool_call_id": "call_1"}]}, {},
                          "Tool call id was call_1"),
    "a choice of OpenAI's": ("mistral", {"tool_choice": "required"}, {}, "tool_choice is 'required'"),
    "an unknown field": ("anthropic", {"n": 1}, {}, "Extra inputs"),
    "a null": ("anthropic", {"system": None}, {}, "null"),
    "no max_tokens": ("anthropic", {"max_tokens": None}, {}, "max_tokens"),
    "no version": ("anthropic", {}, {"drop": ["anthropic-version"]}, "anthropic-version"),
    "temperature": ("anthropic", {"temperature": 1.5}, {}, "temperature"),
    "a system turn": ("anthropic", {"messages": [{"role": "system", "content": "x"}]}, {}, "role 'system'"),
    "an empty text": ("anthropic", {"messages": [{"role": "user", "content": ""}]}, {}, "non-empty"),
    "no turn": ("anthropic", {"messages": []}, {}, "at least one"),
    "an unanswered call": ("anthropic", {"messages": [{"role": "assistant", "content": [
        {"type": "tool_use", "id": "t", "name": "f", "input": {}}]}]}, {}, "never answered"),
    "an answer that is not first": ("anthropic", {"messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "tool_result", "tool_use_id": "t"}]},
    ]}, {}, "answers [] first"),
    "a tool without schema": ("anthropic", {"tools": [{"name": "f"}]}, {}, "input_schema"),
    "a choice without tools": ("anthropic", {"tool_choice": {"type": "auto"}}, {}, "tool_choice without"),
    "a blank stop": ("anthropic", {"stop_sequences": [" "]}, {}, "blank"),
    "a field of OpenAI's": ("gemini", {"stream": True}, {}, "Cannot find field"),
    "an unknown option": ("gemini", {"generationConfig": {"top_p": 1}}, {}, "generation_config"),
    "a path of OpenAI's": ("gemini", {}, {"path": "/v1/chat/completions"}, "POST /v1/chat"),
    "a stream that is an array": (
        "gemini", {}, {"path": "/v1beta/models/own-gemini-model:streamGenerateContent"}, "POST"),
    "six stops": ("gemini", {"generationConfig": {"stopSequences": list("abcdef")}}, {}, "stop sequences"),
    "no contents": ("gemini", {"contents": []}, {}, "contents is not"),
    "two turns of one role": (
        "gemini", {"contents": [{"role": "user", "parts": [{"text": "x"}]}] * 2}, {}, "after 'user'"),
    "an empty part": ("gemini", {"contents": [{"role": "user", "parts": [{"text": ""}]}]}, {}, "empty text"),
    "a call without its signature": ("gemini", {"contents": [
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}]}, {}, "thought_signature"),
    "a call that is not answered": ("gemini", {"contents": [
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}]}, {}, "never answered"),
    "a result of nothing": ("gemini", {"contents": [
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}]}, {}, "answers ['f']"),
    "a choice that is not declared": ("gemini", {"tools": [{"functionDeclarations": [{"name": "f"}]}], "toolConfig": {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["g"]}}}, {}, "not declared"),
    "a GIF": ("gemini", {"contents": [{"role": "user", "parts": [
        {"inlineData": {"mimeType": "image/gif", "data": "AA=="}}]}]}, {}, "inlineData"),
    "a model in the body": ("bedrock", {"model": "m"}, {}, "['model'] is not known"),
    "a path not escaped": ("bedrock", {}, {"path": "/model/own:bedrock/converse"}, "POST /model"),
    "a signature for somebody else": ("bedrock", {}, {"headers": [("x-amz-date", "20250101T000000Z")]}, "x-amz-date"),
    "a text of spaces": ("bedrock", {"messages": [{"role": "user", "content": [{"text": " "}]}]}, {}, "blank"),
    "two blocks in one": ("bedrock", {"messages": [{"role": "user", "content": [{"text": "x", "p": 1}]}]}, {}, "a block with"),
    "two turns of a user": ("bedrock", {"messages": [{"role": "user", "content": [{"text": "x"}]}] * 2}, {}, "after 'user'"),
    "a result of no call": ("bedrock", {"messages": [{"role": "user", "content": [
        {"toolResult": {"toolUseId": "t", "content": []}}]}]}, {}, "answers ['t']"),
    "calls without their tools": ("bedrock", {"messages": [{"role": "assistant", "content": [
        {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}]}]}, {}, "toolConfig field must be defined"),
    "a tool without a schema of an object": ("bedrock", {"toolConfig": {"tools": [
        {"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}]}}, {}, "is no object"),
}


@pytest.mark.parametrize("name", WRONG)
def test_they_object(stage, own, name):
    kind, fields, request, objection = WRONG[name]
    vendor = own[kind]
    case = stage.case(**{vendor.name: answer()})
    stage.forbidden.append("THE-CLIENT-KEY")
    try:
        # The token may have gone with the messages, so it stands in the model's place too when it must.
        wanted = body(vendor, case, **fields)
        if b"[[case" not in json.dumps(wanted).encode():
            wanted["metadata"] = {"user_id": case.prompt}
        send(vendor, wanted, **request).read()
    finally:
        stage.forbidden.remove("THE-CLIENT-KEY")
    assert any(wrong.startswith(vendor.name) and objection in wrong for wrong in stage.settle())


def test_a_good_request_meets_no_objection(stage, own):
    for vendor in own.values():
        case = stage.case(**{vendor.name: answer()})
        assert send(vendor, body(vendor, case)).status == 200
        assert case.called() == [vendor.name]


def test_no_case_and_no_script_are_objections(stage, own):
    vendor = own["openai"]
    for wanted, objection in [
            (body(vendor, stage.case()), "no script"), (b'{"model":"own-openai-model","messages":[{}]}', "of no case"),
            (body(vendor, stage.case(own_openai=[])), "no script")]:
        with pytest.raises((http.client.BadStatusLine, ConnectionError)):
            send(vendor, wanted)
        assert any(objection in wrong for wrong in stage.settle())
    wanted = json.dumps(body(vendor, stage.case(own_openai=answer())))
    send(vendor, wanted.replace('"model"', '"model":"a","model"', 1).encode()).read()
    assert any("duplicate" in wrong for wrong in stage.settle())


@pytest.mark.parametrize(("script", "error"), [
    (reset(), ConnectionResetError), (cut(RESET), ConnectionResetError), (cut(CLOSE), http.client.IncompleteRead),
    (cut("clean"), None)])
def test_ends(stage, own, script, error):
    vendor = own["openai"]
    wanted = body(vendor, stage.case(own_openai=script), stream=True)
    if error is None:
        assert b"[DONE]" not in send(vendor, wanted).read()
    else:
        with pytest.raises(error):
            send(vendor, wanted).read()


def test_silence_notices_that_its_peer_leaves(stage, own):
    case = stage.case(own_openai=silence())
    vendor = own["openai"]
    wanted = json.dumps(body(vendor, case)).encode()
    connection = http.client.HTTPConnection("127.0.0.1", vendor.port, timeout=0.2)
    connection.request("POST", "/v1/chat/completions", wanted, {
        "authorization": f"Bearer {vendor.secret}", "content-type": "application/json", "accept-encoding": "identity"})
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    [call] = case.calls
    assert call.finished.passed(5) and call.abandoned


def test_tls(stage, certificates):
    trusted, _ = certificates
    vendor = stage.vendor("own-tls", "openai", tls=served_with(trusted, "localhost"), host="localhost")
    context = ssl.create_default_context()
    trusted.configure_trust(context)
    connection = http.client.HTTPSConnection("localhost", vendor.port, context=context, timeout=10)
    connection.request("POST", "/v1/chat/completions", json.dumps(body(vendor, stage.case(own_tls=answer()))), {
        "authorization": f"Bearer {vendor.secret}", "content-type": "application/json", "accept-encoding": "identity"})
    assert connection.getresponse().status == 200


def test_a_closed_port_refuses():
    port, held = closed_port()
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", port).request("GET", "/")
    held.close()
