"""Weir in a mesh: the printed patches, applied as istiod applies them to what it gives a proxy, and Envoy's verdict."""

import copy
import json
import secrets
import subprocess
from pathlib import Path

import pytest
import yaml

from conftest import Setting
from gateway import CHAT, OLDEST_ENVOY, ROOT, WEIR, envoy, envoy_with, free_port, takes, until
from scripts import answer

FIXTURES = Path(__file__).parent / "istio"
CONTEXT = {"gateway": "GATEWAY", "sidecar": "SIDECAR_OUTBOUND"}


def merged(into, patch):
    """As protocol buffers merge: messages member by member, lists one after the other, all else replaced."""
    if isinstance(into, dict) and isinstance(patch, dict):
        return {key: merged(into[key], patch[key]) if key in into and key in patch else (patch | into)[key]
                for key in {**into, **patch}}
    return into + patch if isinstance(into, list) and isinstance(patch, list) else patch


def applied(patches, bootstrap, pushed, context):
    """What a proxy runs with. Only what Weir prints is known here: anything else is a KeyError."""
    bootstrap, pushed = copy.deepcopy(bootstrap), copy.deepcopy(pushed)
    kinds = {"CLUSTER": "clusters", "LISTENER": "listeners"}
    for patch in patches:
        kind, operation, value = patch["applyTo"], patch["patch"]["operation"], patch["patch"]["value"]
        if (kind, operation) == ("BOOTSTRAP", "MERGE"):
            bootstrap = merged(bootstrap, value)
        elif operation == "ADD" and patch["match"]["context"] == context:
            pushed[kinds[kind]].append(value)
        else:
            assert operation == "ADD", patch
    for kind, resources in pushed.items():
        names = [resource["name"] for resource in bootstrap["static_resources"][kind] + resources]
        assert len(names) == len(set(names)), names
    return bootstrap, pushed


def as_one_file(bootstrap, pushed, ports, paths):
    """A proxy without a control plane: what would be pushed is static; ports and paths are those of this test."""
    whole = {**bootstrap, "static_resources": merged(bootstrap["static_resources"], pushed)}
    del whole["dynamic_resources"]
    text = json.dumps(whole)
    for old, new in ports.items():
        text = text.replace(f'"port_value": {old}}}', f'"port_value": {new}}}')
    for old, new in paths.items():
        text = text.replace(old, new)
    return text


class Proxy:
    """A proxy of the mesh, patched."""

    def __init__(self, stage, directory, place):
        self.place, self.setting = place, Setting(stage, directory)
        self.directory = directory
        host = "0.0.0.0" if place == "gateway" else "127.0.0.1"
        self.port = int(self.setting.config["listen"].rpartition(":")[2])
        self.setting.config |= {"listen": f"{host}:{self.port}", "cors": {"origins": ["*"]}}
        self.vendor = vendor = stage.vendor(f"openai-{place}", "openai")
        self.mount(vendor.secret)
        self.setting.vendor(vendor, credential={"file": str(directory / "secret" / "key")})
        self.setting.config["vendors"].append({"name": "echo", "kind": "echo"})
        self.setting.model("openai", vendor.name)
        self.setting.model("echo", "echo")
        self.gateway = self.setting.gateway(self.setting.key(place))
        self.gateway.port = self.port
        self.documents = list(yaml.safe_load_all(self.rendered()))
        self.file = directory / "proxy.json"
        self.file.write_text(self.patched())

    def mount(self, secret):
        """As the kubelet mounts a Secret: its files lead through a link that is replaced at once."""
        folder, version = self.directory / "secret", secrets.token_hex(4)
        (folder / version).mkdir(parents=True)
        (folder / version / "key").write_text(secret)
        (folder / "..data_tmp").symlink_to(version)
        (folder / "..data_tmp").rename(folder / "..data")
        if not (folder / "key").is_symlink():
            (folder / "key").symlink_to("..data/key")

    def rendered(self):
        file = self.directory / "weir.yaml"
        file.write_text(yaml.safe_dump(self.setting.config))
        command = [WEIR, "render", "--for", "istio", "--config", file, "--place", self.place]
        label = [] if self.place == "gateway" else ["--selector", "app=shop", "--namespace", "shop"]
        return subprocess.run([*command, *label], cwd=ROOT, env={}, capture_output=True, text=True, check=True).stdout

    def patched(self):
        files, patches = self.documents
        assert (files["kind"], patches["kind"]) == ("ConfigMap", "EnvoyFilter")
        folder = self.directory / "sds"
        folder.mkdir()
        for name, text in files["data"].items():
            (folder / name).write_text(text)
        bootstrap = yaml.safe_load((FIXTURES / "bootstrap.yaml").read_text())
        pushed = yaml.safe_load((FIXTURES / f"{self.place}.yaml").read_text())
        ports = {port: free_port() for port in (80, 15000, 15001, 15090)}
        self.gateway.admin_port = ports[15000]
        paths = {"/etc/weir/sds": str(folder), "/etc/weir/filter/weir.wasm": str(ROOT / "dist" / "weir.wasm")}
        return as_one_file(*applied(patches["spec"]["configPatches"], bootstrap, pushed, CONTEXT[self.place]), ports, paths)


