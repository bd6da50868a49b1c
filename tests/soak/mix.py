"""What is asked in a soak, and what may come of each kind."""

from actors import Kind

GONE = frozenset({"left", "200", "cut"})
FAILING = frozenset({"200", "500", "502", "503", "504", "429"})
"""Of a request that every vendor fails."""


def ask(words, mark="<NEW>", model="m", **more):
    return {"model": model, **more, "messages": [{"role": "user", "content": f"{words} What does {mark} mean?"}]}


def kinds(key, small):
    """All of them. `small` is a key with a limit that is reached."""
    streams = {"stream": True}
    return [
        Kind("whole", 30, ask(""), key),
        Kind("stream", 15, ask("[[pieces=20]]", **streams), key),
        Kind("paced stream", 2, ask("[[pieces=20 gap=2000]]", **streams), key),
        Kind("kept", 20, ask("", "<OLD>", temperature=0), key),
        Kind("kept stream", 5, ask("", "<OLD>", **streams), key),
        Kind("embeddings", 8, {"model": "e", "input": "What does it mean?"}, key, path="/v1/embeddings"),
        Kind("large", 1, ask("What does this mean? " * 3000), key),
        Kind("one vendor fails", 4, ask("[[a:500]]"), key),
        Kind("one vendor closes", 2, ask("[[b:close]]"), key),
        Kind("one vendor is no vendor", 2, ask("[[a:nonsense]]"), key),
        Kind("one vendor cuts", 2, ask("[[b:cut]]"), key),
        Kind("one vendor is slow", 1, ask("[[a:slow]]"), key),
        Kind("a stream is cut", 1, ask("[[a:cut]] [[b:cut]] [[c:cut]]", **streams), key,
             may=frozenset({"cut", "broken", *FAILING})),
        Kind("a stream stops", 1, ask("[[a:stop]] [[b:stop]] [[c:stop]]", **streams), key, may=frozenset({"cut", *FAILING})),
        Kind("all vendors fail", 1, ask("[[a:500]] [[b:503]] [[c:500]]"), key, may=FAILING),
        Kind("narrow", 3, ask(""), small, may=frozenset({"200", "429"})),
        # The 503 says that Redis, which might know the key, did not answer in time.
        Kind("stranger", 2, ask(""), "sk-nobody", may=frozenset({"401", "503"})),
        Kind("no JSON", 1, {}, key, raw="{", may=frozenset({"400"})),
        Kind("no model", 1, ask("", model="unheard-of"), key, may=frozenset({"404"})),
        Kind("slow client", 1, ask("[[pieces=20]]", **streams), key, "slowly"),
        Kind("leaves", 2, ask("[[a:slow]] [[b:slow]] [[c:slow]]"), key, "leaves", may=GONE),
        Kind("leaves a stream", 2, ask("[[pieces=50 gap=1000]]", **streams), key, "turns", may=GONE),
    ]


def pair(config):
    """The same configuration with a vendor's place, a key and a bound changed."""
    models = [{**model, "serve": model["serve"][::-1]} for model in config["models"]]
    return {**config, "models": models, "limits": {"body_bytes": "2MiB"}}
