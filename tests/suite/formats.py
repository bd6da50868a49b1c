"""The wire formats, as the vendors speak them and as they insist on being spoken to.

A format turns a `Reply` into the bytes of a whole answer or of the events of a stream, an error status into the body
and headers that this vendor really sends, and says what is wrong with a request. Nothing here knows of connections.
"""

import base64
import hashlib
import json
import re
import struct
from dataclasses import dataclass
from itertools import count
from urllib.parse import quote

import frames

_serial = count(1)


@dataclass(frozen=True)
class Tool:
    """A call that the model wants made."""

    id: str
    name: str
    arguments: dict


@dataclass(frozen=True)
class Reply:
    """What a model says, in no vendor's words; `finish` is OpenAI's. `sequence` is the stop sequence that ended it."""

    text: str = "Good morning to you."
    tools: tuple[Tool, ...] = ()
    finish: str = ""
    sequence: str | None = None
    prompt_tokens: int = 11
    completion_tokens: int = 7

    @property
    def finish_reason(self):
        return self.finish or ("tool_calls" if self.tools else "stop")

    @property
    def pieces(self):
        return re.findall(r"\S+\s*", self.text)


def dump(value):
    return json.dumps(value, ensure_ascii=False).encode()


def event(data, name=None):
    """The bytes of one server-sent event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + (data if isinstance(data, bytes) else dump(data)) + b"\n\n"


def vector(text):
    """The vector of a text: eight numbers, each exactly a 32-bit float."""
    return [byte / 256 - 0.5 for byte in hashlib.sha256(text.encode()).digest()[:8]]


def halves(text):
    """A text in two pieces, as tool arguments come in a stream."""
    return [text[: len(text) // 2], text[len(text) // 2 :]]


class OpenAI:
    kind = "openai"
    credential = ("authorization", "Bearer ")
    base = "/v1"

    def path(self, model, task="chat/completions"):
        return f"/v1/{task}"

    def paths(self, model):
        return {self.path(model), self.path(model, "embeddings")}

    def headers(self):
        return [("x-request-id", f"req_{next(_serial):08x}"), ("openai-processing-ms", "12"),
                ("openai-version", "2020-10-01"), ("x-ratelimit-remaining-requests", "59"),
                ("set-cookie", "__cf_bm=vendor-cookie; path=/; HttpOnly")]

    def whole(self, reply, model):
        message = {"role": "assistant", "content": reply.text or None, "refusal": None}
        if reply.tools:
            message["tool_calls"] = [self._call(tool) for tool in reply.tools]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
        return dump({**self._head("chat.completion", model), "choices": [choice], "usage": self._usage(reply)})

    def events(self, reply, model, usage):
        head = self._head("chat.completion.chunk", model)

        def chunk(delta, finish=None):
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return event({**head, "choices": [choice], **({"usage": None} if usage else {})})

        yield chunk({"role": "assistant", "content": None if reply.tools else "", "refusal": None})
        for piece in reply.pieces:
            yield chunk({"content": piece})
        for index, tool in enumerate(reply.tools):
            start = {"name": tool.name, "arguments": ""}
            yield chunk({"tool_calls": [{"index": index, "id": tool.id, "type": "function", "function": start}]})
            for piece in halves(json.dumps(tool.arguments)):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        yield chunk({}, reply.finish_reason)
        if usage:
            yield event({**head, "choices": [], "usage": self._usage(reply)})
        yield event(b"[DONE]")

    def vectors(self, body, model):
        """An answer with vectors, the last one first; a token is a letter."""
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [{"object": "embedding", "index": index, "embedding": self._vector(text, body.get("encoding_format"))}
                for index, text in enumerate(inputs)]
        tokens = sum(len(text) for text in inputs)
        return dump({"object": "list", "data": data[::-1], "model": model,
                     "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})

    def _vector(self, text, encoding):
        if encoding == "base64":
            return base64.b64encode(struct.pack("<8f", *vector(text))).decode()
        return vector(text)

    def error(self, status, message):
        kind, code = {
            400: ("invalid_request_error", None), 401: ("invalid_request_error", "invalid_api_key"),
            403: ("invalid_request_error", "unsupported_country_region_territory"),
            404: ("invalid_request_error", "model_not_found"), 429: ("requests", "rate_limit_exceeded"),
        }.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
        return self.headers(), dump({"error": {"message": message, "type": kind, "param": None, "code": code}})

    def error_event(self, message):
        return event({"error": {"message": message, "type": "server_error", "param": None, "code": None}})

    def other_json(self):
        """A 200 that is JSON and no answer."""
        return dump({"object": "list", "data": []})

    def expect(self, call):
        """What is wrong with a request: a list of sentences."""
        body = call.json
        if body.get("model") not in call.models:
            yield f"model is {body.get('model')!r}, not one of {sorted(call.models)}"
        yield from self._expect_task(call)

    def _expect_task(self, call):
        if call.path in {self.path(model, "embeddings") for model in call.models}:
            yield from self._expect_inputs(call.json.get("input"))
        else:
            yield from self._expect_chat(call.json)

    def _expect_inputs(self, inputs):
        inputs = inputs if isinstance(inputs, list) else [inputs]
        if not 1 <= len(inputs) <= 2048 or not all(inputs) or len({type(one) for one in inputs}) > 1:
            yield f"input is {inputs!r:.100}"

    def wants_usage(self, body):
        return bool((body.get("stream_options") or {}).get("include_usage"))

    def _expect_chat(self, body):
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            yield "messages is no list, or empty"
            return
        if body.get("stream_options") is not None and not body.get("stream"):
            yield "stream_options without stream"
        open_calls = set()
        for i, message in enumerate(messages):
            if message.get("role") not in ("developer", "system", "user", "assistant", "tool"):
                yield f"messages[{i}].role is {message.get('role')!r}"
            if message.get("role") == "tool":
                if message.get("tool_call_id") not in open_calls:
                    yield f"messages[{i}] answers an unknown tool call"
                open_calls.discard(message.get("tool_call_id"))
                parts = message.get("content")
                if isinstance(parts, list) and not all(part["type"] == "text" for part in parts):
                    yield f"messages[{i}] of a tool holds more than text"
            elif open_calls:
                yield f"messages[{i}] comes before every tool call was answered"
            open_calls |= {tool["id"] for tool in message.get("tool_calls") or []}

    def _head(self, kind, model):
        return {"id": f"chatcmpl-{next(_serial):08x}", "object": kind, "created": 1_760_000_000, "model": model,
                "service_tier": "default", "system_fingerprint": "fp_44709d6fcb"}

    def _call(self, tool):
        return {"id": tool.id, "type": "function",
                "function": {"name": tool.name, "arguments": json.dumps(tool.arguments)}}

    def _usage(self, reply):
        return {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens,
                "total_tokens": reply.prompt_tokens + reply.completion_tokens,
                "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0}}


class Azure(OpenAI):
    kind = "azure"
    credential = ("api-key", "")
    base = ""
    api_version = "2024-10-21"

    def path(self, model, task="chat/completions"):
        return f"/openai/deployments/{model}/{task}?api-version={self.api_version}"

    def headers(self):
        return [("apim-request-id", f"{next(_serial):08x}"), ("x-ms-region", "West Europe"),
                ("x-ms-deployment-name", "suite"), ("x-ratelimit-remaining-tokens", "9000")]

    def whole(self, reply, model):
        body = json.loads(super().whole(reply, model))
        body["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": _SAFE}]
        body["choices"][0]["content_filter_results"] = _SAFE
        return dump(body)

    def events(self, reply, model, usage):
        yield event({"choices": [], "created": 0, "id": "", "model": "", "object": "",
                     "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _SAFE}]})
        yield from super().events(reply, model, usage)

    def error(self, status, message):
        code = {401: "401", 404: "DeploymentNotFound", 429: "429"}.get(status, str(status))
        if status == 401:
            return self.headers(), dump({"statusCode": 401, "message": message})
        return self.headers(), dump({"error": {"code": code, "message": message}})

    def expect(self, call):
        """The deployment stands in the path; the body's model is ignored."""
        yield from self._expect_task(call)


