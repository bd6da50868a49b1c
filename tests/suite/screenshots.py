"""The pictures of the dashboard in docs/: a real gateway and a real page, with traffic that is made up.

    make screenshots
"""

import sys
import tempfile
from pathlib import Path

from browser import browser
from gateway import ROOT, Gateway, client_key, free_port, until

SCENE = r"""(page) => {
  let seed = 7;
  const random = () => (seed = seed * 16807 % 2147483647) / 2147483647;
  const now = new Date(); now.setMinutes(42, 10, 0);
  page.now = now.toISOString();
  page.started = new Date(now - 3 * 86400e3 - 4 * 3600e3).toISOString();
  page.uptime_seconds = 3 * 86400 + 4 * 3600;
  const { history: h } = page;
  const fill = (of, level) => {
    const n = of.requests.length, end = Math.floor(now / 1000 / of.step_seconds) * of.step_seconds * 1000;
    of.from = new Date(end - (n - 1) * of.step_seconds * 1000).toISOString();
    for (let i = 0; i < n; i++) {
      const part = of.step_seconds === 60 ? 0.9 + 0.25 * Math.sin(i / 17) + 0.12 * Math.sin(i / 5) : 0.42 + 0.4 * Math.sin((i + 16) / 24 * 6.283);
      const trouble = of.step_seconds === 60 && i > 141 && i < 150;
      const r = Math.round(level * part * (0.86 + random() * 0.28) * (i === n - 1 ? 0.3 : 1)), few = level / 80;
      of.requests[i] = r;
      of.errors[i] = Math.round((trouble ? r * 0.11 : random() * 0.4 * few) );
      of.limited[i] = Math.round(Math.max(0, random() - 0.55) * few * 3);
      of.rejected[i] = Math.round(random() * few * 0.8);
      of.left[i] = Math.round(random() * few * 0.5);
      of.cache_hits[i] = Math.round(r * (0.24 + random() * 0.08));
      of.input_tokens[i] = Math.round(r * (900 + random() * 260));
      of.output_tokens[i] = Math.round(r * (250 + random() * 90));
      of.cost_usd[i] = r * (0.0031 + random() * 0.0012);
      of.p50_ms[i] = 610 + random() * 150 + (trouble ? 340 : 0);
      of.p95_ms[i] = 2050 + random() * 620 + (trouble ? 2700 : 0);
    }
  };
  fill(h.minutes, 210); fill(h.hours, 11000);
  const sum = (to, of, count) => { for (const k of Object.keys(to)) to[k] = k.startsWith("p") ? of[k].at(-2) : of[k].slice(-count).reduce((a, b) => a + b, 0); };
  sum(h.last_5_minutes, h.minutes, 5); sum(h.last_hour, h.minutes, 60); sum(h.today, h.hours, 15);
  page.in_flight.requests = 14;
  const health = { openai: [0.998, 412, 11.2, 6, "3.84"], azure: [0.991, 486, 12.9, 3, "1.9"], claude: [0.97, 655, 16.4, 4, "4.41"] };
  let seat = 1;
  for (const v of page.vendors) {
    const [success, first, each, flying, usd] = health[v.vendor], by = seat++ % 5 / 4;
    Object.assign(v, { success_rate: success, first_token_ms: first * (0.7 + by * 0.6), per_token_ms: each * (0.8 + by / 3), tokens: 260, in_flight: Math.round(flying * by), usd_per_hour: String(Number(usd) * (0.3 + by)) });
    if (v.vendor === "openai") Object.assign(v, { requests_left: 4210 + Math.round(by * 3000), tokens_left: 1.62e6 });
  }
  const open = page.vendors.find((v) => v.vendor === "claude" && v.model.includes("opus"));
  Object.assign(open, { breaker: "open", open_for_ms: 12400, open_because: "throttled", success_rate: 0.62, in_flight: 0 });
  const use = { requests: 0.3, tokens: 0.46, concurrent: 0.4, budget_hour: 0.2, budget_day: 0.62, budget_month: 0.87 };
  for (const u of page.limits.uses) {
    u.used = u.unit === "usd" ? u.bound * use[u.limit] : Math.round(u.bound * use[u.limit]);
    if (u.of === "crawler" && u.limit === "requests") u.used = u.bound;
    u.resets &&= new Date(+now + { requests: 8e3, tokens: 41e3, budget_day: 33480e3, budget_month: 7 * 86400e3 }[u.limit]).toISOString();
  }
  page.limits.uses.sort((a, b) => b.used / b.bound - a.used / a.bound);
  Object.assign(page.cache.l1, { entries: 8412, bytes: 31.4 * 1048576 });
  page.configuration.weights = { cost: 1, success: 1, latency: 1 };
  page.configuration.listen = "0.0.0.0:3000";
  const row = (ago, times, status, reason, key, model, attempts = "", endpoint = "/v1/chat/completions") =>
    ({ at: new Date(now - ago * 1000).toISOString(), since: page.started, times, endpoint, status, reason, key, model, attempts });
  page.refusals = [
    row(9, 128, 429, "limited_requests", "crawler", "gpt-4o-mini"), row(48, 6, 429, "upstream_rate_limit", "support", "claude-3-opus", "claude:429"),
    row(1990, 61, 503, "upstream_overloaded", "checkout", "auto", "openai:503,claude:529"), row(2410, 3, 401, "unauthorized", null, "none"),
    row(3120, 1, 400, "unsupported", "support", "claude-3-opus"), row(7300, 2, 404, "unknown_model", "checkout", "other", "", "/api/chat/completions"),
  ];
  return page;
}"""

