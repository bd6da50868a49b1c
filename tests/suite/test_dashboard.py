"""The dashboard, as somebody sees it: a real gateway with traffic of every kind, and a real browser before it."""

import base64
import hashlib
import re

import pytest

from browser import browser, everywhere
from conftest import Setting
from gateway import V1, until
from scripts import answer, fail


@pytest.fixture(scope="module")
def watched(stage, launch, tmp_path_factory):
    """A gateway with two vendors, of which one fails, with kept answers, and with a key that has limits."""
    setting = Setting(stage, tmp_path_factory.mktemp("watched"))
    for name in ["good", "bad"]:
        setting.vendor(stage.vendor(f"watched-{name}", "openai"))
    price = {"price": {"input": 2, "output": 10}}
    for model, vendors in [("fine", ["good"]), ("failing", ["bad"]), ("both", ["bad", "good"])]:
        setting.model(model, *(f"watched-{vendor}" for vendor in vendors))
        setting.config["models"][-1] |= price
    setting.config["cache"] = {"ttl": "10m"}
    keys = {name: setting.key(name) for name in ["team", "poor", "admin"]}
    team, poor, admin = setting.config["keys"]
    team["budget_usd"] = {"day": 5}
    poor["limits"] = {"requests": {"rate": "1/h", "burst": 1}}
    admin["admin"] = True
    gateway = setting.gateway(keys["team"])
    gateway.keys, gateway.setting = keys, setting
    with launch(gateway):
        yield gateway


def traffic(gateway, stage):
    """Two good answers, one of them given again; a failover; an outage; a limit; a stranger."""
    good, bad = answer(), fail(500)
    first = stage.case(watched_good=good)
    for expected, case, model, key in [
        (200, first, "fine", "team"), (200, first, "fine", "team"), (200, stage.case(watched_good=good, watched_bad=bad), "both", "team"),
        (502, stage.case(watched_bad=bad), "failing", "team"), (200, stage.case(watched_good=good), "fine", "poor"),
        (429, stage.case(), "fine", "poor"), (401, stage.case(), "fine", None), (404, stage.case(), "<img src=x onerror=alert(1)>", "team"),
    ]:
        response = gateway.chat(case, model, key=gateway.keys[key] if key else "nobody's")
        assert response.status == expected, response


def status(gateway):
    response = gateway.send("GET", "/api/status", headers=[("x-api-key", gateway.keys["admin"])])
    assert response.status == 200, response
    return response.json


@pytest.fixture(scope="module")
def busy(watched, stage):
    """The same, after its traffic has been written down."""
    traffic(watched, stage)
    assert until(lambda: status(watched)["history"]["last_hour"]["requests"] == 8, 5), status(watched)["history"]["last_hour"]
    return watched


@pytest.fixture
def window(watched):
    with browser(f"http://127.0.0.1:{watched.port}/dashboard") as window:
        yield window
        assert not window.complaints()


def shown(window, what, expected, seconds=12):
    """The page shows it by its next refresh."""
    assert until(lambda: window.text(what) == expected, seconds), (what, window.text(what), expected)


# The document

def test_the_status_is_what_happened(busy):
    page = status(busy)
    hour = page["history"]["last_hour"]
    sums = {name: hour[name] for name in ["requests", "errors", "limited", "rejected", "left", "cache_hits"]}
    assert sums == {"requests": 8, "errors": 1, "limited": 1, "rejected": 2, "left": 0, "cache_hits": 1}
    assert hour["input_tokens"] > 0 and hour["output_tokens"] > 0 and hour["cost_usd"] > 0 and hour["p50_ms"] > 0
    assert sum(page["history"]["minutes"]["requests"]) == sum(page["history"]["hours"]["requests"]) == 8
    assert {(row["status"], row["reason"], row["key"], row["model"], row["attempts"]) for row in page["refusals"]} == {
        (502, "upstream_error", "team", "failing", "watched-bad:500"), (429, "limited_requests", "poor", "fine", ""),
        (401, "unauthorized", None, "none", ""), (404, "unknown_model", "team", "other", "")}
    [budget] = [one for one in page["limits"]["uses"] if one["limit"] == "budget_day"]
    assert (budget["of"], budget["bound"]) == ("team", 5) and 0 < budget["used"] <= hour["cost_usd"]
    assert page["cache"]["l1"]["entries"] == 3 and page["in_flight"]["of"] == 1000
    assert page["redis"] == {"configured": False} and page["uptime_seconds"] < 600
    assert {(one["vendor"], tuple(one["serves"])) for one in page["vendors"]} == {
        ("watched-good", ("fine", "both")), ("watched-bad", ("failing", "both"))}


