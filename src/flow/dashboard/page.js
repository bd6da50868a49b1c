"use strict";
// Everything that comes from the gateway becomes text by way of textContent: a name is never markup.
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const EVERY = 5000, PATIENCE = 8000, STALE = 15000;

function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "text") node.textContent = value;
    else if (name === "class") node.className = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}
function svg(tag, props, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}
// Writes only what has changed, so that nothing flickers and screen readers stay quiet.
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Numbers as people read them.
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const count = (n) => n == null ? "–" : Math.abs(n) < 1e5 ? (n % 1 && n < 100 ? n.toFixed(1) : whole.format(n)) : short.format(n);
const percent = (part) => part == null || !isFinite(part) ? "–"
  : part > 0 && part < 0.001 ? "<0.1 %" : `${(part * 100).toFixed(part < 0.1 && part > 0 ? 1 : 0)} %`;
function time(ms) {
  if (ms == null) return "–";
  if (ms < 1) return ms ? "<1 ms" : "0";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60000 ? `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s` : span(ms / 1000);
}
function usd(n) {
  if (n == null) return "–";
  if (n === 0) return "$0";
  if (n >= 0.995) return "$" + (n < 1000 ? n.toFixed(2) : short.format(n));
  return "$" + (n < 1e-7 ? n.toExponential(1) : String(Number(n.toPrecision(2)).toFixed(10)).replace(/0+$/, ""));
}
const bytes = (n) => n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 1048576).toFixed(1)} MiB`;
function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  const [big, large, small, little] = s < 86400 ? [3600, "h", 60, "min"] : [86400, "d", 3600, "h"], rest = Math.floor(s % big / small);
  return `${Math.floor(s / big)} ${large}${rest ? ` ${rest} ${little}` : ""}`;
}
// Without decimals that say nothing: 5.00 s is 5 s.
const plain = (text) => text.replace(/\.0+(?!\d)/, "");
const clock = (date, seconds) =>
  date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...(seconds && { second: "2-digit" }) });

// The key lives in this tab only.
const memory = {
  get: (store, name) => { try { return store.getItem(name); } catch { return null; } },
  set: (store, name, value) => { try { value === null ? store.removeItem(name) : store.setItem(name, value); } catch { /* none */ } },
};
const state = { key: null, paused: false, heard: 0, lost: null, timer: 0, asked: 0, status: null, range: "hour", skew: 0 };

class Turned extends Error {}
async function ask(key) {
  if (!/^[\x21-\x7e]+$/.test(key)) throw new Turned("This cannot be a key: it has spaces, or characters that no key has.");
  const response = await fetch("/api/status", {
    headers: { authorization: `Bearer ${key}` }, cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(PATIENCE),
  });
  if (response.ok) return response.json();
  if (response.status === 401) throw new Turned("The gateway does not know this key, or it has expired.");
  if (response.status === 403) throw new Turned("This key is good, but not an admin's. An admin's has admin: true in weir.yaml.");
  throw new Error(response.status === 503 ? "The gateway cannot check the key right now." : `The gateway answers with status ${response.status}.`);
}
const reason = (error) => error.name === "TimeoutError" ? "The gateway does not answer in time."
  : error instanceof TypeError ? "The gateway cannot be reached." : error.message;

$("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = $("key").value.trim();
  say($("door-trouble"), key ? "" : "Enter a key.");
  if (!key) return;
  $("open").disabled = true;
  try {
    const status = await ask(key);
    memory.set(sessionStorage, "weir-key", key);
    open(key);
    heard(status);
  } catch (error) {
    say($("door-trouble"), reason(error));
    $("key").focus();
    $("key").select();
  }
  $("open").disabled = false;
});

function open(key) {
  Object.assign(state, { key, heard: Date.now(), lost: null, paused: false });
  $("key").value = "";
  show(true);
  pause(false);
}
function show(inside) {
  $("door").hidden = inside;
  for (const id of ["board", "pulse", "pause", "leave"]) $(id).hidden = !inside;
}
function leave(trouble = "") {
  clearTimeout(state.timer);
  Object.assign(state, { key: null, status: null, asked: state.asked + 1 });
  memory.set(sessionStorage, "weir-key", null);
  show(false);
  say($("door-trouble"), trouble);
  say($("about"), "");
  $("key").focus();
}
$("leave").addEventListener("click", () => leave());

function pause(paused) {
  state.paused = paused;
  $("pause").setAttribute("aria-pressed", paused);
  say($("pause"), paused ? "Resume" : "Pause");
  paused ? clearTimeout(state.timer) : plan(0);
  pulse();
}
$("pause").addEventListener("click", () => pause(!state.paused));
document.addEventListener("visibilitychange", () => { if (!document.hidden && state.key && !state.paused) plan(0); });

function plan(wait) {
  clearTimeout(state.timer);
  if (state.key) state.timer = setTimeout(refresh, wait);
}
async function refresh() {
  if (!state.key || state.paused || document.hidden) return;
  const asked = ++state.asked;
  try {
    const status = await ask(state.key);
    if (asked === state.asked && state.key) heard(status);
  } catch (error) {
    if (asked !== state.asked) return;
    if (error instanceof Turned) return leave(error.message);
    state.lost = reason(error);
    pulse();
  }
  if (asked === state.asked && !state.paused) plan(EVERY);
}
function heard(status) {
  Object.assign(state, { status, heard: Date.now(), lost: null, skew: Date.parse(status.now) - Date.now() });
  render();
  pulse();
}
function pulse() {
  if (!state.key) return;
  const age = Date.now() - state.heard, ago = age < 2000 ? "just now" : `${span(age / 1000)} ago`;
  const mood = state.lost ? "lost" : state.paused ? "off" : age > STALE ? "stale" : "live";
  $("pulse").dataset.state = mood;
  say($("pulse-text"), { lost: `Connection lost, updated ${ago}`, off: `Paused, updated ${ago}`, stale: `Updated ${ago}`, live: `Updated ${ago}` }[mood]);
  $("banner").hidden = !state.lost;
  say($("banner"), state.lost ? `${state.lost} What is shown is from ${clock(new Date(state.heard), true)}. Trying again.` : "");
}
setInterval(() => { pulse(); if (state.status && !document.hidden) ages(); }, 1000);

const THEMES = { auto: "Auto", light: "Light", dark: "Dark" };
const darkness = matchMedia("(prefers-color-scheme: dark)");
let theme = memory.get(localStorage, "weir-theme");
function paint() {
  if (!(theme in THEMES)) theme = "auto";
  document.documentElement.dataset.theme = theme === "auto" ? (darkness.matches ? "dark" : "light") : theme;
  say($("theme"), THEMES[theme]);
  $("theme").setAttribute("aria-label", `Color theme: ${theme === "auto" ? "automatic" : theme}`);
}
$("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  theme = names[(names.indexOf(theme) + 1) % names.length];
  memory.set(localStorage, "weir-theme", theme);
  paint();
});
darkness.addEventListener("change", paint);

// What is shown.
function render() {
  const s = state.status;
  numbers(s);
  charts.forEach((chart) => chart.draw());
  vendors(s.vendors);
  limits(s.limits);
  facts(s);
  refusals(s.refusals);
  ages();
}

function numbers({ history, in_flight, now, uptime_seconds, version, started }) {
  const { last_5_minutes: lately, last_hour: hour, today } = history;
  const minutes = Math.max(1, Math.min(4 + (Date.parse(now) / 60000) % 1, (uptime_seconds ?? 300) / 60));
  const tile = (id, value, sub, tone = "") => { say($(id), value); say($(`${id}-sub`), sub); $(id).dataset.tone = tone; };
  const failed = hour.errors / hour.requests, limited = hour.limited / hour.requests;
  tile("n-rate", count(Math.round(lately.requests / minutes * 10) / 10), `${count(hour.requests)} last hour`);
  tile("n-errors", percent(failed), hour.requests ? `5xx; 429: ${percent(limited)}` : "no requests in an hour", failed >= 0.05 ? "bad" : failed >= 0.01 ? "warn" : "");
  const quick = lately.p50_ms == null ? hour : lately;
  tile("n-latency", time(quick.p50_ms), quick.p95_ms == null ? "nothing answered yet" : `95 %: ${time(quick.p95_ms)}`);
  tile("n-cost", usd(today.cost_usd), `${usd(hour.cost_usd)} last hour`);
  tile("n-cache", percent(hour.cache_hits / hour.requests), `${count(hour.cache_hits)} last hour`);
  tile("n-flight", count(in_flight.requests), `of ${count(in_flight.of)}`, in_flight.requests > in_flight.of * 0.8 ? "warn" : "");
  say($("about"), version + (started ? `, up ${span(uptime_seconds)}` : ""));
}

// Charts: one path for each series, on a scale of one, two or five.
const OTHERS = ["errors", "limited", "rejected", "left"];
const GRAPHS = [
  { title: "Requests", stack: true, format: count, least: 4, sum: true, series: [
    ["Answered", "accent", (h) => h.requests.map((n, i) => OTHERS.reduce((rest, name) => rest - h[name][i], n))],
    ["4xx, left", "quiet", (h) => h.rejected.map((n, i) => n + h.left[i])],
    ["429", "warn", (h) => h.limited], ["5xx", "bad", (h) => h.errors]] },
  { title: "Latency", format: time, least: 2, series: [["Median", "accent", (h) => h.p50_ms], ["95 %", "second", (h) => h.p95_ms]] },
  { title: "Cost", stack: true, format: usd, least: 0, sum: true, series: [["US dollars", "accent", (h) => h.cost_usd]] },
  { title: "Tokens", stack: true, format: count, least: 4, sum: true, series: [
    ["Prompts", "accent", (h) => h.input_tokens], ["Answers", "second", (h) => h.output_tokens]] },
];
const HIGH = 164, LEFT = 46, RIGHT = 4, TOP = 8, BOTTOM = 22;
const nice = (most) => { const unit = 10 ** Math.floor(Math.log10(most)); return [1, 2, 3, 4, 6, 8, 10].map((n) => n * unit).find((n) => n >= most * 0.9999); };

class Chart {
  constructor(graph) {
    this.graph = graph;
    this.at = -1;
    const keys = graph.series.map(([name, color]) => el("span", { class: `key c-${color}` }, el("i"), name));
    this.total = el("span", { class: "total" });
    this.plot = el("div", { class: "plot", tabindex: 0, role: "img", "aria-label": graph.title });
    this.tip = el("div", { class: "tip", role: "status" });
    this.tip.hidden = true;
    this.node = el("figure", { class: "card chart" }, el("figcaption", {}, el("b", { text: graph.title }), ...keys, this.total), this.plot, this.tip);
    const point = (event) => this.point(Math.floor((event.clientX - this.plot.getBoundingClientRect().left - LEFT) / this.pitch));
    this.plot.addEventListener("pointermove", point);
    this.plot.addEventListener("pointerdown", point);
    this.plot.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") this.point(-1); });
    this.plot.addEventListener("blur", () => this.point(-1));
    this.plot.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: Math.max(0, (this.at < 0 ? this.length : this.at) - 1), ArrowRight: Math.min(this.length - 1, this.at + 1),
        Home: 0, End: this.length - 1, Escape: -1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.point(to);
    });
    new ResizeObserver(() => { if (state.status) this.draw(); }).observe(this.plot);
  }
  read() {
    const { history } = state.status, of = history[state.range === "hours" ? "hours" : "minutes"];
    const from = state.range === "hour" ? of.requests.length - 60 : 0;
    this.step = of.step_seconds * 1000;
    this.start = Date.parse(of.from) + from * this.step;
    this.values = this.graph.series.map(([, , values]) => values(of).slice(from));
    this.length = this.values[0].length;
  }
  draw() {
    this.read();
    const { graph, values, length } = this, width = this.plot.clientWidth;
    if (!width) return;
    const heights = values[0].map((_, i) => graph.stack ? values.reduce((sum, list) => sum + list[i], 0) : Math.max(...values.map((list) => list[i] ?? 0)));
    const most = Math.max(...heights), top = nice(Math.max(most, graph.least) || 1), high = HIGH - TOP - BOTTOM;
    this.pitch = (width - LEFT - RIGHT) / length;
    const x = (i) => LEFT + i * this.pitch, y = (v) => TOP + high * (1 - v / top);
    const root = svg("svg", { viewBox: `0 0 ${width} ${HIGH}`, "aria-hidden": "true" });
    for (const part of most ? [0, 0.5, 1] : [0]) {
      root.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(top * part), y2: y(top * part) }));
      root.append(svg("text", { x: LEFT - 8, y: y(top * part) + 4, "text-anchor": "end" }, plain(graph.format(top * part))));
    }
    this.axis(root, x, width);
    this.band = svg("rect", { class: "band", y: TOP, height: high, width: Math.max(this.pitch, 2), visibility: "hidden" });
    root.append(this.band);
    const below = new Array(length).fill(0), gap = this.pitch > 5 ? 1.5 : this.pitch > 3 ? 0.6 : 0;
    values.forEach((list, series) => {
      let d = "";
      list.forEach((value, i) => {
        if (graph.stack && value > 0) {
          const tall = Math.max(1.5, high * value / top), foot = y(below[i]);
          d += `M${(x(i) + gap / 2).toFixed(1)},${foot.toFixed(1)}v${-tall.toFixed(1)}h${(this.pitch - gap).toFixed(1)}v${tall.toFixed(1)}z`;
          below[i] += value;
        } else if (!graph.stack && value != null) {
          const joined = i && list[i - 1] != null;
          d += `${joined ? "L" : "M"}${(x(i) + this.pitch / 2).toFixed(1)},${y(value).toFixed(1)}${joined ? "" : "h.01"}`;
        }
      });
      root.append(svg("path", { d, class: `c-${graph.series[series][1]}${graph.stack ? "" : " line"}` }));
    });
    // The step under way is not over.
    if (graph.stack) root.append(svg("rect", { class: "fresh", x: x(length - 1), y: TOP, width: this.pitch, height: high }));
    if (!most) root.append(svg("text", { class: "quiet", x: (width + LEFT) / 2, y: HIGH / 2 }, "Nothing in this time"));
    this.plot.replaceChildren(root);
    const sum = heights.reduce((all, one) => all + one, 0);
    say(this.total, graph.sum && most ? `${graph.format(sum)} in all` : "");
    const back = { hour: "the last hour", minutes: "the last 3 hours", hours: "the last 2 days" }[state.range];
    this.plot.setAttribute("aria-label", `${graph.title} over ${back}: ${graph.sum ? `${graph.format(sum)} in all, ` : ""}at most ${graph.format(most)}. Arrow keys read single values.`);
    this.point(this.at);
  }
  axis(root, x, width) {
    const every = { hour: 15, minutes: 30, hours: 12 }[state.range] * (width < 420 && state.range === "minutes" ? 2 : 1);
    const zone = this.step === 60000 ? 0 : new Date(this.start).getTimezoneOffset() * 60000;
    for (let i = 0; i < this.length; i++) {
      const at = this.start + i * this.step;
      if (((at - zone) / this.step) % every) continue;
      const place = x(i), anchor = place < LEFT + 16 ? "start" : place > width - 20 ? "end" : "middle";
      root.append(svg("line", { class: "grid", x1: place, x2: place, y1: HIGH - BOTTOM, y2: HIGH - BOTTOM + 4 }));
      root.append(svg("text", { x: place, y: HIGH - 4, "text-anchor": anchor }, clock(new Date(at))));
    }
  }
  point(index) {
    const on = index >= 0 && index < this.length;
    this.at = on ? index : -1;
    this.tip.hidden = !on;
    this.band?.setAttribute("visibility", on ? "visible" : "hidden");
    if (!on) return;
    const { graph } = this, at = new Date(this.start + index * this.step), middle = LEFT + (index + 0.5) * this.pitch;
    this.band.setAttribute("x", LEFT + index * this.pitch);
    const day = this.step > 60000 ? at.toLocaleDateString("en-GB", { weekday: "short" }) + " " : "";
    const rows = graph.series.map(([name, color], i) => el("p", {},
      el("span", { class: `key c-${color}` }, el("i"), name), el("span", { text: graph.format(this.values[i][index]) })));
    this.tip.replaceChildren(el("p", { text: `${day}${clock(at)} – ${clock(new Date(+at + this.step))}` }), ...rows);
    const room = this.node.clientWidth, wide = this.tip.offsetWidth, left = 16 + middle + 10;
    this.tip.style.left = `${Math.max(4, left + wide > room - 4 ? 16 + middle - wide - 10 : left)}px`;
  }
}
const charts = GRAPHS.map((graph) => new Chart(graph));
$("charts").append(...charts.map((chart) => chart.node));
for (const input of document.getElementsByName("range")) {
  input.addEventListener("change", () => { state.range = input.value; charts.forEach((chart) => { chart.at = -1; if (state.status) chart.draw(); }); });
}

// Tables. Roles are said aloud, because on a phone rows are shown as cards, and then browsers forget them.
function table(node, columns, rows, empty) {
  const cells = (row) => columns.map(([label, , kind = ""], i) => {
    const made = columns[i][1](row), cell = el("td", { role: "cell", "data-label": label, class: kind + (made === "" || made === "–" ? " blank" : "") });
    cell.append(...[made].flat());
    return cell;
  });
  const head = el("tr", { role: "row" }, ...columns.map(([label, , kind]) => el("th", { role: "columnheader", scope: "col", class: kind === "num" ? kind : "", text: label })));
  const body = rows.length ? rows.map((row) => el("tr", { role: "row" }, ...cells(row)))
    : [el("tr", { role: "row" }, el("td", { role: "cell", class: "empty", colspan: columns.length, text: empty }))];
  node.replaceChildren(el("thead", { role: "rowgroup" }, head), el("tbody", { role: "rowgroup" }, ...body));
}
const code = (text) => el("code", { text });
const pill = (tone, text) => el("span", { class: `pill t-${tone}`, text });

const fresh = (v) => v.first_token_ms == null && v.success_rate === 1;
function health(v) {
  if (v.breaker === "open") return pill("bad", `Open for ${time(v.open_for_ms)}, ${v.open_because}`);
  if (v.breaker === "half_open") return pill("warn", "Trying again");
  if (v.breaker === "warming") return pill("warn", "Warming up");
  if (fresh(v)) return pill("idle", "Not used yet");
  return v.success_rate < 0.9 ? pill("warn", "Failing at times") : pill("ok", "Healthy");
}
function vendors(list) {
  const left = (v) => [v.requests_left != null && `${count(v.requests_left)} requests`, v.tokens_left != null && `${count(v.tokens_left)} tokens`].filter(Boolean).join(", ");
  const order = list.map((v) => v.vendor);
  list.sort((a, b) => order.indexOf(a.vendor) - order.indexOf(b.vendor));
  table($("vendors"), [
    ["Vendor", (v) => [el("span", { text: v.vendor }), ...(v.kind && v.kind !== v.vendor ? [el("span", { class: "sub", text: v.kind })] : [])], "lead"],
    ["Model", (v) => [code(v.model)]],
    ["State", health],
    ["Success", (v) => fresh(v) ? "–" : percent(v.success_rate), "num"],
    ["First token", (v) => time(v.first_token_ms), "num"],
    ["Per token", (v) => v.per_token_ms == null ? "–" : v.per_token_ms < 100 ? `${v.per_token_ms.toFixed(1)} ms` : time(v.per_token_ms), "num"],
    ["In flight", (v) => count(Math.round(v.in_flight)), "num"],
    ["Left at vendor", (v) => left(v) || "–", "num"],
    ["Per hour", (v) => usd(Number(v.usd_per_hour)), "num"],
  ], list, "No vendor serves a model: none has a credential.");
  const open = list.filter((v) => v.breaker === "open").length;
  say($("vendors-note"), open ? `${open} of ${list.length} open` : list.length ? `${list.length} in all, none open` : "");
}

const KINDS = { requests: "requests", tokens: "tokens", concurrent: "at once", budget_hour: "per hour", budget_day: "per day", budget_month: "per month" };
function meter(part, tone, label) {
  const fill = el("i"), node = el("div", { class: `meter ${tone}`, role: "meter", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(part * 100), "aria-label": label });
  fill.style.width = `${Math.min(100, part * 100)}%`;
  node.append(fill);
  return node;
}
function limits({ kept_in, count: all, uses }) {
  const here = kept_in === "gateway";
  const rows = uses.map((u) => {
    const show = u.unit === "usd" ? usd : count, part = here ? u.used / (u.bound || 1) : 0;
    const name = el("span", { text: u.of }), chip = (text) => el("span", { class: "chip", text });
    const what = u.rate ? `${KINDS[u.limit] ?? u.limit}, ${u.rate}` : KINDS[u.limit] ?? u.limit;
    const row = el("li", {}, el("span", { class: "who" }, chip(u.role), name, el("span", { class: "muted", text: what }), ...(u.mode === "observe" ? [chip("only observed")] : [])),
      el("span", { class: "num", text: here ? `${show(u.used)} of ${show(u.bound)}` : `of ${show(u.bound)}` }));
    if (here) row.append(meter(part, part >= 1 ? "t-bad" : part >= 0.8 ? "t-warn" : "", `${u.role} ${u.of}, ${what}`),
      el("span", { class: "when", "data-resets": u.used && u.resets || "" }));
    return row;
  });
  $("limits").replaceChildren(...(rows.length ? rows : [el("li", { class: "empty", text: "No key, tenant, model or vendor has a limit." })]));
  say($("limits-note"), !here && all ? "Counted in Redis, for all gateways" : all > uses.length ? `the fullest ${uses.length} of ${all}` : "");
}

function facts({ cache, redis, configuration: c, started }) {
  const rows = [];
  const fact = (name, ...value) => rows.push(el("dt", { text: name }), el("dd", {}, ...value));
  if (cache.enabled) {
    const { l1 } = cache;
    fact("Answers kept", `${l1.exact ? "" : "about "}${count(l1.entries)} in memory`);
    fact("Memory", `${bytes(l1.bytes)} of ${bytes(l1.max_bytes)}`, meter(l1.bytes / l1.max_bytes, "", "Memory for kept answers"));
    fact("Fresh for", `${span(cache.ttl_seconds)}, stale ${span(cache.stale_seconds)} more`);
    fact("Shared within", { key: "a key", tenant: "a tenant", shared: "all keys" }[cache.scope] ?? cache.scope);
  } else fact("Answers kept", "none: no cache is configured");
  fact("Redis", !redis.configured ? "not configured" : redis.answers ? pill("ok", redis.cluster ? "cluster answers" : "answers") : pill("bad", "absent"));
  fact("Serves", `${count(c.models)} models, ${count(c.vendors)} vendors, ${count(c.keys)} keys`);
  fact("Attempts", `${c.attempts}, first token within ${plain(time(c.first_token_timeout_ms))}, whole answers within ${plain(time(c.answer_timeout_ms))}`);
  fact("Weights", `cost ${c.weights.cost}, success ${c.weights.success}, latency ${c.weights.latency}`);
  fact("Listens on", code(c.listen));
  if (started) fact("Since", new Date(started).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }));
  $("facts").replaceChildren(...rows);
}

const REASONS = {
  limited_requests: "Too many requests", limited_tokens: "Too many tokens", limited_budget: "Budget used up", overloaded: "Gateway is full",
  limits_absent: "Limits cannot be checked", unauthorized: "No good key", forbidden: "Not permitted", unknown_model: "Unknown model",
  unknown_path: "Unknown path", wrong_method: "Wrong method", invalid: "Invalid field", malformed: "Malformed request", unserved: "No credential for any vendor",
  unsupported: "No vendor can express it", slow_client: "Client too slow", too_large: "Request too large", internal: "Defect in the gateway",
  total_timeout: "Out of time", upstream_rate_limit: "Vendor is rate limited", upstream_quota: "Vendor has no quota", upstream_auth: "Vendor rejects the credential",
  upstream_unreachable: "Vendor unreachable", upstream_timeout: "Vendor too slow", upstream_error: "Vendor failed", upstream_overloaded: "Vendor overloaded",
  upstream_unavailable: "Vendor unavailable", upstream_invalid: "Vendor refuses the request", key_store_absent: "Key cannot be looked up",
};
function refusals(list) {
  const why = (r) => Object.hasOwn(REASONS, r.reason) ? [el("span", { text: REASONS[r.reason] }), el("code", { class: "sub", text: r.reason })] : [code(r.reason)];
  table($("refusals"), [
    ["Reason", why, "lead"],
    ["Status", (r) => el("span", { class: `status ${r.status >= 500 ? "t-bad" : r.status === 429 ? "t-warn" : ""}`, text: r.status })],
    ["Times", (r) => `${count(r.times)}×`, "num"],
    ["Last", (r) => el("time", { datetime: r.at, title: new Date(r.at).toLocaleString("en-GB") })],
    ["Endpoint", (r) => code(r.endpoint)],
    ["Key", (r) => r.key ?? ""],
    ["Model", (r) => r.model === "none" ? "" : code(r.model)],
    ["Attempts", (r) => r.attempts ? code(r.attempts) : ""],
  ], list, "Nothing was refused since the gateway started.");
  const all = list.reduce((sum, r) => sum + r.times, 0);
  say($("refusals-note"), all > 1 ? `${count(all)}, of ${list.length} kind${list.length > 1 ? "s" : ""}, the latest first` : "");
}
// What ages between two answers, by the gateway's clock.
function ages() {
  const now = Date.now() + state.skew;
  for (const node of $("refusals").querySelectorAll("time")) say(node, `${span((now - Date.parse(node.dateTime)) / 1000)} ago`);
  for (const node of $("limits").querySelectorAll("[data-resets]")) {
    const at = node.dataset.resets;
    say(node, at ? `resets in ${span((Date.parse(at) - now) / 1000)}` : "");
  }
}

paint();
const kept = memory.get(sessionStorage, "weir-key");
if (kept) open(kept); else $("key").focus();
