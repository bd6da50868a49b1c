"""Embeddings on a real Envoy, asked for with OpenAI's own client and without it."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from conftest import Setting
from formats import vector
from gateway import EMBED, V1_EMBED, until
from scripts import Gate, Pause, answer, fail, nonsense, page, silence, vectors


def sdk(gateway, key=None):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key=key or gateway.key, max_retries=0)


def embed(gateway, model, texts, path=EMBED, key=None, headers=(), **fields):
    body = json.dumps({"model": model, "input": texts, **fields}).encode()
    return gateway.chat(path=path, body=body, key=key, headers=headers)


def made(response):
    """The vectors of an answer, in the order of its texts."""
    assert response.status == 200, response
    return [item["embedding"] for item in sorted(response.json["data"], key=lambda item: item["index"])]


@pytest.mark.parametrize("model", ["openai", "azure"])
@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_openais_client(gateway, stage, model, encoding):
    """It asks for base64 if it is not told otherwise, and makes numbers of it."""
    case = stage.case(**{model: vectors()})
    texts = [f"{word} {case.prompt}" for word in ("one", "two", "three")]
    more = {"encoding_format": encoding} if encoding else {}
    found = sdk(gateway).embeddings.create(model=model, input=texts, user="somebody", **more)
    # An official client leaves what it was told to ask for as it is.
    if encoding != "base64":
        assert {item.index: item.embedding for item in found.data} == {i: vector(text) for i, text in enumerate(texts)}
    assert found.usage.prompt_tokens == found.usage.total_tokens == sum(len(text) for text in texts)
    call = case.call(model)
    assert call.json["input"] == texts and call.json["encoding_format"] == (encoding or "base64")
    one = sdk(gateway).embeddings.create(model=model, input=texts[0])
    assert [item.embedding for item in one.data] == [vector(texts[0])]


def test_the_demo_vendor_makes_the_same_vectors_in_both_forms(gateway):
    for texts in [["one", "two"], "one", [1, 2, 3], [[1], [2, 3]]]:
        numbers = sdk(gateway).embeddings.create(model="echo", input=texts, encoding_format="float", dimensions=64)
        decoded = sdk(gateway).embeddings.create(model="echo", input=texts, dimensions=64)
        assert len(numbers.data) == (2 if isinstance(texts[0], (list, str)) and len(texts) == 2 else 1)
        for one, other in zip(numbers.data, decoded.data, strict=True):
            assert len(one.embedding) == 64 and one.embedding == pytest.approx(other.embedding, abs=1e-6)
    assert len(sdk(gateway).embeddings.create(model="echo", input="x").data[0].embedding) == 8
    response = embed(gateway, "echo", ["x"] * 2048, dimensions=1000)
    assert response.status == 400 and "dimensions" in response.said(EMBED)


def test_many_texts(gateway, stage):
    """As many as may be in one request."""
    case = stage.case(openai=vectors())
    texts = [f"{number} {case.prompt}" for number in range(2048)]
    assert made(embed(gateway, "openai", texts)) == [vector(text) for text in texts]


FAULTS = {"429": (fail(429), "429"), "500": (fail(500), "500"), "page": (page(), "bad_reply"),
          "empty list": (nonsense(), "bad_reply"), "an answer to a question": (answer(), "bad_reply"),
          "silence": (silence(), "timeout")}


@pytest.mark.parametrize("name", FAULTS)
def test_the_next_vendor_answers(gateway, stage, name):
    fault, outcome = FAULTS[name]
    case = stage.case(openai=fault, azure_2=vectors())
    response = embed(gateway, "openai/azure", case.prompt)
    assert made(response) == [vector(case.prompt)] and response.attempts == f"openai:{outcome},azure-2:ok"
    assert response.vendor == "azure-2" and response.headers["x-weir-model"] == "azure-2-model"


def test_a_vendor_without_embeddings_is_passed_over(gateway, stage):
    case = stage.case(openai_2=vectors())
    response = embed(gateway, "claude/openai", case.prompt)
    assert made(response) == [vector(case.prompt)] and response.attempts == "openai-2:ok"
    with pytest.raises(openai.BadRequestError, match="embeddings are not supported by claude"):
        sdk(gateway).embeddings.create(model="claude", input="x")


def test_what_a_vendor_refuses(gateway, stage):
    case = stage.case(openai=fail(400, "This model makes no embeddings."))
    for path in [EMBED, V1_EMBED]:
        response = embed(gateway, "openai/azure", case.prompt, path)
        assert response.status == 400 and "makes no embeddings" in response.said(path)
    assert case.called() == ["openai"] * 2


def test_what_is_counted(gateway, stage):
    case = stage.case(openai=vectors())
    labels = {"endpoint": V1_EMBED, "vendor": "openai", "model": "openai", "status": "200"}
    before = gateway.counted(**labels)
    assert embed(gateway, "openai", case.prompt, V1_EMBED).status == 200
    assert until(lambda: gateway.counted(**labels) == before + 1)
    assert embed(gateway, "openai", case.prompt, key=gateway.limited).status == 200
    assert embed(gateway, "azure", case.prompt, key=gateway.limited).status == 403
    assert embed(gateway, "openai", case.prompt, key="wrong").status == 401


@pytest.fixture(scope="module")
def keeping(stage, launch, tmp_path_factory):
    """A gateway that keeps answers, with prices and limits."""
    setting = Setting(stage, tmp_path_factory.mktemp("embeddings"))
    setting.vendor(stage.vendor("vectors", "openai"))
    setting.model("vectors", "vectors")
    setting.config["models"][-1]["price"] = {"input": 2, "output": 0}
    setting.config["cache"] = {}
    gateway = setting.gateway(setting.key("vectors"))
    for name, limits in [("few", {"requests": {"rate": "2/min", "burst": 2}}), ("short", {"tokens": {"rate": "100/min"}})]:
        setattr(gateway, name, setting.key(f"vectors-{name}"))
        setting.config["keys"][-1]["limits"] = limits
    gateway.poor = setting.key("vectors-poor")
    setting.config["keys"][-1]["budget_usd"] = {"day": 0.001}
    with launch(gateway):
        yield gateway


def test_a_vector_is_kept(keeping, stage):
    case = stage.case(vectors=vectors())
    first = embed(keeping, "vectors", case.prompt)
    tokens = len(case.prompt)
    assert (first.headers["x-weir-cache"], first.headers["x-weir-cost-usd"]) == ("miss", f"{tokens * 2e-6:.6f}".rstrip("0"))
    again = embed(keeping, "vectors", [case.prompt], V1_EMBED, user="another")
    assert again.headers["x-weir-cache"] == "hit-l1" and again.body == first.body
    assert embed(keeping, "vectors", case.prompt, encoding_format="base64").headers["x-weir-cache"] == "miss"
    assert embed(keeping, "vectors", case.prompt, headers=[("cache-control", "no-store")]).status == 200
    assert len(case.calls) == 3


def test_limits(keeping, stage):
    """An input is a claim of its tokens and of no others."""
    case = stage.case(vectors=vectors())
    asked = [embed(keeping, "vectors", f"{n} {case.prompt}", key=keeping.few).status for n in range(4)]
    assert asked == [200, 200, 429, 429]
    assert embed(keeping, "vectors", case.prompt, key=keeping.short).headers["x-ratelimit-limit-tokens"] == "100"
    response = embed(keeping, "vectors", "x" * 1000, key=keeping.short)
    assert response.status == 429 and "x-should-retry" in response.headers
    response = embed(keeping, "vectors", [case.prompt * 50] * 2, key=keeping.poor)
    assert response.status == 429 or "insufficient" in response.text
    assert len(case.calls) == 3


@pytest.fixture(scope="module")
def merging(stage, launch, tmp_path_factory):
    """A gateway with one worker, where requests for one vector go together."""
    setting = Setting(stage, tmp_path_factory.mktemp("merging"))
    for name in ["pool", "pool-2"]:
        setting.vendor(stage.vendor(name, "openai"))
    setting.model("pool", "pool", "pool-2")
    setting.config["models"][-1]["price"] = {"input": 2, "output": 0}
    setting.config["embeddings"] = {"merge": True}
    gateway = setting.gateway(setting.key("pool"), workers=1)
    gateway.other = setting.key("pool-other")
    gateway.narrow = setting.key("pool-narrow")
    setting.config["keys"][-1]["limits"] = {"concurrent": 1}
    with launch(gateway):
        yield gateway


@pytest.fixture(scope="module")
def many():
    with ThreadPoolExecutor(64) as pool:
        yield lambda function, values: [pool.submit(function, value) for value in values]


def held(begin, script):
    """The first call waits."""
    def first(format, call):
        yield begin
        yield from script(format, call)

    return [first, *[script] * 30]


def test_fifty_at_once(merging, stage, many):
    """While the first is on its way the others gather; each gets its own vector, and its part of the tokens."""
    begin = Gate()
    case = stage.case(pool=held(begin, vectors()))
    texts = ["first " + case.prompt] + [f"{'x' * number} {case.prompt}" for number in range(50)]
    [first] = many(lambda text: embed(merging, "pool", text), texts[:1])
    assert until(lambda: len(case.calls) == 1)
    others = many(lambda text: embed(merging, "pool", text), texts[1:])
    assert until(lambda: merging.envoy_requests() >= 51), merging.envoy_requests()
    begin.open()
    answers = [future.result() for future in [first, *others]]
    assert [made(answer) for answer in answers] == [[vector(text)] for text in texts]
    sizes = [len(call.json["input"]) if isinstance(call.json["input"], list) else 1 for call in case.calls]
    assert sizes[0] == 1 and sum(sizes) == 51 and len(sizes) <= 3, sizes
    assert "x-weir-merged" not in answers[0].headers
    together = answers[1:]
    assert {answer.vendor for answer in together} == {"pool"}
    tokens = [answer.json["usage"]["prompt_tokens"] for answer in answers]
    assert sum(tokens) == sum(map(len, texts)), "as many as the vendor counted"
    assert tokens[-1] > tokens[1] and float(together[-1].headers["x-weir-cost-usd"]) == pytest.approx(tokens[-1] * 2e-6)
    assert all(len(answer.json["data"]) == 1 and answer.json["data"][0]["index"] == 0 for answer in answers)
    assert sum(int(answer.headers["x-weir-merged"]) for answer in together) == sum(size * size for size in sizes[1:])


def test_without_a_pause(merging, stage, many):
    """Hundreds, as they come, and a vendor that takes its time: nobody gets another's vector."""

    def slow(format, call):
        yield Pause(0.05)
        yield from vectors()(format, call)

    case = stage.case(pool=slow)
    texts = [f"No. {number} {case.prompt}" for number in range(600)]
    client = sdk(merging)
    futures = many(lambda text: client.embeddings.create(model="pool", input=text).data[0].embedding, texts)
    assert [future.result() for future in futures] == [vector(text) for text in texts]
    assert len(case.calls) < len(texts) / 2, len(case.calls)


