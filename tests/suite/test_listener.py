"""How clients come in: over TLS, with HTTP/2, from pages of the web, through proxies."""

import asyncio
import http.client
import json
import os
import re
import shlex
import socket
import ssl
import subprocess
import threading

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
import yaml

from conftest import Setting
from gateway import CHAT, OLDEST_ENVOY, ROOT, V1, WEIR, envoy_with, read, takes, told, until
from scripts import answer, fail, page, reset

APP = "https://app.example"


class Files:
    """A certificate and its key where the gateway looks for them."""

    def __init__(self, authority, directory):
        self.authority, self.directory = authority, directory
        self.cert, self.key = directory / "cert.pem", directory / "key.pem"
        directory.mkdir()

    def issue(self, *names):
        """A new certificate beside the old one; gives what puts the two files into place, one after the other."""
        leaf, new = self.authority.issue_cert(*names), self.directory / "new"
        new.mkdir(exist_ok=True)
        (new / "cert.pem").write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
        (new / "key.pem").write_bytes(leaf.private_key_pem.bytes())
        yield os.replace(new / "cert.pem", self.cert)
        yield os.replace(new / "key.pem", self.key)

    def written(self):
        return {"cert_file": str(self.cert), "key_file": str(self.key)}


def trusting(authority, *protocols):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@pytest.fixture(scope="module")
def secure(stage, launch, certificates, tmp_path_factory):
    """A gateway behind TLS that pages of one origin may ask."""
    setting = Setting(stage, tmp_path_factory.mktemp("secure"))
    authority, _ = certificates
    files = Files(authority, setting.directory / "tls")
    list(files.issue("127.0.0.1"))
    setting.vendor(stage.vendor("openai-tls", "openai"))
    setting.config["vendors"].append({"name": "echo", "kind": "echo"})
    setting.model("echo", "echo")
    setting.model("openai", "openai-tls")
    setting.config |= {"tls": files.written(), "cors": {"origins": [APP, "http://localhost:5173"], "max_age": "5m"}}
    gateway = setting.gateway(setting.key("secure"))
    gateway.tls, gateway.files, gateway.authority = trusting(authority), files, authority
    with launch(gateway):
        yield gateway


def handshake(gateway, context, name="127.0.0.1"):
    with (socket.create_connection(("127.0.0.1", gateway.port), 10) as plain,
          context.wrap_socket(plain, server_hostname=name) as session):
        return session.version(), session.selected_alpn_protocol(), session.getpeercert(binary_form=True)


def test_the_certificate_is_verified(secure, stage, certificates):
    case = stage.case(**{"openai-tls": answer("In private.")})
    response = secure.chat(case, "openai")
    assert response.json["choices"][0]["message"]["content"] == "In private."
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(secure, trusting(certificates[1]))


def test_the_protocol_is_the_clients_choice(secure):
    for offered, chosen in [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), ([], None)]:
        version, protocol, _ = handshake(secure, trusting(secure.authority, *offered))
        assert (version, protocol) == ("TLSv1.3", chosen)
    older = trusting(secure.authority)
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    assert handshake(secure, older)[0] == "TLSv1.2"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_old_protocol_is_refused(secure):
    oldest = trusting(secure.authority)
    oldest.set_ciphers("ALL:@SECLEVEL=0")
    oldest.minimum_version = oldest.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(secure, oldest)


def test_a_plain_request_gets_no_answer(secure):
    with socket.create_connection(("127.0.0.1", secure.port), 10) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nhost: weir\r\n\r\n")
        try:
            assert not plain.recv(100).startswith(b"HTTP/")
        except ConnectionError:
            pass


def try_it(gateway):
    """Does what the gateway says to try, as a person would paste it; gives the line."""
    said = until(lambda: re.search(r"^  (curl .*)$", gateway.log.read_text(), re.M))
    line = said[1].replace("YOUR_KEY", gateway.key)
    asked = subprocess.run(shlex.split(line), capture_output=True, timeout=30, check=True)
    assert json.loads(asked.stdout)["object"] == "chat.completion"
    return line


def test_what_is_announced_works(secure):
    assert f"--cacert {secure.files.cert} https://127.0.0.1:" in try_it(secure)


def test_a_certificate_may_be_for_a_name(stage, launch, certificates, tmp_path):
    setting, files = Setting(stage, tmp_path / "a folder"), Files(certificates[0], tmp_path / "tls files")
    list(files.issue("*.gateway.example"))
    setting.config["vendors"].append({"name": "echo", "kind": "echo"})
    setting.model("echo", "echo")
    setting.config["tls"] = files.written()
    gateway = setting.gateway(setting.key("named"))
    gateway.tls = trusting(certificates[0])
    gateway.tls.check_hostname = False
    with launch(gateway):
        assert " https://weir.gateway.example:" in try_it(gateway)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("safe", [True, False], ids=["tls", "prior-knowledge"])