def test_the_status_is_for_admins_and_holds_no_secret(busy):
    assert busy.send("GET", "/api/status").status == 401
    assert busy.send("GET", "/api/status", headers=[("x-api-key", busy.key)]).status == 403
    text = busy.send("GET", "/api/status", headers=[("x-api-key", busy.keys["admin"])]).text
    told = [word for word in [*busy.secrets, "[[case:", "<img", "sha256"] if word in text]
    assert not told, told


def test_a_flood_of_refusals_displaces_nothing_and_stays_small(busy, at_once):
    before = len(status(busy)["refusals"])
    at_once(lambda number: busy.chat(None, "fine", key=f"guess-{number}"), range(200))
    at_once(lambda number: busy.chat(None, f"invented-{number}"), range(100))

    def counted():
        rows = {row["reason"]: row["times"] for row in status(busy)["refusals"] if row["endpoint"] == V1}
        return rows if rows["unauthorized"] >= 200 and rows["unknown_model"] >= 100 else None

    rows = until(counted, 5)
    assert rows and rows["upstream_error"] >= 1, status(busy)["refusals"]
    assert len(status(busy)["refusals"]) <= before + 2
    text = busy.send("GET", "/api/status", headers=[("x-api-key", busy.keys["admin"])]).text
    assert "invented" not in text and "guess" not in text and len(text) < 60_000