def test_an_error_is_everybodys(merging, stage, many):
    begin = Gate()
    case = stage.case(pool=held(begin, fail(400, "Not these.")))
    futures = many(lambda number: embed(merging, "pool", f"{number} {case.prompt}", V1_EMBED), range(10))
    assert until(lambda: len(case.calls) == 1)
    begin.open()
    answers = [future.result() for future in futures]
    assert {answer.status for answer in answers} == {400}
    assert all("Not these." in answer.said(V1_EMBED) for answer in answers)


def test_the_next_vendor_answers_many(merging, stage, many):
    case = stage.case(pool=fail(500), pool_2=vectors())
    texts = [f"{number} {case.prompt}" for number in range(40)]
    answers = [future.result() for future in many(lambda text: embed(merging, "pool", text), texts)]
    assert [made(answer) for answer in answers] == [[vector(text)] for text in texts]
    assert {answer.attempts for answer in answers} == {"pool:500,pool-2:ok"}


def test_keys_do_not_meet(merging, stage, many):
    begin = Gate()
    case = stage.case(pool=held(begin, vectors()))
    [first] = many(lambda text: embed(merging, "pool", text), [case.prompt])
    assert until(lambda: len(case.calls) == 1)
    assert made(embed(merging, "pool", case.prompt, key=merging.other)) == [vector(case.prompt)]
    assert made(embed(merging, "pool", case.prompt, dimensions=8)) == [vector(case.prompt)]
    begin.open()
    assert made(first.result()) == [vector(case.prompt)]


