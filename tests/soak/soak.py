"""A long mixed load with faults: every request must be accounted for, and nothing may grow.

    make soak                 ten minutes
    MINUTES=60 make soak      an hour

Clients ask in all manners (whole, streams, embeddings, again what is kept; slow ones, and ones that leave); vendors answer in
all manners; every half minute the configuration is another. A Redis keeps limits and answers. Each second memory, the
virtual machines' memory, statistics and open files are noted. At the end the clients', the gateway's and the vendors' counts are
compared, and each series must be flat in the second half of the run (tests/soak/growth.py says what that means).
target/soak has a picture and all samples.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "load"), str(HERE.parent / "bench")]
from actors import ROOT, Load, Vendor, build  # noqa: E402

from books import problems  # noqa: E402
from gateway import Gateway, client_key, free_port, until  # noqa: E402
from growth import judge, plot  # noqa: E402
from mix import kinds, pair  # noqa: E402
from samples import SERIES, requests, sample  # noqa: E402
from targets import redis  # noqa: E402

KEPT = ROOT / "target" / "soak"
RELOAD = 30
CREDENTIAL = "sk-load"


def config(vendors, keys, url):
    serve = [{"vendor": vendor.name} for vendor in vendors]
    return {
        "listen": f"127.0.0.1:{free_port()}", "admin": f"127.0.0.1:{free_port()}", "redis": {"urls": [url]},
        # So small that it is full long before the second half.
        "cache": {"ttl": "1m", "stale": "1m", "l1": {"max_bytes": "2MiB"}},
        "vendors": [vendor.entry() for vendor in vendors],
        "models": [{"name": "m", "serve": serve},
                   {"name": "e", "serve": [{"vendor": vendors[0].name}, {"vendor": vendors[1].name}]}],
        "keys": keys, "routing": {"first_token_timeout": "1s", "idle_timeout": "2s", "total_timeout": "8s"},
        "limits": {"body_bytes": "1MiB"}, "log": {"access": False},
    }


def main():
    options = arguments()
    build()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-soak-")))
        vendors = [Vendor("a").start(), Vendor("b").start(), Vendor("c", "anthropic").start()]
        for vendor in vendors:
            stack.callback(vendor.stop)
        (key, entry), (small, narrow) = client_key("soak"), client_key("narrow")
        narrow["limits"] = {"requests": {"rate": "100/s", "burst": 10}}
        entry["limits"] = {"requests": {"rate": "1000000/s"}, "tokens": {"rate": "1000000000/s"}, "concurrent": 1000}
        asked = kinds(key, small)
        url = stack.enter_context(redis())
        gateway = Gateway(config(vendors, [entry, narrow], url), directory, {"LOAD_CREDENTIAL": CREDENTIAL}, 2, [CREDENTIAL, key])
        gateway.start()
        stack.callback(gateway.stop)
        load = Load(gateway.port, asked, directory, options.connections, 3600 * 24)
        series, reloads = watch(gateway, load, options.minutes * 60)
        account = load.end()
        # Requests that clients left are over a little later.
        settled = lambda: sum(requests(gateway.metrics())[0].values()) >= account.sent  # noqa: E731
        until(settled, 15)
        until(lambda: gateway.counted("api_gateway_in_flight") == 0, 15)
        statuses, attempts = requests(gateway.metrics())
        found = list(problems(account, asked, statuses, attempts, {one.name: one.counts()["requests"] for one in vendors}))
    sys.exit(report(series, account, statuses, attempts, found, reloads, options.minutes * 60))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES", 10)))
    parser.add_argument("--connections", type=int, default=24)
    return parser.parse_args()


def watch(gateway, load, seconds):
    """A sample each second, and another configuration each half minute."""
    series, reloads, before = {name: [] for name in SERIES}, 0, None
    first = gateway.config
    while (now := load.now()) < seconds:
        if load.process.poll() is not None:
            raise SystemExit(f"the load has ended with {load.process.returncode}")
        for name, value in sample(gateway).items():
            series[name].append((now, value))
        counted = gateway.counted()
        if before:
            series["rate"].append((now, (counted - before[1]) / (now - before[0])))
        before = now, counted
        if now > (reloads + 1) * RELOAD:
            reloads += 1
            gateway.config = pair(first) if reloads % 2 else first
            gateway.save()
        time.sleep(max(0, 1 - (load.now() - now)))
    return series, reloads


def report(series, account, statuses, attempts, found, reloads, seconds):
    """Prints and keeps what came of it; gives the exit status."""
    verdicts = {name: judge(series[name], bound) for name, (_, bound) in SERIES.items() if bound}
    for name, verdict in verdicts.items():
        if not verdict.flat:
            found.append(f"{SERIES[name][0]} grew by {verdict.grown:.1f}, and at most {verdict.bound:.1f} is noise")
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / "soak.svg").write_text(plot([(title, series[name], verdicts.get(name)) for name, (title, _) in SERIES.items()]))
    counts = {f"{kind} {outcome}": count for (kind, outcome), count in sorted(account.counts.items())}
    told = {
        "seconds": seconds, "requests": account.sent, "requests_per_second": round(account.sent / seconds, 1),
        "reloads": reloads, "clients": counts, "gateway": statuses,
        "attempts": {" ".join(key): count for key, count in sorted(attempts.items())},
        "growth": {name: {"grown": round(one.grown, 2), "bound": round(one.bound, 2)} for name, one in verdicts.items()},
        "problems": found,
    }
    (KEPT / "summary.json").write_text(json.dumps({**told, "series": series}, indent=1) + "\n")
    print(json.dumps(told, indent=1))
    print(f"{account.sent} requests in {seconds:.0f} s, {account.sent / seconds:.0f} a second: "
          f"{account.of('200')} answered, {account.of('cut') + account.of('broken')} cut off by their vendors, {account.of('left')} left, "
          f"{sum(account.of(status) for status in map(str, range(400, 600)))} refused; "
          f"{'all accounted for, nothing grows' if not found else 'NOT GOOD:'}")
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    main()
