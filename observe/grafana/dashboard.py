"""The Grafana dashboard, written down once: `python3 observe/grafana/dashboard.py > observe/grafana/weir.json`.

Grafana's JSON repeats for every panel what all panels share. Here a panel is a line: what it shows, in which unit, and its
queries with their legends. tests/suite/test_observe.py keeps the two files in step and runs every query.
"""

import json
import sys

ASKED = 'endpoint=~".+(completions|embeddings|batch)"'
"""The requests that are for vendors; the others are for the gateway itself."""
VENDOR = 'vendor=~"$vendor"'
CHOSEN = f'{VENDOR}, model=~"$model"'
"""What the reader has chosen at the head. A breaker's model is the name that the vendor has for it, so it has no choice."""


def rate(metric, by="", where=""):
    """Per second, over as long as Grafana finds right for the zoom."""
    summed, selected = f"sum by ({by}) " if by else "sum", f"{{{where}}}" if where else ""
    return f"{summed}(rate(api_gateway_{metric}{selected}[$__rate_interval]))"


def quantile(part, metric, by="", where=""):
    """The time that so large a part of them takes at most."""
    return f"histogram_quantile({part}, {rate(metric + '_seconds_bucket', f'le, {by}' if by else 'le', where)})"


def quantiles(metric, by="", where=""):
    legend = "".join(f"{{{{{label}}}}} " for label in filter(None, by.split(", ")))
    return {f"{legend}p{part[2:]:0<2}": quantile(part, metric, by, where) for part in ["0.5", "0.95", "0.99"]}


REQUESTS = rate("requests_total", where=f"{ASKED}, {CHOSEN}")
FAILED = rate("requests_total", where=f'{ASKED}, {CHOSEN}, status=~"5.."')
HITS = rate("cache_total", where='result=~"hit|coalesced"')
LOOKED = rate("cache_total", where='result!="bypass"')

ROWS = {
    "Now": [
        ("stat", "Requests", "reqps", {"": REQUESTS}),
        ("stat", "Answered", "percentunit", {"": f"1 - ({FAILED} or vector(0)) / {REQUESTS}"}),
        ("stat", "First token, p95", "s", {"": quantile("0.95", "first_token", where=CHOSEN)}),
        ("stat", "Overhead, p95", "s", {"": quantile("0.95", "overhead")}),
        ("stat", "Dollars per hour", "currencyUSD", {"": f'3600 * {rate("cost_usd_total", where=CHOSEN)}'}),
        ("stat", "Answered from the cache", "percentunit", {"": f"{HITS} / {LOOKED}"}),
    ],
    "Traffic": [
        ("stack", "Requests by status", "reqps",
         {"{{status}}": rate("requests_total", "status", f"{ASKED}, {CHOSEN}")}),
        ("stack", "Requests by model", "reqps", {"{{model}}": rate("requests_total", "model", f"{ASKED}, {CHOSEN}")}),
        ("stack", "Refusals by reason", "reqps", {"{{reason}}": rate("refused_total", "reason")}),
        ("line", "In flight", "short", {"{{instance}}": "api_gateway_in_flight"}),
    ],
    "Latency": [
        ("line", "Whole requests", "s", quantiles("request_duration", "vendor", CHOSEN)),
        ("line", "First token of streams", "s", quantiles("first_token", "vendor", CHOSEN)),
        ("line", "The gateway's own part", "s", quantiles("overhead")),
    ],
    "Vendors": [
        ("stack", "Attempts by outcome", "reqps",
         {"{{vendor}} {{outcome}}": rate("attempts_total", "vendor, outcome", CHOSEN)}),
        ("stack", "Failovers, by who failed", "reqps",
         {"{{vendor}} {{outcome}}": rate("failovers_total", "vendor, outcome", CHOSEN)}),
        ("line", "Expected success", "percentunit",
         {"{{vendor}} {{model}}": f"min by (vendor, model) (api_gateway_vendor_success_ratio{{{VENDOR}}})"}),
        ("states", "Breakers", "short",
         {"{{vendor}} {{model}}": f"max by (vendor, model) (api_gateway_breaker_state{{{VENDOR}}})"}),
    ],
    "Money": [
        ("stack", "Dollars per hour by model", "currencyUSD",
         {"{{vendor}} {{model}}": f'3600 * {rate("cost_usd_total", "vendor, model", CHOSEN)}'}),
        ("stack", "Dollars per hour that the cache saves", "currencyUSD",
         {"{{vendor}} {{model}}": f'3600 * {rate("saved_usd_total", "vendor, model", CHOSEN)}'}),
        ("line", "Tokens per second", "short", {"{{kind}}": rate("tokens_total", "kind", CHOSEN)}),
        ("line", "Answers whose tokens were estimated", "reqps", {"{{vendor}}": rate("unmetered_total", "vendor", VENDOR)}),
    ],
    "Kept answers": [
        ("stack", "What came of looking", "reqps",
         {"{{result}} {{level}}": rate("cache_total", "result, level", 'result!="bypass"')}),
        ("stack", "Why nothing was looked for", "reqps", {"{{reason}}": rate("cache_total", "reason", 'result="bypass"')}),
        ("stack", "What stood in for a vendor", "reqps", {"{{rung}}": rate("degraded_total", "rung")}),
    ],
    "Limits": [
        ("bars", "Budgets used", "percentunit",
         {"{{role}} {{of}}, {{window}}": "max by (role, of, window) (api_gateway_budget_used_ratio)"}),
        ("stack", "Refused by a limit, or would have been", "reqps",
         {"{{role}} {{of}} {{limit}} ({{mode}})": rate("limited_total", "role, of, limit, mode")}),
        ("line", "Limits decided without Redis", "reqps", {"{{policy}}": rate("limits_fallback_total", "policy")}),
    ],
    "Redis and gateways": [
        ("stack", "Calls to Redis", "reqps", {"{{result}}": rate("redis_batches_total", "result")}),
        ("line", "Not asked, not told", "reqps",
         {"not asked": rate("redis_skipped_total"), "not told": rate("redis_dropped_total")}),
        ("line", "Gateways by version", "short", {"{{version}}": "count by (version) (api_gateway_build_info)"}),
    ],
}

