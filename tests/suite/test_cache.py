"""Answers that are kept: who gets one, in which form and for how long, and what is never kept."""

import json
import threading
from types import SimpleNamespace

import openai
import pytest

from conftest import KIND_OF, KINDS, Setting
from formats import Reply
from gateway import CHAT, V1, told, until
from scripts import CLOSE, END, RESET, Gate, answer, chunk, cut, error_event, fail, gated, silence, stream_head

COST = 11 * 2000 + 7 * 10_000
"""Of an answer, in billionths of a dollar."""
LARGE = "word " * 2000
STREAM = {"stream": True}
WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}
KEYS = {
    "acme-1": {"tenant": "acme"}, "acme-2": {"tenant": "acme"}, "other": {"tenant": "other"}, "lone": {}, "alone": {},
    "hermit": {"tenant": "acme", "cache": {"scope": "key"}}, "open": {"cache": {"scope": "shared"}},
    "wide": {"cache": {"scope": "shared"}}, "off": {"cache": {"enabled": False}}, "hasty": {"cache": {"ttl": "1s"}},
    "sober": {"cache": {"only": "deterministic"}}, "willing": {"cache": {"enabled": True}},
    "poor": {"limits": {"requests": {"rate": "1/h", "burst": 1}}},
}
MODELS = {
    "brief": {"ttl": "1s"}, "briefest": {"ttl": "1s", "stale": "1s"}, "off": {"enabled": False},
    "sober": {"only": "deterministic"}, "shared": {"scope": "shared"}, "tenants": {"scope": "tenant"},
}


class Keeping(Setting):
    """A gateway that keeps answers."""

    def __init__(self, stage, directory, **cache):
        super().__init__(stage, directory)
        self.config["routing"] |= {"first_token_timeout": "1s", "answer_timeout": "1s", "idle_timeout": "1s"}
        self.config["cache"] = cache

    def kept(self, name, vendor, **cache):
        """A model with rules of its own."""
        self.model(name, vendor)
        self.config["models"][-1] |= {"price": {"input": 2, "output": 10}, **({"cache": cache} if cache else {})}

    def keyed(self, name, **more):
        key = self.key(name)
        self.config["keys"][-1].update(more)
        return key


@pytest.fixture(scope="module")
def keeping(stage, launch, tmp_path_factory):
    """Every rule of the cache, each on a model or a key of its own."""
    setting = Keeping(stage, tmp_path_factory.mktemp("keeping"), entry_bytes="8KiB")
    setting.config["tenants"] = [{"name": "acme"}, {"name": "other"}, {"name": "lone"}]
    for name in KINDS:
        setting.vendor(stage.vendor(f"kept-{name}", KIND_OF[name]))
        setting.kept(name, f"kept-{name}")
    for model, rules in MODELS.items():
        setting.kept(model, "kept-openai", **rules)
    keys = {name: setting.keyed(name, **more) for name, more in KEYS.items()}
    gateway = setting.gateway(setting.key("suite"))
    gateway.keys = keys
    with launch(gateway):
        yield gateway


@pytest.fixture
def question(keeping, stage):
    """Makes a question that nobody has asked before, for these answers in turn."""

    def question(*scripts, of="openai", model=None):
        case = stage.case(**{f"kept_{of}": list(scripts)})

        def ask(key=None, control=None, model=model or of, headers=(), **fields):
            key = keeping.keys[key] if key else None
            control = [("cache-control", control)] if control else []
            return keeping.chat(case, model, key=key, headers=[*control, *headers], **fields)

        return SimpleNamespace(ask=ask, case=case, called=lambda: len(case.calls))

    return question


def cache(response):
    assert response.status == 200, response
    return response.headers.get("x-weir-cache")


def hit(question, **how):
    """The answer once it is kept: a stream is when Envoy has let go of it, of which no client learns."""
    return until(lambda: got if cache(got := question.ask(**how)) == "hit-l1" else None)


