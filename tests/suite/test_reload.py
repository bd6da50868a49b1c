"""Another `weir.yaml` while the gateway runs: nobody who is being served notices, and a bad one changes nothing."""

import json
import os
import subprocess
import threading

import pytest

import load
from conftest import Setting
from gateway import ROOT, V1, WEIR, client_key, free_port, until
from redis_servers import Redis
from scripts import Gate, answer, fail, gated

ROUNDS = int(os.environ.get("RELOADS", 60))
ECHO = {"model": "echo", "messages": [{"role": "user", "content": "one two three"}]}


@pytest.fixture
def setting(stage, tmp_path):
    setting = Setting(stage, tmp_path)
    setting.config["vendors"].append({"name": "echo", "kind": "echo"})
    setting.model("echo", "echo")
    return setting


@pytest.fixture
def key(setting):
    return setting.key("suite")


def reload(gateway, code=0):
    """`weir reload`, as a person runs it; what it says."""
    command = [str(WEIR), "reload", "--config", str(gateway.directory / "weir.yaml")]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"], **gateway.env}, cwd=ROOT, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == code, (done, gateway.tail())
    return done.stdout + done.stderr


def change(gateway, **sections):
    gateway.config = {**gateway.config, **sections}
    gateway.save()
    return reload(gateway)


def test_nothing_is_warned_of(setting, key, launch):
    """Neither at the start nor when the configuration is another: whoever reads the log at night looks for warnings."""
    gateway = setting.gateway(key)
    with launch(gateway):
        change(gateway, limits={"body_bytes": "3MiB"})
        assert gateway.send("POST", V1, json.dumps(ECHO).encode(), [("authorization", f"Bearer {key}")]).status == 200
        assert "[warning]" not in gateway.tail(100_000)