def test_http2(secure, gateway, stage, safe, stream):
    server, vendor = (secure, "openai-tls") if safe else (gateway, "openai")
    case = stage.case(**{vendor: answer("Over a better wire.")})
    url = f"{'https' if safe else 'http'}://127.0.0.1:{server.port}{V1}"
    with httpx.Client(http2=True, http1=False, verify=trusting(secure.authority)) as client:
        response = client.post(url, headers={"authorization": f"Bearer {server.key}"}, json={
            "model": "openai", "stream": stream, "messages": [{"role": "user", "content": case.prompt}]})
    assert (response.status_code, response.http_version) == (200, "HTTP/2"), response.text
    if stream:
        events = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line.startswith("data: ")]
        assert told([data if data == "[DONE]" else json.loads(data) for data in events])[0] == "Over a better wire."
    else:
        assert response.json()["choices"][0]["message"]["content"] == "Over a better wire."


def test_many_requests_on_one_connection(secure):
    """More than a connection may have at once: the client waits, and all are answered."""
    async def ask():
        limits = httpx.Limits(max_connections=1)
        context = trusting(secure.authority)
        async with httpx.AsyncClient(http2=True, http1=False, verify=context, limits=limits, timeout=30) as client:
            body = {"model": "echo", "messages": [{"role": "user", "content": "Hello."}]}
            headers = {"x-api-key": secure.key}
            url = f"https://127.0.0.1:{secure.port}{CHAT}"
            answers = await asyncio.gather(*(client.post(url, headers=headers, json=body) for _ in range(250)))
            return [answer.status_code for answer in answers]

    assert asyncio.run(ask()) == [200] * 250


