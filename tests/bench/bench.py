"""What Weir costs: the same load through Weir and through a bare route of the same Envoy, in turns.

The vendor is an Envoy too, which answers from memory, so that it is no bottleneck. What is compared is the CPU time of
the one Envoy process between the load and the vendor, per request, and how many requests pass. All run in turns, each
round in another order, because a machine is not the same from minute to minute; a ratio is the median of the rounds'.

Besides plain Weir there is Weir with limits: a key with every kind of limit and budget, none of which is ever reached,
once decided by the Envoy itself and once by a Redis; and Weir that keeps answers: always asked the same (hit), and always
something else, with a Redis (miss).

    make bench                          all of them
    bench.py --only weir limited        some, for example what limits cost
"""

import argparse
import http.client
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "suite"))
from gateway import Gateway, client_key, descendants, envoy, free_port, wait_for_port  # noqa: E402

PATH = "/v1/chat/completions"
MODEL = "gpt-4o-mini"
CREDENTIAL = "sk-bench"
SAID = "Nobody has measured this sentence for its beauty. " * 14
ANSWER = json.dumps({
    "id": "chatcmpl-bench", "object": "chat.completion", "created": 1_760_000_000, "model": MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": SAID, "refusal": None}, "logprobs": None,
                 "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 180, "completion_tokens": 140, "total_tokens": 320},
})
ASKED = json.dumps({
    "model": MODEL, "temperature": 0.7, "max_tokens": 200, "user": "SEED",
    "messages": [{"role": "system", "content": "You are a careful reader."},
                 {"role": "user", "content": "What does this mean? " * 43}],
})
TICK = os.sysconf("SC_CLK_TCK")


def manager(route, filters=()):
    """An HTTP listener's filter chain."""
    kind = "type.googleapis.com/envoy.extensions.filters.http"
    network = "type.googleapis.com/envoy.extensions.filters.network"
    return [{"filters": [{"name": "http", "typed_config": {
        "@type": f"{network}.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [*filters, {"name": "router", "typed_config": {"@type": f"{kind}.router.v3.Router"}}],
    }}]}]


def bootstrap(port, admin, chains, clusters=()):
    def address(number):
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    return {"admin": {"address": address(admin)}, "static_resources": {
        "listeners": [{"name": "bench", "address": address(port), "filter_chains": chains}],
        "clusters": list(clusters)}}