class Mistral(OpenAI):
    """OpenAI's format as Mistral speaks it: fields of its own, no others, and tool calls in one piece."""

    kind = "mistral"

    def headers(self):
        return [("mistral-correlation-id", f"{next(_serial):08x}"), ("x-ratelimit-remaining-req-minute", "59")]

    def whole(self, reply, model):
        body = json.loads(super().whole(reply, model))
        for choice in body["choices"]:
            choice["message"] = {"role": "assistant", "content": reply.text, "tool_calls": self._calls(reply) or None}
        return dump(body)

    def events(self, reply, model, usage):
        head = self._head("chat.completion.chunk", model)

        def chunk(delta, finish=None, **more):
            return event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})

        yield chunk({"role": "assistant", "content": ""})
        for piece in reply.pieces:
            yield chunk({"content": piece})
        last = {"content": "", **({"tool_calls": calls} if (calls := self._calls(reply)) else {})}
        yield chunk(last, reply.finish_reason, usage=self._usage(reply))
        yield event(b"[DONE]")

    def wants_usage(self, body):
        return True

    def error(self, status, message):
        if status == 401:
            return self.headers(), dump({"message": message, "request_id": "suite"})
        kind = {429: ("rate_limited", "1300"), 503: ("service_unavailable", "1100")}.get(
            status, ("internal_server_error", "1000") if status >= 500 else ("invalid_request_error", None))
        body = {"object": "error", "message": message, "type": kind[0], "param": None, "code": kind[1]}
        return self.headers(), dump(body)

    def expect(self, call):
        yield from super().expect(call)
        if unknown := set(call.json) - _MISTRAL_FIELDS:
            yield f"{sorted(unknown)}: Extra inputs are not permitted"
        choice = call.json.get("tool_choice", "auto")
        if choice not in ("auto", "none", "any") and not isinstance(choice, dict):
            yield f"tool_choice is {choice!r}"
        for i, message in enumerate(call.json.get("messages", [])):
            if message["role"] not in ("system", "user", "assistant", "tool"):
                yield f"messages[{i}].role is {message['role']!r}"
            if unknown := set(message) - {"role", "content", "tool_calls", "tool_call_id", "prefix"}:
                yield f"messages[{i}] has {sorted(unknown)}: Extra inputs are not permitted"
            ids = [tool["id"] for tool in message.get("tool_calls") or []] + [message.get("tool_call_id", "A" * 9)]
            yield from (f"messages[{i}]: Tool call id was {id}" for id in ids if not re.fullmatch("[a-zA-Z0-9]{9}", id))

    def _calls(self, reply):
        return [{"id": tool.id, "function": {"name": tool.name, "arguments": json.dumps(tool.arguments)}}
                for tool in reply.tools]


