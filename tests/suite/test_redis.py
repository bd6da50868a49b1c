"""Keys that are kept in Redis, and Redis in every state in which it can be: there, gone, silent, locked, moved."""

import json
import re
import socket
import subprocess
import threading
import time

import pytest

from conftest import Setting
from gateway import CHAT, ROOT, V1, WEIR, chat, client_key, envoy, until
from redis_servers import Cluster, Redis

TIMEOUT = 0.2
"""Of Redis, in seconds: long for it, and long enough to be told from the time of everything else."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Makes servers, which are stopped at the end whatever happens."""
    made = []

    def make(kind=Redis, **how):
        made.append(kind(tmp_path_factory.mktemp("redis"), **how))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture(scope="module")
def front(stage, launch, tmp_path_factory):
    """Makes gateways in front of a Redis, each with two models of the echo vendor, and a key in its file."""

    def make(urls, env=(), **redis):
        setting = Setting(stage, tmp_path_factory.mktemp("front"))
        setting.config["vendors"].append({"name": "echo", "kind": "echo"})
        for model in ["m", "n"]:
            setting.config["models"].append({"name": model, "serve": [{"vendor": "echo"}]})
        setting.config["redis"] = {"urls": urls, "timeout": f"{TIMEOUT * 1000:.0f}ms", **redis}
        setting.env.update(env)
        setting.secrets.extend(dict(env).values())
        gateway = setting.gateway(setting.key("filed"))
        gateway.setting = setting
        return launch(gateway)

    return make


@pytest.fixture(scope="module")
def redis(servers):
    return servers(password="the-password-of-redis").start()


@pytest.fixture(scope="module")
def gateway(front, redis):
    with front([redis.url], [("REDIS_PASSWORD", redis.password)], password={"env": "REDIS_PASSWORD"}) as gateway:
        yield gateway


def place(entry):
    return f"weir:key:{entry['sha256']}"


def kept(redis, gateway, value=None, name="kept"):
    """A new key, kept in Redis."""
    key, entry = client_key(name)
    gateway.secrets.append(key)
    redis("SET", place(entry), value if isinstance(value, str) else json.dumps(value or {"name": name}))
    return key, place(entry)


def stranger(gateway):
    """A key that nobody has."""
    key, _ = client_key("stranger")
    gateway.secrets.append(key)
    return key


def status(gateway, key, model="m", **more):
    return gateway.chat(None, model, key=key, **more).status


def is_whole(gateway):
    """No worker has lost its filter."""
    stats = gateway.admin("/stats?filter=wasm")
    return not re.search(r"wasm.*(vm_reload|vm_failed)\S*: [1-9]", stats)


# Keys

@pytest.mark.parametrize("path", [CHAT, V1])
def test_a_key_of_redis_works_like_one_of_the_file(gateway, redis, path):
    key, _ = kept(redis, gateway, {"name": "team-b", "models": ["n"]})
    assert status(gateway, key, "n", path=path) == 200
    assert status(gateway, key, "m", path=path) == 403
    assert status(gateway, key, "o", path=path) == 404
    assert status(gateway, key, "n", path=path, temperature=9) == 400
    assert gateway.send("POST", path, b"", [("x-api-key", key)]).status == 400
    models = gateway.send("GET", "/v1/models", headers=[("x-api-key", key)]).json["data"]
    assert [model["id"] for model in models] == ["n"]