def vendor_config(port, admin):
    """Answers from memory, once the whole request is there: answering sooner would cost the connection."""
    buffer = {"name": "buffer", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer", "max_request_bytes": 1 << 20}}
    route = {
        "match": {"path": PATH},
        "direct_response": {"status": 200, "body": {"inline_string": ANSWER}},
        "response_headers_to_add": [{"header": {"key": "content-type", "value": "application/json"},
                                     "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    }
    return bootstrap(port, admin, manager(route, [buffer]))


def bare_config(port, admin, vendor):
    """The least that Envoy can do: one route to one cluster."""
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": vendor}}}}
    cluster = {"name": "vendor", "connect_timeout": "1s",
               "load_assignment": {"cluster_name": "vendor", "endpoints": [{"lb_endpoints": [endpoint]}]}}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "vendor", "timeout": "0s"}}
    return bootstrap(port, admin, manager(route), [cluster])


def weir_config(port, admin, vendor, entry, limits=None, redis=None, cache=None):
    return {
        **({"redis": {"urls": [redis]}} if redis else {}),
        **({"cache": cache} if cache else {}),
        "listen": f"127.0.0.1:{port}", "admin": f"127.0.0.1:{admin}",
        "vendors": [{"name": "openai", "kind": "openai", "url": f"http://127.0.0.1:{vendor}/v1",
                     "credential": {"env": "BENCH_CREDENTIAL"}}],
        "models": [{"name": MODEL, "serve": [{"vendor": "openai"}]}], "keys": [entry | (limits or {})],
    }


# Each is checked on every request, and none is ever reached.
LIMITS = {
    "limits": {"requests": {"rate": "1000000/s"}, "tokens": {"rate": "1000000000/s"}, "concurrent": 10_000},
    "budget_usd": {"hour": 1_000_000, "day": 1_000_000, "month": 1_000_000},
}


CACHE = {"ttl": "1h"}


class Plain:
    """An Envoy with a configuration of ours."""

    def __init__(self, name, directory, config):
        self.port = config["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"]
        self.admin = config["admin"]["address"]["socket_address"]["port_value"]
        self.file = directory / f"{name}.yaml"
        self.file.write_text(yaml.safe_dump(config))

    def __enter__(self):
        command = [envoy(), "-c", self.file, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", self.port)):
                    # The process is Envoy itself, or starts it.
                    self.pid = ([pid for pid in [self.process.pid, *descendants(self.process.pid)] if is_envoy(pid)])[0]
                    return self
            try:
                raise SystemExit(f"{self.file} ended with {self.process.wait(0.05)}")
            except subprocess.TimeoutExpired:
                pass
        raise SystemExit(f"{self.file} does not listen")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)

    def answered(self):
        """How many requests were answered with a 2xx."""
        page = fetch(self.admin, "GET", "/stats?filter=^http.bench.downstream_rq_2xx$")[1].decode()
        return int(page.split(":")[1])


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


def is_envoy(pid):
    return Path(f"/proc/{pid}/exe").resolve().name.startswith("envoy")


def fetch(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def spent(pid):
    """A process's CPU time so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def asked(name):
    """What is asked: the same again and again where it is to be answered from what is kept, else always another."""
    return ASKED.replace("SEED", "000000000000") if name == "hit" else ASKED.replace('"user": "SEED"', '"stop": "SEED"')


def load(name, port, key, seconds, connections):
    """One round of load: requests, seconds, and latencies in microseconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", HERE / "post.lua", f"http://127.0.0.1:{port}{PATH}"]
    env = {**os.environ, "BENCH_BODY": asked(name), "BENCH_KEY": key}
    told = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    return json.loads(told.splitlines()[-1])


def check(name, port, key):
    """The answer is a 200 and the vendor's."""
    status, body = fetch(port, "POST", PATH, ASKED, headers(key))
    if status != 200 or json.loads(body)["id"] != "chatcmpl-bench":
        raise SystemExit(f"{name} does not answer from the vendor: {status} {body[:300]!r}")


def headers(key):
    return {"content-type": "application/json", "authorization": f"Bearer {key}"}


def round_of(name, target, vendor, options):
    """One measurement. Every request must have been answered with a 200, and by the vendor, or else never by it."""
    check(name, target.port, options.key)
    load(name, target.port, options.key, 1, options.connections)
    answered, cpu = vendor.answered(), spent(target.pid)
    result = load(name, target.port, options.key, options.seconds, options.connections)
    cpu, answered = spent(target.pid) - cpu, vendor.answered() - answered
    if result["errors"]:
        raise SystemExit(f"{name}: {result['errors']} of {result['requests']} requests went wrong")
    if name == "hit":
        if answered:
            raise SystemExit(f"{name}: the vendor gave {answered} answers")
        answered = result["requests"]
    if answered < result["requests"]:
        raise SystemExit(f"{name}: {result['requests']} answers, but the vendor gave {answered}")
    # Requests that were still open when the load stopped cost CPU too: divide by those that the vendor answered.
    return {"requests_per_second": result["requests"] / result["seconds"], "cpu_us_per_request": cpu * 1e6 / answered,
            "latency_us": {"p50": result["p50"], "p99": result["p99"]}}


def middle(rounds, name):
    return statistics.median(one[name] for one in rounds)


# What each is compared with.
BASIS = {"bare": None, "weir": "bare", "limited": "weir", "shared": "weir", "hit": "bare", "miss": "weir"}


def summary(results, options):
    table = {name: {"requests_per_second": round(middle(rounds, "requests_per_second"), 1),
                    "cpu_us_per_request": round(middle(rounds, "cpu_us_per_request"), 1),
                    "p50_us": round(statistics.median(one["latency_us"]["p50"] for one in rounds)),
                    "p99_us": round(statistics.median(one["latency_us"]["p99"] for one in rounds)),
                    "rounds": rounds} for name, rounds in results.items()}
    told = {"connections": options.connections, "seconds": options.seconds, "cores": os.cpu_count(),
            "machine": platform.machine(), "body_bytes": len(ASKED), "answer_bytes": len(ANSWER), "results": table}
    pairs = [(name, BASIS[name]) for name in table if BASIS[name] in table]
    told["ratio"] = {f"{name}/{basis}": {figure: round(ratio(results[name], results[basis], figure), 3)
                                         for figure in ["requests_per_second", "cpu_us_per_request"]}
                     for name, basis in pairs}
    return told


def ratio(rounds, basis, figure):
    return statistics.median(one[figure] / other[figure] for one, other in zip(rounds, basis))


def show(told):
    print(f"{'':10}{'requests/s':>12}{'CPU us/request':>16}{'p50 us':>10}{'p99 us':>10}")
    for name, row in told["results"].items():
        print(f"{name:10}{row['requests_per_second']:>12.0f}{row['cpu_us_per_request']:>16.1f}"
              f"{row['p50_us']:>10}{row['p99_us']:>10}")
    for name, ratio in told["ratio"].items():
        print(f"{name:16}{ratio['requests_per_second']:>6.2f}{ratio['cpu_us_per_request']:>16.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", nargs="+", choices=list(BASIS), default=list(BASIS))
    options = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is missing: apt-get install wrk")
    options.key, entry = client_key("bench")

    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
        vendor = stack.enter_context(Plain("vendor", directory, vendor_config(free_port(), free_port())))
        targets = {}
        if "bare" in options.only:
            config = bare_config(free_port(), free_port(), vendor.port)
            targets["bare"] = stack.enter_context(Plain("bare", directory, config))
        variants = {"weir": {}, "limited": {"limits": LIMITS}, "shared": {"limits": LIMITS, "redis": True},
                    "hit": {"cache": CACHE}, "miss": {"cache": CACHE, "redis": True}}
        for name in [name for name in variants if name in options.only]:
            variant = variants[name]
            if "redis" in variant:
                variant["redis"] = stack.enter_context(redis())
            config = weir_config(free_port(), free_port(), vendor.port, entry, **variant)
            weir = Gateway(config, directory / name, {"BENCH_CREDENTIAL": CREDENTIAL}, 1, [CREDENTIAL]).start()
            stack.callback(weir.stop)
            weir.pid = weir.envoy_pid
            targets[name] = weir
        results = {name: [] for name in targets}
        for number in range(options.rounds):
            order = list(targets.items())
            first = number % len(order)
            for name, target in order[first:] + order[:first]:
                results[name].append(one := round_of(name, target, vendor, options))
                print(f"round {number + 1} {name:5} {one['requests_per_second']:8.0f} requests/s "
                      f"{one['cpu_us_per_request']:7.1f} us", file=sys.stderr)

    told = summary(results, options)
    show(told)
    kept = ROOT / "target" / "bench" / "summary.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