_MISTRAL_FIELDS = {
    "model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed", "response_format",
    "tools", "tool_choice", "parallel_tool_calls", "presence_penalty", "frequency_penalty", "n", "prediction",
    "safe_prompt",
}
_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}


class Anthropic:
    kind = "anthropic"
    credential = ("x-api-key", "")
    base = "/v1"

    def path(self, model):
        return "/v1/messages"

    def paths(self, model):
        return {self.path(model)}

    def headers(self):
        return [("request-id", f"req_{next(_serial):08x}"), ("anthropic-organization-id", "org-suite"),
                ("anthropic-ratelimit-requests-remaining", "49")]

    def whole(self, reply, model):
        blocks = [{"type": "text", "text": reply.text}] if reply.text else []
        blocks += [{"type": "tool_use", "id": t.id, "name": t.name, "input": t.arguments} for t in reply.tools]
        return dump({**self._head(model, blocks), **self._stop(reply),
                     "usage": {**self._usage(reply), "output_tokens": reply.completion_tokens}})

    def events(self, reply, model, usage):
        def named(name, **rest):
            return event(dump({"type": name, **rest}) + b"   ", name)  # recorded streams have such trailing spaces

        start = {**self._head(model, []), "stop_reason": None, "usage": {**self._usage(reply), "output_tokens": 1}}
        yield named("message_start", message=start)
        index = 0
        if reply.text:
            yield named("content_block_start", index=index, content_block={"type": "text", "text": ""})
            yield named("ping")
            for piece in reply.pieces:
                yield named("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})
            yield named("content_block_stop", index=index)
            index += 1
        for place, tool in enumerate(reply.tools, index):
            block = {"type": "tool_use", "id": tool.id, "name": tool.name, "input": {}}
            yield named("content_block_start", index=place, content_block=block)
            for piece in ["", *halves(json.dumps(tool.arguments))] if tool.arguments else [""]:
                yield named("content_block_delta", index=place,
                            delta={"type": "input_json_delta", "partial_json": piece})
            yield named("content_block_stop", index=place)
        yield named("message_delta", delta=self._stop(reply),
                    usage={"output_tokens": reply.completion_tokens})
        yield named("message_stop")

    def error(self, status, message):
        kind = {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error",
                403: "permission_error", 404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error",
                504: "timeout_error", 529: "overloaded_error"}.get(status, "api_error")
        body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_suite"}
        return self.headers(), dump(body)

    def error_event(self, message):
        body = {"type": "error", "error": {"type": "overloaded_error", "message": message}}
        return event(body, "error")

    def other_json(self):
        return dump({"type": "message_batch", "id": "msgbatch_1"})

    def wants_usage(self, body):
        return True

    def expect(self, call):
        body = call.json
        if unknown := set(body) - _ANTHROPIC_FIELDS:
            yield f"{sorted(unknown)}: Extra inputs are not permitted"
        if nulls := [name for name, value in body.items() if value is None]:
            yield f"{nulls} are null"
        if call.header("anthropic-version") != "2023-06-01":
            yield f"anthropic-version is {call.header('anthropic-version')!r}"
        if body.get("model") not in call.models:
            yield f"model is {body.get('model')!r}, not one of {sorted(call.models)}"
        if type(body.get("max_tokens")) is not int or body["max_tokens"] < 1:
            yield f"max_tokens is {body.get('max_tokens')!r}"
        if not 0 <= body.get("temperature", 1) <= 1:
            yield f"temperature is {body['temperature']}"
        if not isinstance(body.get("system", ""), str):
            yield from (f"system: {wrong}" for block in body["system"] for wrong in _wrong_block(block, {"text"}))
        if any(not stop.strip() for stop in body.get("stop_sequences", [])):
            yield "stop_sequences has a blank one"
        if set(body.get("metadata", {})) - {"user_id"}:
            yield "metadata has more than user_id"
        yield from self._expect_tools(body)
        yield from self._expect_messages(body.get("messages"))

    def _expect_tools(self, body):
        for i, tool in enumerate(body.get("tools", [])):
            if set(tool) - {"name", "description", "input_schema", "type", "strict", "cache_control"}:
                yield f"tools[{i}] has {sorted(tool)}"
            if tool.get("input_schema", {}).get("type") != "object":
                yield f"tools[{i}].input_schema.type is no object"
        choice = body.get("tool_choice")
        if choice is not None:
            if not body.get("tools"):
                yield "tool_choice without tools"
            if choice.get("type") not in ("auto", "any", "tool", "none"):
                yield f"tool_choice is {choice}"

    def _expect_messages(self, messages):
        if not isinstance(messages, list) or not messages:
            yield "messages: at least one message is required"
            return
        asked = []
        for i, message in enumerate(messages):
            role, content = message.get("role"), message.get("content")
            if set(message) != {"role", "content"} or role not in ("user", "assistant"):
                yield f"messages[{i}] has {sorted(message)} with role {role!r}"
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            if not isinstance(blocks, list) or not blocks:
                yield f"messages[{i}].content is empty"
                continue
            allowed = {"user": _USER_BLOCKS, "assistant": _ASSISTANT_BLOCKS}.get(role, set())
            for block in blocks:
                yield from (f"messages[{i}]: {wrong}" for wrong in _wrong_block(block, allowed))
            first = [block["tool_use_id"] for block in blocks[: len(asked)] if block.get("type") == "tool_result"]
            if sorted(first) != sorted(asked):
                yield f"messages[{i}] answers {first} first, where {asked} were asked"
            asked = [block["id"] for block in blocks if block.get("type") == "tool_use"]
        if asked:
            yield f"{asked} are never answered"

    def _head(self, model, blocks):
        return {"id": f"msg_{next(_serial):08x}", "type": "message", "role": "assistant", "model": model,
                "content": blocks, "stop_sequence": None}

    def _stop(self, reply):
        reason = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use",
                  "content_filter": "refusal"}[reply.finish_reason]
        return {"stop_reason": "stop_sequence" if reply.sequence else reason, "stop_sequence": reply.sequence}

    def _usage(self, reply):
        """OpenAI's prompt_tokens is the sum of these three."""
        return {"input_tokens": reply.prompt_tokens - 3, "cache_creation_input_tokens": 1,
                "cache_read_input_tokens": 2}