STATES = [{"type": "value", "options": {
    "0": {"text": "closed", "color": "green", "index": 0},
    "1": {"text": "half-open", "color": "yellow", "index": 1},
    "2": {"text": "open", "color": "red", "index": 2},
}}]
# Grafana's name for each kind of panel, and what is not Grafana's default in it.
KINDS = {
    "stat": ("stat", {}, {}),
    "line": ("timeseries", {"min": 0, "custom": {"showPoints": "never"}}, {}),
    "stack": ("timeseries", {"min": 0, "custom": {"showPoints": "never", "fillOpacity": 30, "stacking": {"mode": "normal"}}}, {}),
    "bars": ("bargauge", {"min": 0, "max": 1, "thresholds": {"mode": "absolute", "steps": [
        {"value": None, "color": "green"}, {"value": 0.9, "color": "yellow"}, {"value": 1, "color": "red"}]}},
        {"orientation": "horizontal", "displayMode": "basic"}),
    "states": ("state-timeline", {"mappings": STATES, "custom": {"fillOpacity": 70}}, {"showValue": "never"}),
}
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH = 24


def panel(kind, title, unit, queries, place):
    name, defaults, options = KINDS[kind]
    targets = [{"refId": chr(ord("A") + i), "expr": expr, "legendFormat": legend}
               for i, (legend, expr) in enumerate(queries.items())]
    return {"type": name, "title": title, "datasource": SOURCE, "gridPos": place, "options": options,
            "fieldConfig": {"defaults": {"unit": unit, **defaults}, "overrides": []}, "targets": targets}


def panels():
    """One row below the other; the panels of a row share its width, four of them stand two by two."""
    y = 0
    for row, its in ROWS.items():
        yield {"type": "row", "title": row, "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}, "panels": []}
        y += 1
        columns, high = (len(its), 4) if its[0][0] == "stat" else (2 if len(its) == 4 else len(its), 8)
        for i, (kind, title, unit, queries) in enumerate(its):
            place = {"x": i % columns * WIDTH // columns, "y": y + i // columns * high, "w": WIDTH // columns, "h": high}
            yield panel(kind, title, unit, queries, place)
        y += -(-len(its) // columns) * high


def choice(label):
    return {"type": "query", "name": label, "datasource": SOURCE, "refresh": 2, "multi": True, "includeAll": True,
            "allValue": ".*", "current": {"text": "All", "value": "$__all"},
            "query": {"query": f"label_values(api_gateway_requests_total, {label})", "refId": label}}


def dashboard():
    source = {"type": "datasource", "name": "source", "label": "data source", "query": "prometheus"}
    return {"uid": "weir", "title": "Weir", "schemaVersion": 39, "refresh": "30s", "timezone": "",
            "time": {"from": "now-3h", "to": "now"}, "graphTooltip": 1,
            "templating": {"list": [source, choice("vendor"), choice("model")]},
            "panels": [{"id": i, **panel} for i, panel in enumerate(panels(), 1)]}


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=1)
    print()
