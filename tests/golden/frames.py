"""Writes the streams of Bedrock's golden cases: `python tests/golden/frames.py`. What is binary there stands here as it
would be read. A frame is a name and a payload; a string of its own is put in as it is.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "suite"))

import frames

START = ("messageStart", {"p": "abcd", "role": "assistant"})
USAGE = {"inputTokens": 12, "outputTokens": 5, "totalTokens": 17}
METADATA = ("metadata", {"metrics": {"latencyMs": 512}, "p": "abc", "usage": USAGE})


def text(piece, index=0):
    return ("contentBlockDelta", {"contentBlockIndex": index, "delta": {"text": piece}, "p": "abcdefgh"})


def thought(index=0, **piece):
    return ("contentBlockDelta", {"contentBlockIndex": index, "delta": {"reasoningContent": piece}, "p": "ab"})


def tool(index, id_, name):
    return ("contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": {"name": name, "toolUseId": id_}}})


def arguments(index, piece):
    return ("contentBlockDelta", {"contentBlockIndex": index, "delta": {"toolUse": {"input": piece}}})


def end(index=0):
    return ("contentBlockStop", {"contentBlockIndex": index, "p": "a"})


def stop(reason="end_turn"):
    return ("messageStop", {"p": "abcdef", "stopReason": reason})


def exception(name, said):
    return frames.exception(name, json.dumps({"message": said}).encode())


PLAIN = [START, text("Good "), text("morning."), end(), stop(), METADATA]
THINKING = [START, thought(text="Let me "), thought(text="see."), thought(signature="c2lnbmF0dXJl"), end(),
            text("Seven.", 1), end(1), stop(), METADATA]
CASES = {
    "text": PLAIN,
    "text+usage": PLAIN,
    "unicode": [START, text("Gr\u00fc\u00dfe \U0001f600"), text("\u65e5\u672c"), end(), stop(), METADATA],
    "usage_of_cache+usage": [*PLAIN[:-1], ("metadata", {"usage": {
        **USAGE, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20, "totalTokens": 137}})],
    "usage_nonsense+usage": [*PLAIN[:-1], ("metadata", {"usage": {"inputTokens": -1, "outputTokens": 5}})],
    "no_metadata+usage": PLAIN[:-1],
    "metadata_before_the_stop+usage": [*PLAIN[:-2], METADATA, stop()],
    "thinking+usage": THINKING,
    "thinking_redacted": [START, thought(redactedContent="aGlkZGVu"), end(), text("Seven.", 1), stop(), METADATA],
    "thinking_and_tool_use": [*THINKING[:5], tool(1, "tooluse_1", "f"), arguments(1, "{}"), end(1), stop("tool_use"),
                              METADATA],
    "tool_use+usage": [START, text("Look: "), end(), tool(1, "tooluse_1", "weather"), arguments(1, '{"city"'),
                       arguments(1, ': "Bern"}'), end(1), tool(2, "tooluse_2", "time"), arguments(2, ""), end(2),
                       stop("tool_use"), METADATA],
    "tool_use_never_stopped": [START, tool(0, "tooluse_1", "time"), stop("tool_use"), METADATA],
    "tool_use_of_nothing": [START, text("x"), end(), stop("tool_use"), METADATA],
    "arguments_of_no_tool": [START, arguments(3, "{}"), text("x"), stop(), METADATA],
    "empty_answer": [START, stop(), METADATA],
    "stop_max_tokens": [*PLAIN[:-2], stop("max_tokens"), METADATA],
    "stop_context_window": [*PLAIN[:-2], stop("model_context_window_exceeded"), METADATA],
    "stop_sequence": [*PLAIN[:-2], stop("stop_sequence"), METADATA],
    "stop_guardrail": [*PLAIN[:-2], stop("guardrail_intervened"), METADATA],
    "stop_filtered": [*PLAIN[:-2], stop("content_filtered"), METADATA],
    "stop_malformed": [*PLAIN[:-2], stop("malformed_tool_use"), METADATA],
    "stop_something_new": [*PLAIN[:-2], stop("bored"), METADATA],
    "exception_first": [exception("throttlingException", "Too many requests.")],
    "exception_after_the_start": [START, exception("serviceUnavailableException", "Busy.")],
    "exception_in_the_middle+usage": [*PLAIN[:2], exception("modelStreamErrorException", "Broke."), text("more")],
    "exception_unknown": [exception("someNewException", "New.")],
    "exception_of_no_json": [frames.exception("internalServerException", b"<html>")],
    "error_frame": [frames.error("InternalFailure", "Oh no.")],
    "unknown_things": [START, ("somethingNew", {"a": 1}), ("contentBlockDelta", {
        "contentBlockIndex": 0, "delta": {"citation": {"title": "t"}}}), frames.frame({}, b"\xff"), *PLAIN[1:]],
    "events_after_the_end": [*PLAIN, text("late"), METADATA],
    "started_twice": [START, START, *PLAIN[1:]],
    "never_started": PLAIN[1:],
    "index_missing": [START, ("contentBlockDelta", {"delta": {"text": "x"}})],
    "not_json": [START, frames.event("contentBlockDelta", b"{oh no")],
    "not_utf8": [START, frames.event("contentBlockDelta", b'{"delta":{"text":"\xff"}}')],
    "sum_of_a_frame_wrong": [*PLAIN[:2], frames.corrupt(frames.event("contentBlockDelta", b'{"delta":{"text":"x"}}'))],
    "sum_of_the_lengths_wrong": [*PLAIN[:2], b"\x00\x00\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00"],
    "longer_than_is_read": [*PLAIN[:2], frames.frame({}, b"x" * (1 << 20))[:40]],
    "server_sent_events": [b'data: {"text": "x"}\n\n'],
    "cut_off_at_once": [],
    "cut_off_in_text": PLAIN[:3],
    "cut_off_before_the_stop": PLAIN[:4],
    "cut_off_in_a_frame": [*PLAIN[:2], frames.event("contentBlockDelta", b"{}")[:-5]],
    "cut_off_in_the_last_frame+usage": [*PLAIN[:-1], frames.event("metadata", b"{}")[:-5]],
}


def framed(piece):
    return piece if isinstance(piece, bytes) else frames.event(piece[0], json.dumps(piece[1], ensure_ascii=False).encode())


for name, pieces in CASES.items():
    (HERE / "streams" / "bedrock" / f"{name}.frames").write_bytes(b"".join(map(framed, pieces)))
