"""Vendors that speak OpenAI's format in their own way, as clients and they themselves find them behind a gateway.

Mistral stands for all: it refuses every field that it does not know, and says most things differently. The rows of the
others are data for the same code, and have golden files.
"""

import json

import openai
import pytest

from conftest import Setting
from gateway import told
from scripts import answer, fail

CALLS = [("call00001", "weather", {"city": "Bern"}), ("call00002", "clock", {})]
WEATHER = answer("", *CALLS)
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("weather", "clock")]


@pytest.fixture(scope="module")
def mixed(stage, launch, tmp_path_factory):
    """Mistral alone, and with OpenAI behind it."""
    setting = Setting(stage, tmp_path_factory.mktemp("compatible"))
    for name, kind in [("mistral", "mistral"), ("openai-behind", "openai")]:
        setting.vendor(stage.vendor(name, kind))
    setting.model("mistral", "mistral")
    setting.model("mixed", "mistral", "openai-behind")
    with launch(setting.gateway(setting.key("compatible"))) as gateway:
        yield gateway


def test_openais_client_cannot_tell(mixed, stage):
    """All that it likes to send arrives as Mistral wants it: the vendor of the suite objects to anything else."""
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{mixed.port}/v1", api_key=mixed.key, max_retries=0)
    case = stage.case(mistral=[WEATHER, answer("Take an umbrella.")])
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "name": "ann", "content": case.prompt}]
    asked = {"model": "mistral", "tools": TOOLS, "seed": 7, "max_completion_tokens": 99, "user": "u", "store": False,
             "n": 1, "logprobs": False, "stop": None, "metadata": {"a": "b"}}
    message = client.chat.completions.create(**asked, messages=messages, tool_choice="required").choices[0].message
    assert [call.function.name for call in message.tool_calls if call.type == "function"] == ["weather", "clock"]

    messages.append(message)
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in message.tool_calls]
    second = client.chat.completions.create(**asked, messages=messages)
    assert second.choices[0].message.content == "Take an umbrella."
    first = case.calls[0].json
    assert (first["random_seed"], first["max_tokens"], first["tool_choice"]) == (7, 99, "any")


@pytest.mark.parametrize("asked", [False, True])
def test_a_stream_is_openais(mixed, stage, asked):
    options = {"stream_options": {"include_usage": True}} if asked else {}
    response = mixed.chat(stage.case(mistral=WEATHER), "mistral", stream=True, **options)
    text, tools, finish, _ = told(response.events)
    assert (text, tools, finish) == ("", CALLS, "tool_calls")
    calls = [call for event in response.events[:-1] for choice in event["choices"]
             for call in choice["delta"].get("tool_calls", [])]
    assert [(call["index"], call["type"]) for call in calls] == [(0, "function"), (1, "function")]
    assert response.events[-1] == "[DONE]"


def test_tool_calls_of_another_vendor_are_taken_over(mixed, stage):
    """A conversation that began elsewhere has ids that Mistral would refuse."""
    case = stage.case(mistral=answer("Rain."))
    function = {"name": "weather", "arguments": "{}"}
    call = {"id": "call_a6VkNUgkOVYwqNtRdYxfCDyD", "type": "function", "function": function}
    messages = [{"role": "user", "content": case.prompt}, {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": call["id"], "content": "rain"}]
    assert mixed.chat(case, "mistral", messages=messages, tools=TOOLS).status == 200
    sent = case.call("mistral").json["messages"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] != call["id"]


@pytest.mark.parametrize("fields", [{"logprobs": True}, {"logit_bias": {"1": 1}}, {"web_search_options": {}}])
def test_what_it_does_not_have_goes_to_who_has_it(mixed, stage, fields):
    case = stage.case(**{"openai-behind": answer("From elsewhere.")})
    assert mixed.chat(case, "mixed", **fields).status == 200
    assert case.called() == ["openai-behind"]
    refused = mixed.chat(stage.case(), "mistral", **fields)
    assert (refused.status, next(iter(fields)) in refused.body.decode()) == (400, True)


def test_an_answer_that_it_gave_up_is_given_by_another(mixed, stage):
    case = stage.case(**{"mistral": answer("Half an ans", finish="error"), "openai-behind": answer("Whole.")})
    response = mixed.chat(case, "mixed")
    assert response.json["choices"][0]["message"]["content"] == "Whole."
    assert case.called() == ["mistral", "openai-behind"]


def test_its_errors_are_read(mixed, stage):
    detail = [{"loc": ["body", "top_k"], "msg": "Extra inputs are not permitted"}]
    body = json.dumps({"object": "error", "message": {"detail": detail}}).encode()
    case = stage.case(mistral=fail(422, body=body))
    response = mixed.chat(case, "mistral")
    assert response.status == 400 and "top_k: Extra inputs are not permitted" in response.body.decode()
