"""Who gets to see what: credentials only their vendor, client keys only the gateway, prompts only who is asked."""

from pathlib import Path

import pytest

from conftest import KINDS, Setting
from gateway import CHAT, V1
from scripts import answer, fail, reset, stalls

CLIENT_HEADERS = [
    ("cookie", "session=client-cookie"), ("user-agent", "client-agent/1"), ("x-forwarded-for", "203.0.113.9"),
    ("forwarded", "for=203.0.113.9"), ("proxy-authorization", "Basic client-proxy"), ("api-key", "client-azure-key"),
    ("openai-organization", "client-org"), ("openai-project", "client-project"), ("anthropic-beta", "client-beta"),
    ("anthropic-version", "1999-01-01"), ("x-stainless-lang", "client-lang"), ("x-tenant", "client-tenant"),
    ("accept-encoding", "gzip, br"), ("idempotency-key", "client-idem"), ("referer", "http://client.test/"),
    ("x-request-id", "client-request-id"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", KINDS)
def test_no_header_of_a_client_reaches_a_vendor(gateway, stage, vendor, stream):
    """Not on the first attempt and not on the next. That each vendor gets exactly its own credential, and no other
    vendor's, every vendor of the suite checks on every request."""
    case = stage.case(**{vendor: reset(), "claude-2": fail(503)})
    gateway.chat(case, f"{vendor}/claude", stream=stream, headers=CLIENT_HEADERS)
    assert len(case.calls) == 2
    for call in case.calls:
        values = [value for _, value in call.headers]
        leaked = [value for _, value in CLIENT_HEADERS if any(value in seen for seen in values)]
        assert not set(leaked) - {"client-request-id"}, call.headers


def everything(stage, gateway):
    """Every secret of the suite, by a name that may be shown."""
    yield from ((f"credential of {vendor.name}", vendor.secret) for vendor in stage.vendors.values())
    yield "client key", gateway.key
    yield "limited client key", gateway.limited


def test_nothing_is_told_by_envoy(gateway, stage):
    """The whole admin interface: configuration, clusters, certificates, statistics."""
    gateway.chat(stage.case(openai=fail(500), azure=fail(401), claude=answer()), "all")
    pages = {path: gateway.admin(path) for path in [
        "/config_dump?include_eds", "/clusters", "/certs", "/stats", "/stats/prometheus", "/server_info", "/runtime",
        "/listeners", "/contention", "/init_dump", "/memory", "/hot_restart_version"]}
    assert "dynamic_active_clusters" in pages["/config_dump?include_eds"]
    told = [(path, name) for path, page in pages.items() for name, secret in everything(stage, gateway)
            if secret in page]
    assert not told


def test_nothing_is_told_by_the_processes(gateway, stage):
    """A command line can be read by everyone on the machine, an environment by its owner alone."""
    for pid in gateway.family:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        assert not [name for name, secret in everything(stage, gateway) if secret in command]


def test_what_weir_writes_is_for_its_owner(gateway, stage):
    """Whatever files it leaves for Envoy hold no secret."""
    for path in Path(gateway.directory).rglob("*"):
        if path.is_file() and path.suffix != ".credential":
            text = path.read_text(errors="replace")
            assert not [name for name, secret in everything(stage, gateway) if secret in text], path


@pytest.mark.parametrize("path", [CHAT, V1])
def test_a_response_tells_no_credential(gateway, stage, path):
    """Not even when vendors quote it, and not the hash of a key either."""
    for status in [401, 403]:
        quoted = {name: fail(status, f"The key {stage.vendors[name].secret} is wrong.") for name in KINDS}
        response = gateway.chat(stage.case(**quoted), "all", path)
        assert not [name for name, secret in everything(stage, gateway) if secret in repr(response)]


def test_the_admin_interface_is_not_served(gateway):
    paths = ["/config_dump", "/stats", "/quitquitquit", "/metrics/../config_dump", "/metrics?filter=x", "/metrics#"]
    for path in paths:
        response = gateway.send("GET", path)
        assert "dynamic_active_clusters" not in response.text and "server.uptime" not in response.text
        assert "envoy_" not in response.text


def test_logs_tell_nothing_at_any_level(stage, launch, tmp_path):
    """With every log of the filter switched on; that no log has a secret or a prompt is checked at each stop."""
    setting = Setting(stage, tmp_path)
    for name, kind in [("loud-openai", "openai"), ("loud-claude", "anthropic")]:
        setting.vendor(stage.vendor(name, kind))
    setting.model("loud", "loud-openai", "loud-claude")
    with launch(setting.gateway(setting.key("loud"))) as gateway:
        assert "wasm: trace" in gateway.admin("/logging?wasm=trace", "POST")
        prompt = stage.case(loud_openai=fail(503), loud_claude=answer("the secret answer"))
        setting.secrets.append("the secret answer")
        assert gateway.chat(prompt, "loud").status == 200
        gateway.chat(stage.case(), "loud", temperature=9)
        gateway.chat(stage.case(), "nonesuch")
        gateway.chat(stage.case(), "loud", key="a-wrong-key-in-the-log")
        setting.secrets.append("a-wrong-key-in-the-log")


def test_stop_is_clean_while_requests_are_open(stage, launch, tmp_path):
    """SIGTERM with a stream in flight: the processes end, and `stop` checks the rest."""
    setting = Setting(stage, tmp_path)
    setting.vendor(stage.vendor("stopped", "openai"))
    setting.model("stopped", "stopped")
    with launch(setting.gateway(setting.key("stopped"))) as gateway:
        case = stage.case(stopped=stalls())
        response = gateway.stream(case, "stopped")
        assert response.read1(100)
    response.close()
    assert case.call("stopped").finished.passed(5)
