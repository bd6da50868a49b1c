"""Limits that several Envoys share through one Redis, or one Redis Cluster."""

import threading
import time

import pytest

import load
from redis_servers import Cluster, Redis
from test_limits import ASKED, BOUNDS, ROUNDS, Limited


@pytest.fixture(scope="module", params=["single", "cluster"])
def shared(request, stage, launch, tmp_path_factory):
    """Three gateways with the same keys; what they share."""
    server = (Redis if request.param == "single" else Cluster)(tmp_path_factory.mktemp("redis"))
    first = Limited(stage, tmp_path_factory.mktemp("shared"))
    keys = first.bounded()
    keys["outage"] = [first.limited(limits={"requests": {"rate": "50/s", "burst": 50}}) for _ in range(3)]
    free = first.key("free")
    gateways = []
    try:
        server.start()
        for number in range(3):
            setting = Limited(stage, tmp_path_factory.mktemp(f"shared-{number}"))
            setting.secrets = first.secrets
            setting.config["keys"] = first.config["keys"]
            # Long, so that on a busy machine Redis decides, and nobody in its place.
            setting.config["redis"] = {"urls": server.urls if request.param == "cluster" else [server.url],
                                       "cluster": request.param == "cluster", "timeout": "2s"}
            setting.config["limits"]["gateways"] = 3
            gateways.append(launch(setting.gateway(free)))
        started = [gateway.__enter__() for gateway in gateways]
        started[0].keys, started[0].server = keys, server
        yield started
    finally:
        for gateway in gateways:
            gateway.__exit__(None, None, None)
        server.stop()


@pytest.mark.parametrize("turn", range(ROUNDS))
@pytest.mark.parametrize("bound", BOUNDS)
def test_nothing_passes_beyond_a_bound(shared, bound, turn):
    load.use_up(BOUNDS[bound], shared, shared[0].keys[bound][turn], ASKED)


def test_nobody_decided_in_the_place_of_redis(shared):
    assert sum(gateway.counted("api_gateway_limits_fallback_total") for gateway in shared) == 0


def test_an_outage_fails_no_request(shared):
    """A node dies under load, or the only one; limits go on at a third for each gateway, and Redis decides again soon."""
    server, key = shared[0].server, shared[0].keys["outage"][0]
    victim = server.owner("{key:limited-30}") if isinstance(server, Cluster) else server

    def outage():
        threading.Event().wait(0.5)
        victim.kill()
        threading.Event().wait(1)
        victim.start()

    account = load.run(shared, key, ASKED, seconds=3, during=outage)
    assert not account.broken, account.broken[:3]
    assert set(account.statuses) <= {200, 429}, account.statuses
    assert account.slowest < 3, account.slowest
    if isinstance(server, Cluster):
        assert wait_until_whole(server)
    threading.Event().wait(2)
    before = sum(gateway.counted("api_gateway_limits_fallback_total") for gateway in shared)
    account = load.run(shared, shared[0].keys["outage"][1], ASKED, seconds=0.5)
    after = sum(gateway.counted("api_gateway_limits_fallback_total") for gateway in shared)
    assert after == before, "Redis decides again"
    assert account.admitted <= 50 + 50 * account.seconds, account


def wait_until_whole(cluster, seconds=15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if cluster.is_whole():
            return True
        threading.Event().wait(0.1)
    return False
