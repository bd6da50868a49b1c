"""Keys that Redis keeps: `weir key add`, `list` and `revoke`, against real servers.

And the server that `weir run` starts where there is none.
"""

import hashlib
import json
import os
import re
import subprocess
import time

import pytest
import trustme
import yaml

from gateway import ROOT, WEIR, alive, descendants, envoy, free_port
from redis_servers import Cluster, Redis, program

CONFIG = {
    "vendors": [{"name": "echo", "kind": "echo"}], "models": [{"name": "m", "serve": [{"vendor": "echo"}]}],
    "keys": [{"name": "of-the-file", "sha256": "a1" * 32}],
}


@pytest.fixture
def weir(tmp_path):
    """Runs the command with a configuration that has this `redis`."""
    def weir(redis, *words, **env):
        file = tmp_path / "weir.yaml"
        file.write_text(yaml.safe_dump(CONFIG | ({"redis": redis} if redis else {})))
        command = [str(WEIR), "key", *words, "--config", str(file)]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)

    return weir


@pytest.fixture
def server(tmp_path):
    """Starts servers that end with the test."""
    running = []

    def server(what, **options):
        running.append(what(tmp_path, **options))
        return running[-1].start()

    yield server
    for one in running:
        one.stop()


def added(done):
    """The key that a good `add` shows, and its digest."""
    assert done.returncode == 0, done.stderr
    key, digest = re.search(r"^key: +(weir_\S{43})\nsha256: ([0-9a-f]{64})$", done.stdout, re.M).groups()
    assert hashlib.sha256(key.encode()).hexdigest() == digest
    return key, digest


def story(weir, redis, server, **env):
    """A key is added, listed, not added twice, and revoked; so is another, by its digest."""
    _, digest = added(weir(redis, "add", "--name", "team-a", "--models", "m", **env))
    assert json.loads(server("GET", f"weir:key:{digest}")) == {"name": "team-a", "models": ["m"]}
    shown = weir(redis, "list", **env)
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["NAME", "SHA256", "TENANT", "MODELS", "EXPIRES"], ["team-a", digest[:8], "-", "m", "-"]]
    again = weir(redis, "add", "--name", "team-a", **env)
    assert again.returncode == 1 and "there is a key team-a already" in again.stderr
    _, other = added(weir(redis, "add", "--name", "b", **env))
    assert index(server) == {"team-a": digest, "b": other}
    assert weir(redis, "revoke", "team-a", **env).returncode == 0
    assert weir(redis, "revoke", other.upper(), **env).stdout.startswith("revoked: b.")
    assert index(server) == {} and not any(server("GET", f"weir:key:{d}") for d in [digest, other])


def index(server):
    flat = server("HGETALL", "weir:keys")
    return dict(zip(flat[::2], flat[1::2], strict=True))


def test_one_server(weir, server):
    redis = server(Redis)
    story(weir, {"urls": [redis.url]}, redis)


def test_a_server_with_a_password_and_tls(weir, server, tmp_path):
    redis = server(Redis, password="open sesame", authority=trustme.CA())
    (tmp_path / "password").write_text("open sesame\n")
    config = {"urls": [redis.url], "password": {"file": str(tmp_path / "password")},
              "ca_file": str(redis.directory / "ca.pem")}
    story(weir, config, redis)
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    refused = weir({**config, "ca_file": str(stranger)}, "list")
    assert refused.returncode == 1 and "cannot reach the Redis" in refused.stderr, refused.stderr


def test_a_cluster(weir, server):
    cluster = server(Cluster, password="secret")
    config = {"urls": cluster.urls, "cluster": True, "password": {"env": "PASSWORD"}}
    story(weir, config, cluster, PASSWORD="secret")


def test_a_user_of_its_own(weir, server):
    redis = server(Redis)
    redis("ACL", "SETUSER", "gate", "on", ">pw", "~weir:*", "+hsetnx", "+set", "+ping")
    config = {"urls": [redis.url], "username": "gate", "password": {"env": "PASSWORD"}}
    added(weir(config, "add", "--name", "a", PASSWORD="pw"))
    refused = weir(config, "list", PASSWORD="pw")
    assert refused.returncode == 1 and "does not let this user do that" in refused.stderr