_ANTHROPIC_FIELDS = {
    "model", "messages", "max_tokens", "system", "stop_sequences", "temperature", "top_p", "top_k", "stream", "tools",
    "tool_choice", "thinking", "output_config", "metadata", "service_tier", "cache_control",
}
_BLOCK_FIELDS = {
    "text": {"type", "text", "cache_control", "citations"},
    "image": {"type", "source", "cache_control"},
    "document": {"type", "source", "title", "context", "citations", "cache_control"},
    "tool_use": {"type", "id", "name", "input", "cache_control"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
    "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control"},
}
_USER_BLOCKS = {"text", "image", "document", "tool_result"}
_ASSISTANT_BLOCKS = {"text", "tool_use", "thinking", "redacted_thinking"}


def _wrong_block(block, allowed):
    kind = block.get("type")
    if kind not in allowed:
        yield f"a block of type {kind!r}"
    elif set(block) - _BLOCK_FIELDS[kind]:
        yield f"a {kind} block with {sorted(block)}"
    elif kind == "text" and not block["text"]:
        yield "text content blocks must be non-empty"
    elif kind == "tool_use" and not isinstance(block["input"], dict):
        yield "tool_use.input is no object"
    elif kind == "image" and block["source"].get("media_type", "image/png") not in _IMAGES:
        yield f"an image of {block['source']['media_type']}"