@pytest.fixture(scope="module", params=["gateway", "sidecar"])
def proxy(request, stage, tmp_path_factory):
    return Proxy(stage, tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def running(proxy):
    with envoy_with(proxy.file, proxy.port):
        assert until(lambda: proxy.gateway.send("GET", "/health").status == 200, 20)
        yield proxy.gateway


@pytest.mark.parametrize("binary", [envoy, lambda: OLDEST_ENVOY], ids=["1.40", "1.39"])
def test_envoy_takes_the_patched_configuration(proxy, binary):
    assert takes(binary(), proxy.file) is True


def test_it_is_for_the_pods_that_were_named(proxy):
    files, patches = proxy.documents
    namespace, labels = {"gateway": ("istio-system", {"istio": "ingressgateway"}), "sidecar": ("shop", {"app": "shop"})}[proxy.place]
    assert patches["apiVersion"] == "networking.istio.io/v1alpha3"
    assert patches["metadata"] == files["metadata"] == {"name": "weir", "namespace": namespace}
    assert patches["spec"]["workloadSelector"] == {"labels": labels}
    assert not [secret for secret in proxy.setting.secrets if secret in str(proxy.documents)]


def test_a_request_goes_through(running, proxy, stage):
    vendor = f"openai-{proxy.place}"
    case = stage.case(**{vendor: answer("Through the mesh.")})
    response = running.chat(case, "openai")
    assert response.json["choices"][0]["message"]["content"] == "Through the mesh."
    assert running.chat(model="echo", path=CHAT).status == 200
    assert case.called() == [vendor], "and its credential came from the file"


def test_a_secret_is_replaced(running, proxy, stage):
    def read():
        return running.admin("/config_dump?resource=dynamic_active_secrets&mask=last_updated")

    before = read()
    proxy.vendor.secret = f"sk-new-{secrets.token_hex(16)}"
    proxy.mount(proxy.vendor.secret)
    assert until(lambda: read() != before, 10)
    case = stage.case(**{proxy.vendor.name: answer()})
    assert running.chat(case, "openai").status == 200, "and the vendor insists on the new one"


def test_a_batch_finds_its_way_inside(running):
    body = json.dumps([{"model": "echo", "messages": [{"role": "user", "content": "Hello."}]}] * 2).encode()
    response = running.send("POST", f"{CHAT}/batch", body, [("x-api-key", running.key), ("content-type", "application/json")])
    assert [entry["status"] for entry in response.json] == [200, 200]


def test_the_statistics_have_their_labels(running):
    """Istio keeps few of Envoy's statistics; those of filters like this one are among them."""
    assert running.chat(model="echo", path=CHAT).status == 200
    assert until(lambda: running.counted(endpoint=CHAT, status="200", vendor="echo", model="echo") >= 1)