@pytest.mark.parametrize("path", [CHAT, V1])
def test_the_first_request_is_answered_by_redis(gateway, redis, path):
    """Nobody knows the key yet: every kind of request waits for Redis, with its body held or on its way."""
    key, _ = kept(redis, gateway)
    answer = gateway.chat(None, "m", path, key)
    assert (answer.status, answer.json["choices"][0]["message"]["content"]) == (200, "Hello.")
    key, _ = kept(redis, gateway)
    assert told_slowly(gateway, path, key).status == 200
    key, _ = kept(redis, gateway)
    assert gateway.send("GET", "/v1/models", headers=[("x-api-key", key)]).status == 200
    key, _ = kept(redis, gateway)
    assert gateway.send("POST", path, b"", [("x-api-key", key)]).status == 400
    key, _ = kept(redis, gateway)
    assert gateway.send("POST", path, b"x" * (9 << 20), [("x-api-key", key)]).status == 413
    key, _ = kept(redis, gateway)
    encoded = [("x-api-key", key), ("content-encoding", "gzip")]
    assert gateway.send("POST", path, b"x", encoded).status == 415
    for answer in [gateway.chat(None, "m", path, stranger(gateway)), told_slowly(gateway, path, stranger(gateway)),
                   gateway.send("POST", path, b"", [("x-api-key", stranger(gateway))])]:
        assert answer.status == 401
        assert answer.said(path) in ["Unauthorized", "this API key is not known"]


def told_slowly(gateway, path, key):
    """A request in three parts, of which the second comes when Redis has answered."""
    body = json.dumps(chat(None, "m")).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    def parts():
        yield head + body[:5]
        time.sleep(0.1)
        yield body[5:9]
        time.sleep(0.1)
        yield body[9:]

    return gateway.raw(parts_of(parts))


class parts_of:
    """Bytes that take their time; the method stands in the first part."""

    def __init__(self, parts):
        self.parts = parts

    def split(self, *_):
        return [b"POST"]

    def __iter__(self):
        return self.parts()


def test_the_file_wins(gateway, redis):
    """Its key is never looked up, whatever stands in Redis."""
    entry = next(key for key in gateway.config["keys"] if key["name"] == "filed")
    redis("SET", place(entry), '{"name": "other", "models": ["n"]}')
    before = gateway.counted("api_gateway_redis_batches_total")
    assert status(gateway, gateway.key, "m") == 200
    assert gateway.counted("api_gateway_redis_batches_total") == before


def test_a_revoked_key_is_refused_within_five_seconds(gateway, redis):
    """By every worker; and so for a change, and for a key that is made after it was first tried."""
    key, where = kept(redis, gateway)
    changed, changed_where = kept(redis, gateway)
    early, entry = client_key("early")
    assert statuses(gateway, [key, changed, early], 8) == [{200}, {200}, {401}]
    redis("DEL", where)
    redis("SET", changed_where, '{"name": "changed", "models": ["n"]}')
    redis("SET", place(entry), '{"name": "early"}')
    began = time.monotonic()
    assert until(lambda: statuses(gateway, [key, changed, early], 8) == [{401}, {403}, {200}], 5)
    assert time.monotonic() - began < 4, "there is some room"


def statuses(gateway, keys, times):
    """What each key gets, over so many connections."""
    return [{status(gateway, key) for _ in range(times)} for key in keys]


def test_a_key_that_is_used_is_not_asked_for_each_time(gateway, redis):
    key, _ = kept(redis, gateway)
    before = gateway.counted("api_gateway_redis_batches_total")
    assert statuses(gateway, [key, stranger(gateway)], 50) == [{200}, {401}]
    assert gateway.counted("api_gateway_redis_batches_total") - before < 20


@pytest.mark.parametrize("value, problem", [
    ("", "must be a JSON object"), ('["a"]', "must be a JSON object"), ("null", "must be a JSON object"),
    ("{", "EOF while parsing"), ('{"name": 1}', "name: invalid type"), ('{"name": "a", "name": "b"}', "duplicate field"),
    ("{}", "name: missing"), ('{"name": "a b"}', "name: must be"), ('{"name": "a", "models": ["o"]}', "models[0]: there is"),
    ('{"name": "a", "models": []}', "models: allows nothing"), ('{"name": "a", "model": "m"}', "model: unknown key"),
    ('{"name": "a", "sha256": "00"}', "sha256: a stored key has none"), ('{"name": "a"} x', "trailing characters"),
    ('{"name": "a\\n[warning] forged"}', "name: must be"), ("\x00{}", "must be a JSON object"),
])
def test_a_value_that_is_no_key_is_refused_and_named_once(gateway, redis, value, problem):
    key, where = kept(redis, gateway, "x")
    redis("SET", where, value)
    refused_and_named_once(gateway, key, where, problem)