def test_a_key_with_one_at_a_time_has_many(merging, stage, many):
    """They wait for each other, and so are never two."""
    case = stage.case(pool=vectors())
    futures = many(lambda n: embed(merging, "pool", f"{n} {case.prompt}", key=merging.narrow), range(100))
    assert {future.result().status for future in futures} == {200}


def test_who_leaves_does_not_take_the_others_along(merging, stage, many):
    begin, second = Gate(), Gate()

    def waits(gate):
        def script(format, call):
            yield gate
            yield from vectors()(format, call)

        return script

    case = stage.case(pool=[waits(begin), waits(second), vectors()])
    [first] = many(lambda text: embed(merging, "pool", text), ["first " + case.prompt])
    assert until(lambda: len(case.calls) == 1)
    # The next one has the turn after the first.
    body = json.dumps({"model": "pool", "input": "leaves " + case.prompt})
    connection = http.client.HTTPConnection("127.0.0.1", merging.port)
    connection.request("POST", EMBED, body, {"x-api-key": merging.key, "connection": "close"})
    assert until(lambda: merging.envoy_requests() >= 2)
    others = many(lambda text: embed(merging, "pool", text), [f"{number} {case.prompt}" for number in range(5)])
    assert until(lambda: merging.envoy_requests() >= 7)
    begin.open()
    assert made(first.result())
    assert until(lambda: len(case.calls) == 2)
    connection.close()
    assert until(lambda: merging.envoy_requests() <= 6)
    second.open()
    assert [made(future.result()) for future in others] == [[vector(f"{n} {case.prompt}")] for n in range(5)]
    assert len(case.calls) == 2 and until(lambda: merging.envoy_requests() == 0)