ROW = {"openai": "https://api.openai.com/v1", "claude": "https://api.anthropic.com/v1", "azure": "https://example.openai.azure.com"}


def configuration():
    vendors = [{"name": name, "kind": {"claude": "anthropic"}.get(name, name), "url": url, "credential": {"env": "SCENE"}}
               for name, url in ROW.items()]
    vendors[2]["api_version"] = "2024-10-21"
    serve = lambda **names: [{"vendor": vendor, "model": model} for vendor, model in names.items()]
    models = {"gpt-4o-mini": serve(openai="gpt-4o-mini", azure="gpt-4o-mini"), "gpt-4o": serve(openai="gpt-4o", azure="gpt-4o"),
              "claude-3-opus": serve(claude="claude-3-opus-20240229"), "auto": serve(openai="gpt-4o-mini", claude="claude-haiku-4-5")}
    keys, entries = zip(*(client_key(name) for name in ["admin", "checkout", "support", "crawler"]))
    admin, checkout, support, crawler = entries
    admin["admin"] = True
    checkout["budget_usd"] = {"day": 50, "month": 900}
    support["limits"] = {"tokens": {"rate": "100000/min"}, "concurrent": 20}
    crawler["limits"] = {"requests": {"rate": "60/min", "burst": 10}}
    return keys[0], {"listen": f"127.0.0.1:{free_port()}", "admin": f"127.0.0.1:{free_port()}", "vendors": vendors, "cache": {},
                     "models": [{"name": name, "serve": hops} for name, hops in models.items()], "keys": list(entries)}


def shoot(folder):
    key, config = configuration()
    with tempfile.TemporaryDirectory() as home:
        gateway = Gateway(config, Path(home), {"SCENE": "no-secret"}, 1).start()
        try:
            for name, scheme, width, tall, phone in [("light", "light", 1180, 2000, False), ("dark", "dark", 1180, 1090, False),
                                                    ("phone", "light", 360, 1170, True)]:
                with browser(f"http://127.0.0.1:{gateway.port}/dashboard") as window:
                    window.prefers(scheme)
                    window.resize(width, 900, phone)
                    window.open(SCENE).admitted(key)
                    assert until(lambda: window.text("#facts"))
                    high = window.run("return document.documentElement.scrollHeight")
                    window.resize(width, min(high, tall), phone)
                    until(lambda: False, 0.5)
                    (folder / f"dashboard-{name}.png").write_bytes(window.shot())
                    assert not window.complaints()
        finally:
            gateway.stop()


if __name__ == "__main__":
    shoot(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
