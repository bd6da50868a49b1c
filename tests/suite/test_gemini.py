"""Gemini in its own format, through a real Envoy: whole, as a stream, with tools and pictures, and when it fails."""

import json

import openai
import pytest

from conftest import Setting
from formats import vector
from gateway import EMBED, told, until
from scripts import CLOSE, RESET, Gate, answer, close, cut, error_event, fail, headers_then_silence, huge_event, \
    nonsense, not_json, page, vectors

PNG = "iVBORw0KGgo="
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]


@pytest.fixture(scope="module")
def gateway(stage, launch, tmp_path_factory):
    """One Gemini and one OpenAI, alone and each in front of the other."""
    setting = Setting(stage, tmp_path_factory.mktemp("gemini"))
    for name, kind in [("gem", "gemini"), ("oai", "openai")]:
        setting.vendor(stage.vendor(name, kind))
    for name in ["gem", "gem/oai", "oai/gem"]:
        setting.model(name, *name.split("/"))
    setting.config["models"][0]["price"] = {"input": 2, "output": 10, "cached_input": 1}
    setting.config["embeddings"] = {"merge": True}
    # Each worker merges for itself.
    with launch(setting.gateway(setting.key("gemini"), workers=1)) as gateway:
        yield gateway


def usage_of(usage):
    return (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"],
            usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens_details"]["reasoning_tokens"])


def test_a_whole_answer(gateway, stage):
    case = stage.case(gem=answer("Grüße, \U0001f600!"))
    response = gateway.chat(case, "gem", temperature=0.5, max_tokens=9, stop="END", n=1, logprobs=False)
    choice = response.json["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Grüße, \U0001f600!", "stop")
    assert usage_of(response.json["usage"]) == (11, 7, 18, 3, 2)
    # 8 tokens of the prompt at 2, 3 cached ones at 1, 7 of the answer at 10.
    assert (response.json["model"], response.headers["x-weir-cost-usd"]) == ("gem-model", "0.000089")
    call = case.call("gem")
    assert call.path == "/v1beta/models/gem-model:generateContent"
    assert call.json == {"contents": [{"role": "user", "parts": [{"text": case.prompt}]}],
                         "generationConfig": {"temperature": 0.5, "maxOutputTokens": 9, "stopSequences": ["END"]}}


def test_a_stream(gateway, stage):
    case = stage.case(gem=answer("One two three."))
    response = gateway.chat(case, "gem", stream=True, stream_options={"include_usage": True})
    text, tools, finish, [usage] = told(response.events)
    assert (text, tools, finish) == ("One two three.", [], "stop")
    assert usage_of(usage) == (11, 7, 18, 3, 2)
    assert case.call("gem").path == "/v1beta/models/gem-model:streamGenerateContent?alt=sse"
    assert told(gateway.chat(case, "gem", stream=True).events) == ("One two three.", [], "stop", [])


@pytest.mark.parametrize("own", ["", "fc-1"])
def test_a_tool_is_called_and_answers(gateway, stage, own):
    """The client sends back what it got; the vendor objects if the signature of the thoughts is lost on the way."""
    case = stage.case(gem=[answer("Look:", (own, "weather", {"city": "Bern"})), answer("7 degrees.")])
    response = gateway.chat(case, "gem", tools=TOOLS, tool_choice="required")
    choice = response.json["choices"][0]
    [call] = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], call["function"]["name"]) == ("tool_calls", "weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "Bern"}
    asked = case.call("gem").json
    assert asked["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    assert asked["tools"][0]["functionDeclarations"][0]["name"] == "weather"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": case.prompt}, choice["message"],
                {"role": "tool", "tool_call_id": call["id"], "content": "7"}]
    said = gateway.chat(case, "gem", messages=messages, tools=TOOLS).json["choices"][0]["message"]["content"]
    assert said == "7 degrees."
    contents = case.calls[1].json["contents"]
    assert contents[-1]["parts"] == [{"functionResponse": {"name": "weather", "response": {"output": "7"}}}]
    assert case.calls[1].json["systemInstruction"] == {"parts": [{"text": "Be brief."}]}


