"""What operators look at: a real Prometheus reads a real gateway that has seen traffic of every kind, and every query of
the dashboard and of the alerts finds something there."""

import json
import math
import re
import runpy
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack

import pytest
import yaml

from gateway import EMBED, ROOT, chat, free_port, until
from redis_servers import Redis
from scripts import CLOSE, answer, cut, fail
from test_cache import Keeping

OBSERVE = ROOT / "observe"
ALERTS = yaml.safe_load((OBSERVE / "alerts.yml").read_text())
DASHBOARD = json.loads((OBSERVE / "grafana" / "weir.json").read_text())
QUERIES = {f"{panel['title']} {target['refId']}": target["expr"]
           for panel in DASHBOARD["panels"] for target in panel.get("targets", [])}
RULES = {rule.get("alert", rule.get("record")): rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]}
SELECTOR = re.compile(r"api_gateway_\w+(?:\{[^}]*\})?")
NEVER = {"api_gateway_redis_dropped_total"}
"""What takes an outage of half a minute and more to be counted."""


def program(name):
    found = shutil.which(name, path=str(ROOT / ".tools/prometheus/usr/bin")) or shutil.which(name)
    return found or pytest.fail(f"there is no {name}: `make prometheus` installs it", pytrace=False)


class Prometheus:
    """A server with the shipped configuration, but that it scrapes these gateways, and often."""

    def __init__(self, directory, *gateways):
        config = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
        config["rule_files"] = [str(OBSERVE / name) for name in config["rule_files"]]
        config["scrape_configs"][0]["static_configs"] = [
            {"targets": [f"127.0.0.1:{gateway.port}" for gateway in gateways]}]
        file = directory / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        self.port = free_port()
        self.log = directory / "prometheus.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [program("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}",
                 f"--web.listen-address=127.0.0.1:{self.port}"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def ready(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready").status == 200
        except OSError:
            return False

    def api(self, path, **query):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}") as page:
            return json.load(page)["data"]

    def query(self, expression):
        """The values, by their labels."""
        try:
            found = self.api("query", query=expression)["result"]
        except urllib.error.HTTPError as refused:
            pytest.fail(f"{expression}\n{refused.read().decode()}", pytrace=False)
        return [(sample["metric"], float(sample["value"][1])) for sample in found]

    def scraped(self):
        """Waits until everything that has happened so far has been read."""
        def count():
            return {of["instance"]: value for of, value in self.query('sum_over_time(up{job="weir"}[10m])')}

        before = count()
        assert until(lambda: (now := count()) and all(now[of] >= before.get(of, 0) + 2 for of in now), 20), before


class Watched(Keeping):
    """A gateway in which everything can happen that is counted."""

    def __init__(self, stage, directory, *vendors):
        super().__init__(stage, directory)
        for vendor in vendors:
            self.vendor(vendor)
        self.config["vendors"].append({"name": "echo", "kind": "echo"})
        self.kept("pair", "watched")
        self.config["models"][-1]["serve"].append({"vendor": "watched-2", "model": "watched-2-model"})
        self.kept("single", "watched-2")
        self.kept("brief", "watched-2", ttl="1s")
        self.kept("echo", "echo")


@pytest.fixture(scope="module")
def prometheus(stage, launch, tmp_path_factory):
    """After rounds of all that can happen, to a gateway with a Redis, which goes away in the end, and to one without."""
    redis = Redis(tmp_path_factory.mktemp("redis"))
    vendors = [stage.vendor(name, "openai") for name in ["watched", "watched-2"]]
    with ExitStack() as stack:
        stack.callback(redis.stop)
        redis.start()
        gateways = []
        for shared in [{"redis": {"urls": [redis.url]}}, {}]:
            setting = Watched(stage, tmp_path_factory.mktemp("watched"), *vendors)
            setting.config |= shared
            poor = setting.keyed("poor", limits={"requests": {"rate": "1/h", "burst": 1}})
            rich = setting.keyed("rich", budget_usd={"day": 1})
            broke = setting.keyed("broke", budget_usd={"hour": 0.000001})
            gateway = stack.enter_context(launch(setting.gateway(setting.key("watched"))))
            gateway.keys = {"poor": poor, "rich": rich, "broke": broke}
            gateway.brief = stage.case(watched_2=[answer(), *[fail(500)] * 9])
            gateways.append(gateway)
        server = Prometheus(tmp_path_factory.mktemp("prometheus"), *gateways)
        stack.callback(server.stop)
        assert until(server.ready, 30), server.log.read_text()
        server.scraped()
        for outage in [False, False, False, True]:
            if outage:
                redis.kill()
            for gateway in gateways:
                everything(gateway, stage)
            server.scraped()
        yield server