_IMAGES = {"image/jpeg", "image/png", "image/gif", "image/webp"}


class Gemini:
    kind = "gemini"
    credential = ("x-goog-api-key", "")
    base = "/v1beta"

    def path(self, model):
        return f"/v1beta/models/{model}:generateContent"

    def paths(self, model):
        return {self.path(model), f"/v1beta/models/{model}:streamGenerateContent?alt=sse", self._vectors_of(model)}

    def _vectors_of(self, model):
        return f"/v1beta/models/{model}:batchEmbedContents"

    def vectors(self, body, model):
        """In the order of the texts, as numbers, and without a count of tokens."""
        texts = [request["content"]["parts"][0]["text"] for request in body["requests"]]
        return dump({"embeddings": [{"values": vector(text)} for text in texts]})

    def headers(self):
        return [("server-timing", "gfet4t7; dur=512"), ("x-gemini-service-tier", "standard")]

    def whole(self, reply, model):
        parts = [{"text": reply.text}] if reply.text else []
        parts += [self._call(tool) for tool in reply.tools]
        whole = self._reply(f"g{next(_serial):08x}", model, parts, reply, self._stop(reply))
        return json.dumps(whole, indent=2).encode()

    def events(self, reply, model, usage):
        """A call comes whole and before the last event, which says STOP; nothing comes after that."""
        name = f"g{next(_serial):08x}"
        for piece in reply.pieces:
            yield event(self._reply(name, model, [{"text": piece}], reply))
        for tool in reply.tools:
            yield event(self._reply(name, model, [self._call(tool)], reply))
        yield event(self._reply(name, model, [{"text": ""}], reply, self._stop(reply)))

    def error(self, status, message):
        word = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "RESOURCE_EXHAUSTED", 403: "PERMISSION_DENIED",
                404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE",
                504: "DEADLINE_EXCEEDED"}.get(status, "INTERNAL")
        error = {"code": status, "message": message, "status": word}
        if status == 429:
            error["details"] = [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []},
                                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}]
        return self.headers(), json.dumps({"error": error}, indent=2).encode()

    def error_event(self, message):
        return event({"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}})

    def other_json(self):
        return dump({"models": []})

    def wants_usage(self, body):
        return True

    def expect(self, call):
        if call.path in {self._vectors_of(model) for model in call.models}:
            yield from self._expect_texts(call.json, call.model)
            return
        body = call.json
        if unknown := set(body) - {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}:
            yield f"Unknown name {sorted(unknown)}: Cannot find field"
        if unknown := set(body.get("generationConfig", {})) - _GENERATION:
            yield f"Unknown name {sorted(unknown)} at 'generation_config': Cannot find field"
        if any(set(part) != {"text"} for part in body.get("systemInstruction", {}).get("parts", [])):
            yield "systemInstruction has more than text"
        if len(body.get("generationConfig", {}).get("stopSequences", [])) > 5:
            yield "more than 5 stop sequences"
        yield from self._expect_tools(body)
        yield from self._expect_contents(body.get("contents"))

    def _expect_texts(self, body, model):
        requests = body.get("requests", [])
        if set(body) != {"requests"} or not 1 <= len(requests) <= 100:
            yield f"{sorted(body)} with {len(requests)} requests: at most 100 requests can be in one batch"
        for i, request in enumerate(requests):
            if unknown := set(request) - {"model", "content", "taskType", "title", "outputDimensionality"}:
                yield f"requests[{i}]: Unknown name {sorted(unknown)}: Cannot find field"
            if request["model"] != f"models/{model}":
                yield f"requests[{i}].model is {request['model']!r}"
            if not all(isinstance(part["text"], str) and part["text"] for part in request["content"]["parts"]):
                yield f"requests[{i}] has an empty text"

    def _expect_tools(self, body):
        declared = [function for tool in body.get("tools", []) for function in tool["functionDeclarations"]]
        for i, function in enumerate(declared):
            known = {"name", "description", "parameters", "parametersJsonSchema"}
            if set(function) - known or not function.get("name"):
                yield f"functionDeclarations[{i}] has {sorted(function)}"
        config = body.get("toolConfig", {}).get("functionCallingConfig")
        if config is not None:
            if not declared:
                yield "toolConfig without tools"
            if config.get("mode") not in ("AUTO", "ANY", "NONE"):
                yield f"mode is {config.get('mode')!r}"
            if set(config.get("allowedFunctionNames", [])) - {function["name"] for function in declared}:
                yield "allowedFunctionNames has a name that is not declared"

    def _expect_contents(self, contents):
        if not isinstance(contents, list) or not contents:
            yield "contents is not specified"
            return
        asked, before = [], None
        for i, content in enumerate(contents):
            role, parts = content.get("role"), content.get("parts")
            if set(content) != {"role", "parts"} or role not in ("user", "model") or role == before:
                yield f"contents[{i}] has {sorted(content)} with role {role!r} after {before!r}"
            before = role
            if not parts:
                yield f"contents[{i}].parts must not be empty"
            for part in parts or []:
                yield from (f"contents[{i}]: {wrong}" for wrong in _wrong_part(part, role))
            results = [part["functionResponse"]["name"] for part in parts or [] if "functionResponse" in part]
            if sorted(results) != sorted(asked):
                yield f"contents[{i}] answers {results}, where {asked} were called"
            asked = [part["functionCall"]["name"] for part in parts or [] if "functionCall" in part]
        if asked:
            yield f"{asked} are never answered"

    def _reply(self, name, model, parts, reply, stop=None):
        """Its count of the answer leaves the thoughts out."""
        candidate = {"content": {"parts": parts, "role": "model"}, "index": 0, **({"finishReason": stop} if stop else {})}
        counts = {"promptTokenCount": reply.prompt_tokens, "candidatesTokenCount": reply.completion_tokens - 2,
                  "thoughtsTokenCount": 2, "cachedContentTokenCount": 3,
                  "totalTokenCount": reply.prompt_tokens + reply.completion_tokens}
        return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": model, "responseId": name}

    def _call(self, tool):
        """The id is the one that the gateway is expected to pass on; the real one seldom gives any."""
        call = {"name": tool.name, "args": tool.arguments, **({"id": tool.id} if tool.id else {})}
        return {"functionCall": call, "thoughtSignature": _SIGNATURE}

    def _stop(self, reply):
        return {"length": "MAX_TOKENS", "content_filter": "SAFETY"}.get(reply.finish_reason, "STOP")


_SIGNATURE = "CtwBAVSo+/8="
_GENERATION = {"temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "presencePenalty",
               "frequencyPenalty", "seed", "responseLogprobs", "logprobs", "responseMimeType", "responseSchema",
               "responseJsonSchema", "thinkingConfig"}
_PARTS = {"user": {"text", "inlineData", "fileData", "functionResponse"}, "model": {"text", "functionCall"}}


def _wrong_part(part, role):
    [kind] = set(part) - {"thoughtSignature"}
    if kind not in _PARTS.get(role, set()):
        yield f"a part of {kind} of {role}"
    elif kind == "text" and not part["text"]:
        yield "an empty text"
    elif kind == "inlineData" and part[kind].get("mimeType") not in _GEMINI_READS:
        yield f"inlineData of {part[kind]}"
    elif kind == "functionCall":
        if not isinstance(part[kind]["args"], dict):
            yield "functionCall.args is no object"
        if part.get("thoughtSignature") != _SIGNATURE:
            yield f"functionCall {part[kind]['name']} is missing its thought_signature: {part}"
    elif kind == "functionResponse" and not isinstance(part[kind]["response"], dict):
        yield "functionResponse.response is no object"


_GEMINI_READS = {"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif", "application/pdf", "text/plain"}


class Bedrock:
    """Converse and ConverseStream. Whether a request has a key or a signature, `vendors` looks after."""

    kind = "bedrock"
    credential = ("authorization", "Bearer ")
    base = ""
    region = "eu-central-1"
    stream_type = "application/vnd.amazon.eventstream"

    def path(self, model, verb="converse"):
        return f"/model/{quote(model, safe='')}/{verb}"

    def paths(self, model):
        return {self.path(model), self.path(model, "converse-stream")}

    def headers(self):
        return [("x-amzn-requestid", f"{next(_serial):08x}-0000-4000-8000-000000000000")]

    def whole(self, reply, model):
        content = [{"text": reply.text}] if reply.text else []
        content += [{"toolUse": {"toolUseId": t.id, "name": t.name, "input": t.arguments}} for t in reply.tools]
        return dump({"metrics": {"latencyMs": 512}, "output": {"message": {"content": content, "role": "assistant"}},
                     "stopReason": self._stop(reply), "usage": self._usage(reply)})

    def framed(self, data):
        """One event of the most common kind, with any data."""
        return frames.event("contentBlockDelta", data)

    def events(self, reply, model, usage):
        """Only tools announce their blocks, the tokens come last, and every event is padded."""
        yield self._event("messageStart", role="assistant")
        index = 0
        if reply.text:
            for piece in reply.pieces:
                yield self._event("contentBlockDelta", contentBlockIndex=index, delta={"text": piece})
            yield self._event("contentBlockStop", contentBlockIndex=index)
            index += 1
        for place, tool in enumerate(reply.tools, index):
            start = {"toolUse": {"name": tool.name, "toolUseId": tool.id}}
            yield self._event("contentBlockStart", contentBlockIndex=place, start=start)
            for piece in ["", *halves(json.dumps(tool.arguments))] if tool.arguments else []:
                yield self._event("contentBlockDelta", contentBlockIndex=place, delta={"toolUse": {"input": piece}})
            yield self._event("contentBlockStop", contentBlockIndex=place)
        yield self._event("messageStop", stopReason=self._stop(reply))
        yield self._event("metadata", metrics={"latencyMs": 512}, usage=self._usage(reply))

    def error(self, status, message):
        word = {400: "ValidationException", 401: "UnrecognizedClientException", 403: "AccessDeniedException",
                404: "ResourceNotFoundException", 408: "ModelTimeoutException", 424: "ModelErrorException",
                429: "ThrottlingException", 500: "InternalServerException", 503: "ServiceUnavailableException"}.get(status)
        # Other statuses are of machines in front of it, which have no words.
        type_ = [("x-amzn-errortype", f"{word}:http://internal.amazon.com/coral/com.amazon.bedrock/")] if word else []
        return [*self.headers(), *type_], dump({"message": message})

    def error_event(self, message):
        return frames.exception("serviceUnavailableException", dump({"message": message}))

    def other_json(self):
        return dump({"modelSummaries": []})

    def wants_usage(self, body):
        return True

    def expect(self, call):
        body = call.json
        if unknown := set(body) - _CONVERSE:
            yield f"{sorted(unknown)} is not known to Converse"
        if unknown := set(body.get("inferenceConfig", {})) - {"maxTokens", "temperature", "topP", "stopSequences"}:
            yield f"inferenceConfig has {sorted(unknown)}"
        if not 0 <= body.get("inferenceConfig", {}).get("temperature", 1) <= 1:
            yield "temperature is not between 0 and 1"
        system = body.get("system", [])
        if any(set(block) - {"text", "cachePoint"} or not block.get("text", "x").strip() for block in system):
            yield "system has more than text"
        yield from self._expect_tools(body)
        yield from self._expect_messages(body)

    def _expect_tools(self, body):
        config = body.get("toolConfig")
        if config is None:
            return
        specs = [tool["toolSpec"] for tool in config["tools"] if "toolSpec" in tool]
        if not specs:
            yield "toolConfig without tools"
        for i, spec in enumerate(specs):
            if set(spec) - {"name", "description", "inputSchema", "strict"} or spec.get("description") == "":
                yield f"tools[{i}] has {spec}"
            if spec["inputSchema"]["json"].get("type") != "object":
                yield f"tools[{i}].inputSchema.json.type is no object"
        if "toolChoice" in config and set(config["toolChoice"]) - {"auto", "any", "tool"}:
            yield f"toolChoice is {config['toolChoice']}"

    def _expect_messages(self, body):
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            yield "messages is empty"
            return
        asked, before = [], None
        for i, message in enumerate(messages):
            role, content = message.get("role"), message.get("content")
            if set(message) != {"role", "content"} or role not in ("user", "assistant") or role == before:
                yield f"messages[{i}] has {sorted(message)} with role {role!r} after {before!r}"
            before = role
            if not content:
                yield f"messages[{i}].content is empty"
            for block in content or []:
                yield from (f"messages[{i}]: {wrong}" for wrong in _wrong_converse(block, role))
            answered = [block["toolResult"]["toolUseId"] for block in content or [] if "toolResult" in block]
            if sorted(answered) != sorted(asked):
                yield f"messages[{i}] answers {answered}, where {asked} were called"
            asked = [block["toolUse"]["toolUseId"] for block in content or [] if "toolUse" in block]
            if (asked or answered) and "toolConfig" not in body:
                yield "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        if asked:
            yield f"{asked} are never answered"

    def _event(self, name, **payload):
        """The padding makes all events of about one length."""
        plain = json.dumps(payload)
        return frames.event(name, dump({**payload, "p": "abcdefghijklmnopqrstuvwxyz"[: 1 + len(plain) % 26]}))

    def _stop(self, reply):
        """It does not say which sequence."""
        reason = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use",
                  "content_filter": "guardrail_intervened"}[reply.finish_reason]
        return "stop_sequence" if reply.sequence else reason

    def _usage(self, reply):
        """OpenAI's prompt_tokens is the sum of the first three."""
        return {"inputTokens": reply.prompt_tokens - 3, "cacheReadInputTokens": 2, "cacheWriteInputTokens": 1,
                "outputTokens": reply.completion_tokens, "totalTokens": reply.prompt_tokens + reply.completion_tokens}


_CONVERSE = {"messages", "system", "inferenceConfig", "toolConfig", "guardrailConfig", "additionalModelRequestFields",
             "additionalModelResponseFieldPaths", "requestMetadata", "performanceConfig", "serviceTier", "outputConfig",
             "promptVariables"}
_CONVERSE_BLOCKS = {"user": {"text", "image", "document", "toolResult", "cachePoint"},
                    "assistant": {"text", "toolUse", "reasoningContent", "cachePoint"}}


def _wrong_converse(block, role):
    if len(block) != 1:
        yield f"a block with {sorted(block)}"
        return
    [(kind, value)] = block.items()
    if kind not in _CONVERSE_BLOCKS.get(role, set()):
        yield f"a block of {kind} of {role}"
    elif kind == "text" and not value.strip():
        yield "The text field in the ContentBlock object is blank."
    elif kind in ("image", "document"):
        base64.b64decode(value["source"]["bytes"], validate=True)
    elif kind == "toolUse":
        if not isinstance(value["input"], dict) or not re.fullmatch(r"[a-zA-Z0-9_.:-]{1,64}", value["toolUseId"]):
            yield f"toolUse is {value}"
    elif kind == "reasoningContent":
        if set(value) != {"redactedContent"} and set(value["reasoningText"]) != {"text", "signature"}:
            yield f"reasoningContent is {value}"


FORMATS = {format.kind: format for format in (OpenAI(), Azure(), Mistral(), Anthropic(), Gemini(), Bedrock())}