def said(response):
    """The text of an answer, however it came."""
    if response.headers["content-type"].startswith("text/event-stream"):
        return told(response.events)[0]
    return response.json["choices"][0]["message"]["content"]


def grow_older(seconds):
    """No event tells that an answer is no longer fresh."""
    threading.Event().wait(seconds)


# What a hit is

@pytest.mark.parametrize("vendor", KINDS)
@pytest.mark.parametrize("first", [{}, STREAM, WITH_USAGE], ids=["whole", "stream", "stream with usage"])
def test_an_answer_is_given_again_in_every_form(question, vendor, first):
    asked = question(answer("Give me that again."), of=vendor)
    assert (cache(original := asked.ask(**first)), said(original)) == ("miss", "Give me that again.")
    whole = hit(asked)
    assert whole.headers["content-type"] == "application/json"
    assert whole.json["object"] == "chat.completion" and said(whole) == "Give me that again."
    assert whole.json["usage"]["total_tokens"] == 18
    for fields, usage in [(STREAM, 0), (WITH_USAGE, 1)]:
        stream = hit(asked, **fields)
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["cache-control"] == "no-cache"
        text, tools, finish, used = told(stream.events)
        assert (text, tools, finish, len(used)) == ("Give me that again.", [], "stop", usage)
        assert all(event == "[DONE]" or event["choices"] or event.get("usage") for event in stream.events)
    assert asked.called() == 1