def test_a_value_that_is_no_string_is_refused(gateway, redis):
    key, entry = client_key("typed")
    redis("RPUSH", place(entry), "x")
    refused_and_named_once(gateway, key, place(entry), "WRONGTYPE")


def refused_and_named_once(gateway, key, where, problem):
    assert statuses(gateway, [key], 20) == [{401}]
    hint = where.removeprefix("weir:key:")[:8]
    named = until(lambda: [line for line in gateway.log.read_text().splitlines() if f"the key {hint}.." in line])
    assert 1 <= len(named) <= gateway.workers, named
    assert all(problem in line and "[warning]" in line for line in named), named
    assert where[17:] not in gateway.log.read_text()


def test_any_number_of_guesses_is_answered(gateway, at_once):
    """None is remembered for longer than the others, and the keys still work."""
    memory = gateway.resident()
    guesses = [f"guess-{number}" for number in range(1500)]
    assert set(at_once(lambda guess: status(gateway, guess), guesses)) == {401}
    assert status(gateway, gateway.key) == 200
    assert gateway.resident() - memory < 64 << 20


def test_envoy_tells_nothing_of_redis(gateway, redis):
    """Neither the password nor any key; that no log does is checked at each stop."""
    kept(redis, gateway)
    for path in ["/config_dump?include_eds", "/clusters", "/stats", "/server_info", "/listeners"]:
        page = gateway.admin(path)
        assert not [secret for secret in [redis.password, *gateway.secrets] if secret in page], path
    assert "environment_variable" in gateway.admin("/config_dump")


def test_the_socket_is_for_its_owner_alone(gateway):
    """Behind it nobody is asked for a password."""
    [path] = set(re.findall(r'"path": "(\S+redis.sock)"', gateway.admin("/config_dump")))
    mode = subprocess.run(["stat", "-c", "%a", path, path.rpartition("/")[0]], capture_output=True, text=True, check=True)
    assert mode.stdout.split() == ["600", "700"]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(b"*1\r\n$4\r\nPING\r\n")
        assert sock.recv(100) == b"+PONG\r\n"


# Redis in trouble

def test_redis_may_come_later(front, servers):
    """The gateway is up without it, and says of keys that it cannot know only that; then Redis comes."""
    redis = servers()
    with front([redis.url]) as gateway:
        assert status(gateway, gateway.key) == 200
        key, entry = client_key("later")
        for path in [CHAT, V1]:
            answer = gateway.chat(None, "m", path, key)
            assert answer.status == 503 and answer.headers["retry-after"] == "1"
            assert "look this API key up" in answer.said(path)
        assert gateway.send("GET", "/v1/models", headers=[("x-api-key", key)]).status == 503
        assert len(warnings(gateway)) <= gateway.workers
        redis.start()
        redis("SET", place(entry), '{"name": "later"}')
        assert until(lambda: statuses(gateway, [key], 8) == [{200}], 2)
        assert is_whole(gateway)


def warnings(gateway):
    return [line for line in gateway.log.read_text().splitlines() if "Redis counts as absent" in line]


class Load:
    """Requests one after another, with a few keys at once; what each got, and when, and how long it took."""

    def __init__(self, gateway, keys):
        self.gateway, self.results, self.running = gateway, {key: [] for key in keys}, True
        self.threads = [threading.Thread(target=self._run, args=[key]) for key in keys for _ in range(2)]

    def _run(self, key):
        while self.running:
            began = time.monotonic()
            got = status(self.gateway, key)
            self.results[key].append((began, got, time.monotonic() - began))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.running = False
        for thread in self.threads:
            thread.join()

    def got(self, key, since=0, to=float("inf")):
        return {got for began, got, _ in self.results[key] if since <= began <= to}


