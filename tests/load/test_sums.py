"""The sums of the harnesses: medians and ratios, slopes, books, and what is read from a process."""

import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / name) for name in ("bench", "soak", "chaos"))]
import figures  # noqa: E402
import storm  # noqa: E402
from actors import Account, Kind, parse  # noqa: E402
from books import problems  # noqa: E402
from growth import Bound, judge, plot, slope, thinned  # noqa: E402
from rows import PIECES, ROWS, Row, chosen  # noqa: E402
from samples import machines, requests  # noqa: E402


@pytest.mark.parametrize(("points", "steep"), [
    ([(0, 1), (1, 1), (2, 1)], 0),
    ([(0, 0), (1, 2), (2, 4), (3, 6)], 2),
    ([(0, 0), (1, 2), (2, 400), (3, 6), (4, 8)], 2),
    ([(5, 1)], 0),
    ([(1, 1), (1, 9)], 0),
])
def test_a_slope(points, steep):
    assert slope(points) == pytest.approx(steep)


FLAT = Bound(0.01, 1)
WAVES = [0, 3, -3, 1, -1, 2, -2]


@pytest.mark.parametrize(("value", "flat"), [
    (lambda x: 100, True),
    (lambda x: 100 + WAVES[x % 7], True),
    # It fills up in the first half, and gives some back in the second.
    (lambda x: min(x, 90), True),
    (lambda x: 200 - x / 10, True),
    (lambda x: 100 + x / 20, False),
    (lambda x: 100 + x / 5 + WAVES[x % 7], False),
])
def test_growth(value, flat):
    verdict = judge([(x, value(x)) for x in range(200)], FLAT)
    assert verdict.flat is flat, verdict


def test_too_few_samples_say_nothing():
    with pytest.raises(ValueError, match="too few"):
        judge([(x, 1) for x in range(6)], FLAT)


def test_points_are_thinned():
    assert thinned(list(range(10)), 400) == list(range(10))
    assert len(thinned(list(range(4001)), 400)) <= 400


def test_a_picture():
    points = [(x, 2 * x) for x in range(20)]
    drawn = plot([("memory", points, judge(points, FLAT)), ("rate", points, None)])
    assert drawn.count("<polyline") == 2 and "memory; grew" in drawn and "#b00020" in drawn


def figure(cpu, rate=1000, p50=100):
    return {"requests_per_second": rate, "cpu_us": cpu, "p50_us": p50, "p99_us": 2 * p50, "resident_mb": 70}


def test_ratios_are_of_the_same_round():
    rows = [Row("bare 1 KB", "bare"), Row("relay 1 KB", "weir", "bare 1 KB")]
    # The machine was three times slower in the last round; the ratio was not.
    results = {"bare 1 KB": [figure(50), figure(52), figure(150, p50=300)],
               "relay 1 KB": [figure(100, 500, 150), figure(104, 500, 160), figure(300, 500, 360)]}
    told = figures.summary(rows, results, {})["rows"]["relay 1 KB"]
    assert (told["cpu_ratio"], told["requests_ratio"], told["p50_added_us"]) == (2, 0.5, 60)
    assert "cpu_ratio" not in figures.summary(rows, results, {})["rows"]["bare 1 KB"]


def test_a_chunk_costs_what_a_longer_stream_costs_more():
    results = {"bare stream of 1": [figure(50)], f"bare stream of {PIECES}": [figure(50 + 49 * 10)],
               "stream of 1": [figure(120)], f"stream of {PIECES}": [figure(120 + 49 * 15)]}
    assert figures.chunk(results) == {"bare_us": 10, "weir_us": 15, "cpu_ratio": 1.5}
    assert figures.chunk({"stream of 1": []}) is None


def test_a_page_has_another_middle():
    about = {"machine": {"cores": 2, "cpu": "a CPU", "kernel": "6.1"}, "rounds": 1, "seconds": 2}
    rows = [Row("bare 1 KB", "bare"), Row("relay 1 KB", "weir", "bare 1 KB")]
    made = figures.page(figures.summary(rows, {"bare 1 KB": [figure(50)], "relay 1 KB": [figure(75)]}, about))
    page = f"before {figures.BEGIN} old {figures.END} after"
    assert "| relay 1 KB | 1000 | 75.0 | bare 1 KB | 1.50 |" in (new := figures.put(page, made))
    assert "| relay 1 KB: CPU, times a bare Envoy | 1.3 | 1.5 | no |" in new
    assert new.startswith("before ") and new.endswith(" after") and "old" not in new
    assert figures.put(new, made) == new
    with pytest.raises(SystemExit):
        figures.put("no markers", made)


def test_rows_know_what_they_are_compared_with():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert {row.basis for row in ROWS if row.basis} <= set(names)
    assert [row.name for row in chosen(["L1 hit"])] == ["bare 1 KB", "L1 hit"]
    for row in ROWS:
        assert abs(len(row.body()) - row.kilobytes * 1024) < 200, (row.name, len(row.body()))
        assert row.body().count("SEED") == 1