def everything(gateway, stage):
    """Each line is one kind of what can become of a request."""
    kept = stage.case(watched=answer())
    for _ in range(2):
        assert gateway.chat(kept, "pair").status == 200
    gateway.chat(stage.case(watched=answer()), "pair", stream=True)
    gateway.chat(stage.case(watched=fail(500), watched_2=answer()), "pair")
    gateway.chat(stage.case(watched=fail(429), watched_2=answer()), "pair", stream=True)
    gateway.chat(stage.case(watched_2=cut(CLOSE)), "single", stream=True)
    gateway.chat(stage.case(watched_2=fail(503)), "single")
    gateway.chat(gateway.brief, "brief")
    gateway.chat(stage.case(watched=answer()), "pair", headers=[("cache-control", "no-store")])
    gateway.chat(stage.case(watched=answer()), "pair", key=gateway.keys["rich"])
    gateway.chat(stage.case(), "pair", key=gateway.keys["broke"])
    for _ in range(2):
        gateway.chat(None, "echo", key=gateway.keys["poor"], headers=[("cache-control", "no-store")])
    gateway.chat(None, "echo", key="wrong")
    gateway.chat(None, "echo", temperature=9)
    gateway.send("POST", EMBED, b"{}", [("x-api-key", gateway.key)])
    gateway.send("POST", "/api/chat/completions/batch", json.dumps([chat(None, "echo")]).encode(),
                 [("x-api-key", gateway.key)])


def chosen(query):
    """As Grafana asks it when nobody has chosen anything."""
    query = query.replace("$__rate_interval", "5m").replace("$vendor", ".*").replace("$model", ".*")
    assert "$" not in query, query
    return query


@pytest.mark.parametrize("name", QUERIES)
def test_every_panel_shows_something(prometheus, name):
    found = prometheus.query(chosen(QUERIES[name]))
    rare = any(metric in QUERIES[name] for metric in NEVER)
    assert rare or any(math.isfinite(value) for _, value in found), (QUERIES[name], found)


@pytest.mark.parametrize("name", RULES)
def test_every_alert_looks_at_what_is_there(prometheus, name):
    """The samples that a rule selects exist, so no label or value in it is misspelled; but what must not happen here."""
    for selector in SELECTOR.findall(RULES[name]):
        if re.match(r"\w+", selector)[0] not in NEVER:
            assert prometheus.query(f"last_over_time({selector}[10m])"), selector


def test_prometheus_can_evaluate_every_rule(prometheus):
    def rules():
        found = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else []

    found = until(rules, 20)
    assert {rule["name"]: rule.get("lastError") for rule in found} == dict.fromkeys(RULES)


def test_every_documented_metric_is_there(prometheus):
    """And no other: in a name for each, without what Prometheus makes of a histogram."""
    documented = set(re.findall(r"`(api_gateway_\w+)", (ROOT / "docs" / "metrics.md").read_text()))
    names = prometheus.api("label/__name__/values")
    there = {re.sub(r"(_seconds)_(bucket|sum|count)$", r"\1", name) for name in names if name.startswith("api_gateway_")}
    assert documented - there <= NEVER
    assert there <= documented


def test_the_dashboard_is_what_its_script_makes():
    made = runpy.run_path(str(OBSERVE / "grafana" / "dashboard.py"))["dashboard"]()
    assert made == DASHBOARD, "python3 observe/grafana/dashboard.py > observe/grafana/weir.json"


def test_panels_have_names_and_places_of_their_own():
    titles = [panel["title"] for panel in DASHBOARD["panels"]]
    assert len(titles) == len(set(titles))
    taken = {(x, y) for panel in DASHBOARD["panels"] for x in range(24) for y in range(200) if inside(panel, x, y)}
    assert len(taken) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in DASHBOARD["panels"])


def inside(panel, x, y):
    place = panel["gridPos"]
    return place["x"] <= x < place["x"] + place["w"] and place["y"] <= y < place["y"] + place["h"]


@pytest.mark.parametrize("words", [
    ["check", "config", "observe/prometheus.yml"], ["test", "rules", "tests/observe/alerts.yml"]])
def test_promtool_agrees(words):
    done = subprocess.run([program("promtool"), *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_what_to_do():
    told = (ROOT / "tests" / "observe" / "alerts.yml").read_text()
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            if name := rule.get("alert"):
                assert rule["labels"]["severity"] in {"critical", "warning"}, name
                assert rule["annotations"]["summary"] and len(rule["annotations"]["description"]) > 80, name
                assert f'alertname="{name}"' in told, f"{name} has no story in tests/observe/alerts.yml"
