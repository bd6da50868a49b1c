"""Envoy itself: paused, killed, and its filter crashing, which a worker gets over alone."""

import os
import re
import signal
import time

from gateway import until
from storm import storm


def test_envoy_is_paused(scene, rows):
    gateway = scene.gateway()
    with storm(scene.load(gateway), "Envoy is paused", rows) as kept:
        os.kill(gateway.envoy_pid, signal.SIGSTOP)
        time.sleep(1)
        os.kill(gateway.envoy_pid, signal.SIGCONT)
    assert kept[0].lost() == kept[0].refused == 0, kept[0].account.counts
    assert 900 < kept[0].slowest < 3000


def test_envoy_is_killed(scene, rows):
    """`weir run` ends with an error, and whoever looks after it starts it again."""
    gateway = scene.gateway()
    with storm(scene.load(gateway), "Envoy is killed, and Weir started again", rows, after=2) as kept:
        os.kill(gateway.envoy_pid, signal.SIGKILL)
        assert gateway.process.wait(5) != 0
        gateway.start()
    outcome = kept[0]
    # What was under way; and `weir run` tries the port before it starts, so a client may connect to nobody.
    assert outcome.lost() <= 2 * 16, outcome.account.counts
    assert outcome.account.of("wrong") == outcome.account.of("silent") == 0, outcome.account.counts
    assert outcome.rate(outcome.ended + 1, outcome.ended + 2) > outcome.before / 2, "it is as before"
    assert outcome.whole_after < 8


def connections(gateway):
    """How many clients each worker has."""
    found = re.findall(rf"^listener\.\S+_{gateway.port}\.worker_(\d+)\.downstream_cx_active: (\d+)$", gateway.admin("/stats"), re.M)
    return [int(count) for _, count in found]


def trapped(gateway, scene):
    """Asks for a crash; what the one who asks is told."""
    return gateway.chat(messages=[{"role": "user", "content": "[[trap]]"}], model="m").status


def test_the_filter_crashes(scene, rows, trap):
    gateway = scene.gateway(trap)
    # A tenth of a second each, so that many are under way when it happens.
    load = scene.load(gateway, scene.kind("whole"), scene.kind("stream", "[[pieces=20 gap=5000]]", stream=True))
    with storm(load, "the filter crashes in one of two workers", rows) as kept:
        workers = connections(gateway)
        assert trapped(gateway, scene) == 503
    outcome = kept[0]
    assert len(workers) == 2 and sum(workers) >= 16, workers
    # Clients of the other worker notice nothing.
    harmed = sum(1 for bad in outcome.account.clients if bad)
    assert 0 < harmed <= max(workers), (harmed, workers)
    assert outcome.lost("whole", "stream") <= max(workers), "what that worker had under way, and nothing else"
    assert outcome.account.of("wrong") == outcome.account.of("silent") == 0, outcome.account.counts
    assert outcome.rate(outcome.began + 1.2, outcome.began + 1.5) > outcome.before / 2, "it is as before"
    assert outcome.whole_after <= 1.2
    assert until(lambda: re.search(r"vm_reload_success: [1-9]", gateway.admin("/stats?filter=vm_reload")))


def test_the_filter_crashes_again_and_again(scene, rows, trap):
    gateway = scene.gateway(trap)
    with storm(scene.load(gateway, scene.kind("whole")), "the filter crashes ten times", rows, after=3) as kept:
        for _ in range(10):
            trapped(gateway, scene)
            time.sleep(0.2)
    outcome = kept[0]
    assert outcome.account.of("wrong") == outcome.account.of("silent") == 0, outcome.account.counts
    assert outcome.rate(outcome.ended + 2, outcome.ended + 3) > outcome.before / 2, "it is as before"