KINDS = [Kind("whole", 1, {}, "k"), Kind("leaves", 1, {}, "k", may=frozenset({"left"})),
         Kind("fails", 1, {}, "k", may=frozenset({"502"}))]
GOOD = {("whole", "200"): 10, ("leaves", "left"): 3, ("fails", "502"): 2}
STATUSES, ATTEMPTS, VENDORS = {"200": 11, "499": 2, "502": 2}, {("a", "ok"): 11, ("a", "502"): 2, ("a", "cancelled"): 1}, {"a": 14}


def found(counts=GOOD, statuses=STATUSES, attempts=ATTEMPTS, vendors=VENDORS):
    return "; ".join(problems(Account(Counter(counts)), KINDS, statuses, attempts, vendors))


@pytest.mark.parametrize(("wrong", "says"), [
    ({}, ""),
    ({"vendors": {"a": 13}}, ""),
    ({"counts": {**GOOD, ("whole", "unreachable"): 1}}, "1 of the kind whole ended as unreachable"),
    ({"counts": {**GOOD, ("whole", "200"): 9}}, "the clients sent 14 requests, the gateway counted 15"),
    ({"counts": {**GOOD, ("whole", "wrong"): 1}, "statuses": {**STATUSES, "200": 12}}, "1 of the kind whole ended as wrong"),
    ({"statuses": {"200": 5, "499": 2, "502": 8}}, "2 clients got a 502, 3 left, the gateway counted 8"),
    ({"statuses": {"200": 9, "499": 4, "502": 2}}, "10 clients got a 200, the gateway counted 9"),
    ({"statuses": {"200": 12, "499": 3}}, "2 clients got a 502, 3 left, the gateway counted 0"),
    ({"statuses": {"200": 11, "499": 2, "302": 2}}, "the gateway counted 2 of 302"),
    ({"vendors": {"a": 15}}, "a got 15 requests"),
    ({"vendors": {"a": 12}}, "a got 12 requests"),
])
def test_books(wrong, says):
    assert says in found(**wrong) if says else not found(**wrong)


def test_what_the_load_prints():
    account = parse("count\twhole\t200\t7\ncount\twhole\tunreachable\t2\nbin\t3\t7\t2\t15\nclient\t2\nlost\t31\twhole\tsilent\n")
    assert account.sent == 7 and account.of("unreachable") == 2
    assert (account.bins, account.clients, account.lost) == ([(3, 7, 2, 15)], [2], [(31, "whole", "silent")])


def test_a_storm():
    bins = [(number, 10, 0, 5) for number in range(20)] + [(20, 2, 8, 400), (21, 10, 0, 5)]
    account = Namespace(bins=bins, of=Counter({"200": 212, "503": 5, "cut": 1, "unreachable": 4}).__getitem__,
                        counts={("whole", "silent"): 2, ("stream", "broken"): 1, ("whole", "200"): 212})
    outcome = storm.Outcome("a fault", account, 1.95, 2.05)
    assert (outcome.answered, outcome.refused, outcome.lost(), outcome.lost("whole")) == (212, 6, 3, 2)
    assert outcome.slowest == 400 and outcome.whole_after == pytest.approx(0.15)
    assert outcome.rate(0, 1) == 100
    made = storm.put(f"a{storm.BEGIN}{storm.END}b", [outcome.row()], "about")
    assert "| a fault | 0.1 s |" in made and "| 212 | 6 | 3 | 4 | 400 | 0.2 s |" in made
    assert made.startswith("a") and made.endswith("b")


def test_the_memory_of_virtual_machines():
    smaps = ("1000-2000 rw-p 00000000 00:00 0 \nRss: 4 kB\n2000-200002000 ---p 00000000 00:00 0 \n"
             "300000000-300001000 rw-p 00000000 00:00 0 [heap]\n300001000-300002000 ---p 00000000 00:00 0 \n"
             "400000000-400001000 rw-p 00000000 08:01 77 /lib/x\n400001000-600001000 ---p 00000000 00:00 0 \n")
    assert machines(smaps) == 0x1000


def test_what_the_gateway_counts():
    def labels(**pairs):
        return frozenset(pairs.items())

    metrics = {("api_gateway_requests_total", labels(method="POST", status="200", vendor="a")): 3.0,
               ("api_gateway_requests_total", labels(method="POST", status="200", vendor="b")): 4.0,
               ("api_gateway_requests_total", labels(method="GET", status="200", vendor="none")): 9.0,
               ("api_gateway_attempts_total", labels(vendor="a", outcome="ok", model="m")): 3.0}
    assert requests(metrics) == ({"200": 7}, {("a", "ok"): 3})
