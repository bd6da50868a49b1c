"""What a well-behaved client sees: every endpoint, every format, and how vendors' refusals are told."""

import json
import re

import pytest

from conftest import KINDS
from gateway import CHAT, V1, told
from scripts import answer, fail

WEATHER = ("call_abc123", "weather", {"city": "Genève", "days": [1, 2]})
TOOLS = [{"type": "function", "function": {
    "name": "weather", "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]


@pytest.mark.parametrize("path", [CHAT, V1])
@pytest.mark.parametrize("vendor", KINDS)
def test_a_whole_answer(gateway, stage, vendor, path):
    case = stage.case(**{vendor: answer("Grüß Gott, \U0001f600 \"friend\".\n")})
    response = gateway.chat(case, vendor, path)
    assert response.status == 200, response
    assert response.headers["content-type"].startswith("application/json")
    [choice] = response.json["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "Grüß Gott, \U0001f600 \"friend\".\n"
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert response.json["object"] == "chat.completion" and response.json["id"]
    usage = response.json["usage"]
    assert [usage[f"{name}_tokens"] for name in ("prompt", "completion", "total")] == [11, 7, 18]
    assert case.called() == [vendor]


@pytest.mark.parametrize("vendor", KINDS)
def test_a_chunked_answer_of_the_vendor(gateway, stage, vendor):
    case = stage.case(**{vendor: answer("In pieces.", framing="chunked")})
    assert gateway.chat(case, vendor).json["choices"][0]["message"]["content"] == "In pieces."


@pytest.mark.parametrize("path", [CHAT, V1])
@pytest.mark.parametrize("vendor", KINDS)
def test_a_stream(gateway, stage, vendor, path):
    case = stage.case(**{vendor: answer("Grüß Gott, \U0001f600 friend.")})
    response = gateway.chat(case, vendor, path, stream=True)
    assert response.status == 200 and response.whole, response
    assert response.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in response.headers
    assert told(response.events) == ("Grüß Gott, \U0001f600 friend.", [], "stop", [])


@pytest.mark.parametrize("vendor", KINDS)
def test_a_stream_with_usage(gateway, stage, vendor):
    case = stage.case(**{vendor: answer()})
    response = gateway.chat(case, vendor, stream=True, stream_options={"include_usage": True})
    *_, [usage] = told(response.events)
    assert [usage[f"{name}_tokens"] for name in ("prompt", "completion", "total")] == [11, 7, 18]
    last = response.events[-2]
    assert last["choices"] == [] and last["usage"], "the usage comes last, in a chunk without choices"


@pytest.mark.parametrize("vendor", KINDS)
def test_tools_whole(gateway, stage, vendor):
    case = stage.case(**{vendor: answer("", WEATHER, ("call_2", "weather", {}))})
    [choice] = gateway.chat(case, vendor, tools=TOOLS).json["choices"]
    assert choice["finish_reason"] == "tool_calls"
    calls = choice["message"]["tool_calls"]
    assert [(c["id"], c["type"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls] == [
        ("call_abc123", "function", "weather", WEATHER[2]), ("call_2", "function", "weather", {})]


@pytest.mark.parametrize("vendor", KINDS)
def test_tools_in_a_stream(gateway, stage, vendor):
    case = stage.case(**{vendor: answer("Let me see.", WEATHER, ("call_2", "weather", {}))})
    response = gateway.chat(case, vendor, tools=TOOLS, stream=True)
    assert told(response.events) == ("Let me see.", [WEATHER, ("call_2", "weather", {})], "tool_calls", [])


@pytest.mark.parametrize("vendor", KINDS)
def test_tool_results_reach_the_vendor(gateway, stage, vendor):
    """Both calls are answered before the next turn, in the shape that the vendor insists on."""
    case = stage.case(**{vendor: answer("Sunny.")})
    calls = [{"id": id, "type": "function", "function": {"name": "weather", "arguments": text}}
             for id, text in [("a", '{"city":"Bern"}'), ("b", "")]]
    messages = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": case.prompt},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": "21 degrees"},
        {"role": "tool", "tool_call_id": "b", "content": "rain"}, {"role": "user", "content": "And so?"}]
    response = gateway.chat(model=vendor, messages=messages, tools=TOOLS, tool_choice="auto", max_tokens=50)
    assert response.status == 200, response
    sent = json.dumps(case.call(vendor).json)
    assert all(word in sent for word in ["Be brief.", "21 degrees", "rain", "And so?", "Bern"])


def test_anthropic_gets_its_own_words(gateway, stage):
    case = stage.case(claude=answer())
    picture = {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}
    messages = [
        {"role": "developer", "content": "One."}, {"role": "system", "content": [{"type": "text", "text": "Two."}]},
        {"role": "user", "content": [{"type": "text", "text": case.prompt},
                                     {"type": "image_url", "image_url": picture}]}]
    response = gateway.chat(
        model="claude", messages=messages, max_completion_tokens=99, stop="END", temperature=0.5, top_p=None, n=1,
        seed=7, user="someone@example.test", store=False, presence_penalty=0, logprobs=False, logit_bias={},
        response_format={"type": "text"}, tools=TOOLS, parallel_tool_calls=False,
        tool_choice={"type": "function", "function": {"name": "weather"}})
    assert response.status == 200, response
    body = case.call("claude").json
    assert (body["max_tokens"], body["stop_sequences"], body["temperature"]) == (99, ["END"], 0.5)
    assert [block["text"] for block in body["system"]] == ["One.", "Two."]
    assert body["tool_choice"] == {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}
    assert body["tools"][0]["input_schema"] == TOOLS[0]["function"]["parameters"]
    image = body["messages"][0]["content"][1]
    assert image["source"] == {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    dropped = response.headers["x-weir-dropped-params"].split(",")
    assert sorted(dropped) == ["messages[2].content[1].image_url.detail", "seed", "user"]


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_answers_in_json(gateway, stage, stream):
    """Through a tool that the client knows nothing of."""
    case = stage.case(claude=answer("", ("toolu_1", "weir_json_answer", {"town": "Bern"})))
    response = gateway.chat(case, "claude", stream=stream, response_format={"type": "json_object"})
    assert response.status == 200 and b"weir_json_answer" not in response.body, response
    if stream:
        text, calls, finish, _ = told(response.events)
    else:
        [choice] = response.json["choices"]
        text, calls, finish = choice["message"]["content"], choice["message"].get("tool_calls", []), choice["finish_reason"]
    assert (json.loads(text), calls, finish) == ({"town": "Bern"}, [], "stop")
    body = case.call("claude").json
    assert body["tool_choice"] == {"type": "tool", "name": "weir_json_answer", "disable_parallel_tool_use": True}


@pytest.mark.parametrize("vendor", ["openai", "azure"])
def test_what_a_vendor_understands_is_not_touched(gateway, stage, vendor):
    """Unknown fields and numbers that no double can hold pass as they were written."""
    case = stage.case(**{vendor: answer()})
    body = (f'{{"model":"{vendor}", "seed": 9007199254740993, "x_new_field": {{"b":1.50,"a":[null]}},'
            f'"messages":[{{"role":"user","content":"caf\\u00e9 {case.prompt}"}}]}}')
    assert gateway.chat(body=body.encode()).status == 200
    expected = body if vendor == "azure" else body.replace('"model":"openai"', '"model":"openai-model"')
    assert case.call(vendor).body.decode() == expected


@pytest.mark.parametrize(("finish", "vendor"), [
    (finish, vendor) for finish in ["length", "content_filter"] for vendor in KINDS])
def test_finish_reasons(gateway, stage, finish, vendor):
    case = stage.case(**{vendor: answer("Cut", finish=finish)})
    assert gateway.chat(case, vendor).json["choices"][0]["finish_reason"] == finish
    assert told(gateway.chat(case, vendor, stream=True).events)[2] == finish


def test_response_headers(gateway, stage):
    case = stage.case(openai=fail(429), azure=answer())
    response = gateway.chat(case, "all")
    assert (response.vendor, response.attempts) == ("azure", "openai:429,azure:ok")
    assert response.headers["x-weir-model"] == "azure-model"
    assert response.headers["x-request-id"]
    again = gateway.chat(stage.case(openai=answer()), "openai")
    assert again.headers["x-request-id"] != response.headers["x-request-id"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_vendors_own_headers_are_not_shown(gateway, stage, stream):
    """Its cookies, its account and its limits are about the gateway, not about the client."""
    for vendor in KINDS:
        response = gateway.chat(stage.case(**{vendor: answer()}), vendor, stream=stream)
        shown = [name for name in response.headers if re.match(
            "set-cookie|openai-|anthropic-|x-ms-|apim-|x-ratelimit-|x-envoy-", name)]
        assert not shown


def test_a_model_without_another_name(gateway, stage):
    assert gateway.chat(stage.case(same_name=answer()), "spelled-alike").status == 200


@pytest.mark.parametrize("headers", [
    lambda key: [("x-api-key", key)], lambda key: [("Authorization", f"Bearer {key}")],
    lambda key: [("X-API-Key", key)], lambda key: [("authorization", f"bearer {key}")]])
def test_a_key_in_either_place(gateway, stage, headers):
    case = stage.case(openai=answer())
    body = json.dumps({"model": "openai", "messages": [{"role": "user", "content": case.prompt}]}).encode()
    assert gateway.send("POST", CHAT, body, headers(gateway.key)).status == 200


@pytest.mark.parametrize("headers", [
    [], [("x-api-key", "wrong")], [("x-api-key", "")], [("authorization", "Bearer wrong")],
    [("authorization", "Bearer")], [("authorization", "Basic d2VpcjpzdWl0ZQ==")], [("authorization", "")]])
def test_no_key_no_answer(gateway, stage, headers):
    body = json.dumps({"model": "openai", "messages": [{"role": "user", "content": stage.case().prompt}]}).encode()
    response = gateway.send("POST", CHAT, body, headers)
    assert (response.status, response.text) == (401, '{"error":"Unauthorized"}')
    response = gateway.send("POST", V1, body, headers)
    assert response.status == 401 and response.said(V1)
    assert response.json["error"]["code"] == "invalid_api_key"
    assert gateway.send("GET", "/v1/models", None, headers).status == 401


def test_health(gateway):
    response = gateway.send("GET", "/health")
    assert response.status == 200
    assert set(response.json) == {"status", "timestamp", "version"}
    assert (response.json["status"], response.json["version"]) == ("healthy", "1.0.0")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", response.json["timestamp"])


def test_models(gateway):
    def listed(key):
        response = gateway.send("GET", "/v1/models", None, [("authorization", f"Bearer {key}")])
        assert response.status == 200 and response.json["object"] == "list", response
        for model in response.json["data"]:
            assert model["object"] == "model" and type(model["created"]) is int and model["owned_by"]
        return [model["id"] for model in response.json["data"]]

    assert {"openai", "azure", "claude", "all", "spelled-alike"} <= set(listed(gateway.key))
    assert sorted(listed(gateway.limited)) == ["echo", "openai"]


def test_a_key_without_permission(gateway, stage):
    for path in [CHAT, V1]:
        response = gateway.chat(stage.case(), "azure", path, key=gateway.limited)
        assert response.status == 403 and "azure" in response.said(path)
    assert gateway.chat(stage.case(openai=answer()), "openai", key=gateway.limited).status == 200


def test_a_model_that_nobody_serves(gateway, stage):
    for path in [CHAT, V1]:
        response = gateway.chat(stage.case(), "unserved", path)
        assert response.status == 503 and "unserved" in response.said(path)


def test_a_vendor_without_credential_is_left_out(gateway, stage):
    response = gateway.chat(stage.case(openai_2=answer()), "keyless/openai")
    assert (response.status, response.attempts) == (200, "openai-2:ok")


def test_echo(gateway):
    whole, stream = gateway.chat(), gateway.chat(stream=True)
    assert whole.vendor == stream.vendor == "echo"
    text = whole.json["choices"][0]["message"]["content"]
    assert text and told(stream.events)[0] == text
    assert gateway.chat().json["choices"] == whole.json["choices"], "echo says the same again"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "shown"), [(400, 400), (413, 413), (422, 400)])
@pytest.mark.parametrize("vendor", KINDS)
def test_a_request_at_fault_is_not_tried_elsewhere(gateway, stage, vendor, status, shown, stream):
    case = stage.case(**{vendor: fail(status, "The dog ate it.")})
    response = gateway.chat(case, f"{vendor}/openai", stream=stream)
    assert response.status in (shown, status), response
    assert "The dog ate it." in response.said(V1)
    assert (case.called(), response.attempts) == ([vendor], f"{vendor}:{status}")


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("vendor", KINDS)
def test_a_gateway_at_fault_goes_to_the_next_vendor(gateway, stage, vendor, status):
    secret = stage.vendors[vendor].secret
    case = stage.case(**{vendor: fail(status, f"Incorrect API key: {secret}"), "claude-2": answer("Rescued.")})
    response = gateway.chat(case, f"{vendor}/claude")
    assert (response.status, response.attempts) == (200, f"{vendor}:{status},claude-2:ok")
    case = stage.case(**{vendor: fail(status, f"Incorrect API key: {secret}")})
    response = gateway.chat(case, vendor)
    assert response.status == 502 and response.said(V1)
    if status != 404:
        assert secret not in response.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "shown"), [
    (429, 429), (500, 502), (502, 502), (503, 503), (504, 504), (529, 503)])
@pytest.mark.parametrize("vendor", KINDS)
def test_a_vendors_failure_is_told(gateway, stage, vendor, status, shown, stream):
    case = stage.case(**{vendor: fail(status, retry_after=7)})
    for path in [CHAT, V1]:
        response = gateway.chat(case, vendor, path, stream=stream)
        assert response.status == shown and response.said(path), response
        assert response.headers.get("retry-after") == ("7" if shown in (429, 503) else None)
        assert response.attempts.split(",")[0] == f"{vendor}:{status}"


def test_a_large_answer(gateway, stage):
    """Far above Envoy's default buffers, far below what a vendor may send."""
    text = "All work and no play makes Jack a dull boy. " * 20_000
    for vendor in KINDS:
        case = stage.case(**{vendor: answer(text)})
        assert gateway.chat(case, vendor).json["choices"][0]["message"]["content"] == text
