"""Bedrock in its own format and its own framing, through a real Envoy: with a key and signed, whole, as a stream, with
tools and pictures, and when it fails.
"""

import json
import re
import subprocess

import pytest
import yaml

import frames
from conftest import Setting
from formats import Reply, dump
from gateway import OLDEST_ENVOY, ROOT, WEIR, envoy, takes, told
from scripts import CLOSE, END, JSON, RESET, answer, chunk, close, corrupted, cut, error_before_content, error_event, \
    exception, fail, gzipped, headers_then_silence, huge_event, ignores_stream, message, nonsense, not_json, page, \
    reset_after_headers, stream_head

PNG = "iVBORw0KGgo="
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
KEYS = ("AKIASUITE", "sk-aws/suite+secret")
CLAUDE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/a1/b2"


@pytest.fixture(scope="module")
def gateway(stage, launch, tmp_path_factory):
    """One Bedrock with a key, two that want signatures, one OpenAI; alone and in front of each other."""
    setting = Setting(stage, tmp_path_factory.mktemp("bedrock"))
    models = ["bed-model", "amazon.nova-pro-v1:0", CLAUDE, PROFILE]
    setting.vendor(stage.vendor("bed", "bedrock", models=models))
    setting.vendor(stage.vendor("oai", "openai"))
    setting.vendor(stage.vendor("signed", "bedrock", models=[*models, "signed-model"], keys=KEYS),
                   credential={"aws": "environment"})
    filed = setting.directory / "aws" / "credentials"
    filed.parent.mkdir()
    filed.write_text("[default]\naws_access_key_id = AKIAFILED\naws_secret_access_key = sk-aws-filed\n"
                     "aws_session_token = sk-aws-session\n")
    setting.vendor(stage.vendor("filed", "bedrock", keys=("AKIAFILED", "sk-aws-filed")), credential={"aws": str(filed)})
    setting.vendor(stage.vendor("found", "bedrock", keys=KEYS), credential={"aws": "found"})
    # Else Envoy would ask for the role of this machine, too.
    setting.env |= {"AWS_ACCESS_KEY_ID": KEYS[0], "AWS_SECRET_ACCESS_KEY": KEYS[1], "AWS_EC2_METADATA_DISABLED": "true"}
    setting.secrets += [KEYS[1], "sk-aws-filed", "sk-aws-session"]
    setting.vendor(stage.vendor("unset", "bedrock"), credential={"env": "SUITE_NOT_SET"})
    # At home, and never asked here: the filter must take them, though it is told neither a url nor a credential.
    for kind, home in [("bedrock", {"region": "eu-central-1"}), ("gemini", {})]:
        entry = {"name": f"{kind}-at-home", "kind": kind, "credential": {"env": "SUITE_BED"}, **home}
        setting.config["vendors"].append(entry)
    for name in ["bed", "signed", "filed", "found", "bed/oai", "oai/bed", "signed/oai", "signed/bed", "bed/signed"]:
        setting.model(name, *name.split("/"))
    setting.config["models"][0]["price"] = {"input": 2, "output": 10, "cached_input": 1, "cache_write": 3}
    for model in models[1:]:
        name = "profile" if model == PROFILE else model
        setting.config["models"].append({"name": name, "serve": [{"vendor": "signed", "model": model}]})
    setting.config["models"].append({"name": "claude", "serve": [{"vendor": "bed", "model": CLAUDE}]})
    with launch(setting.gateway(setting.key("bedrock"))) as gateway:
        yield gateway


def usage_of(usage):
    return (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"],
            usage["prompt_tokens_details"]["cached_tokens"], usage["prompt_tokens_details"]["cache_write_tokens"])


