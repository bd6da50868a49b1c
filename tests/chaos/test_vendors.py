"""Vendors that die, stop, crawl and vanish. While another is alive nothing is lost."""

import time

import pytest

from conftest import ROUTING
from storm import storm


def unharmed(outcome):
    """All that had not begun to be answered was answered, by somebody."""
    assert outcome.lost("whole") == 0, outcome.account.counts
    assert outcome.refused == 0, outcome.account.counts
    # A stream that has begun cannot go on elsewhere.
    assert outcome.lost("stream") <= 16, outcome.account.counts
    assert outcome.answered > 500, "the load was no load"


FAULTS = {
    "a vendor is killed": (lambda scene: scene.a.kill(), lambda scene: scene.a.start()),
    "a vendor is paused": (lambda scene: scene.a.pause(), lambda scene: scene.a.go_on()),
    "a vendor needs 300 ms longer": (lambda scene: scene.to_a.slow(0.15), lambda scene: scene.to_a.slow(0)),
    "a vendor needs 3 s longer": (lambda scene: scene.to_a.slow(1.5), lambda scene: scene.to_a.slow(0)),
    "the line to a vendor is cut": (lambda scene: scene.to_a.cut(), lambda scene: scene.to_a.good()),
    "the line to a vendor swallows all": (lambda scene: scene.to_a.silent(), lambda scene: scene.to_a.good()),
}


@pytest.mark.parametrize("name", FAULTS)
def test_another_vendor_is_alive(scene, rows, name):
    fault, mend = FAULTS[name]
    gateway = scene.gateway()
    load = scene.load(gateway)
    with storm(load, name, rows) as kept:
        fault(scene)
        time.sleep(2)
        mend(scene)
    unharmed(kept[0])
    assert gateway.counted("api_gateway_attempts_total", vendor="b", outcome="ok") > 0 or "longer" in name
    assert gateway.counted("api_gateway_attempts_total", vendor="a", outcome="ok") > 0


def test_a_slow_vendor_is_left(scene, rows):
    """The others are asked in the order of the file; here, who does best."""
    gateway = scene.gateway(routing=ROUTING | {"weights": {"cost": 1, "success": 1, "latency": 1}})
    with storm(scene.load(gateway), "the same, and routing learns", rows) as kept:
        scene.to_a.slow(0.15)
        time.sleep(2)
        scene.to_a.slow(0)
    unharmed(kept[0])
    assert kept[0].rate(kept[0].began + 1, kept[0].ended) > kept[0].before / 2, "who is slow is still asked"


def test_a_vendor_comes_and_goes(scene, rows):
    gateway = scene.gateway()
    with storm(scene.load(gateway), "a vendor is killed and started five times", rows) as kept:
        for _ in range(5):
            scene.a.kill()
            time.sleep(0.3)
            scene.a.start()
            time.sleep(0.3)
    unharmed(kept[0])


def test_nobody_is_alive(scene, rows):
    """Every client is told, and answered again as soon as there is a vendor."""
    gateway = scene.gateway()
    with storm(scene.load(gateway), "both vendors are killed", rows, after=4) as kept:
        scene.a.kill()
        scene.b.kill()
        time.sleep(1)
        scene.a.start()
        scene.b.start()
    assert kept[0].lost("whole") == 0 and kept[0].lost("stream") <= 16, kept[0].account.counts
    assert kept[0].refused > 100, kept[0].account.counts
    assert kept[0].rate(kept[0].ended + 3, kept[0].ended + 4) > kept[0].before / 2, "it is as before"


def test_kept_answers_stand_in(scene, rows):
    gateway = scene.gateway(cache={"ttl": "1s", "stale": "1h"})
    kept_kind = scene.kind("kept", mark="<OLD>")
    with storm(scene.load(gateway, kept_kind), "both vendors are killed, answers are kept", rows, before=3) as kept:
        scene.a.kill()
        scene.b.kill()
        time.sleep(2.5)
        scene.a.start()
        scene.b.start()
    assert kept[0].lost() == kept[0].refused == 0, kept[0].account.counts
    assert gateway.counted("api_gateway_degraded_total", rung="stale") > 0