def test_a_conversation_moves_to_another_vendor(gateway, stage):
    """OpenAI gets ids of its own length, without the signatures."""
    case = stage.case(gem=[answer("", ("", "weather", {"city": "Bern"})), fail(503)], oai=answer("7 degrees."))
    [choice] = gateway.chat(case, "gem", tools=TOOLS).json["choices"]
    [call] = choice["message"]["tool_calls"]
    messages = [{"role": "user", "content": case.prompt}, choice["message"],
                {"role": "tool", "tool_call_id": call["id"], "content": "7"}]
    response = gateway.chat(case, "gem/oai", messages=messages, tools=TOOLS)
    assert response.json["choices"][0]["message"]["content"] == "7 degrees."
    _, asked, result = case.call("oai").json["messages"]
    [told] = asked["tool_calls"]
    assert told["id"] == result["tool_call_id"] == call["id"].partition("_sig_")[0] != call["id"]
    assert len(told["id"]) <= 40


def test_a_tool_is_called_in_a_stream(gateway, stage):
    calls = [("", "weather", {"city": "Bern"}), ("", "weather", {"city": "Rome"})]
    case = stage.case(gem=answer("Look: ", *calls))
    text, tools, finish, _ = told(gateway.chat(case, "gem", stream=True, tools=TOOLS).events)
    assert (text, [tool[1:] for tool in tools], finish) == ("Look: ", [call[1:] for call in calls], "tool_calls")
    assert len({tool[0] for tool in tools}) == 2


def test_a_picture(gateway, stage):
    case = stage.case(gem=answer())
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    content = [{"type": "text", "text": case.prompt}, picture]
    assert gateway.chat(case, "gem", messages=[{"role": "user", "content": content}]).status == 200
    [turn] = case.call("gem").json["contents"]
    assert turn["parts"] == [{"text": case.prompt}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]


@pytest.mark.parametrize("fields, param", [
    ({"logit_bias": {"1": 1}}, "logit_bias"),
    ({"n": 9}, "n"),
    ({"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]}, "messages[0].content[0]"),
])
def test_what_cannot_be_said_is_refused(gateway, stage, fields, param):
    response = gateway.chat(stage.case(), "gem", **fields)
    assert (response.status, response.json["error"]["param"]) == (400, param)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status, shown, code", [
    (400, 400, "INVALID_ARGUMENT"), (403, 502, "upstream_auth_error"), (429, 429, "RESOURCE_EXHAUSTED"),
    (500, 502, "upstream_error"), (503, 503, "upstream_unavailable"),
])
def test_an_error(gateway, stage, stream, status, shown, code):
    response = gateway.chat(stage.case(gem=fail(status)), "gem", stream=stream)
    assert (response.status, response.json["error"]["code"]) == (shown, code)
    assert response.attempts == f"gem:{status}"
    # It says in the body when to come again.
    assert (response.headers.get("retry-after") == "35") == (status == 429)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("script, outcome", [
    (fail(500), "500"), (fail(429), "429"), (close(), "unreachable"), (page(), "bad_reply"), (nonsense(), "bad_reply"),
    (not_json(), "bad_reply"), (headers_then_silence(), "timeout"),
])
def test_another_vendor_takes_over(gateway, stage, stream, script, outcome):
    for first, second in [("gem", "oai"), ("oai", "gem")]:
        case = stage.case(**{first: script, second: answer("Second.")})
        response = gateway.chat(case, f"{first}/{second}", stream=stream)
        said = told(response.events)[0] if stream else response.json["choices"][0]["message"]["content"]
        assert (response.attempts, said) == (f"{first}:{outcome},{second}:ok", "Second.")
        assert case.called() == [first, second]


def test_what_one_cannot_say_the_other_is_asked(gateway, stage):
    case = stage.case(oai=answer("Biased."))
    response = gateway.chat(case, "gem/oai", logit_bias={"1": 1})
    assert (response.status, case.called()) == (200, ["oai"])


def test_an_error_in_the_first_event(gateway, stage):
    case = stage.case(gem=error_event(0), oai=answer("Second."))
    response = gateway.chat(case, "gem/oai", stream=True)
    assert (told(response.events)[0], response.attempts) == ("Second.", "gem:error_event,oai:ok")
    alone = gateway.chat(stage.case(gem=error_event(0)), "gem", stream=True)
    assert (alone.status, alone.json["error"]["message"]) == (503, "gem: Overloaded")