def test_a_whole_answer(gateway, stage):
    case = stage.case(bed=answer("Grüße, \U0001f600!"))
    response = gateway.chat(case, "bed", temperature=0.5, max_tokens=9, stop="END", n=1, logprobs=False, seed=7)
    choice = response.json["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Grüße, \U0001f600!", "stop")
    assert usage_of(response.json["usage"]) == (11, 7, 18, 2, 1)
    # 8 tokens of the prompt at 2, 2 cached ones at 1, 1 that was kept at 3, 7 of the answer at 10.
    assert (response.json["model"], response.headers["x-weir-cost-usd"]) == ("bed-model", "0.000091")
    assert response.json["id"] == f"chatcmpl-{response.headers['x-upstream-request-id']}"
    assert response.headers["x-weir-dropped-params"] == "seed"
    call = case.call("bed")
    assert call.path == "/model/bed-model/converse"
    assert call.json == {"messages": [{"role": "user", "content": [{"text": case.prompt}]}],
                         "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "stopSequences": ["END"]}}


def test_a_stream(gateway, stage):
    case = stage.case(bed=answer("One two three."))
    response = gateway.chat(case, "bed", stream=True, stream_options={"include_usage": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    text, tools, finish, [usage] = told(response.events)
    assert (text, tools, finish) == ("One two three.", [], "stop")
    assert usage_of(usage) == (11, 7, 18, 2, 1)
    assert case.call("bed").path == "/model/bed-model/converse-stream"
    assert told(gateway.chat(case, "bed", stream=True).events) == ("One two three.", [], "stop", [])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["signed", "filed", "found", "amazon.nova-pro-v1:0", CLAUDE, "profile"])
def test_a_request_is_signed(gateway, stage, model, stream):
    """The vendor makes the signature again, from the body that the filter wrote and a path that is escaped twice."""
    vendor = model if model in ("filed", "found") else "signed"
    case = stage.case(**{vendor: answer()})
    response = gateway.chat(case, model, stream=stream)
    assert response.status == 200, response
    call = case.call(vendor)
    assert call.header("authorization").startswith("AWS4-HMAC-SHA256 Credential=AKIA")
    assert call.header("x-amz-security-token") == ("sk-aws-session" if vendor == "filed" else None)


def test_no_secret_is_shown(gateway):
    """What Envoy knows of keys, its own interface does not tell."""
    shown = gateway.admin("/config_dump?include_eds")
    assert "aws_request_signing" in shown
    assert not [secret for secret in gateway.secrets if secret in shown]


def test_a_large_request_is_signed(gateway, stage):
    """Envoy holds the body twice: what the client sent, and what is signed."""
    case = stage.case(signed=answer())
    content = f"{case.prompt} " + "x" * (7 << 20)
    response = gateway.chat(case, "signed", messages=[{"role": "user", "content": content}])
    assert response.status == 200, response.text[:300]
    assert len(case.call("signed").body) > 7 << 20


@pytest.mark.parametrize("first, second", [("signed", "oai"), ("signed", "bed"), ("bed", "signed")])
def test_no_signature_goes_further(gateway, stage, first, second):
    """What a vendor was sent as its credential, the next one does not get to see; the vendors object."""
    case = stage.case(**{first: fail(503), second: answer("Second.")})
    response = gateway.chat(case, f"{first}/{second}")
    assert (response.attempts, response.json["choices"][0]["message"]["content"]) == (f"{first}:503,{second}:ok", "Second.")


def test_a_tool_is_called_and_answers(gateway, stage):
    case = stage.case(bed=[answer("Look:", ("tooluse_1", "weather", {"city": "Bern"}), ("tooluse_2", "weather", {})),
                           answer("7 degrees.")])
    response = gateway.chat(case, "bed", tools=TOOLS, tool_choice="required")
    choice = response.json["choices"][0]
    calls = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], [call["id"] for call in calls]) == ("tool_calls", ["tooluse_1", "tooluse_2"])
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"city": "Bern"}, {}]
    asked = case.call("bed").json
    assert asked["toolConfig"]["toolChoice"] == {"any": {}}
    assert asked["toolConfig"]["tools"][0]["toolSpec"]["name"] == "weather"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": case.prompt}, choice["message"],
                *({"role": "tool", "tool_call_id": call["id"], "content": "7"} for call in calls),
                {"role": "user", "content": "And?"}]
    said = gateway.chat(case, "bed", messages=messages, tools=TOOLS).json["choices"][0]["message"]["content"]
    assert said == "7 degrees."
    body = case.calls[1].json
    results = [{"toolResult": {"toolUseId": id_, "content": [{"text": "7"}]}} for id_ in ["tooluse_1", "tooluse_2"]]
    assert body["messages"][-1]["content"] == [*results, {"text": "And?"}]
    assert body["system"] == [{"text": "Be brief."}]


def test_tools_are_called_in_a_stream(gateway, stage):
    calls = [("tooluse_1", "weather", {"city": "Bern"}), ("tooluse_2", "weather", {})]
    case = stage.case(bed=answer("Look: ", *calls))
    assert told(gateway.chat(case, "bed", stream=True, tools=TOOLS).events) == ("Look: ", calls, "tool_calls", [])