@pytest.mark.parametrize(("flags", "said"), [
    (["--name", "of-the-file"], "name: is the name of keys[0] too"),
    (["--name", "a b"], "name: must be 1 to 64 letters"),
    (["--name", "a", "--models", "m,n"], 'models[1]: there is no model "n", only m'),
    (["--name", "a", "--requests", "60/min:x"], "whole number"),
])
def test_what_would_be_wrong_in_the_file_is_wrong_here(weir, server, flags, said):
    redis = server(Redis)
    refused = weir({"urls": [redis.url]}, "add", *flags)
    assert refused.returncode == 1 and said in refused.stderr, refused.stderr
    assert redis("KEYS", "*") == [] and "weir_" not in refused.stdout


def test_errors_say_what_to_do(weir, server):
    locked = server(Redis, password="right")
    nobody = f"redis://127.0.0.1:{free_port()}"
    password = {"urls": [locked.url], "password": {"env": "PASSWORD"}}
    for redis, env, said in [
            (None, {}, "has no redis"), ({"urls": [nobody]}, {}, f"cannot reach the Redis at {nobody}"),
            ({"urls": [nobody], "cluster": True}, {}, nobody),
            (password, {"PASSWORD": "wrong"}, "refuses the password: check redis.password"),
            (password, {}, "the environment variable PASSWORD is not set"),
            ({"urls": [locked.url]}, {}, "wants a password: set redis.password")]:
        refused = weir(redis, "list", **env)
        assert refused.returncode == 1 and said in refused.stderr, refused.stderr
        assert "wrong" not in refused.stderr.replace(said, "")
    unknown = weir(password, "revoke", "nobody", PASSWORD="right")
    assert unknown.returncode == 1 and "keeps no key nobody" in unknown.stderr
    assert "take it out there" in weir(password, "revoke", "of-the-file", PASSWORD="right").stderr


@pytest.fixture
def run(tmp_path):
    """Runs `weir run` with a Redis at a free port; gives its process, the port and a function that reads its log."""
    running = []

    def run(port, **env):
        config = CONFIG | {"listen": f"127.0.0.1:{free_port()}", "admin": f"127.0.0.1:{free_port()}",
                           "redis": {"urls": [f"redis://localhost:{port}"], "password": {"env": "PASSWORD"}}}
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
        log = (tmp_path / "run.log").open("wb")
        process = subprocess.Popen(
            [str(WEIR), "run", "--config", str(tmp_path / "run.yaml"), "--concurrency", "1"], cwd=ROOT,
            stdout=log, stderr=log,
            env={"PATH": os.environ["PATH"], "ENVOY": envoy(), "PASSWORD": "o'pen \"it\"", **env})
        running.append(process)
        deadline = time.monotonic() + 30
        while "try it" not in (text := (tmp_path / "run.log").read_text()) and time.monotonic() < deadline:
            assert process.poll() is None, text
            time.sleep(0.05)
        return process, text

    yield run
    for process in running:
        process.terminate()
        process.wait(15)


def test_run_starts_a_redis_and_stops_it(run, tmp_path):
    redis = Redis(tmp_path, password="o'pen \"it\"")
    process, said = run(redis.port)
    assert f"Redis: started one on 127.0.0.1:{redis.port}" in said
    family = descendants(process.pid)
    assert redis("CONFIG", "GET", "save") == ["save", ""]
    assert redis("CONFIG", "GET", "appendonly") == ["appendonly", "no"]
    with pytest.raises(RuntimeError, match="NOAUTH"):
        redis.password = None
        redis("PING")
    lines = [open(f"/proc/{pid}/cmdline", "rb").read() for pid in family]
    assert any(b"redis-server" in line for line in lines) and not any(b"pen" in line for line in lines)
    process.terminate()
    assert process.wait(15) == 0
    assert not [pid for pid in family if alive(pid)]


def test_run_leaves_a_redis_alone_that_is_there(run, server):
    redis = server(Redis, password="o'pen \"it\"")
    process, said = run(redis.port)
    assert "Redis" not in said
    process.terminate()
    assert process.wait(15) == 0 and redis("PING") == "PONG"


@pytest.mark.parametrize(("env", "why"), [
    ({"REDIS_SERVER": ""}, "$REDIS_SERVER is empty"), ({"REDIS_SERVER": "/no/such"}, "which is no program"),
    ({"PATH": "/nowhere"}, "no redis-server on the PATH"), ({"REDIS_SERVER": "/bin/false"}, "ended at once")])
def test_run_goes_on_without_a_redis(run, env, why):
    assert program("redis-server")
    _, said = run(free_port(), **env)
    assert "the gateway runs without Redis" in said and why in said, said