@pytest.mark.timeout(300)
def test_reloads_under_load(setting, key, launch):
    """Vendors, models, keys and limits come and go."""
    base = setting.config
    other = [{**base["vendors"][0], "name": "echo-2"}]
    routes = {"name": "echo", "serve": [{"vendor": "echo-2"}]}

    def variant(number):
        _, entry = client_key(f"k{number}")
        if number % 2:
            return {"vendors": other, "models": [routes], "keys": [*base["keys"], entry]}
        return {"vendors": base["vendors"], "models": base["models"], "keys": base["keys"],
                "limits": {"body_bytes": f"{1 + number % 5}MiB"}}

    with launch(setting.gateway(key)) as gateway:
        memory, done = [], threading.Event()

        def reloads():
            for number in range(1, ROUNDS + 1):
                change(gateway, **variant(number))
                memory.append(gateway.resident())
            done.set()

        account = load.run([gateway], key, ECHO, connections=16, seconds=3600, during=reloads, ended=done)
        assert not account.broken, (account.broken[:3], gateway.tail())
        assert set(account.statuses) == {200}, account
        assert account.admitted > 10 * ROUNDS, "the load was no load"
        # After a quarter of them, everything that there will be is there.
        grown = memory[-1] - memory[ROUNDS // 4]
        assert grown < 8 << 20, [size >> 20 for size in memory[:: ROUNDS // 10]]


def test_reloads_do_not_disturb_the_way_to_redis(setting, key, launch, tmp_path):
    """The root that talks with it is another after each."""
    server = Redis(tmp_path / "redis").start()
    limits = {"requests": {"rate": "1000000/day", "burst": 1_000_000}}
    setting.config["redis"] = {"urls": [server.url], "timeout": "2s"}
    setting.config["keys"][0]["limits"] = limits
    with launch(setting.gateway(key)) as gateway:
        done = threading.Event()

        def reloads():
            for number in range(20):
                change(gateway, limits={"body_bytes": "8MiB", "in_flight": 500 + number % 2})
            done.set()

        account = load.run([gateway], key, ECHO, connections=16, seconds=3600, during=reloads, ended=done)
        assert not account.broken and set(account.statuses) == {200}, (account, gateway.tail())
        assert gateway.counted("api_gateway_limits_fallback_total") == 0, gateway.tail()
        left = int(gateway.chat().headers["x-ratelimit-remaining-requests"])
        # Some eleven come back in a second.
        assert 0 <= left - (1_000_000 - account.admitted - 1) < 12 * account.seconds + 12
        failed = gateway.counted("api_gateway_redis_batches_total", result="failed")
        assert failed == 0, "somebody waited for an answer that nobody heard"
    server.stop()


@pytest.mark.parametrize("routing", [{}, {"total_timeout": "8s"}], ids=["", "on another listener"])
def test_a_stream_ends_as_it_began(setting, key, stage, launch, routing):
    """Its vendor is gone from the file by then, and perhaps the listener is another."""
    setting.vendor(stage.vendor("streaming", "openai"))
    setting.model("leaving", "streaming")
    gates = [Gate(), Gate()]
    case = stage.case(streaming=gated("one two", gates))
    with launch(setting.gateway(key)) as gateway:
        gates[0].open()
        response = gateway.stream(case, "leaving")
        first = b""
        while b"one" not in first:
            first += response.read1()
        change(gateway, vendors=gateway.config["vendors"][:1], models=gateway.config["models"][:1],
               routing={**gateway.config["routing"], **routing})
        assert gateway.chat(case, "leaving").status == 404
        gates[1].open()
        assert (first + response.read()).endswith(b"data: [DONE]\n\n")


def test_a_request_on_its_way_finds_its_next_vendor(setting, key, stage, launch):
    """Though that has left the file meanwhile, and another has its place."""
    for name in ["slow", "next"]:
        setting.vendor(stage.vendor(name, "openai"))
    setting.model("both", "slow", "next")
    called, gate = Gate(), Gate()

    def slow(format, call):
        called.open()
        yield gate
        yield from fail(503)(format, call)

    case = stage.case(slow=slow, next=answer("from the next"))
    with launch(setting.gateway(key)) as gateway:
        answers = []
        asking = threading.Thread(target=lambda: answers.append(gateway.chat(case, "both")))
        asking.start()
        assert called.passed(), gateway.tail()
        change(gateway, vendors=gateway.config["vendors"][:1], models=gateway.config["models"][:1])
        gate.open()
        asking.join()
        [got] = answers
        assert (got.status, got.attempts) == (200, "slow:503,next:ok"), got


def test_a_bad_file_changes_nothing_and_says_why(setting, key, launch):
    with launch(setting.gateway(key)) as gateway:
        file = gateway.directory / "weir.yaml"
        good = file.read_text()
        for text, why in [
            (good.replace("name: echo", "nmae: echo", 1), "vendors[0].nmae: unknown"),
            (good.replace("vendor: echo", "vendor: ehco"), 'there is no vendor "ehco", only echo'),
            ("{", "unclosed bracket"),
            ("", "models"),
        ]:
            file.write_text(text)
            assert why in reload(gateway, code=1)
            assert until(lambda why=why: why in gateway.tail()), gateway.tail()
            assert "goes on as before" in gateway.tail()
            assert gateway.chat().status == 200
        file.write_text(good)
        assert "runs with" in reload(gateway)


def test_what_envoy_refuses_is_put_back(setting, key, stage, launch):
    """Only Envoy can tell that this file holds no certificates."""
    ca = setting.directory / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n")
    with launch(setting.gateway(key)) as gateway:
        broken = {"name": "tls", "kind": "openai", "url": "https://localhost:1/v1", "ca_file": str(ca)}
        before = gateway.config
        gateway.config = {**before, "vendors": [*before["vendors"], broken],
                          "models": [{"name": "other", "serve": [{"vendor": "tls"}, {"vendor": "echo"}]}]}
        gateway.save()
        assert until(lambda: "Envoy refuses it" in gateway.tail(), 20), gateway.tail()
        assert (gateway.chat().status, gateway.chat(model="other").status) == (200, 404)
        gateway.config = before
        gateway.save()
        reload(gateway)
        assert gateway.chat().status == 200


@pytest.mark.parametrize("how", ["in place", "by another file"])
def test_a_credential_changes_without_a_restart(setting, key, stage, launch, how):
    vendor = stage.vendor("rotating", "openai")
    setting.vendor(vendor, **setting.kept_in_file(vendor))
    setting.model("rotating", "rotating")
    with launch(setting.gateway(key)) as gateway:
        assert gateway.chat(stage.case(rotating=answer()), "rotating").status == 200
        for number in range(3):
            vendor.secret = f"sk-rotated-{number}-{os.urandom(8).hex()}"
            gateway.secrets.append(vendor.secret)
            file = setting.directory / "rotating.credential"
            if how == "in place":
                file.write_text(vendor.secret)
            else:
                new = setting.directory / "new"
                new.write_text(vendor.secret)
                new.rename(file)
            assert until(lambda n=number: gateway.log.read_text().count("runs with it") == n + 1, 10), gateway.tail()
            assert gateway.chat(stage.case(rotating=answer()), "rotating").status == 200


def test_a_vendor_comes_in_with_its_credential(setting, key, stage, launch):
    vendor = stage.vendor("late", "openai")
    setting.vendor(stage.vendor("early", "openai"))
    file = setting.directory / "late.credential"
    setting.vendor(vendor, credential={"file": str(file)})
    setting.model("late", "late")
    with launch(setting.gateway(key)) as gateway:
        assert gateway.chat(stage.case(), "late").status == 503
        file.write_text(vendor.secret)
        assert until(lambda: "runs with it" in gateway.tail(), 10), gateway.tail()
        assert gateway.chat(stage.case(late=answer()), "late").status == 200
        # Nothing more is to be done, though the file that is looked at now was not among those before.
        change(gateway, limits={"body_bytes": "1MiB"})
        assert until(lambda: gateway.log.read_text().count("runs with it") == 2)


def test_clients_move_to_another_port(setting, key, launch):
    """Those that are connected to the old one are served to the end."""
    with launch(setting.gateway(key)) as gateway:
        gateway.port = free_port()
        change(gateway, listen=f"127.0.0.1:{gateway.port}")
        assert until(lambda: answers(gateway), 5)


def answers(gateway):
    try:
        return gateway.send("GET", "/health").status == 200
    except OSError:
        return False


def test_another_admin_address_takes_a_restart(setting, key, launch):
    with launch(setting.gateway(key)) as gateway:
        admin = gateway.config["admin"]
        gateway.config = {**gateway.config, "admin": f"127.0.0.1:{free_port()}"}
        gateway.save()
        assert until(lambda: "admin: another address takes a restart" in gateway.tail(), 5), gateway.tail()
        assert "no gateway runs here" in reload(gateway, code=1)
        gateway.config = {**gateway.config, "admin": admin}
        gateway.save()
        reload(gateway)


def test_nobody_runs(setting, key):
    gateway = setting.gateway(key)
    gateway.save()
    assert "no gateway runs here" in reload(gateway, code=1)