def test_redis_may_die_under_load(front, servers):
    """Keys of the file never notice, keys that were in use go on, and new ones work again within two seconds."""
    redis = servers().start()
    with front([redis.url]) as gateway:
        used, _ = kept(redis, gateway)
        unused, _ = kept(redis, gateway, name="unused")
        assert statuses(gateway, [used], 16) == [{200}]
        with Load(gateway, [gateway.key, used, unused]) as load:
            time.sleep(0.3)
            redis.kill()
            died = time.monotonic()
            new, entry = client_key("new")
            time.sleep(3)
            assert status(gateway, new) == 503
            redis.start()
            redis("SET", place(entry), '{"name": "new"}')
            back = time.monotonic()
            assert until(lambda: statuses(gateway, [new], 6) == [{200}], 2)
            time.sleep(0.2)
        assert load.got(gateway.key) == load.got(used) == load.got(unused) == {200}
        assert len([began for began, *_ in load.results[used] if died < began < back]) > 50
        assert 1 <= len(warnings(gateway)) <= 2 * gateway.workers, "not one per request"
        assert gateway.counted("api_gateway_redis_skipped_total") > 0
        assert gateway.counted("api_gateway_redis_batches_total", result="failed") > 0
        assert is_whole(gateway)


def test_a_silent_redis_costs_its_timeout_once(front, servers):
    redis = servers().start()
    with front([redis.url]) as gateway:
        key, _ = kept(redis, gateway)
        assert statuses(gateway, [key], 16) == [{200}]
        time.sleep(2.1)
        redis.hang()
        with Load(gateway, [gateway.key, key]) as load:
            time.sleep(3)
        for known in [gateway.key, key]:
            assert load.got(known) == {200}
            assert max(took for *_, took in load.results[known]) < TIMEOUT + 0.5
        waited = {known: [took for *_, took in load.results[known] if took > TIMEOUT * 0.9] for known in load.results}
        assert len(waited[gateway.key]) < 3, "it never waits for Redis"
        assert 1 <= len(waited[key]) <= 10 * gateway.workers, "some requests probe, and only they wait"
        assert len(load.results[key]) > 10 * len(waited[key])
        [reason] = {re.search(r"again: (.*)", line)[1] for line in warnings(gateway)}
        assert reason == 'it says "upstream failure"'
        redis.go_on()
        fresh, _ = kept(redis, gateway)
        assert until(lambda: statuses(gateway, [fresh], 6) == [{200}], 2)
        assert is_whole(gateway)


def test_clients_may_leave_while_redis_is_silent(front, servers):
    """Whoever waits and goes away is forgotten."""
    redis = servers().start()
    with front([redis.url]) as gateway:
        kept(redis, gateway)
        assert status(gateway, stranger(gateway)) == 401
        for _ in range(5):
            redis.hang()
            socks = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(20)]
            for number, sock in enumerate(socks):
                sock.sendall(f"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-api-key: gone-{number}\r\n\r\n".encode())
            time.sleep(0.02)
            for sock in socks:
                sock.close()
            time.sleep(TIMEOUT)
            assert status(gateway, stranger(gateway)) == 503
            redis.go_on()
            key, _ = kept(redis, gateway)
            assert until(lambda: statuses(gateway, [key], 4) == [{200}], 2)
        assert is_whole(gateway)


# The ways to Redis

def test_a_wrong_password_is_not_the_clients_trouble(front, servers):
    redis = servers(password="right-password").start()
    env = [("REDIS_PASSWORD", "wrong-password")]
    with front([redis.url], env, password={"env": "REDIS_PASSWORD"}) as gateway:
        key, _ = kept(redis, gateway)
        assert status(gateway, key) == 503
        assert status(gateway, gateway.key) == 200
        assert re.search("NOAUTH|WRONGPASS", until(lambda: warnings(gateway))[0])
        gateway.secrets.append("right-password")


def test_a_user_with_a_password_from_a_file(front, servers, tmp_path):
    redis = servers(password="the-first-password").start()
    redis("ACL", "SETUSER", "weir", "on", ">the-second-password", "~weir:*", "+@all", "-@dangerous")
    file = tmp_path / "password"
    file.write_text("the-second-password")
    with front([redis.url], username="weir", password={"file": str(file)}) as gateway:
        key, _ = kept(redis, gateway)
        assert status(gateway, key) == 200
        assert "the-second-password" not in gateway.admin("/config_dump")
        gateway.secrets.append("the-second-password")


