"""A fresh clone: the shipped `weir.yaml`, first without any vendor's key, then with one."""

import subprocess
from contextlib import contextmanager
from copy import deepcopy

import pytest
import yaml

from conftest import Setting
from gateway import ROOT, V1, told, until
from scripts import answer


@pytest.fixture(scope="module")
def shipped():
    """The shipped file."""
    [file] = [file for file in [ROOT / "weir.yaml", ROOT / "envoy" / "weir.yaml"] if file.exists()]
    return yaml.safe_load(file.read_text())


def test_the_container_runs_the_same_file(shipped):
    """But for where it listens, its Redis and what follows from that."""
    boxed = yaml.safe_load((ROOT / "docker" / "weir.yaml").read_text())
    own = {"listen", "demo_key", "redis", "cache"}
    left_to_defaults = {"routing", "limits"}
    assert own <= boxed.keys() and not left_to_defaults & boxed.keys()
    assert {name: boxed[name] for name in boxed.keys() - own} == {
        name: shipped[name] for name in shipped.keys() - own - left_to_defaults}


@pytest.fixture
def demo(stage, launch, shipped, tmp_path):
    """Runs the shipped file, changed only in its ports, in a key for the suite, and as a test says."""
    @contextmanager
    def demo(change=lambda config: None, **env):
        setting = Setting(stage, tmp_path)
        config = deepcopy(shipped)
        change(config)
        setting.config = config | {name: setting.config[name] for name in ["listen", "admin"]}
        setting.env = env
        key = setting.key("of-the-suite")
        with launch(setting.gateway(key)) as gateway:
            yield gateway

    return demo


def test_without_any_key_echo_answers_for_every_model(demo, shipped):
    with demo() as gateway:
        for model in shipped["models"]:
            response = gateway.chat(model=model["name"])
            assert (response.status, response.vendor) == (200, "echo"), (model, response)
            assert response.json["choices"][0]["message"]["content"]
        stream = gateway.chat(model=shipped["models"][0]["name"], stream=True)
        assert stream.vendor == "echo" and told(stream.events)[0]
        assert gateway.chat().vendor == "echo"


def test_with_one_key_echo_answers_for_itself_alone(demo, shipped, stage):
    [first] = [vendor for vendor in shipped["vendors"] if vendor["name"] == "openai"]
    names = {hop.get("model", model["name"]) for model in shipped["models"] for hop in model["serve"]
             if hop["vendor"] == "openai"}
    vendor = stage.vendor("openai-of-the-demo", "openai", models=names)

    def change(config):
        for entry in config["vendors"]:
            if entry["name"] == "openai":
                entry["url"] = vendor.url

    with demo(change, **{first["credential"]["env"]: vendor.secret}) as gateway:
        for model in shipped["models"]:
            served = any(hop["vendor"] == "openai" for hop in model["serve"])
            case = stage.case(openai_of_the_demo=answer("From the real one."))
            response = gateway.chat(case, model["name"])
            if model["name"] == "echo":
                assert response.vendor == "echo"
            elif served:
                assert (response.status, response.vendor) == (200, "openai")
            else:
                assert response.status == 503 and response.said(V1)
        assert gateway.chat().vendor == "echo"
        assert "echo" in [model["id"] for model in gateway.send(
            "GET", "/v1/models", None, [("x-api-key", gateway.key)]).json["data"]]


def test_the_curl_line_works_as_it_is_pasted(demo):
    with demo() as gateway:
        line = until(lambda: next((line for line in gateway.log.read_text().splitlines()
                                   if line.lstrip().startswith("curl ")), None))
        assert line and str(gateway.port) in line, gateway.tail()
        done = subprocess.run(["bash", "-c", line + " --silent --show-error --fail-with-body"], capture_output=True,
                              text=True, timeout=30)
        assert done.returncode == 0 and "choices" in done.stdout, done


def test_what_is_left_out_is_said(demo):
    with demo() as gateway:
        assert until(lambda: "OPENAI_API_KEY" in (said := gateway.log.read_text()) and "ANTHROPIC_API_KEY" in said)