def test_thoughts_go_through_a_tool_loop(gateway, stage):
    """What a model thought before it called a tool comes back to it, signed as it was; from a whole answer or a stream."""
    thought = {"reasoningContent": {"reasoningText": {"text": "Hm, Bern.", "signature": "c2ln"}}}
    hidden = {"reasoningContent": {"redactedContent": "aGlkZGVu"}}
    call = {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Bern"}}}

    def whole(format, call_):
        body = {"output": {"message": {"role": "assistant", "content": [thought, hidden, call]}}, "stopReason": "tool_use",
                "usage": {"inputTokens": 5, "outputTokens": 6, "totalTokens": 11}}
        return answer_with(200, dump(body), format)

    def pieces(format, call_):
        delta = lambda index, **what: ("contentBlockDelta", {"contentBlockIndex": index, "delta": what})
        yield stream_head(format)
        for name, data in [
            ("messageStart", {"role": "assistant"}),
            delta(0, reasoningContent={"text": "Hm, "}), delta(0, reasoningContent={"text": "Bern."}),
            delta(0, reasoningContent={"signature": "c2ln"}), ("contentBlockStop", {"contentBlockIndex": 0}),
            delta(1, reasoningContent={"redactedContent": "aGlkZGVu"}), ("contentBlockStop", {"contentBlockIndex": 1}),
            ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}}),
            delta(2, toolUse={"input": '{"city": "Bern"}'}), ("contentBlockStop", {"contentBlockIndex": 2}),
            ("messageStop", {"stopReason": "tool_use"}), ("metadata", {"usage": {"inputTokens": 5, "outputTokens": 6}}),
        ]:
            yield chunk(frames.event(name, dump(data)))
        yield END

    case = stage.case(bed=[whole, pieces, answer("7 degrees."), answer("7 degrees.")])
    message = gateway.chat(case, "claude", tools=TOOLS, reasoning_effort="low").json["choices"][0]["message"]
    assert message["reasoning_content"] == "Hm, Bern."
    assert case.call("bed").json["additionalModelRequestFields"] == {
        "thinking": {"type": "enabled", "budget_tokens": 1024}}
    chunks = gateway.chat(case, "claude", tools=TOOLS, stream=True).events[:-1]
    blocks = folded(delta for piece in chunks for choice in piece["choices"]
                    for delta in choice["delta"].get("thinking_blocks", []))
    assert blocks == message["thinking_blocks"]
    messages = [{"role": "user", "content": case.prompt}, message, {"role": "tool", "tool_call_id": "t1", "content": "7"}]
    assert gateway.chat(case, "claude", messages=messages, tools=TOOLS).status == 200
    assert case.calls[2].json["messages"][1]["content"] == [thought, hidden, call]
    # A model of another maker would refuse them.
    assert gateway.chat(case, "bed", messages=messages, tools=TOOLS).status == 200
    assert case.calls[3].json["messages"][1]["content"] == [call]


def answer_with(status, body, format):
    yield message(status, [*format.headers(), JSON], body)


def folded(pieces):
    """Thinking blocks, as clients put them together."""
    blocks = {}
    for piece in pieces:
        block = blocks.setdefault(piece.pop("index"), {"type": piece.pop("type")})
        for name, text in piece.items():
            block[name] = block.get(name, "") + text
    return list(blocks.values())


def test_a_picture_and_a_file(gateway, stage):
    case = stage.case(bed=answer())
    content = [{"type": "text", "text": case.prompt},
               {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
               {"type": "file", "file": {"filename": "notes_1.txt", "file_data": "data:text/plain;base64,aGk="}}]
    assert gateway.chat(case, "bed", messages=[{"role": "user", "content": content}]).status == 200
    [turn] = case.call("bed").json["messages"]
    assert turn["content"][1:] == [
        {"image": {"format": "png", "source": {"bytes": PNG}}},
        {"document": {"name": "notes 1 0-2", "format": "txt", "source": {"bytes": "aGk="}}}]


@pytest.mark.parametrize("fields, param", [
    ({"logit_bias": {"1": 1}}, "logit_bias"), ({"n": 2}, "n"), ({"temperature": 1.5}, "temperature"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"tools": TOOLS, "parallel_tool_calls": False}, "parallel_tool_calls"),
    ({"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]}, "messages[0].content[0]"),
])
def test_what_cannot_be_said_is_refused(gateway, stage, fields, param):
    response = gateway.chat(stage.case(), "bed", **fields)
    assert (response.status, response.json["error"]["param"]) == (400, param)
    case = stage.case(oai=answer("Said."))
    if "messages" not in fields:
        assert gateway.chat(case, "bed/oai", **fields).vendor == "oai"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status, shown, kind", [
    (400, 400, "ValidationException"), (401, 502, "upstream_auth_error"), (403, 502, "upstream_auth_error"),
    (404, 502, "server_error"), (408, 504, "server_error"), (424, 502, "server_error"),
    (429, 429, "ThrottlingException"), (500, 502, "server_error"), (503, 503, "server_error"),
])
def test_an_error(gateway, stage, stream, status, shown, kind):
    response = gateway.chat(stage.case(bed=fail(status, "arn:aws:iam says no.")), "bed", stream=stream)
    assert (response.status, response.json["error"]["type"]) == (shown, kind)
    assert response.attempts == f"bed:{status}"
    assert ("arn:aws:iam" in response.text) == (status not in (401, 403))