def test_the_page_holds_nothing_and_its_policy_fits_its_bytes(watched):
    page = watched.send("GET", "/dashboard")
    assert page.status == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    for tag in ["script", "style"]:
        [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", page.text, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    for part in ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]:
        assert part in policy.split("; ")
    assert page.headers["x-content-type-options"] == "nosniff" and page.headers["referrer-policy"] == "no-referrer"
    assert not any(word in page.text for word in ["watched", "team", *watched.secrets]) and len(page.body) < 40_000


# The page

def test_the_door(busy, window):
    window.open()
    assert not window.find("#board").is_displayed()
    window.enter("")
    shown(window, "#door-trouble", "Enter a key.")
    for key, said in [("nobody's", "does not know this key"), (busy.key, "not an admin's"), ("ключ", "cannot be a key")]:
        window.enter(key)
        assert until(lambda: said in window.text("#door-trouble"), 5), window.text("#door-trouble")
        assert not window.find("#board").is_displayed()
    window.admitted(busy.keys["admin"])
    assert window.run("return sessionStorage.length") == 1 and window.run("return localStorage.length") == 0
    window.driver.refresh()
    assert until(lambda: window.find("#board").is_displayed(), 5), "a reload keeps the key of this tab"
    window.find("#leave").click()
    assert window.find("#door").is_displayed() and window.run("return sessionStorage.length") == 0
    assert busy.keys["admin"] not in window.driver.page_source


def test_what_is_shown_is_what_the_status_says(busy, window):
    window.open().admitted(busy.keys["admin"])
    page = status(busy)
    hour = page["history"]["last_hour"]
    shown(window, "#n-rate-sub", f"{hour['requests']} last hour")
    for what, name in [("#n-errors", "errors"), ("#n-errors-sub", "limited"), ("#n-cache", "cache_hits")]:
        said = float(re.search(r"([\d.]+) %$", window.text(what))[1])
        assert said == pytest.approx(100 * hour[name] / hour["requests"], abs=.51), what
    shown(window, "#n-flight-sub", "of 1,000")
    assert float(window.text("#n-cost").removeprefix("$")) == pytest.approx(page["history"]["today"]["cost_usd"], rel=.05)
    assert window.text("#about").startswith(page["version"])
    rows = {row["Vendor"].removesuffix("openai"): row for row in window.rows("#vendors")}
    assert set(rows) == {"watched-good", "watched-bad"}
    assert rows["watched-good"]["State"] == "Healthy" and rows["watched-good"]["Model"] == "watched-good-model"
    assert rows["watched-bad"]["Success"] != rows["watched-good"]["Success"]
    refusals = window.rows("#refusals")
    assert len(refusals) == len(page["refusals"])
    assert {(row["Reason"], row["Status"], row["Key"]) for row in refusals} >= {
        ("Vendor failedupstream_error", "502", "team"), ("Too many requestslimited_requests", "429", "poor")}
    limits = window.texts("#limits li")
    assert any("poor" in one and "requests, 1/h" in one and "1 of 1" in one for one in limits), limits
    assert any("team" in one and "per day" in one and "of $5.00" in one for one in limits), limits
    assert window.run("return [...document.querySelectorAll('#limits [role=meter]')].map((m) => +m.getAttribute('aria-valuenow'))")[0] == 100
    assert "3 in memory" in window.text("#facts") and "not configured" in window.text("#facts")


def test_everything_that_can_be_clicked(busy, window):
    window.open().admitted(busy.keys["admin"])
    plots = window.all(".plot")
    assert len(plots) == 4 and all(plot.get_attribute("aria-label").endswith("single values.") for plot in plots)
    for value, ticks in [("minutes", 6), ("hours", 4), ("hour", 4)]:
        window.find(f"input[value={value}] + span").click()
        labels = window.texts("#charts .chart:first-child text")
        assert sum(":" in label for label in labels) >= ticks, labels
    plot = plots[0]
    plot.send_keys("\ue012")  # The left arrow: the minute under way, then the one before.
    tips = window.all(".tip")
    assert tips[0].is_displayed() and "Answered" in tips[0].text and not tips[1].is_displayed()
    plot.send_keys("\ue00c")  # Escape
    assert not tips[0].is_displayed()
    box = window.run("const b = arguments[0].getBoundingClientRect(); return [b.right - 8, b.top + 60]", plot)
    window.command("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
    assert until(lambda: tips[0].is_displayed()) and "–" in tips[0].text
    window.command("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    assert until(lambda: not tips[0].is_displayed())
    pause = window.find("#pause")
    pause.click()
    assert pause.text == "Resume" and window.text("#pulse-text").startswith("Paused")
    pause.click()
    assert pause.text == "Pause" and until(lambda: window.find("#pulse").get_attribute("data-state") == "live")


def test_the_theme(watched, window):
    ground = lambda: window.run("return getComputedStyle(document.body).backgroundColor")
    window.prefers("dark")
    window.open()
    dark = ground()
    window.prefers("light")
    assert until(lambda: ground() != dark), "it follows the system"
    light, seen = ground(), []
    for _ in range(3):
        window.find("#theme").click()
        seen.append((window.find("#theme").get_attribute("aria-label"), ground()))
    assert seen == [("Color theme: light", light), ("Color theme: dark", dark), ("Color theme: automatic", light)]
    window.find("#theme").click()
    window.find("#theme").click()
    window.driver.refresh()
    assert ground() == dark and window.text("#theme") == "Dark", "it is remembered"


@pytest.mark.parametrize("width", [360, 620, 820, 1280])
def test_no_width_scrolls_sideways(busy, window, width):
    """Not with names of any length, either."""
    window.resize(width, phone=width < 700)
    window.open()
    assert window.overflow() <= 0, "the door"
    window.admitted(busy.keys["admin"])
    assert window.overflow() <= 0
    window.open(everywhere("an-endless-name-without-a-single-space-" * 8))
    assert until(lambda: window.text("#facts"), 5)
    assert window.overflow() <= 0, "long names"


def test_nothing_moves_when_new_numbers_come(busy, window):
    window.open().admitted(busy.keys["admin"])
    window.run("window.shift = 0; new PerformanceObserver((list) => { for (const one of list.getEntries()) window.shift += one.value })"
               ".observe({ type: 'layout-shift', buffered: false })")
    heard = window.run("return state.heard")
    assert until(lambda: window.run("return state.heard") > heard, 12)
    assert window.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(window.shift))))") < 0.01


def test_no_name_is_markup(busy, window):
    """The gateway's own rules let no such name in; the page does not lean on them."""
    hostile = "<img src=x onerror=\"window.caught=1\"><script>window.caught=1</script>'\"&amp;javascript:"
    window.open(everywhere(hostile)).admitted(busy.keys["admin"])
    assert hostile in window.rows("#vendors")[0]["Model"] and hostile in window.rows("#refusals")[0]["Reason"]
    assert hostile in window.text("#limits") and hostile in window.text("#facts")
    assert not window.all("img, iframe, object, main script, a[href]") and window.run("return window.caught === undefined")