@pytest.mark.parametrize("password, says", [
    ({"env": "NOT_SET"}, "redis.password: set NOT_SET"),
    ({"file": "/nowhere/password"}, "redis.password: put the password into /nowhere/password"),
    ({"file": "LINE"}, "ends with a line end"),
])
def test_a_password_that_cannot_be_right_is_said_at_the_start(stage, tmp_path, password, says):
    if password == {"file": "LINE"}:
        (tmp_path / "line").write_text("secret\n")
        password = {"file": str(tmp_path / "line")}
    setting = Setting(stage, tmp_path)
    setting.config |= {"vendors": [{"name": "echo", "kind": "echo"}],
                       "models": [{"name": "m", "serve": [{"vendor": "echo"}]}],
                       "redis": {"urls": ["redis://127.0.0.1:1"], "password": password}}
    file = tmp_path / "weir.yaml"
    file.write_text(json.dumps(setting.config))
    run = subprocess.run([WEIR, "run", "--config", file], env={"ENVOY": envoy()}, cwd=ROOT, capture_output=True,
                         text=True, timeout=20)
    assert run.returncode == 1 and says in run.stderr, run.stderr


@pytest.mark.parametrize("trusted", [True, False])
def test_redis_over_tls(front, servers, certificates, tmp_path, trusted):
    own, other = certificates
    redis = servers(authority=own, password="the-password-over-tls").start()
    (own if trusted else other).cert_pem.write_to_path(tmp_path / "trusted.pem")
    more = {"ca_file": str(tmp_path / "trusted.pem"), "password": {"env": "REDIS_PASSWORD"}}
    with front([redis.url], [("REDIS_PASSWORD", redis.password)], **more) as gateway:
        key, _ = kept(redis, gateway)
        if trusted:
            assert until(lambda: status(gateway, key) == 200)
        else:
            assert [status(gateway, key) for _ in range(3)] == [503] * 3
        assert status(gateway, gateway.key) == 200


@pytest.fixture(scope="module")
def cluster(servers):
    return servers(Cluster, password="the-password-of-the-cluster").start()


def spread(cluster, gateway):
    """Keys by the master that keeps them, some of each."""
    keys = {}
    while len(keys) < 3 or any(len(some) < 3 for some in keys.values()):
        key, entry = client_key("spread")
        gateway.secrets.append(key)
        cluster("SET", place(entry), '{"name": "spread"}')
        keys.setdefault(cluster.owner(place(entry)).port, []).append(key)
    return keys


@pytest.mark.parametrize("loss", [Redis.hang, Redis.kill])
def test_a_cluster_may_lose_a_master(front, cluster, loss):
    """Keys of the others are found all the same; its own are with the replica soon."""
    env = [("REDIS_PASSWORD", cluster.password)]
    with front(cluster.urls, env, password={"env": "REDIS_PASSWORD"}, cluster=True) as gateway:
        keys = spread(cluster, gateway)
        assert until(lambda: statuses(gateway, [some[0] for some in keys.values()], 4) == [{200}] * 3, 2)
        assert statuses(gateway, [stranger(gateway)], 4) == [{401}]
        (lost, *_), *others = [some[1:] for some in keys.values()]
        [node] = [node for node in cluster.nodes if node.port == next(iter(keys))]
        loss(node)
        with Load(gateway, [lost]):
            for key in [key for some in others for key in some]:
                assert until(lambda key=key: status(gateway, key) == 200, 1), warnings(gateway)
            assert until(lambda: statuses(gateway, [lost], 4) == [{200}], 15)
        assert is_whole(gateway)
        if loss is Redis.hang:
            node.go_on()
            assert until(cluster.is_whole, 20)


def test_a_cluster_may_come_later(front, servers):
    cluster = servers(Cluster)
    with front(cluster.urls, cluster=True) as gateway:
        assert status(gateway, gateway.key) == 200
        assert status(gateway, stranger(gateway)) == 503
        cluster.start()
        keys = spread(cluster, gateway)
        assert until(lambda: statuses(gateway, [some[0] for some in keys.values()], 4) == [{200}] * 3, 2)