def test_http2_has_bounds(gateway):
    """What Envoy tells a client before anything else."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    with socket.create_connection(("127.0.0.1", gateway.port), 10) as sock:
        sock.sendall(connection.data_to_send())
        events = []
        while not any(isinstance(event, h2.events.RemoteSettingsChanged) for event in events):
            events += connection.receive_data(sock.recv(65536))
    assert connection.remote_settings.max_concurrent_streams == 100
    assert connection.remote_settings.initial_window_size == 64 << 10


def test_too_many_headers_are_refused(gateway):
    response = gateway.send("GET", "/health", headers=[(f"x-{number}", "1") for number in range(200)])
    assert response.status == 431


def test_a_certificate_is_replaced_under_load(secure):
    """New connections see the new one, and nobody notices: neither those nor the ones that stand."""
    _, _, before = handshake(secure, secure.tls)
    over, failed, asked = threading.Event(), [], []

    def load(keep):
        connection = secure.connect(20)
        while not over.is_set():
            try:
                connection.request("GET", "/v1/models", headers={"x-api-key": secure.key})
                asked.append(read(connection.getresponse()).status)
            except OSError as error:
                failed.append(repr(error))
            if not keep:
                connection.close()
        connection.close()

    threads = [threading.Thread(target=load, args=(number % 2 == 0,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            _, _, old = handshake(secure, secure.tls)
            replace = secure.files.issue("127.0.0.1")
            next(replace)
            # For a moment the certificate and the key do not fit; the old ones are served.
            served = len(asked)
            assert until(lambda: len(asked) > served + 50)
            next(replace)
            assert until(lambda: handshake(secure, secure.tls)[2] != old, 10)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failed and set(asked) == {200}, (failed[:3], set(asked))
    assert handshake(secure, secure.tls)[2] != before


@pytest.mark.parametrize(("spoil", "said"), [
    (lambda files: files.cert.unlink(), "tls.cert_file: cannot read"),
    (lambda files: files.cert.write_text("none"), "holds no certificate: it must be PEM"),
    (lambda files: files.cert.write_bytes(files.key.read_bytes()), "are the two files exchanged?"),
    (lambda files: files.key.write_bytes(files.cert.read_bytes()), "are the two files exchanged?"),
    (lambda files: files.key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "is encrypted"),
    (lambda files: next(files.issue("a.test")), "is not that of the first certificate in"),
])
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_bad_certificate_is_told_before_the_start(tmp_path, certificates, command, spoil, said):
    files = Files(certificates[0], tmp_path / "tls")
    list(files.issue("127.0.0.1"))
    spoil(files)
    file = tmp_path / "weir.yaml"
    file.write_text(yaml.safe_dump({
        "tls": files.written(), "vendors": [{"name": "e", "kind": "echo"}],
        "models": [{"name": "m", "serve": [{"vendor": "e"}]}]}))
    ended = subprocess.run([WEIR, command, "--config", file], cwd=ROOT, capture_output=True, text=True, timeout=60,
                           check=False)
    assert ended.returncode == 1 and said in ended.stderr, ended
    assert ended.stderr.startswith("tls."), ended.stderr


def preflight(gateway, origin, path=V1, headers="authorization,content-type,x-stainless-lang,x-stainless-retry-count"):
    return gateway.send("OPTIONS", path, headers=[
        ("origin", origin), ("access-control-request-method", "POST"), ("access-control-request-headers", headers)])


def of_browsers(response):
    return {name for name in response.headers if name.startswith("access-control-")}


@pytest.mark.parametrize("path", [V1, CHAT, "/api/chat/completions/batch", "/v1/embeddings", "/v1/models", "/api/status",
                                  "/health"])
def test_a_preflight_needs_no_key(secure, path):
    response = preflight(secure, APP, path)
    assert (response.status, response.body) == (200, b"")
    assert response.headers["access-control-allow-origin"] == APP
    assert {"GET", "POST"} <= set(response.headers["access-control-allow-methods"].split(", "))
    allowed = re.split(", ?", response.headers["access-control-allow-headers"])
    assert {"authorization", "content-type", "x-stainless-lang", "x-stainless-retry-count"} <= set(allowed)
    assert response.headers["access-control-max-age"] == "300"
    assert "access-control-allow-credentials" not in response.headers
    assert response.headers["vary"] == "origin"


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example", "https://app.example:8443", "null"])
def test_other_pages_are_told_nothing(secure, stage, origin):
    response = preflight(secure, origin)
    assert response.status in (401, 405) and not of_browsers(response), response
    case = stage.case(**{"openai-tls": answer()})
    response = secure.chat(case, "openai", headers=[("origin", origin)])
    assert not of_browsers(response) and response.headers["vary"] == "origin"


@pytest.mark.parametrize("origin", [APP, "http://localhost:5173"])
def test_a_page_can_read_its_answer(secure, stage, origin):
    for stream in [False, True]:
        case = stage.case(**{"openai-tls": answer("For a page.")})
        response = secure.chat(case, "openai", headers=[("origin", origin)], stream=stream)
        assert response.status == 200 and response.headers["access-control-allow-origin"] == origin
        assert response.headers["access-control-expose-headers"] == "*"
        assert response.headers["vary"] == "origin"
        assert case.call("openai-tls").header("origin") is None, "where a client is from is not the vendor's business"


@pytest.mark.parametrize(("method", "path", "key", "status"), [
    ("POST", V1, "wrong", 401), ("POST", V1, None, 400), ("GET", "/v1/models", "wrong", 401), ("GET", "/v1/models", None, 200),
    ("GET", "/health", None, 200), ("GET", "/metrics", None, 200), ("GET", "/nowhere", None, 404), ("GET", V1, None, 405),
    ("POST", "/api/chat/completions/batch", None, 400)])
def test_errors_and_pages_can_be_read(secure, method, path, key, status):
    response = secure.send(method, path, b"{" if method == "POST" else None, [
        ("origin", APP), ("authorization", f"Bearer {key or secure.key}"), ("content-type", "application/json")])
    assert response.status == status, response
    assert response.headers["access-control-allow-origin"] == APP
    assert response.headers["access-control-expose-headers"] == "*"


@pytest.mark.parametrize("script", [fail(500), fail(429), reset(), page()], ids=["500", "429", "reset", "page"])
def test_a_page_can_read_why_no_vendor_answered(secure, stage, script):
    """By then Envoy has a response, and lets the gateway's answer past every other filter."""
    case = stage.case(**{"openai-tls": script})
    response = secure.chat(case, "openai", headers=[("origin", APP)])
    assert response.status >= 429 and response.said(V1)
    assert response.headers["access-control-allow-origin"] == APP
    assert response.headers["access-control-expose-headers"] == "*"
    assert response.headers["vary"] == "origin"
    other = secure.chat(stage.case(**{"openai-tls": script}), "openai", headers=[("origin", "https://evil.example")])
    assert not {name for name in other.headers if name.startswith("access-control")}


def test_pages_may_not_ask_unless_it_is_said(gateway):
    response = preflight(gateway, APP)
    assert response.status in (401, 405) and not of_browsers(response)