def test_a_token_that_has_expired_is_no_fault_of_the_client(gateway, stage):
    """Amazon calls it a bad request; the same of a quota that is used up."""
    for word, outcome in [("ExpiredTokenException", 502), ("ServiceQuotaExceededException", 429)]:
        script = fail_with_type(400, word)
        alone = gateway.chat(stage.case(bed=script), "bed")
        assert (alone.status, alone.attempts) == (outcome, "bed:400")
        case = stage.case(bed=script, oai=answer("Second."))
        assert gateway.chat(case, "bed/oai").attempts == "bed:400,oai:ok"


def fail_with_type(status, word):
    return lambda format, call: iter([message(status, [JSON, ("x-amzn-errortype", word)], b'{"Message": "No."}')])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("script, outcome", [
    (fail(500), "500"), (fail(429), "429"), (close(), "unreachable"), (page(), "bad_reply"), (nonsense(), "bad_reply"),
    (not_json(), "bad_reply"), (headers_then_silence(), "timeout"), (gzipped(), "bad_reply"),
    (reset_after_headers(), "unreachable"),
])
def test_another_vendor_takes_over(gateway, stage, stream, script, outcome):
    for first, second in [("bed", "oai"), ("oai", "bed")]:
        case = stage.case(**{first: script, second: answer("Second.")})
        response = gateway.chat(case, f"{first}/{second}", stream=stream)
        said = told(response.events)[0] if stream else response.json["choices"][0]["message"]["content"]
        assert (response.attempts.endswith(f",{second}:ok"), said) == (True, "Second."), response.attempts
        assert case.called() == [first, second]
        assert first != "bed" or outcome in ("unreachable", "bad_reply") or f"bed:{outcome}," in response.attempts


@pytest.mark.parametrize("name, shown", [
    ("throttlingException", 429), ("serviceUnavailableException", 503), ("modelStreamErrorException", 502),
    ("internalServerException", 502), ("validationException", 400),
])
def test_an_exception_before_the_first_word(gateway, stage, name, shown):
    """Whether as the first frame or behind one that says nothing: a real status, and the next vendor's turn."""
    for after in [0, 1]:
        alone = gateway.chat(stage.case(bed=exception(name, after)), "bed", stream=True)
        assert (alone.status, alone.attempts) == (shown, "bed:error_event")
        case = stage.case(bed=exception(name, after), oai=answer("Second."))
        response = gateway.chat(case, "bed/oai", stream=True)
        assert (told(response.events)[0], response.attempts) == ("Second.", "bed:error_event,oai:ok")


def test_an_error_frame_that_no_description_knows(gateway, stage):
    script = lambda format, call: iter([stream_head(format), chunk(frames.error("InternalFailure", "Oh.")) + END])
    response = gateway.chat(stage.case(bed=script), "bed", stream=True)
    assert (response.status, response.json["error"]["message"]) == (502, "bed: Oh.")


@pytest.mark.parametrize("script", [error_event(3), exception("modelStreamErrorException", 3, "Overloaded")])
def test_an_exception_after_the_first_words(gateway, stage, script):
    response = gateway.chat(stage.case(bed=script), "bed/oai", stream=True)
    assert response.status == 200 and "Overloaded" in response.events[-1]["error"]["message"]
    assert b"[DONE]" not in response.body and b'"finish_reason":"' not in response.body


def test_everything_but_the_words_and_an_error(gateway, stage):
    case = stage.case(bed=error_before_content(), oai=answer("Second."))
    assert gateway.chat(case, "bed/oai", stream=True).attempts == "bed:error_event,oai:ok"


