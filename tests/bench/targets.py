"""What is measured: a bare Envoy, and Weir in several configurations, each a process of its own."""

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import yaml

from actors import free_port, wait_for_port
from gateway import Gateway, descendants, envoy

MODEL, CLAUDE = "gpt-4o-mini", "claude-haiku-4-5"
CREDENTIAL = "sk-load"

# Each is checked on every request, and none is ever reached.
LIMITS = {
    "limits": {"requests": {"rate": "1000000/s"}, "tokens": {"rate": "1000000000/s"}, "concurrent": 10_000},
    "budget_usd": {"hour": 1_000_000, "day": 1_000_000, "month": 1_000_000},
}
# So little of its own memory that what is asked in turn is always found in Redis.
SMALL = {"ttl": "1h", "l1": {"max_bytes": "1MiB"}}

WEIRS = {
    "weir": {},
    "limited": {"limits": LIMITS},
    "shared": {"limits": LIMITS, "redis": True},
    "l1": {"cache": {"ttl": "1h"}},
    "l2": {"cache": SMALL, "redis": True},
    "everything": {"limits": LIMITS, "cache": {"ttl": "1h"}, "redis": True},
}
"""What each configuration has besides a vendor of each format."""


def start(name, directory, vendor, entry, stack):
    """Starts a target by its name; what it needs ends with it."""
    if name == "direct":
        return vendor
    if name == "bare":
        return stack.enter_context(Bare(directory, vendor.port))
    needs = dict(WEIRS[name])
    limits = needs.pop("limits", {})
    if needs.pop("redis", False):
        needs["redis"] = {"urls": [stack.enter_context(redis())], "timeout": "1s"}
    vendors = [{"name": kind, "kind": kind, "url": f"http://127.0.0.1:{vendor.port}/v1",
                "credential": {"env": "LOAD_CREDENTIAL"}} for kind in ("openai", "anthropic")]
    config = {
        "listen": f"127.0.0.1:{free_port()}", "admin": f"127.0.0.1:{free_port()}", "vendors": vendors,
        "models": [{"name": MODEL, "serve": [{"vendor": "openai"}]}, {"name": CLAUDE, "serve": [{"vendor": "anthropic"}]}],
        "keys": [entry | limits], **needs,
    }
    weir = Gateway(config, directory / name, {"LOAD_CREDENTIAL": CREDENTIAL}, 1, [CREDENTIAL]).start()
    stack.callback(weir.stop)
    weir.pid = weir.envoy_pid
    return weir


class Bare:
    """The least that Envoy can do: one route to one cluster."""

    def __init__(self, directory, vendor):
        self.port, self.admin = free_port(), free_port()
        self.file = directory / "bare.yaml"
        self.file.write_text(yaml.safe_dump(bare_config(self.port, self.admin, vendor)))

    def __enter__(self):
        command = [envoy(), "-c", self.file, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)
        # The process is Envoy itself, or starts it.
        self.pid = [pid for pid in [self.process.pid, *descendants(self.process.pid)] if is_envoy(pid)][0]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def bare_config(port, admin, vendor):
    def address(number):
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    http, network = (f"type.googleapis.com/envoy.extensions.filters.{kind}" for kind in ("http", "network"))
    route = {"match": {"prefix": "/"}, "route": {"cluster": "vendor", "timeout": "0s"}}
    manager = {
        "@type": f"{network}.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{http}.router.v3.Router"}}],
    }
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(vendor)}}]}]
    cluster = {"name": "vendor", "connect_timeout": "1s",
               "load_assignment": {"cluster_name": "vendor", "endpoints": endpoints}}
    return {"admin": {"address": address(admin)}, "static_resources": {
        "listeners": [{"name": "bench", "address": address(port),
                       "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}],
        "clusters": [cluster]}}


def is_envoy(pid):
    return Path(f"/proc/{pid}/exe").resolve().name.startswith("envoy")


@contextmanager
def redis():
    """A Redis that keeps nothing; gives its url."""
    if not shutil.which("redis-server"):
        raise SystemExit("redis-server is missing: apt-get install redis-server")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
