"""docker-compose.yml in a real Docker engine: from what a fresh clone holds to nothing left behind."""

import json
import os
import re
import secrets
import shutil
import subprocess

import pytest

from gateway import ROOT, free_port, until

pytestmark = pytest.mark.timeout(1800)
"""A first build compiles everything."""


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


def compose():
    """The command of this machine: a part of docker, or a program of its own."""
    for command in [["docker", "compose"], ["docker-compose"]]:
        if shutil.which(command[0]) and run(*command, "version").returncode == 0:
            return command
    return None


class Stack:
    """The project under a name and a port of its own."""

    def __init__(self, command, directory):
        self.command, self.directory = command, directory
        self.name, self.port = f"weir-stack-{secrets.token_hex(4)}", free_port()

    def __call__(self, *words, check=True, **env):
        known = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
        done = run(*self.command, "-p", self.name, *words, cwd=self.directory,
                   env={**known, "WEIR_PORT": str(self.port), **env})
        assert done.returncode == 0 or not check, done.stdout[-4000:] + done.stderr[-4000:]
        return done

    def up(self, **env):
        self("up", "-d", **env)
        assert until(lambda: self.state("weir")["Health"]["Status"] == "healthy", 60), self("logs", "weir").stdout

    def inspect(self, service):
        [found] = json.loads(run("docker", "inspect", self("ps", "-q", service).stdout.strip()).stdout)
        return found

    def state(self, service):
        return self.inspect(service)["State"]

    def left(self):
        mine = f"label=com.docker.compose.project={self.name}"
        return [run("docker", *kind, "--quiet", "--filter", mine).stdout.split()
                for kind in [("ps", "--all"), ("network", "ls"), ("volume", "ls")]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    if not (command := compose()):
        pytest.skip("there is neither `docker compose` nor `docker-compose` here")
    if run("docker", "info").returncode:
        pytest.skip("no Docker engine answers")
    directory = tmp_path_factory.mktemp("clone")
    files = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT, check=True).stdout
    for name in filter(None, files.split("\0")):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, directory / name)
    stack = Stack(command, directory)
    try:
        stack("build")
        stack.up()
        yield stack
    finally:
        stack("down", "--volumes", check=False)


@pytest.fixture
def readme(stack):
    """Runs the README's first curl; gives the head and the body of the answer."""
    [line] = re.findall(r"```sh\n(curl http://127\.0\.0\.1:3000/v1/chat/completions.*?)\n```",
                        (stack.directory / "README.md").read_text(), re.S)

    def ask():
        done = run("bash", "-c", line.replace(":3000", f":{stack.port}", 1) + " --silent --show-error --include")
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ask


def test_the_readme_line_is_answered(readme):
    answer = readme()
    assert answer.startswith("HTTP/1.1 200") and "x-weir-vendor: echo" in answer, answer


def test_redis_keeps_answers_and_keys(stack, readme):
    """A gateway that was restarted knows what the Redis knows."""
    readme()
    assert until(lambda: "weir:cache:" in stack("exec", "-T", "redis", "redis-cli", "keys", "*").stdout)
    stack("restart", "weir")
    assert until(lambda: "x-weir-cache: hit-l2" in (readme() if healthy(stack) else ""), 60)
    made = stack("exec", "-T", "weir", "weir", "key", "add", "--config", "/etc/weir/weir.yaml", "--name", "team")
    assert re.search(r"^key: +weir_\w+", made.stdout), made.stdout


def healthy(stack):
    return stack.state("weir")["Health"]["Status"] == "healthy"


@pytest.mark.parametrize("service", ["weir", "redis"])
def test_a_service_may_do_nothing_that_it_need_not(stack, service):
    found = stack.inspect(service)
    host = found["HostConfig"]
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["Privileged"]
    assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"])
    assert host["Memory"] and host["PidsLimit"] and host["LogConfig"]["Config"]["max-size"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert stack("exec", "-T", service, "id", "-u").stdout.strip() not in {"", "0"}
    assert "Read-only" in stack("exec", "-T", service, "touch", "/usr/here", check=False).stderr
    status = stack("exec", "-T", service, "cat", "/proc/1/status").stdout
    assert re.search(r"CapEff:\s+0+$", status, re.M) and re.search(r"NoNewPrivs:\s+1", status)


def test_only_this_machine_gets_in(stack):
    bound = [where["HostIp"] for service in ["weir", "redis"]
             for ports in stack.inspect(service)["NetworkSettings"]["Ports"].values() for where in ports or []]
    assert bound == ["127.0.0.1"]


def test_a_vendor_with_its_key_in_the_environment_serves(stack):
    key = f"sk-{secrets.token_hex(16)}"
    stack.up(OPENAI_API_KEY=key)
    said = stack("logs", "weir").stdout
    assert "gpt-4: served by openai" in said and "echo: served by echo" in said and key not in said
    image = stack.inspect("weir")["Image"]
    assert key not in run("docker", "image", "inspect", image).stdout + run("docker", "history", "--no-trunc", image).stdout
    stack.up(OPENAI_API_KEY="")
    assert "the built-in echo vendor answers for all models" in stack("logs", "weir").stdout


def test_nothing_is_left(stack):
    """The last test, since it takes the stack down; the gateway is given the time to end by itself."""
    container = stack("ps", "-q", "weir").stdout.strip()
    stack("stop", "weir")
    [stopped] = json.loads(run("docker", "inspect", container).stdout)
    assert stopped["State"]["ExitCode"] == 0 and not stopped["State"]["OOMKilled"]
    stack("down", "--volumes")
    assert stack.left() == [[], [], []]
