"""A span for each request, at a collector that listens on plain HTTP."""

import http.server
import threading

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from conftest import Setting
from gateway import until
from scripts import CLOSE, answer, cut, fail

PARENT = "0af7651916cd43dd8448eb211c80319c"


class Collector:
    """What a collector is to Envoy: a place to post spans to."""

    def __init__(self):
        self.spans, own = [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                request = ExportTraceServiceRequest.FromString(self.body())
                own.spans += [span for resource in request.resource_spans
                              for scope in resource.scope_spans for span in scope.spans]
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def body(self):
                if length := self.headers["content-length"]:
                    return self.rfile.read(int(length))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def span(self, request_id):
        """The attributes of the span of a request, and its trace. Envoy sends what has gathered every five seconds."""
        def find():
            for span in self.spans:
                attributes = {a.key: a.value.string_value for a in span.attributes}
                if attributes.get("guid:x-request-id") == request_id:
                    return attributes, span.trace_id.hex()

        return until(find, 7)


@pytest.fixture(scope="module")
def collector():
    collector = Collector()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


@pytest.fixture(scope="module")
def traced(stage, launch, collector, tmp_path_factory):
    setting = Setting(stage, tmp_path_factory.mktemp("traced"))
    setting.vendor(stage.vendor("traced-openai", "openai"))
    setting.vendor(stage.vendor("traced-claude", "anthropic"))
    setting.model("two", "traced-openai", "traced-claude")
    setting.config["cache"] = {"ttl": "1m"}
    setting.config["tracing"] = {"otlp": f"http://127.0.0.1:{collector.port}/v1/traces"}
    with launch(setting.gateway(setting.key("traced"))) as gateway:
        yield gateway


def test_spans_say_what_was_asked_and_answered(traced, collector, stage):
    """Whole, streamed, kept, failed over, broken off; no vendor sees anything of a trace."""
    good = stage.case(traced_openai=answer())
    over = stage.case(traced_openai=fail(500), traced_claude=answer())
    parent = [("traceparent", f"00-{PARENT}-b7ad6b7169203331-01")]
    plays = {
        "whole": lambda more: traced.chat(good, "two", headers=[*more, *parent]),
        "kept": lambda more: traced.chat(good, "two", headers=more),
        "stream": lambda more: traced.chat(stage.case(traced_openai=answer()), "two", headers=more, stream=True),
        "over": lambda more: traced.chat(over, "two", headers=more),
        "broken": lambda more: traced.chat(stage.case(traced_openai=cut(CLOSE)), "two", headers=more, stream=True),
        "refused": lambda more: traced.chat(good, "none", headers=more),
    }
    for name, play in plays.items():
        play([("x-request-id", f"span-{name}")])
    spans = {name: collector.span(f"span-{name}") for name in plays}
    assert all(spans.values()), spans
    asked = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "two"}
    by_openai = asked | {"gen_ai.provider.name": "openai", "gen_ai.response.model": "traced-openai-model",
                         "weir.vendor": "traced-openai", "weir.attempts": "traced-openai:ok"}
    by_claude = asked | {"gen_ai.provider.name": "anthropic", "gen_ai.response.model": "traced-claude-model",
                         "weir.vendor": "traced-claude", "weir.attempts": "traced-openai:500,traced-claude:ok"}
    tokens = {"gen_ai.usage.input_tokens": "11", "gen_ai.usage.output_tokens": "7"}
    for name, expected in {
        "whole": by_openai | tokens, "stream": by_openai | tokens, "over": by_claude | tokens, "broken": by_openai,
        "kept": asked | {"weir.cache": "hit-l1"}, "refused": {},
    }.items():
        said = {key: value for key, value in spans[name][0].items() if key.startswith(("gen_ai.", "weir."))}
        assert said == expected, name
    assert spans["whole"][1] == PARENT != spans["stream"][1]
    everything = repr([span[0] for span in spans.values()])
    assert traced.key not in everything and good.prompt not in everything


def test_a_collector_that_is_gone_delays_nobody(stage, launch, tmp_path):
    setting = Setting(stage, tmp_path)
    setting.vendor(stage.vendor("lonely-openai", "openai"))
    setting.model("openai", "lonely-openai")
    setting.config["tracing"] = {"otlp": "http://127.0.0.1:1", "sample": 0.5}
    with launch(setting.gateway(setting.key("lonely"))) as gateway:
        for _ in range(8):
            assert gateway.chat(stage.case(lonely_openai=answer()), "openai").status == 200