RARE = """(page) => {
  const states = [{ breaker: "open", open_for_ms: 65000, open_because: "quota" }, { breaker: "half_open" }, { breaker: "warming" },
    { success_rate: 0.5, first_token_ms: 3, requests_left: 0, tokens_left: 12000 }];
  page.vendors = states.map((state, i) => ({ ...page.vendors[0], breaker: "closed", vendor: `v${i}`, ...state }));
  Object.assign(page, { cache: { enabled: false }, redis: { configured: true, cluster: true, answers: false }, refusals: [], started: null, uptime_seconds: null });
  page.limits.kept_in = "redis";
  for (const one of page.limits.uses) Object.assign(one, { used: null, mode: "observe" });
  page.history.last_hour.errors = page.history.last_hour.requests;
  return page;
}"""


def test_what_is_rare_is_shown_too(busy, window):
    window.open(RARE).admitted(busy.keys["admin"])
    states = [row["State"] for row in window.rows("#vendors")]
    assert states == ["Open for 1 min, quota", "Trying again", "Warming up", "Failing at times"]
    assert window.rows("#vendors")[3]["Left at vendor"] == "0 requests, 12,000 tokens"
    assert window.text("#vendors-note") == "1 of 4 open" and window.text("#n-errors") == "100 %"
    assert window.text("#refusals tbody") == "Nothing was refused since the gateway started."
    assert "none: no cache is configured" in window.text("#facts") and "absent" in window.text("#facts")
    assert "Redis" in window.text("#limits-note") and not window.all("#limits [role=meter]")
    assert all("only observed" in one for one in window.texts("#limits li"))
    window.open("(page) => Object.assign(page, { vendors: [], limits: { kept_in: 'gateway', count: 0, uses: [] } })")
    assert until(lambda: "has a limit" in window.text("#limits"), 5) and "none has a credential" in window.text("#vendors")


def test_more_traffic_is_shown_without_a_reload(busy, stage, window):
    window.open().admitted(busy.keys["admin"])
    before = status(busy)["history"]["last_hour"]["requests"]
    for number in range(3):
        assert busy.chat(stage.case(watched_good=answer()), "fine").status == 200
    shown(window, "#n-rate-sub", f"{before + 3} last hour")
    assert "Requests over the last hour" in window.find(".plot").get_attribute("aria-label")


def test_every_control_can_be_reached_and_has_a_name(busy, window):
    window.open().admitted(busy.keys["admin"])
    nameless = window.run("""return [...document.querySelectorAll('button, input, [tabindex], [role=meter], [role=img]')]
      .filter((n) => n.checkVisibility() && !(n.textContent.trim() || n.getAttribute('aria-label') || n.labels?.length)).map((n) => n.outerHTML)""")
    assert not nameless
    for selector in ["table", "thead", "tbody", "tr", "td", "th"]:
        assert all(node.get_attribute("role") for node in window.all(selector)), selector
    faint = window.run(CONTRAST)
    assert not faint, faint
    window.find("#theme").click()
    window.find("#theme").click()
    assert not (faint := window.run(CONTRAST)), faint


CONTRAST = """
const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
const color = (text) => text.match(/[\\d.]+/g).map(Number);
const ground = (n) => { for (; n; n = n.parentElement) { const c = color(getComputedStyle(n).backgroundColor); if (c[3] !== 0) return c; } return [255, 255, 255]; };
return [...document.querySelectorAll('body *')].filter((n) => n.checkVisibility() && [...n.childNodes].some((c) => c.nodeType === 3 && c.data.trim()))
  .map((n) => { const [a, b] = [light(color(getComputedStyle(n)[n.namespaceURI.endsWith('svg') ? 'fill' : 'color'])), light(ground(n))].sort((x, y) => y - x);
    return [(a + .05) / (b + .05), n.textContent.slice(0, 40)]; }).filter(([ratio]) => ratio < 4.5);
"""


def test_a_gateway_that_goes_away_and_comes_back(stage, launch, tmp_path):
    setting = Setting(stage, tmp_path)
    setting.vendor(stage.vendor("away", "openai"))
    setting.model("away", "away")
    key = setting.key("away-admin")
    setting.config["keys"][0]["admin"] = True
    gateway = setting.gateway(key)
    with launch(gateway):
        with browser(f"http://127.0.0.1:{gateway.port}/dashboard") as window:
            window.open().admitted(key)
            gateway.stop()
            assert until(lambda: window.find("#banner").is_displayed(), 15)
            assert "cannot be reached" in window.text("#banner") and "Connection lost" in window.text("#pulse-text")
            assert window.text("#n-flight-sub") == "of 1,000", "what was known stays"
            gateway.start()
            assert until(lambda: not window.find("#banner").is_displayed(), 15)
            assert not window.complaints()
