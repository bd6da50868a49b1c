"""Redis nodes that die, stop, crawl and vanish. No request needs one, so nothing is lost, and nobody is refused."""

import time

import pytest

from redis_servers import Cluster, Redis
from storm import storm

FAULTS = {
    "Redis is killed": (lambda redis, line: redis.kill(), lambda redis, line: redis.start()),
    "Redis is paused": (lambda redis, line: redis.hang(), lambda redis, line: redis.go_on()),
    "Redis needs 20 ms longer": (lambda redis, line: line.slow(0.01), lambda redis, line: line.slow(0)),
    "Redis needs 400 ms longer": (lambda redis, line: line.slow(0.2), lambda redis, line: line.slow(0)),
    "the line to Redis is cut": (lambda redis, line: line.cut(), lambda redis, line: line.good()),
    "the line to Redis swallows all": (lambda redis, line: line.silent(), lambda redis, line: line.good()),
}


def unharmed(outcome, gateway):
    assert outcome.lost() == outcome.refused == 0, outcome.account.counts
    assert outcome.answered > 500, "the load was no load"
    assert gateway.counted("api_gateway_redis_batches_total", result="ok") > 0, "Redis was asked"


@pytest.mark.parametrize("name", FAULTS)
def test_one_redis(scene, rows, name):
    fault, mend = FAULTS[name]
    redis = scene.start(Redis(scene.directory))
    line = scene.line(redis.port)
    gateway = scene.gateway(redis={"urls": [f"redis://127.0.0.1:{line.port}"]}, cache={})
    with storm(scene.load(gateway), name, rows) as kept:
        fault(redis, line)
        time.sleep(2)
        mend(redis, line)
    unharmed(kept[0], gateway)


@pytest.mark.parametrize("name", ["killed", "paused"])
def test_a_master_of_a_cluster(scene, rows, name):
    cluster = scene.start(Cluster(scene.directory))
    gateway = scene.gateway(redis={"urls": cluster.urls, "cluster": True}, cache={})
    with storm(scene.load(gateway), f"a master of a Redis Cluster is {name}", rows) as kept:
        master = cluster.nodes[0]
        master.kill() if name == "killed" else master.hang()
        time.sleep(3)
        master.start() if name == "killed" else master.go_on()
    unharmed(kept[0], gateway)