def test_an_error_after_the_first_words(gateway, stage):
    response = gateway.chat(stage.case(gem=error_event(2)), "gem/oai", stream=True)
    assert response.status == 200 and "Overloaded" in response.events[-1]["error"]["message"]
    assert b"[DONE]" not in response.body


@pytest.mark.parametrize("how", ["clean", CLOSE, RESET])
def test_a_stream_is_cut(gateway, stage, how):
    """Half an answer is never taken for a whole one."""
    response = gateway.chat(stage.case(gem=cut(how, text="One two three four five six.")), "gem", stream=True)
    assert response.status == 200 and b"[DONE]" not in response.body
    assert b'"finish_reason":"' not in response.body
    assert how != "clean" or "error" in response.events[-1]


@pytest.mark.parametrize("stream", [False, True])
def test_an_enormous_answer(gateway, stage, stream):
    response = gateway.chat(stage.case(gem=huge_event(24)), "gem", stream=stream)
    assert b"[DONE]" not in response.body and len(response.body) < 1 << 20
    assert response.events[-1]["error"] if stream else response.status == 502


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_vectors_for_openais_client(gateway, stage, encoding):
    """Gemini gives numbers and counts nothing: the client gets what it asked for, and an estimate."""
    case = stage.case(gem=vectors())
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key=gateway.key, max_retries=0)
    texts = [f"{word} {case.prompt}" for word in ("one", "zwei\n", "\U0001f600")]
    more = {"encoding_format": encoding} if encoding else {}
    found = client.embeddings.create(model="gem", input=texts, user="u", dimensions=8, **more)
    if encoding != "base64":
        assert [item.embedding for item in found.data] == [vector(text) for text in texts]
    else:
        assert all(isinstance(item.embedding, str) for item in found.data)
    assert [item.index for item in found.data] == [0, 1, 2] and found.model == "gem-model"
    assert found.usage.prompt_tokens == found.usage.total_tokens > 15
    call = case.call("gem")
    assert call.path == "/v1beta/models/gem-model:batchEmbedContents"
    assert call.json["requests"][1] == {"model": "models/gem-model", "content": {"parts": [{"text": texts[1]}]},
                                        "outputDimensionality": 8}


def embed(gateway, model, texts, **fields):
    return gateway.chat(path=EMBED, body=json.dumps({"model": model, "input": texts, **fields}).encode())


def test_vectors_that_gemini_cannot_make(gateway, stage):
    """Tokens are another vendor's; and whatever is no list of vectors is no answer."""
    response = embed(gateway, "gem", [[1, 2], [3]])
    assert response.status == 400 and "input" in response.said(EMBED)
    case = stage.case(oai=vectors())
    response = embed(gateway, "gem/oai", [f"{number} {case.prompt}" for number in range(101)])
    assert response.status == 200 and response.attempts == "oai:ok" and len(response.json["data"]) == 101
    for fault, outcome in [(fail(429), "429"), (fail(500), "500"), (nonsense(), "bad_reply"), (page(), "bad_reply"),
                           (answer(), "bad_reply")]:
        case = stage.case(gem=fault, oai=vectors())
        response = embed(gateway, "gem/oai", case.prompt)
        assert (response.status, response.attempts) == (200, f"gem:{outcome},oai:ok")
        assert response.json["data"][0]["embedding"] == vector(case.prompt)


def test_vectors_that_are_asked_for_together(gateway, stage, at_once):
    """While the first is on its way the others gather, and go as one batch; each gets its own."""
    begin = Gate()

    def first(format, call):
        yield begin
        yield from vectors()(format, call)

    case = stage.case(gem=[first, *[vectors()] * 7])
    texts = [f"{number} {case.prompt}" for number in range(8)]

    def ask(number):
        if number:
            assert until(lambda: case.calls)
        if number == len(texts):
            assert until(lambda: gateway.envoy_requests() >= before + len(texts))
            return begin.open()
        return embed(gateway, "gem", texts[number])

    before = gateway.envoy_requests()
    answers = at_once(ask, range(len(texts) + 1))[:-1]
    assert [response.json["data"][0]["embedding"] for response in answers] == [vector(text) for text in texts]
    sizes = [len(call.json["requests"]) for call in case.calls]
    assert sizes[0] == 1 and sum(sizes) == 8 and len(sizes) <= 3, sizes
