"""The clients that people have: requests, axios, curl, and the official OpenAI SDKs for Python and Node."""

import json
import subprocess

import openai
import pytest
import requests

from conftest import Setting
from gateway import CHAT, ROOT, chat
from scripts import CLOSE, answer, cut, error_event, fail

WEATHER = answer("", ("call_1", "weather", {"city": "Bern"}))
TOOLS = [{"type": "function", "function": {
    "name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]

PNG = "iVBORw0KGgo="
# One vendor of each format, and one of those that speak OpenAI's in their own way.
FORMATS = {"as-openai": "openai", "as-azure": "azure", "as-claude": "anthropic", "as-gemini": "gemini",
           "as-bedrock": "bedrock", "as-mistral": "mistral"}

# name: (vendor script, fields, the key if it is another, the SDKs' class; Node's for a broken connection is its own)
ERRORS = {
    "wrong key": (None, {}, "wrong", "AuthenticationError"),
    "no permission": (None, {"model": "as-azure"}, "limited", "PermissionDeniedError"),
    "unknown model": (None, {"model": "nonesuch"}, None, "NotFoundError"),
    "bad field": (None, {"temperature": 3}, None, "BadRequestError"),
    "vendor refuses": (fail(400), {}, None, "BadRequestError"),
    "rate limit": (fail(429, retry_after=1), {}, None, "RateLimitError"),
    "vendor knows no such model": (fail(404), {}, None, "InternalServerError"),
    "vendor finds it unprocessable": (fail(422), {}, None, "BadRequestError"),
    "vendor fails": (fail(500), {}, None, "InternalServerError"),
    "vendor overloaded": (fail(529), {}, None, "InternalServerError"),
    "vendor's own key": (fail(401), {}, None, "InternalServerError"),
    "error in a stream": (error_event(4), {"stream": True}, None, "APIError"),
    "cut off stream": (cut("clean"), {"stream": True}, None, "APIError"),
    "broken connection": (cut(CLOSE), {"stream": True}, None, "APIConnectionError TypeError"),
}


@pytest.fixture(scope="module")
def formats(stage, launch, tmp_path_factory):
    """A gateway with a vendor of each format."""
    setting = Setting(stage, tmp_path_factory.mktemp("clients"))
    for name, kind in FORMATS.items():
        setting.vendor(stage.vendor(name, kind))
        setting.model(name, name)
    gateway = setting.gateway(setting.key("clients"))
    gateway.limited = setting.key("clients-limited", ["as-openai"])
    with launch(gateway):
        yield gateway


def url(gateway):
    return f"http://127.0.0.1:{gateway.port}"


def key_of(gateway, who):
    return {"wrong": "wrong", "limited": gateway.limited, None: None}[who]


def test_requests(gateway, stage):
    headers = {"x-api-key": gateway.key}
    case = stage.case(openai=answer("Hello, requests."))
    response = requests.post(url(gateway) + CHAT, json=chat(case, "openai"), headers=headers, timeout=20)
    assert response.json()["choices"][0]["message"]["content"] == "Hello, requests."
    with requests.post(url(gateway) + CHAT, json=chat(case, "openai", stream=True), headers=headers, timeout=20,
                       stream=True) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines(decode_unicode=True) if line]
    assert lines[-1] == "[DONE]"
    said = [json.loads(line)["choices"][0]["delta"].get("content") or "" for line in lines[:-1]]
    assert "".join(said) == "Hello, requests."
    refused = requests.post(url(gateway) + CHAT, json={}, timeout=20)
    assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})


def test_requests_on_one_connection(gateway, stage):
    """Refusals and failures leave a kept connection in order."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {gateway.key}"
        for number in range(12):
            script = [answer(f"{number}"), fail(429), answer(f"{number}"), fail(400)][number % 4]
            body = chat(stage.case(claude=script), "claude", stream=number % 3 == 0)
            response = session.post(url(gateway) + CHAT, json=body, timeout=20)
            assert response.status_code == [200, 429, 200, 400][number % 4]
            assert str(number) in response.text or number % 2


def played(stage, vendor, script):
    return stage.case(**({vendor.replace("-", "_"): script} if script else {}))


@pytest.mark.parametrize("vendor", FORMATS)
def test_openai_for_python(formats, stage, vendor, at_once):
    gateway = formats
    client = openai.OpenAI(base_url=f"{url(gateway)}/v1", api_key=gateway.key, max_retries=0)

    def ask(script, *parts, **fields):
        case = played(stage, vendor, script)
        messages = [{"role": "user", "content": [{"type": "text", "text": case.prompt}, *parts]}]
        return client.chat.completions.create(**{"model": vendor, "messages": messages, **fields})

    assert ask(answer("Whole.")).choices[0].message.content == "Whole."
    stream = ask(answer("One two three."), stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "One two three."
    assert chunks[-1].usage.total_tokens == 18

    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    assert ask(answer("A dot."), picture).choices[0].message.content == "A dot."
    assert PNG.encode() in stage.cases[max(stage.cases)].calls[0].body

    case = played(stage, vendor, [WEATHER, answer("Take an umbrella.")])
    messages = [{"role": "user", "content": case.prompt}]
    message = client.chat.completions.create(model=vendor, messages=messages, tools=TOOLS).choices[0].message
    [call] = message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Bern"}
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    second = client.chat.completions.create(model=vendor, messages=messages, tools=TOOLS)
    assert second.choices[0].message.content == "Take an umbrella."

    def fails(name):
        script, fields, who, _ = ERRORS[name]
        caller = client.with_options(api_key=key_of(gateway, who)) if who else client
        with pytest.raises(openai.APIError) as caught:
            answered = caller.chat.completions.create(**{**chat(played(stage, vendor, script), vendor), **fields})
            if fields.get("stream"):
                list(answered)
        return caught.value

    for name, error in zip(ERRORS, at_once(fails, ERRORS), strict=True):
        assert type(error).__name__ in ERRORS[name][3].split(), (name, error)
        if isinstance(error, openai.APIStatusError):
            assert set(error.body) == {"message", "type", "param", "code"} and error.body["message"], name
    assert vendor in [model.id for model in client.models.list()]


def test_openai_for_python_retries_as_told(gateway, stage):
    """The SDK's own retries find the gateway as they would find OpenAI."""
    client = openai.OpenAI(base_url=f"{url(gateway)}/v1", api_key=gateway.key, max_retries=1)
    case = stage.case(openai=[fail(503), answer("Second try.")])
    got = client.chat.completions.create(**chat(case, "openai"))
    assert got.choices[0].message.content == "Second try."


