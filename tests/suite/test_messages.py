"""Clients of Anthropic's Messages at every vendor: Anthropic's own SDK, and requests by hand where it is too careful."""

import json

import anthropic
import pytest

from conftest import Setting
from formats import dump, event
from gateway import until
from scripts import END, JSON, Gate, answer, chunk, cut, error_event, fail, gated, message, stream_head

KINDS = ["openai", "azure", "anthropic", "gemini", "mistral", "bedrock"]
PATH = "/v1/messages"
TOOLS = [{"name": "weather", "description": "The weather.", "cache_control": {"type": "ephemeral"},
          "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
PNG = "iVBORw0KGgo="
THOUGHTS = [{"type": "thinking", "thinking": "I must look.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "ZGF0YQ=="}]


@pytest.fixture(scope="module")
def gateway(stage, launch, tmp_path_factory):
    """A vendor of each format, and answers that are kept."""
    setting = Setting(stage, tmp_path_factory.mktemp("messages"))
    for kind in KINDS:
        setting.vendor(stage.vendor(f"say-{kind}", kind))
        setting.model(kind, f"say-{kind}")
    # A model whose name says that it thinks.
    thinker = stage.vendor("thinker", "anthropic", models=["claude-sonnet-4-5"])
    setting.vendor(thinker)
    setting.config["models"].append({"name": "thinker", "serve": [{"vendor": "thinker", "model": "claude-sonnet-4-5"}]})
    setting.config["cache"] = {"ttl": "1m"}
    key = setting.key("messages")
    limited = setting.key("few", ["openai"])
    setting.config["keys"][-1]["limits"] = {"requests": {"rate": "1/h", "burst": 1}}
    gateway = setting.gateway(key)
    gateway.limited = limited
    with launch(gateway):
        yield gateway


@pytest.fixture(scope="module")
def client(gateway):
    with anthropic.Anthropic(base_url=f"http://127.0.0.1:{gateway.port}", api_key=gateway.key, max_retries=0) as client:
        yield client


def asked(case, model, **fields):
    return {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": case.prompt}], **fields}


def scripted(stage, kind, script):
    return stage.case(**{f"say_{kind}": script})


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_answer(client, stage, kind):
    case = scripted(stage, kind, answer("Grüße, \U0001f600!"))
    raw = client.messages.with_raw_response.create(**asked(
        case, kind, system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        stop_sequences=["END"], extra_body={"temperature": 0.5}, metadata={"user_id": "u-1"}), extra_headers={"anthropic-beta": "x-2025"})
    said = raw.parse()
    assert (said.type, said.role, said.stop_reason, said.stop_sequence) == ("message", "assistant", "end_turn", None)
    assert [(block.type, block.text) for block in said.content] == [("text", "Grüße, \U0001f600!")]
    usage = said.usage
    assert usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens == 11
    assert usage.output_tokens == 7 and said.id.startswith("msg_")
    assert raw.headers["request-id"] and raw.headers["x-weir-vendor"] == f"say-{kind}"
    call = case.call(f"say-{kind}")
    assert "Be brief." in call.body.decode() and "END" in call.body.decode()
    assert call.header("anthropic-beta") is None
    if kind == "anthropic":
        assert call.json["system"][0]["cache_control"] == {"type": "ephemeral"}
        assert call.json["metadata"] == {"user_id": "u-1"} and "x-weir-dropped-params" not in raw.headers


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream(client, stage, kind):
    case = scripted(stage, kind, answer("One two three."))
    with client.messages.stream(**asked(case, kind)) as stream:
        kinds = [happened.type for happened in stream]
        said = stream.get_final_message()
    assert (said.content[0].text, said.stop_reason, said.usage.output_tokens) == ("One two three.", "end_turn", 7)
    assert said.usage.input_tokens > 0
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_tools_over_two_turns(client, stage, kind, streamed):
    case = scripted(stage, kind, [answer("", ("call_1", "weather", {"city": "Bern"})), answer("Take an umbrella.")])

    def ask(**fields):
        if not streamed:
            return client.messages.create(**asked(case, kind, tools=TOOLS, **fields))
        with client.messages.stream(**asked(case, kind, tools=TOOLS, **fields)) as stream:
            return stream.get_final_message()

    first = ask(tool_choice={"type": "any"})
    [call] = first.content
    assert (call.type, call.name, call.input, first.stop_reason) == ("tool_use", "weather", {"city": "Bern"}, "tool_use")
    turns = [{"role": "user", "content": case.prompt}, {"role": "assistant", "content": first.content},
             {"role": "user", "content": [{"type": "text", "text": "Well?"}, {
                 "type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "rain"}]}]}]
    second = ask(messages=turns)
    assert (second.content[0].text, second.stop_reason) == ("Take an umbrella.", "end_turn")
    assert len(case.calls) == 2 and "rain" in case.calls[1].body.decode()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind, stop", [("anthropic", ("stop_sequence", "END")), ("bedrock", ("stop_sequence", None)),
                                        ("openai", ("end_turn", None))])
def test_a_stop_sequence_is_told_where_the_vendor_says_it(client, stage, kind, stop, streamed):
    case = scripted(stage, kind, answer("One two", sequence="END"))
    fields = asked(case, kind, stop_sequences=["END", "FIN"])
    # Once from the vendor, once from what is kept of that.
    for _ in range(2):
        if streamed:
            with client.messages.stream(**fields) as stream:
                said = stream.get_final_message()
        else:
            said = client.messages.create(**fields)
        assert (said.stop_reason, said.stop_sequence, said.content[0].text) == (*stop, "One two")
    assert len(case.calls) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture(client, stage, kind):
    case = scripted(stage, kind, answer("A dot."))
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    content = [picture, {"type": "text", "text": case.prompt}]
    said = client.messages.create(**asked(case, kind, messages=[{"role": "user", "content": content}]))
    assert said.content[0].text == "A dot."
    assert PNG in case.call(f"say-{kind}").body.decode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_of_a_tool(client, stage, kind):
    """Of two calls at once, and with a word of the user's."""
    calls = answer("", ("call_1", "weather", {"city": "Bern"}), ("call_2", "weather", {"city": "Rom"}))
    case = scripted(stage, kind, [calls, answer("A dot.")])
    uses = client.messages.create(**asked(case, kind, tools=TOOLS)).content
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": said}
               for use, said in zip(uses, ([picture], "rain"), strict=True)]
    said = client.messages.create(**asked(case, kind, tools=TOOLS, messages=[
        {"role": "user", "content": case.prompt}, {"role": "assistant", "content": uses},
        {"role": "user", "content": [*results, {"type": "text", "text": "And?"}]}]))
    assert said.content[0].text == "A dot."
    assert PNG in case.calls[1].body.decode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_of_text(client, stage, kind):
    case = scripted(stage, kind, answer("Short."))
    source = {"type": "text", "media_type": "text/plain", "data": "It was a dark night."}
    document = {"type": "document", "source": source, "title": "novel.txt"}
    said = client.messages.create(**asked(
        case, kind, messages=[{"role": "user", "content": [document, {"type": "text", "text": case.prompt}]}]))
    assert said.content[0].text == "Short."
    sent = case.call(f"say-{kind}")
    assert source["data"] in sent.body.decode()
    if kind == "anthropic":
        assert sent.json["messages"][0]["content"][0] == document
    elif kind in ("openai", "azure", "mistral"):
        assert sent.json["messages"][0]["content"][0] == {"type": "text", "text": source["data"]}


def thinking(format, call):
    """What a model that thinks says, whole or as a stream, in Anthropic's words."""
    blocks = [*THOUGHTS, {"type": "text", "text": "So."}]
    said = {"id": "msg_1", "type": "message", "role": "assistant", "model": call.model, "content": blocks,
            "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 9}}
    if not call.streams:
        yield message(200, [JSON], dump(said))
        return
    yield stream_head(format)
    yield chunk(event({"type": "message_start", "message": {**said, "content": [], "stop_reason": None}}))
    pieces = [[{"type": "thinking_delta", "thinking": "I must "}, {"type": "thinking_delta", "thinking": "look."},
               {"type": "signature_delta", "signature": "c2ln"}], [], [{"type": "text_delta", "text": "So."}]]
    starts = [{"type": "thinking", "thinking": "", "signature": ""}, THOUGHTS[1], {"type": "text", "text": ""}]
    for index, (start, deltas) in enumerate(zip(starts, pieces, strict=True)):
        yield chunk(event({"type": "content_block_start", "index": index, "content_block": start}))
        for delta in deltas:
            yield chunk(event({"type": "content_block_delta", "index": index, "delta": delta}))
        yield chunk(event({"type": "content_block_stop", "index": index}))
    yield chunk(event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}))
    yield chunk(event({"type": "message_stop"})) + END


@pytest.mark.parametrize("streamed", [False, True])
def test_thoughts_come_back_with_their_signatures(client, stage, streamed):
    case = stage.case(thinker=thinking)
    budget = {"type": "enabled", "budget_tokens": 1024}

    def ask(**fields):
        fields = asked(case, "thinker", **{"max_tokens": 2048, "thinking": budget, **fields})
        if not streamed:
            return client.messages.create(**fields)
        with client.messages.stream(**fields) as stream:
            return stream.get_final_message()

    said = ask()
    assert [block.model_dump(exclude_none=True) for block in said.content] == [*THOUGHTS, {"type": "text", "text": "So."}]
    ask(messages=[{"role": "user", "content": case.prompt}, {"role": "assistant", "content": said.content},
                  {"role": "user", "content": "And?"}])
    assert case.calls[1].json["messages"][1]["content"] == [*THOUGHTS, {"type": "text", "text": "So."}]
    assert all(call.json["thinking"] == budget for call in case.calls)


# name: (the vendor's script, the SDK's class, Anthropic's word for it)
ERRORS = {
    "refuses": (fail(400), anthropic.BadRequestError, "invalid_request_error"),
    "rejects the gateway's key": (fail(401), anthropic.InternalServerError, "api_error"),
    "is limited": (fail(429, retry_after=1), anthropic.RateLimitError, "rate_limit_error"),
    "fails": (fail(500), anthropic.InternalServerError, "api_error"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_vendor_that_fails(client, stage, kind):
    for name, (script, error, word) in ERRORS.items():
        with pytest.raises(error) as caught:
            client.messages.create(**asked(scripted(stage, kind, script), kind))
        body = caught.value.body
        assert (body["type"], body["error"]["type"]) == ("error", word), name
        assert body["request_id"] == caught.value.response.headers["request-id"], name


def test_an_overloaded_vendor(client, stage):
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(**asked(scripted(stage, "anthropic", fail(529)), "anthropic"))
    assert (caught.value.status_code, caught.value.body["error"]["type"]) == (503, "overloaded_error")


def test_refusals_of_the_gateway(gateway, client, stage):
    for key, model, error, word in [
        ("wrong", "openai", anthropic.AuthenticationError, "authentication_error"),
        (gateway.limited, "azure", anthropic.PermissionDeniedError, "permission_error"),
        (gateway.key, "nonesuch", anthropic.NotFoundError, "not_found_error"),
    ]:
        with pytest.raises(error) as caught:
            client.with_options(api_key=key).messages.create(**asked(stage.case(), model))
        assert caught.value.body["error"]["type"] == word
    case = scripted(stage, "openai", answer())
    few = client.with_options(api_key=gateway.limited)
    few.messages.create(**asked(case, "openai"))
    with pytest.raises(anthropic.RateLimitError):
        few.messages.create(**asked(case, "openai", stop_sequences=["x"]))
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.count_tokens(model="openai", messages=[{"role": "user", "content": "x"}])
    assert caught.value.body["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("path, headers, status, word", [
    (f"{PATH}/a%2fb?x", [], 400, "invalid_request_error"),
    (f"{PATH}?beta=true", [("connection", "upgrade"), ("upgrade", "websocket")], 403, "permission_error"),
], ids=["path", "upgrade"])
def test_errors_of_envoys_own_have_anthropics_shape(gateway, path, headers, status, word):
    response = gateway.send("POST", path, b"", [("x-api-key", gateway.key), *headers])
    said = response.json
    assert (response.status, said["type"], said["error"]["type"]) == (status, "error", word)
    assert said["error"]["message"]
    other = gateway.send("POST", path.replace("/v1/messages", "/v1/messages2"), b"", headers).json
    assert set(other["error"]) == {"message", "type", "param", "code"}
    assert other["error"]["type"] == "invalid_request_error", "it is the client's mistake"


HI = [{"role": "user", "content": "x"}]
BAD = {
    "model": {"max_tokens": 1, "messages": HI},
    "max_tokens": {"model": "openai", "messages": HI},
    "messages": {"model": "openai", "max_tokens": 1},
    "must be an array of at least one message": {"model": "openai", "max_tokens": 1, "messages": []},
    "messages[0].role": {"model": "openai", "max_tokens": 1, "messages": [{"role": "system", "content": "x"}]},
    "messages[0].content": {"model": "openai", "max_tokens": 1, "messages": [{"role": "user", "content": 7}]},
    "messages[0].content[0].type": {"model": "openai", "max_tokens": 1, "messages": [
        {"role": "user", "content": [{"type": "hologram"}]}]},
    "messages[0].content[0].tool_use_id": {"model": "openai", "max_tokens": 1, "messages": [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}]},
    "temperature": {"model": "openai", "max_tokens": 1, "messages": HI, "temperature": "hot"},
    "stop_sequences": {"model": "openai", "max_tokens": 1, "messages": HI, "stop_sequences": "x"},
    "container": {"model": "openai", "max_tokens": 1, "messages": HI, "container": "c"},
    "body": "not JSON",
}


@pytest.mark.parametrize("where", BAD)
def test_bad_input_is_named(gateway, where):
    body = BAD[where]
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    response = gateway.send("POST", PATH, data, [("x-api-key", gateway.key)])
    said = response.json
    assert (response.status, said["type"], said["error"]["type"]) == (400, "error", "invalid_request_error")
    assert where in said["error"]["message"] and said["request_id"]


def test_a_kept_answer_is_told_in_either_language(gateway, client, stage):
    case = scripted(stage, "openai", answer("Kept."))
    first = client.messages.with_raw_response.create(**asked(case, "openai"))
    again = client.messages.with_raw_response.create(**asked(case, "openai"))
    assert (first.headers["x-weir-cache"], again.headers["x-weir-cache"]) == ("miss", "hit-l1")
    assert first.parse().content == again.parse().content
    with client.messages.stream(**asked(case, "openai")) as stream:
        assert stream.get_final_message().content[0].text == "Kept."
    plain = gateway.chat(case, "openai", max_tokens=64)
    assert plain.headers["x-weir-cache"] == "hit-l1"
    assert plain.json["choices"][0]["message"]["content"] == "Kept."
    assert len(case.calls) == 1


@pytest.mark.parametrize("script", [error_event(4), cut("clean")])
def test_a_broken_stream_has_no_end(gateway, client, stage, script):
    case = scripted(stage, "openai", script)
    with pytest.raises(anthropic.APIStatusError):
        list(client.messages.create(**asked(case, "openai", stream=True)))
    body = json.dumps(asked(case, "openai", stream=True)).encode()
    told = gateway.send("POST", PATH, body, [("x-api-key", gateway.key)]).text
    assert "event: error\n" in told and "message_stop" not in told


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_client_that_leaves(client, stage, kind):
    held = Gate()
    case = scripted(stage, kind, gated("One two three.", [held]))
    with client.messages.create(**asked(case, kind, stream=True)) as stream:
        for happened in stream:
            if happened.type == "content_block_delta":
                break
    held.open()
    assert case.call(f"say-{kind}").finished.passed()


def test_the_log_and_the_counters_know_the_endpoint(gateway, client, stage):
    client.messages.create(**asked(scripted(stage, "openai", answer("Counted.")), "openai"))
    assert until(lambda: gateway.counted(endpoint=PATH, status="200", vendor="say-openai", model="openai"))