def test_a_frame_whose_sum_is_wrong(gateway, stage):
    """Before the first word the vendor failed; after it, the client is told, and gets nothing of the frame."""
    case = stage.case(bed=corrupted(0), oai=answer("Second."))
    assert gateway.chat(case, "bed/oai", stream=True).attempts == "bed:bad_reply,oai:ok"
    response = gateway.chat(stage.case(bed=corrupted(3, "One two three four.")), "bed/oai", stream=True)
    said = "".join(choice["delta"].get("content", "") for event in response.events[:-1] for choice in event["choices"])
    assert (response.status, said) == (200, "One two ")
    assert "error" in response.events[-1] and b"[DONE]" not in response.body


@pytest.mark.parametrize("how", ["clean", CLOSE, RESET])
def test_a_stream_is_cut(gateway, stage, how):
    """Half an answer is never taken for a whole one."""
    response = gateway.chat(stage.case(bed=cut(how, text="One two three four five six.")), "bed", stream=True)
    assert response.status == 200 and b"[DONE]" not in response.body
    assert b'"finish_reason":"' not in response.body
    assert how != "clean" or "error" in response.events[-1]


def test_a_whole_answer_where_a_stream_was_asked_for(gateway, stage):
    response = gateway.chat(stage.case(bed=ignores_stream("One two.")), "bed", stream=True)
    assert told(response.events)[:3] == ("One two.", [], "stop")


@pytest.mark.parametrize("stream", [False, True])
def test_an_enormous_answer(gateway, stage, stream):
    response = gateway.chat(stage.case(bed=huge_event(24)), "bed", stream=stream)
    assert b"[DONE]" not in response.body and len(response.body) < 1 << 20
    assert response.events[-1]["error"] if stream else response.status == 502


def test_frames_in_small_pieces(gateway, stage):
    """Envoy hands the filter what comes: frames cut anywhere."""
    text = "Grüße aus Bern, \U0001f600!"

    def script(format, call):
        body = b"".join(format.events(Reply(text), call.model, True))
        yield stream_head(format)
        for start in range(0, len(body), 7):
            yield chunk(body[start:start + 7])
        yield END

    response = gateway.chat(stage.case(bed=script), "bed", stream=True)
    assert told(response.events)[0] == text


def test_a_vendor_without_its_credential_is_left_out(gateway):
    assert re.search(r"left out.*unset|unset.*left out|unset.*SUITE_NOT_SET", gateway.log.read_text(), re.S)


@pytest.mark.parametrize("keys, region, said", [
    ({"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "B"}, "eu-central-1", "1 vendor"),
    ({"AWS_ACCESS_KEY_ID": "A"}, "eu-central-1", "would be left out: bed (set AWS_SECRET_ACCESS_KEY)"),
    ({}, "eu-central-1", "would be left out: bed (set AWS_ACCESS_KEY_ID)"),
    ({}, None, "vendors[0].region: missing"),
])
def test_check_says_what_is_missing(tmp_path, keys, region, said):
    vendor = {"name": "bed", "kind": "bedrock", "credential": {"aws": "environment"}, **({"region": region} if region else {})}
    written = tmp_path / "weir.yaml"
    written.write_text(yaml.safe_dump({"vendors": [vendor], "models": [{"name": "m", "serve": [{"vendor": "bed"}]}]}))
    done = subprocess.run([WEIR, "check", "--config", written], capture_output=True, text=True, env=keys, check=False)
    assert said in done.stdout + done.stderr


@pytest.mark.parametrize("binary", [envoy, lambda: OLDEST_ENVOY])
def test_both_envoys_take_what_is_printed(tmp_path, binary):
    kinds = {"a": {"aws": "environment"}, "b": {"aws": "found"}, "c": {"aws": str(tmp_path / "keys")}}
    (tmp_path / "keys").write_text("[default]\naws_access_key_id = A\naws_secret_access_key = B\n")
    written, printed = tmp_path / "weir.yaml", tmp_path / "envoy.yaml"
    written.write_text(yaml.safe_dump({
        "vendors": [*({"name": name, "kind": "bedrock", "region": "us-east-1", "credential": credential}
                      for name, credential in kinds.items())],
        "models": [{"name": "m", "serve": [{"vendor": name} for name in kinds]}]}))
    command = [WEIR, "render", "--for", "envoy", "--config", written]
    env = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "B"}
    printed.write_text(subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout)
    assert takes(binary(), printed) is True