def test_the_oldest_envoy_takes_all_of_it(secure, tmp_path):
    written, printed = tmp_path / "weir.yaml", tmp_path / "envoy.yaml"
    written.write_text(yaml.safe_dump({**secure.config, "trusted_proxies": ["10.0.0.0/8", "::1"], "vendors": [
        {"name": "echo", "kind": "echo"}], "models": [{"name": "echo", "serve": [{"vendor": "echo"}]}]}))
    command = [WEIR, "render", "--for", "envoy", "--config", written]
    printed.write_text(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert takes(OLDEST_ENVOY, printed) is True


@pytest.fixture(scope="module")
def behind_proxies(stage, tmp_path_factory):
    """What `weir render` prints, run by hand, with a log of where clients are."""
    setting = Setting(stage, tmp_path_factory.mktemp("proxies"))
    setting.vendor(stage.vendor("openai-xff", "openai"))
    setting.model("openai", "openai-xff")
    setting.config["trusted_proxies"] = ["127.0.0.2", "198.51.100.0/24"]
    gateway = setting.gateway(setting.key("proxies"), workers=1)
    file, log = setting.directory / "weir.yaml", setting.directory / "access.log"
    file.write_text(yaml.safe_dump(setting.config))
    environment = {**os.environ, **setting.env}
    printed = subprocess.run([WEIR, "render", "--for", "envoy", "--config", file], cwd=ROOT, env=environment,
                             capture_output=True, text=True, check=True).stdout
    config = yaml.safe_load(printed)
    door = next(listener for listener in config["static_resources"]["listeners"] if listener["name"] == "weir")
    for chain in door["filter_chains"]:
        chain["filters"][0]["typed_config"]["access_log"] = [{"name": "file", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log),
            "log_format": {"text_format_source": {"inline_string": "%RESP(X-REQUEST-ID)% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\n"}}}}]
    bootstrap = setting.directory / "envoy.json"
    bootstrap.write_text(json.dumps(config))
    gateway.port = int(setting.config["listen"].rpartition(":")[2])
    with envoy_with(bootstrap, gateway.port, "--file-flush-interval-msec", "10", env=environment):
        assert until(lambda: gateway.send("GET", "/health").status == 200, 20)
        yield gateway, log


def asked_from(gateway, address, case, headers):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20, source_address=(address, 0))
    body = {"model": "openai", "messages": [{"role": "user", "content": case.prompt}]}
    connection.request("POST", V1, json.dumps(body), {"authorization": f"Bearer {gateway.key}", **headers})
    response = read(connection.getresponse())
    connection.close()
    return response


@pytest.mark.parametrize(("peer", "forwarded", "client"), [
    ("127.0.0.1", None, "127.0.0.1"),
    ("127.0.0.1", "203.0.113.9", "127.0.0.1"),
    ("127.0.0.1", "203.0.113.9, 127.0.0.2", "127.0.0.1"),
    ("127.0.0.2", "203.0.113.9", "203.0.113.9"),
    ("127.0.0.2", "203.0.113.9, 198.51.100.7", "203.0.113.9"),
    ("127.0.0.2", "192.0.2.1, 203.0.113.9", "203.0.113.9"),
    ("127.0.0.2", "2001:db8::7", "2001:db8::7"),
    ("127.0.0.2", None, "127.0.0.2"),
    ("127.0.0.2", "nonsense", "127.0.0.2"),
])
def test_where_a_client_is(behind_proxies, stage, peer, forwarded, client):
    gateway, log = behind_proxies
    case = stage.case(**{"openai-xff": answer()})
    response = asked_from(gateway, peer, case, {"x-forwarded-for": forwarded} if forwarded else {})
    assert response.status == 200, response
    assert case.call("openai-xff").header("x-forwarded-for") is None
    number = response.headers["x-request-id"]
    assert until(lambda: re.findall(f"^{number} (.*)$", log.read_text(), re.M)) == [client]


def test_envoys_own_headers(behind_proxies, stage):
    """A client that forges them is told so; a proxy that is an Envoy cannot help them, and they do nothing."""
    gateway, _ = behind_proxies
    for header in ["x-envoy-max-retries", "x-envoy-retry-on", "x-envoy-upstream-rq-timeout-ms", "x-envoy-attempt-count"]:
        response = asked_from(gateway, "127.0.0.1", stage.case(), {header: "1"})
        assert response.status == 400 and header in response.said("/v1")
        case = stage.case(**{"openai-xff": answer()})
        assert asked_from(gateway, "127.0.0.2", case, {header: "1"}).status == 200
    assert asked_from(gateway, "127.0.0.2", stage.case(), {"x-weir-retry": "1"}).status == 400
