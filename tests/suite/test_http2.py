"""Vendors as they are on the Internet: behind TLS, where they choose HTTP/2.

An Envoy stands in front of each scripted vendor, speaks TLS and HTTP/2 to Weir and plain HTTP/1 to the vendor.
"""

import json
import urllib.request
from contextlib import ExitStack, contextmanager

import pytest

from conftest import KIND_OF, KINDS, Setting
from gateway import envoy_with, free_port, told
from scripts import answer, fail

TYPES = "type.googleapis.com/envoy.extensions"


def front(port, admin, vendor, files):
    """The configuration of an Envoy that puts TLS and HTTP/2 before a vendor, and leaves no trace of itself."""
    def address(number):
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    certificate = {"certificate_chain": {"filename": files[0]}, "private_key": {"filename": files[1]}}
    tls = {"@type": f"{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
           "common_tls_context": {"alpn_protocols": ["h2"], "tls_certificates": [certificate]}}
    router = {"@type": f"{TYPES}.filters.http.router.v3.Router", "suppress_envoy_headers": True}
    host = {"name": "all", "domains": ["*"],
            "request_headers_to_remove": ["x-forwarded-proto", "x-forwarded-for"],
            "routes": [{"match": {"prefix": "/"}, "route": {
                "cluster": "vendor", "timeout": "0s", "host_rewrite_literal": f"127.0.0.1:{vendor}"}}]}
    manager = {"@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
               "stat_prefix": "front", "generate_request_id": False, "http_filters": [{"name": "router", "typed_config": router}],
               "route_config": {"virtual_hosts": [host]}}
    chain = {"transport_socket": {"name": "tls", "typed_config": tls},
             "filters": [{"name": "http", "typed_config": manager}]}
    cluster = {"name": "vendor", "connect_timeout": "1s", "load_assignment": {
        "cluster_name": "vendor", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(vendor)}}]}]}}
    return {"admin": {"address": address(admin)}, "static_resources": {
        "listeners": [{"name": "front", "address": address(port), "filter_chains": [chain]}], "clusters": [cluster]}}


@contextmanager
def behind_http2(vendor, directory, files):
    """Runs the Envoy in front of a vendor; gives its url, and a function that counts its HTTP/2 requests."""
    port, admin = free_port(), free_port()
    file = directory / f"{vendor.name}-front.json"
    file.write_text(json.dumps(front(port, admin, vendor.port, files)))

    def requests():
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/stats?filter=^http.front.downstream_rq_http2_total") as page:
            return int(page.read().split(b":")[1])

    with envoy_with(file, port):
        yield f"https://localhost:{port}{vendor.format.base}", requests


@pytest.fixture(scope="module")
def http2(stage, launch, certificates, tmp_path_factory):
    """A Weir with one vendor of each format behind HTTP/2, and a second one behind each."""
    directory = tmp_path_factory.mktemp("http2")
    trusted, _ = certificates
    trusted.cert_pem.write_to_path(directory / "ca.pem")
    leaf = trusted.issue_cert("localhost")
    leaf.private_key_pem.write_to_path(directory / "key.pem")
    for part in leaf.cert_chain_pems:
        part.write_to_path(directory / "cert.pem", append=True)
    setting = Setting(stage, directory)
    with ExitStack() as stack:
        counts = {}
        for name in KINDS:
            vendor = stage.vendor(f"{name}-h2", KIND_OF[name])
            url, counts[name] = stack.enter_context(
                behind_http2(vendor, directory, [str(directory / "cert.pem"), str(directory / "key.pem")]))
            setting.vendor(vendor, url=url, ca_file=str(directory / "ca.pem"))
        for name, other in zip(KINDS, KINDS[1:] + KINDS[:1]):
            setting.model(name, f"{name}-h2", f"{other}-h2")
        gateway = stack.enter_context(launch(setting.gateway(setting.key("http2"))))
        yield gateway, counts


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("vendor", KINDS)
def test_an_answer_over_http2(http2, stage, vendor, stream):
    gateway, counts = http2
    before = counts[vendor]()
    case = stage.case(**{f"{vendor}-h2": answer("Over a better wire.")})
    response = gateway.chat(case, vendor, stream=stream)
    assert response.status == 200, response
    text = told(response.events)[0] if stream else response.json["choices"][0]["message"]["content"]
    assert text == "Over a better wire."
    assert counts[vendor]() == before + 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("vendor", KINDS)
def test_failover_over_http2(http2, stage, vendor, stream):
    gateway, _ = http2
    other = KINDS[(KINDS.index(vendor) + 1) % len(KINDS)]
    case = stage.case(**{f"{vendor}-h2": fail(429), f"{other}-h2": answer("From the next.")})
    response = gateway.chat(case, vendor, stream=stream)
    assert response.status == 200 and response.attempts == f"{vendor}-h2:429,{other}-h2:ok", response


def test_a_large_body_over_http2(http2, stage):
    gateway, _ = http2
    case = stage.case(**{"openai-h2": fail(503), "azure-h2": fail(503)})
    response = gateway.chat(case, "openai", user="u" * 4_000_000)
    assert response.attempts == "openai-h2:503,azure-h2:503"
