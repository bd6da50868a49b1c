"""The stage of every test: scripted vendors, and one Weir in front of them for the whole session."""

import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import trustme

from gateway import Gateway, client_key, free_port
from vendors import Stage, closed_port

KINDS = ["openai", "azure", "claude"]
KIND_OF = {"openai": "openai", "azure": "azure", "claude": "anthropic"}


@pytest.fixture(scope="session")
def stage():
    stage = Stage()
    yield stage
    stage.stop()


@pytest.fixture(autouse=True)
def no_violations(stage):
    """Whatever a test is about: no vendor saw anything that it should not."""
    yield
    assert not (found := stage.settle()), "\n".join(found)


@pytest.fixture(scope="session")
def at_once():
    """Runs a function over many values at once, and gives the results in order."""
    with ThreadPoolExecutor(12) as pool:
        yield lambda function, values: list(pool.map(function, values))


class Setting:
    """A `weir.yaml` in the making."""

    def __init__(self, stage, directory):
        self.stage, self.directory, self.env, self.held = stage, directory, {}, []
        self.config = {
            "listen": f"127.0.0.1:{free_port()}", "admin": f"127.0.0.1:{free_port()}",
            "vendors": [], "models": [], "keys": [],
            # Short, so that a test of a slow vendor is none itself.
            "routing": {"attempts": 3, "first_token_timeout": "2s", "answer_timeout": "2s", "idle_timeout": "2s",
                        "total_timeout": "7s"},
            "limits": {"body_bytes": "8MiB"},
        }
        self.secrets = []

    def vendor(self, vendor, **more):
        """Adds a scripted vendor, with its credential in the environment."""
        variable = f"SUITE_{vendor.name.upper().replace('-', '_')}"
        self.env[variable] = vendor.secret
        self.secrets.append(vendor.secret)
        entry = {"name": vendor.name, "kind": vendor.format.kind, "url": vendor.url, "credential": {"env": variable}}
        if vendor.format.kind == "azure":
            entry["api_version"] = vendor.format.api_version
        if vendor.format.kind == "bedrock":
            entry["region"] = vendor.format.region
        self.config["vendors"].append({**entry, **more})

    def kept_in_file(self, vendor):
        """A credential in a file; editors leave a line end, and that is not a part of it."""
        file = self.directory / f"{vendor.name}.credential"
        file.write_text(vendor.secret + "\n")
        return {"credential": {"file": str(file)}}

    def dead(self, name, kind, url):
        """Adds a vendor that nobody plays."""
        self.env["SUITE_DEAD"] = "sk-dead"
        version = {"azure": {"api_version": "2024-10-21"}, "bedrock": {"region": "eu-central-1"}}.get(kind, {})
        entry = {"name": name, "kind": kind, "url": url, "credential": {"env": "SUITE_DEAD"}}
        self.config["vendors"].append(entry | version)

    def model(self, name, *vendors):
        """Adds a model; each vendor has its own name for it."""
        self.config["models"].append({"name": name, "serve": [{"vendor": v, "model": f"{v}-model"} for v in vendors]})

    def key(self, name, models=None):
        key, entry = client_key(name)
        self.config["keys"].append({**entry, **({"models": models} if models is not None else {})})
        self.secrets.append(key)
        self.stage.forbidden.append(key)
        return key

    def gateway(self, key, workers=2):
        return Gateway(self.config, self.directory, self.env, workers, self.secrets, key)


RUNNING = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[RUNNING] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that fails shows what the gateways said."""
    report = yield
    if report.failed:
        for gateway in item.config.stash[RUNNING]:
            report.sections.append((f"the end of {gateway.log}", gateway.tail()))
    return report


@pytest.fixture(scope="session")
def launch(request):
    """Runs a gateway for the length of a `with`."""
    running = request.config.stash[RUNNING]

    @contextmanager
    def launch(gateway):
        gateway.start()
        running.append(gateway)
        try:
            yield gateway
        finally:
            running.remove(gateway)
            gateway.stop()

    return launch


@pytest.fixture(scope="session")
def certificates():
    """Two authorities, of which the gateway is told of the first."""
    return trustme.CA(), trustme.CA()


def served_with(authority, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(scope="session")
def gateway(stage, launch, certificates, tmp_path_factory):
    """The Weir that most tests share: two vendors of each format, some dead ones, some behind TLS."""
    setting = Setting(stage, tmp_path_factory.mktemp("weir"))
    port, setting.held = closed_port()
    for name in KINDS:
        kind = KIND_OF[name]
        first, second = stage.vendor(name, kind), stage.vendor(f"{name}-2", kind)
        base = first.format.base
        setting.vendor(first, **(setting.kept_in_file(first) if kind == "azure" else {}))
        setting.vendor(second)
        setting.dead(f"{name}-refused", kind, f"http://127.0.0.1:{port}{base}")
        setting.model(name, name)
        for other in KINDS:
            for fault in ["", "-refused"]:
                setting.model(f"{name}{fault}/{other}", f"{name}{fault}", f"{other}-2")
    trusted, stranger = certificates
    trusted.cert_pem.write_to_path(setting.directory / "ca.pem")
    for name, tls in [("tls", served_with(trusted, "localhost")), ("tls-stranger", served_with(stranger, "localhost")),
                      ("tls-misnamed", served_with(trusted, "elsewhere.test"))]:
        vendor = stage.vendor(name, "openai", tls=tls, host="localhost")
        setting.vendor(vendor, ca_file=str(setting.directory / "ca.pem"))
        setting.model(name, name, *(["openai-2"] if name != "tls" else []))
    same = stage.vendor("same-name", "openai", models=["spelled-alike"])
    setting.vendor(same)
    setting.config["models"].append({"name": "spelled-alike", "serve": [{"vendor": "same-name"}]})
    setting.config["vendors"].append({"name": "echo", "kind": "echo"})
    setting.config["vendors"].append({"name": "keyless", "kind": "openai", "url": "http://127.0.0.1:9/v1",
                                      "credential": {"env": "SUITE_NOT_SET"}})
    setting.model("echo", "echo")
    setting.model("unserved", "keyless")
    setting.model("keyless/openai", "keyless", "openai-2")
    setting.model("all", "openai", "azure", "claude", "openai-2")
    setting.model("all-refused", *(f"{name}-refused" for name in KINDS))
    gateway = setting.gateway(setting.key("suite"))
    gateway.limited = setting.key("limited", ["openai", "echo"])
    with launch(gateway):
        yield gateway