@pytest.mark.parametrize("vendor", KINDS)
@pytest.mark.parametrize("first", [{}, STREAM], ids=["whole", "stream"])
def test_tool_calls_are_given_again(question, vendor, first):
    asked = question(answer("", ("call_1", "f", {"a": [1, "b"]}), ("call_2", "g", {})), of=vendor)
    assert cache(asked.ask(**first)) == "miss"
    calls = [("call_1", "f", {"a": [1, "b"]}), ("call_2", "g", {})]
    message = hit(asked).json["choices"][0]["message"]
    assert [(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message["tool_calls"]] == calls
    assert told(hit(asked, **STREAM).events)[1:3] == (calls, "tool_calls")


@pytest.mark.parametrize("first", [{}, STREAM], ids=["whole", "stream"])
def test_openai_for_python_reads_what_is_kept(keeping, question, first):
    asked = question(answer("For an SDK."))
    asked.ask(**first)
    hit(asked)
    with openai.OpenAI(base_url=f"http://127.0.0.1:{keeping.port}/v1", api_key=keeping.key, max_retries=0) as client:
        messages = [{"role": "user", "content": asked.case.prompt}]
        raw = client.chat.completions.with_raw_response.create(model="openai", messages=messages)
        assert raw.headers["x-weir-cache"] == "hit-l1"
        assert raw.parse().choices[0].message.content == "For an SDK."
        chunks = list(client.chat.completions.create(model="openai", messages=messages, **WITH_USAGE))
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "For an SDK."
        assert chunks[-1].usage.total_tokens == 18
    assert asked.called() == 1


@pytest.mark.parametrize("first", [{}, STREAM], ids=["whole", "stream"])
def test_a_hit_says_what_it_is(keeping, question, first):
    asked = question(answer("For free."))
    labels = {"vendor": "kept-openai", "model": "openai"}
    saved = keeping.counted("api_gateway_saved_usd_total", **labels)
    results = keeping.counted("api_gateway_cache_total", result="hit", level="l1")
    original = asked.ask(**first)
    assert cache(original) == "miss" and "age" not in original.headers
    again = hit(asked)
    for response in [again, asked.ask(path=CHAT), asked.ask(**STREAM)]:
        assert cache(response) == "hit-l1" and 0 <= int(response.headers["age"]) <= 5
        assert (response.vendor, response.headers["x-weir-model"]) == ("kept-openai", "kept-openai-model")
        assert response.headers["x-weir-cost-usd"] == "0"
        assert "warning" not in response.headers and "x-weir-attempts" not in response.headers
    assert until(lambda: keeping.counted("api_gateway_saved_usd_total", **labels)
                 == pytest.approx(saved + 3 * COST / 1e9))
    assert keeping.counted("api_gateway_cache_total", result="hit", level="l1") == results + 3
    assert asked.called() == 1


def test_temperature_makes_no_difference_to_being_kept(question):
    asked = question(*[answer("Warm.")] * 3)
    for temperature in [0, 0.7, 2]:
        assert [cache(asked.ask(temperature=temperature)) for _ in range(2)] == ["miss", "hit-l1"]
    assert asked.called() == 3


def test_what_is_asked_otherwise_is_another_question(question):
    asked = question(*[answer(str(n)) for n in range(6)])
    others = [{}, {"seed": 1}, {"max_tokens": 5}, {"tenant": "acme"}, {"user": "u", "n": 1}, {"model": "brief"}]
    assert [cache(asked.ask(**other)) for other in others] == ["miss"] * 4 + ["hit-l1", "miss"]
    assert said(asked.ask(seed=1)) == "1"


def test_hits_are_free_of_limits(keeping, question):
    asked, other = question(answer("Once.")), question()
    first = asked.ask(key="poor")
    assert (cache(first), first.headers["x-ratelimit-remaining-requests"]) == ("miss", "0")
    assert [cache(asked.ask(key="poor", **fields)) for fields in [{}, STREAM, {}]] == ["hit-l1"] * 3
    assert other.ask(key="poor").status == 429
    assert cache(asked.ask(key="poor")) == "hit-l1"


# Whether and for how long

def test_what_the_configuration_does_not_keep(question):
    for key, model, fields, reason in [
        ("off", "openai", {}, "bypass;off"), (None, "off", {}, "bypass;off"),
        (None, "sober", {}, "bypass;not-deterministic"), (None, "sober", {"temperature": 0.1}, "bypass;not-deterministic"),
        ("sober", "openai", {"temperature": 0, "tools": [{"type": "function", "function": {"name": "f"}}]},
         "bypass;not-deterministic"),
        ("sober", "openai", {}, "bypass;not-deterministic"),
        (None, "openai", {"web_search_options": {}}, "bypass;web-search"),
    ]:
        asked = question(answer(), answer())
        assert [cache(asked.ask(key=key, model=model, **fields)) for _ in range(2)] == [reason] * 2
        assert asked.called() == 2


def test_what_a_key_says_is_before_what_the_model_says(question):
    for key, model, fields in [("willing", "off", {}), ("sober", "openai", {"temperature": 0}),
                               (None, "sober", {"temperature": 0})]:
        asked = question(answer())
        assert [cache(asked.ask(key=key, model=model, **fields)) for _ in range(2)] == ["miss", "hit-l1"]


def test_an_answer_grows_old(question):
    """By the time to live of the model, of the key, and of what the client wants."""
    brief, hasty, slow = (question(answer("old"), answer("new")) for _ in range(3))
    asks = [lambda: brief.ask(model="brief"), lambda: hasty.ask(key="hasty"), lambda: slow.ask(control="max-age=1")]
    for ask in asks:
        assert (cache(ask()), said(ask())) == ("miss", "old")
        assert cache(ask()) == "hit-l1"
    grow_older(1.05)
    assert cache(slow.ask(control="max-age=60")) == "hit-l1"
    assert slow.ask().headers["age"] == "1"
    assert [(cache(response), said(response)) for response in (ask() for ask in asks)] == [("miss", "new")] * 3
    assert [cache(ask()) for ask in asks] == ["hit-l1"] * 3


def test_a_client_may_want_a_new_answer(question):
    for control in ["no-cache", "max-age=0", "Max-Age=0, foo", 'private="x", NO-CACHE']:
        asked = question(answer("first"), answer("second"))
        assert cache(asked.ask()) == "miss"
        renewed = asked.ask(control=control)
        assert (cache(renewed), said(renewed)) == ("bypass;no-cache", "second")
        assert (cache(asked.ask()), said(asked.ask())) == ("hit-l1", "second")


def test_a_client_may_want_nothing_kept(question):
    for control in ["no-store", "no-cache, no-store"]:
        asked = question(answer("first"), answer("second"), answer("third"))
        assert [cache(asked.ask(control=control)), cache(asked.ask())] == ["bypass;no-store", "miss"]
        assert said(asked.ask(control=control)) == "third"
        assert said(asked.ask()) == "second"


# What is never kept

def without_its_end(format, call):
    *events, _, _ = format.events(Reply(), call.model, False)
    yield stream_head(format)
    yield chunk(b"".join(events)) + END


BROKEN = {"cut": cut("clean"), "closed": cut(CLOSE), "reset": cut(RESET), "error event": error_event(6),
          "no end": without_its_end}


@pytest.mark.parametrize("vendor", KINDS)
@pytest.mark.parametrize("how", BROKEN)
def test_a_stream_that_breaks_is_not_kept(question, vendor, how):
    asked = question(BROKEN[how], answer("Whole."), of=vendor)
    broken = asked.ask(**STREAM)
    assert cache(broken) == "miss" and b"[DONE]" not in broken.body
    again = asked.ask(**STREAM)
    assert (cache(again), said(again)) == ("miss", "Whole.")
    assert said(hit(asked, **STREAM)) == "Whole." and asked.called() == 2


@pytest.mark.parametrize("vendor", KINDS)
@pytest.mark.parametrize("fields", [{}, STREAM], ids=["whole", "stream"])
def test_what_a_filter_cut_is_not_kept(question, vendor, fields):
    asked = question(answer("Half a", finish="content_filter"), answer("Half a", finish="content_filter"), of=vendor)
    assert [cache(asked.ask(**fields)) for _ in range(2)] == ["miss", "miss"]
    assert asked.called() == 2


@pytest.mark.parametrize("fields", [{}, STREAM], ids=["whole", "stream"])
def test_errors_are_not_kept(question, fields):
    statuses = [400, 401, 429, 500, 503]
    asked = question(*map(fail, statuses), cut("clean") if not fields else fail(503), answer("At last."))
    responses = [asked.ask(**fields) for _ in range(7)]
    assert [response.status for response in responses[:5]] == [400, 502, 429, 502, 503]
    assert {response.headers["x-weir-cache"] for response in responses} == {"miss"}
    assert (responses[-1].status, said(responses[-1])) == (200, "At last.")
    assert said(hit(asked)) == "At last."


def test_a_stream_that_its_client_left_is_not_kept(keeping, stage, question):
    gate = Gate()
    asked = question(gated("One two three.", [gate]), answer("Whole."))
    response = keeping.stream(asked.case, "openai")
    response.fp.readline()
    response.close()
    # The next one may have to wait until the gateway knows.
    assert said(asked.ask()) == "Whole."
    gate.open()
    assert said(hit(asked)) == "Whole." and asked.called() == 2


@pytest.mark.parametrize("fields", [{}, STREAM], ids=["whole", "stream"])
def test_an_answer_may_be_too_large(question, fields):
    asked = question(answer(LARGE), answer(LARGE))
    for _ in range(2):
        response = asked.ask(**fields)
        assert (cache(response), said(response)) == ("miss", LARGE)
    assert asked.called() == 2


# Whose it is

def each(question, keys, **fields):
    """What each key finds in the cache when all ask the same, one after the other."""
    return [cache(question.ask(key=key, **fields)) for key in keys]


def test_nobody_gets_what_another_was_told(question):
    """By default each key is alone, be it of the same tenant."""
    keys = ["acme-1", "acme-2", "other", "lone", "alone"]
    asked = question(*map(answer, keys))
    assert each(asked, keys) == ["miss"] * 5
    assert each(asked, keys) == ["hit-l1"] * 5
    assert [said(asked.ask(key=key)) for key in keys] == keys


def test_tenants_share_among_themselves(question):
    """A key without a tenant is none, be it called like one."""
    keys = ["acme-1", "other", "lone", "alone", "hermit"]
    asked = question(*map(answer, keys), model="tenants")
    assert each(asked, keys) == ["miss"] * 5
    assert each(asked, [*keys, "acme-2"]) == ["hit-l1"] * 6
    assert [said(asked.ask(key=key)) for key in [*keys, "acme-2"]] == [*keys, "acme-1"]


def test_sharing_with_all_is_sharing_with_those_who_do(question):
    asked = question(answer("own"), answer("shared"), answer("another's"))
    assert each(asked, ["lone", "open", "wide", "alone"]) == ["miss", "miss", "hit-l1", "miss"]
    assert [said(asked.ask(key=key)) for key in ["lone", "open", "wide", "alone"]] == ["own", "shared", "shared", "another's"]
    shared = question(answer("for all"), answer("hermit's"), model="shared")
    assert each(shared, ["lone", "acme-1", "other", "hermit"]) == ["miss", "hit-l1", "hit-l1", "miss"]


WAYS_IN = [
    # (headers, fields)
    ([("x-tenant", "acme")], {}), ([("openai-organization", "acme"), ("openai-project", "acme")], {}),
    ([("x-cache-scope", "shared"), ("cache-control", "scope=shared, public, only-if-cached, max-stale=9")], {}),
    ([("x-forwarded-for", "10.0.0.1"), ("cookie", "tenant=acme"), ("vary", "*")], {}),
    ([], {"user": "acme-1"}), ([], {"metadata": {"tenant": "acme", "scope": "shared"}}), ([], {"tenant": "acme"}),
    ([], {"scope": "shared"}), ([], {"cache": {"scope": "shared"}}), ([], {"safety_identifier": "tenant:acme"}),
    ([], {"prompt_cache_key": "tenant:acme"}), ([("authorization", "Bearer tenant:acme")], {}),
]


@pytest.mark.parametrize("headers, fields", WAYS_IN, ids=str)
def test_nothing_that_a_client_says_is_a_way_in(question, headers, fields):
    for model in ["tenants", "openai"]:
        asked = question(answer("acme's"), answer("other's"), model=model)
        assert cache(asked.ask(key="acme-1")) == "miss"
        response = asked.ask(key="other", headers=headers, **fields)
        if ("authorization", "Bearer tenant:acme") in headers:
            assert response.status in (400, 401)
        else:
            assert (cache(response), said(response)) == ("miss", "other's")


@pytest.mark.parametrize("name", ["x-weir-tenant", "x-weir-scope", "x-weir-cache", "x-weir-key"])
def test_internal_headers_are_no_way_in(question, name):
    assert question().ask(headers=[(name, "acme")]).status == 400


# Stale answers

ENDS = {"503": fail(503), "429": fail(429), "401": fail(401), "reset": lambda format, call: iter([RESET]), "silence": silence(),
        "no answer": lambda format, call: iter([CLOSE])}


@pytest.mark.parametrize("fields", [{}, STREAM], ids=["whole", "stream"])
def test_an_old_answer_is_better_than_none(keeping, question, at_once, fields):
    asked = {name: question(answer("Good old times."), *[end] * 3, model="brief") for name, end in ENDS.items()}
    assert [cache(one.ask()) for one in asked.values()] == ["miss"] * len(ENDS)
    served = keeping.counted("api_gateway_degraded_total", rung="stale")
    grow_older(1.05)
    for response in at_once(lambda one: one.ask(**fields), asked.values()):
        assert (cache(response), said(response)) == ("stale", "Good old times.")
        assert 1 <= int(response.headers["age"]) < 10
        assert response.headers["warning"] == '110 - "Response is Stale"'
        assert (response.headers["x-weir-cost-usd"], response.vendor) == ("0", "kept-openai")
    assert until(lambda: keeping.counted("api_gateway_degraded_total", rung="stale") == served + len(ENDS))


def test_a_vendor_that_is_gone_leaves_its_answers(stage, launch, tmp_path):
    """Its port refuses connections."""
    setting = Keeping(stage, tmp_path, ttl="1s")
    mortal = stage.vendor("kept-mortal", "openai")
    setting.vendor(mortal)
    setting.kept("mortal", "kept-mortal")
    case = stage.case(kept_mortal=answer("Last words."))
    with launch(setting.gateway(setting.key("heir"))) as gateway:
        assert cache(gateway.chat(case, "mortal")) == "miss"
        mortal.die()
        grow_older(1.05)
        for fields in [{}, STREAM, {}]:
            response = gateway.chat(case, "mortal", **fields)
            assert (cache(response), said(response)) == ("stale", "Last words.")
        response = gateway.chat(case, "mortal", seed=1)
        assert (response.status, response.headers["x-weir-cache"]) == (503, "miss")


def test_an_answer_may_be_too_old_for_everything(question):
    asked = question(answer(), fail(503), fail(503, "Closed."), answer("new"), model="briefest")
    assert cache(asked.ask()) == "miss"
    grow_older(1.05)
    assert cache(asked.ask()) == "stale"
    grow_older(1.05)
    response = asked.ask()
    assert (response.status, response.headers["x-weir-cache"]) == (503, "miss") and "Closed." in response.said(V1)
    assert cache(asked.ask()) == "miss"


def test_what_a_client_did_wrong_stays_its_own(question):
    asked = question(answer(), fail(400, "No such tool."), fail(422), fail(413), model="brief")
    assert cache(asked.ask()) == "miss"
    grow_older(1.05)
    response = asked.ask()
    assert response.status == 400 and "No such tool." in response.said(V1)
    assert {asked.ask().headers["x-weir-cache"] for _ in range(2)} == {"miss"}


def test_an_old_answer_is_replaced_by_a_new_one(question):
    asked = question(answer("old"), fail(503), answer("new"), model="brief")
    assert cache(asked.ask()) == "miss"
    grow_older(1.05)
    assert [cache(asked.ask()), said(asked.ask()), cache(asked.ask())] == ["stale", "new", "hit-l1"]


def test_nobody_gets_the_old_answer_of_another(question):
    asked = question(answer("acme's"), fail(503), model="brief")
    assert cache(asked.ask(key="acme-1")) == "miss"
    grow_older(1.05)
    assert asked.ask(key="other").status == 503


def test_a_full_gateway_gives_what_it_keeps(stage, launch, tmp_path):
    """The one place is taken: fresh or old, what is kept needs none."""
    setting = Keeping(stage, tmp_path)
    setting.config["limits"]["in_flight"] = 1
    setting.vendor(stage.vendor("kept-full", "openai"))
    setting.kept("fresh", "kept-full")
    setting.kept("brief", "kept-full", ttl="1s")
    kept, gate = stage.case(kept_full=answer("Kept.")), Gate()
    held = stage.case(kept_full=lambda format, call: iter([gate, *answer()(format, call)]))
    with launch(setting.gateway(setting.key("crowd"))) as gateway:
        for model in ["fresh", "brief"]:
            assert until(lambda model=model: gateway.chat(kept, model).status == 200)
        grow_older(1.05)
        busy = threading.Thread(target=gateway.chat, args=(held, "fresh"))
        busy.start()
        assert until(lambda: held.calls)
        for fields in [{}, STREAM]:
            assert [cache(gateway.chat(kept, model, **fields)) for model in ["fresh", "brief"]] == ["hit-l1", "stale"]
        refused = gateway.chat(kept, "fresh", seed=1)
        assert (refused.status, refused.headers["x-should-retry"]) == (503, "true")
        assert gateway.chat(held, "fresh").status == 503, "it does not even wait for its own twin"
        gate.open()
        busy.join()
