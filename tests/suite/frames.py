"""Amazon's event streams: one frame is two lengths, a sum, headers, a payload and a sum, all in network order."""

import struct
import zlib


def frame(headers, payload=b""):
    """The bytes of one frame; the value of every header is a string."""
    head = b"".join(struct.pack(f">B{len(name)}sBH", len(name), name.encode(), 7, len(value.encode())) + value.encode()
                    for name, value in headers.items())
    lengths = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + head + payload
    return body + struct.pack(">I", zlib.crc32(body))


def event(name, payload):
    """A frame with a piece of an answer."""
    return frame({":event-type": name, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(name, payload):
    """A frame with an error that the API's description knows."""
    return frame({":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}, payload)


def error(code, message):
    """A frame with any other error."""
    return frame({":error-code": code, ":error-message": message, ":message-type": "error"})


def corrupt(data):
    """The same frame with another letter in the last quarter of its payload, which its sum then does not fit."""
    place = len(data) - 6
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1:]
