"""What the filter is allowed to do is what it does: the printed list, the module and the sources say the same."""

import http.client
import re
import subprocess
from contextlib import contextmanager

import pytest
import yaml

from gateway import ROOT, WEIR, envoy_with, free_port, until

IMPORTS, EXPORTS, FUNCTION = 2, 7, 0
CALLS = {
    "get_map_bytes": {"proxy_get_header_map_pairs"}, "get_buffer": {"proxy_get_buffer_bytes"},
    "set_buffer": {"proxy_set_buffer_bytes"}, "send_http_response": {"proxy_send_local_response"},
    "set_map_value_bytes": {"proxy_replace_header_map_value", "proxy_remove_header_map_value"},
    "resume_http_request": {"proxy_continue_stream"}, "dispatch_http_call": {"proxy_http_call"},
    "set_tick_period": {"proxy_set_tick_period_milliseconds"},
}
"""What the library's functions call, where the names differ."""
WASI = {"clock_time_get", "random_get", "environ_get", "environ_sizes_get", "fd_write", "proc_exit"}
"""What the standard library imports; there is no file and no socket among it."""


@pytest.fixture(scope="module")
def printed():
    command = [WEIR, "render", "--for", "envoy"]
    return subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, timeout=30, check=True).stdout


@pytest.fixture(scope="module")
def allowed(printed):
    lists = [place["capability_restriction_config"]["allowed_capabilities"] for place in filters(yaml.safe_load(printed))]
    assert len(lists) >= 4 and all(names == lists[0] for names in lists), "every role has the same"
    return set(lists[0])


def filters(value):
    """Every place that runs the module."""
    if isinstance(value, dict):
        if "vm_config" in value:
            yield value
        for member in value.values():
            yield from filters(member)
    elif isinstance(value, list):
        for item in value:
            yield from filters(item)


class Module:
    """The names of the functions that a WebAssembly module imports and exports."""

    def __init__(self, data):
        self.data, self.at = data, 8
        self.imports, self.exports = set(), set()
        while self.at < len(data):
            section, size = self.byte(), self.number()
            end = self.at + size
            if section == IMPORTS:
                for _ in range(self.number()):
                    self.text()
                    name, kind, _ = self.text(), self.byte(), self.number()
                    assert kind == FUNCTION
                    self.imports.add(name)
            elif section == EXPORTS:
                for _ in range(self.number()):
                    name, kind, _ = self.text(), self.byte(), self.number()
                    self.exports |= {name} if kind == FUNCTION else set()
            self.at = end

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def number(self):
        """In LEB128."""
        value, shift = 0, 0
        while (byte := self.byte()) & 0x80:
            value, shift = value | (byte & 0x7F) << shift, shift + 7
        return value | byte << shift

    def text(self):
        size = self.number()
        self.at += size
        return self.data[self.at - size : self.at].decode()


def called():
    """The calls that `src/host`, where alone there are any, makes."""
    text = "\n".join(file.read_text() for file in (ROOT / "src" / "host").rglob("*.rs"))
    names = set(re.findall(r"hostcalls::(\w+)\(", text)) | set(re.findall(r"self\.(set_tick_period)\(", text))
    return {call for name in names for call in CALLS.get(name, {f"proxy_{name}"})}


def heard():
    """The callbacks that it wants."""
    text = "\n".join(file.read_text() for file in (ROOT / "src" / "host").rglob("*.rs"))
    names = set(re.findall(r"fn on_(?:http_)?(\w+)\(&mut self", text))
    return {f"proxy_on_{'http_' * (name == 'call_response')}{name}" for name in names}


LIBRARY = {"proxy_on_vm_start", "proxy_on_context_create", "proxy_on_delete"}
"""The library's own: that there is a context, and that there is none any more."""


def test_the_list_is_what_the_module_needs_and_no_more(allowed):
    module = Module((ROOT / "dist" / "weir.wasm").read_bytes())
    assert allowed <= module.imports | module.exports, "names something that there is not"
    assert allowed & module.imports == called() | WASI | {"proxy_log"}
    assert allowed & module.exports == heard() | LIBRARY
    assert {name for name in module.imports - allowed if not name.startswith("proxy_")} == set()


@contextmanager
def running_without(name, printed, folder):
    """An Envoy with what is printed, but for one of the filter's calls."""
    port, admin = free_port(), free_port()
    assert f"{name}: {{}}" in printed
    # Another in its place keeps the list in shape.
    printed = printed.replace(f"{name}: {{}}", "proxy_close_stream: {}")
    printed = printed.replace("port_value: 3000", f"port_value: {port}").replace("port_value: 9901", f"port_value: {admin}")
    (folder / "envoy.yaml").write_text(printed)
    with envoy_with(folder / "envoy.yaml", port, log=folder / "envoy.log"):
        yield port


def test_the_list_is_in_force(printed, tmp_path):
    """Without one of its calls the filter cannot do what it does with it."""
    with running_without("proxy_send_local_response", printed, tmp_path) as port:
        assert ask(port, "GET", "/health") != 200


def test_after_a_trap_nobody_is_let_in_and_soon_everybody_is_served(printed, tmp_path):
    """The library ends the machine if it cannot say for whom it goes on, as it must when the gateway's call to itself
    comes back."""
    with running_without("proxy_set_effective_context", printed, tmp_path) as port:
        assert ask(port, "GET", "/health") == 200
        batch = b'[{"model":"echo","messages":[{"role":"user","content":"x"}]}]'
        assert ask(port, "POST", "/api/chat/completions/batch", batch) != 200
        assert "panicked" in (tmp_path / "envoy.log").read_text(), "no machine ended"
        met = set()
        assert until(lambda: met.add(ask(port, "GET", "/v1/models", key="stranger")) or 401 in met, 5), met
        assert met <= {401, 503}, "a stranger was let in"


def ask(port, method, path, body=None, key="weir-demo-key"):
    """The status of the answer, if there is one in time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request(method, path, body, {"x-api-key": key})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
