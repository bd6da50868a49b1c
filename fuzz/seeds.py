"""Seeds of the corpora: what the golden files hold, one folder for each decoder; `fuzz/seeds.py FOLDER` writes them."""

import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
ROWS = ["mistral", "groq", "deepseek", "xai", "together", "fireworks", "openrouter", "ollama", "vllm"]
# The vendors that a decoder is of; its corpus begins with all of theirs.
VENDORS = {"openai": ["openai", "azure"], "compatible": ["openai", *ROWS], "anthropic": ["anthropic"],
           "bedrock": ["bedrock"], "gemini": ["gemini"]}


def seeds():
    """Pairs of a decoder's name and bytes."""
    for request in sorted(GOLDEN.glob("requests/*/request.json")):
        task = "embeddings" if request.parent.name.startswith("embeddings") else "chat"
        yield f"request_{task}", request.read_bytes()
        yield "json", request.read_bytes()
        yield "request_batch", b"[" + request.read_bytes() + b"," + request.read_bytes() + b"]"
    for name, vendors in VENDORS.items():
        for vendor in vendors:
            for stream in sorted(GOLDEN.glob(f"streams/{vendor}/*.sse")):
                yield f"stream_{name}", stream.read_bytes()
                yield "sse", stream.read_bytes()
            for stream in sorted(GOLDEN.glob(f"streams/{vendor}/*.frames")):
                yield f"stream_{name}", stream.read_bytes()
                yield "frames", stream.read_bytes()
            for reply in sorted(GOLDEN.glob(f"replies/{vendor}/*.json")):
                body = json.loads(reply.read_text())["vendor"]
                text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
                yield f"reply_{name}", text.encode()
                if "error" in text:
                    yield "reply_error", text.encode()
    for case in sorted(GOLDEN.glob("messages/requests/*.json")):
        yield "messages_request", json.dumps(json.loads(case.read_text())["client"], ensure_ascii=False).encode()
    for stream in [*sorted(GOLDEN.glob("messages/streams/*.sse")), *sorted(GOLDEN.glob("streams/*/*.txt"))]:
        yield "messages_stream", stream.read_bytes()
    for reply in sorted(GOLDEN.glob("replies/*/*.json")):
        case = json.loads(reply.read_text())
        told = case["vendor"] if case.get("client") == "as received" else case.get("client")
        if isinstance(told, dict) and "choices" in told:
            yield "messages_reply", json.dumps(told, ensure_ascii=False).encode()
    for text in ERRORS:
        yield "reply_error", text.encode()
    for text in REPLIES:
        yield "redis_replies", text.encode()
    for text in KEYS:
        yield "kept_key", text.encode()
    yield "kept_answer", bytes(24) + b"".join(len(t).to_bytes(8, "little") + t for t in (b"openai", b"gpt-4o", b"{}"))
    yield "kept_index", b"\0"
    yield "kept_index", b""
    yield "config", (ROOT / "weir.yaml").read_bytes()
    for text in CONFIGS:
        yield "config", text.encode()
    yield "metrics", METRICS.encode()


ERRORS = [
    '{"error":{"message":"no","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}',
    '{"error":{"message":"no","type":"BadRequestError","param":null,"code":400}}',
    '{"error":"no"}', '{"message":"no","request_id":"r"}', '{"detail":"no"}', '{"detail":[{"msg":"no","loc":["a"]}]}',
    '{"statusCode":429,"message":"no"}', '{"object":"error","message":{"detail":[{"msg":"no"}]}}',
    '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}',
    '[{"error":{"code":429,"message":"no","status":"RESOURCE_EXHAUSTED","details":[{"@type":'
    '"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.4s"}]}}]',
    '{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":'
    '"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}',
    '{"error":{"message":"filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":'
    '{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}',
    "<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>",
]
REPLIES = [
    "+OK\r\n", "-ERR no such key\r\n:42\r\n", "$5\r\nhello\r\n$-1\r\n*-1\r\n", "*3\r\n:1\r\n$1\r\na\r\n*2\r\n+x\r\n:-5\r\n",
    "*0\r\n$0\r\n\r\n", "-upstream failure\r\n", "-NOSCRIPT No matching script.\r\n",
]
KEYS = [
    '{"name":"team-a"}', '{"name":"a","models":["echo"],"vendors":["echo"],"tenant":"t","admin":true,"enabled":false}',
    '{"name":"a","expires":"2030-01-01T00:00:00Z","limits":{"requests":{"rate":"60/min","burst":10},"tokens":{"rate":'
    '"1000/min"}},"budget_usd":{"day":5}}', '{"name":"a","cache":{"ttl":"10m","scope":"key"}}',
]
CONFIGS = [
    '{"listen":"127.0.0.1:3000","vendors":[{"name":"echo","kind":"echo"}],"models":[{"name":"m","serve":[{"vendor":"echo"}]}]}',
    "listen: 127.0.0.1:1\nvendors: [&a {name: e, kind: echo}]\nmodels: [{name: m, serve: [{vendor: e, model: x}], price: "
    "{input: 1, output: 2}}]\ncache: {ttl: 10m, l1: {max_bytes: 64MiB}}\nrouting: {attempts: 2, total_timeout: 1h}\n",
]
METRICS = """# TYPE api_gateway_requests_total counter
api_gateway_requests_total{method="POST",endpoint="/v1/chat/completions",status="200",vendor="a",model="m"} 3
# TYPE api_gateway_overhead_us histogram
api_gateway_overhead_us_bucket{le="0.5"} 1
api_gateway_overhead_us_sum{} 1.5
# TYPE envoy_server_live gauge
envoy_server_live{} 1
"""

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, text in seeds():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / hashlib.sha1(text).hexdigest()).write_bytes(text)