def node(script, gateway, stage, **task):
    """Runs a script of tests/clients; what it prints is JSON."""
    task = {"url": url(gateway), "key": gateway.key, **task}
    done = subprocess.run(["node", ROOT / "tests" / "clients" / script, json.dumps(task)], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("vendor", FORMATS)
def test_openai_for_node(formats, stage, vendor):
    gateway = formats

    def prompt(script):
        return played(stage, vendor, script).prompt

    prompts = {"image": prompt(answer("A dot.")), "whole": prompt(answer("Whole.")), "stream": prompt(answer("One two three.")),
               "tools": prompt([WEATHER, answer("Take an umbrella.")])}
    failures = {name: {"fields": fields, "prompt": prompt(script), "as": key_of(gateway, who)}
                for name, (script, fields, who, _) in ERRORS.items()}
    got = node("openai.mjs", gateway, stage, model=vendor, prompts=prompts, failures=failures)
    assert (got["whole"], got["stream"], got["tools"]) == ("Whole.", "One two three.", "Take an umbrella.")
    assert got["image"] == "A dot."
    wrong = {name: kind for name, kind in got["errors"].items() if kind not in ERRORS[name][3].split()}
    assert not wrong and set(got["errors"]) == set(ERRORS)
    assert vendor in got["listed"]


def test_axios(gateway, stage):
    case = stage.case(openai=answer("Hello, axios."))
    prompts = dict.fromkeys(["whole", "stream"], case.prompt) | {"refused": stage.case().prompt}
    got = node("axios.mjs", gateway, stage, model="openai", prompts=prompts)
    assert (got["whole"], got["vendor"]) == ("Hello, axios.", "openai")
    assert got["stream"].endswith("data: [DONE]\n\n") and "axios." in got["stream"]
    assert got["refused"]["status"] == 404 and "no such model" in got["refused"]["data"]["error"]
    assert got["stranger"] == {"status": 401, "data": {"error": "Unauthorized"}}


def curl(*arguments, text=None):
    done = subprocess.run(["curl", "--silent", "--show-error", *arguments], capture_output=True, text=True, timeout=30,
                          input=text)
    assert done.returncode == 0, done
    return done.stdout


def test_curl_as_it_is_pasted(gateway, stage):
    """Quotes, line ends and all: as in a page that somebody copies from."""
    case = stage.case(openai=answer("Hello, curl."))
    pasted = f"""curl -s -X POST {url(gateway)}/api/chat/completions \\
      -H "Content-Type: application/json" \\
      -H "x-api-key: {gateway.key}" \\
      -d '{{
        "model": "openai",
        "messages": [{{"role": "user", "content": {json.dumps(case.prompt)}}}]
      }}'"""
    done = subprocess.run(["bash", "-c", pasted], capture_output=True, text=True, timeout=30)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "Hello, curl."


def test_curl_with_a_stream(gateway, stage):
    body = json.dumps(chat(stage.case(claude=answer("Hello, curl.")), "claude", stream=True))
    said = curl("-N", f"{url(gateway)}/v1/chat/completions", "-H", f"Authorization: Bearer {gateway.key}", "-d", body)
    assert said.endswith("data: [DONE]\n\n")


def test_curl_without_content_type_or_with_a_forms(gateway, stage):
    """`-d` alone says that the body is a form; it is JSON all the same."""
    body = json.dumps(chat(stage.case(openai=answer()), "openai"))
    said = curl(f"{url(gateway)}{CHAT}", "-H", f"x-api-key: {gateway.key}", "-d", body)
    assert "choices" in json.loads(said)


def test_curl_waits_for_100_continue(gateway, stage):
    """curl asks before it sends more than a megabyte."""
    body = json.dumps(chat(stage.case(openai=answer()), "openai", user="x" * 2_000_000))
    said = curl("-v", f"{url(gateway)}{CHAT}", "-H", f"x-api-key: {gateway.key}", "-H", "Expect: 100-continue",
                "--data-binary", "@-", text=body)
    assert "choices" in json.loads(said)


def test_curl_with_http2(gateway, stage):
    """A proxy in front may speak HTTP/2 without TLS."""
    version = subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout
    if "HTTP2" not in version:
        pytest.skip("this curl has no HTTP/2")
    body = json.dumps(chat(stage.case(openai=answer()), "openai"))
    said = curl("--http2-prior-knowledge", f"{url(gateway)}{CHAT}", "-H", f"x-api-key: {gateway.key}", "-d", body)
    assert "choices" in json.loads(said)
