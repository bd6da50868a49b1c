"""Real Redis servers, on free ports and in folders of the tests' own."""

import os
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

from gateway import free_port, until


def program(name):
    return shutil.which(name) or pytest.exit(f"no {name}: apt-get install redis-server", 2)


class Redis:
    """One server."""

    def __init__(self, directory, password=None, authority=None, options=()):
        self.port, self.password, self.authority = free_port(), password, authority
        self.directory = directory / f"redis-{self.port}"
        self.directory.mkdir(parents=True)
        port = ["--port", self.port]
        if authority:
            port = ["--port", 0, "--tls-port", self.port, "--tls-auth-clients", "no", *self._certificate()]
        secret = ["--requirepass", password] if password else []
        self.command = [program("redis-server"), "--bind", "127.0.0.1", "--dir", self.directory, "--save", "",
                        "--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no", *port, *secret, *options]
        self.process = None

    def _certificate(self):
        issued = self.authority.issue_cert("localhost")
        for name, blob in [("ca", self.authority.cert_pem), ("key", issued.private_key_pem),
                           ("cert", issued.cert_chain_pems[0])]:
            blob.write_to_path(self.directory / f"{name}.pem")
        files = {"cert": "cert", "key": "key", "ca-cert": "ca"}
        return [word for option, name in files.items()
                for word in (f"--tls-{option}-file", self.directory / f"{name}.pem")]

    @property
    def url(self):
        return f"rediss://localhost:{self.port}" if self.authority else f"redis://127.0.0.1:{self.port}"

    def start(self):
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen([str(word) for word in self.command], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        if not until(self._answers, 10):
            self.stop()
            pytest.fail((self.directory / "log").read_text())
        return self

    def _answers(self):
        try:
            return self("PING") == "PONG"
        except (OSError, RuntimeError):
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def hang(self):
        """From here on it takes connections and commands, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.go_on()
            self.kill()

    def names(self, pattern):
        """The keys that it has."""
        return set(self("KEYS", pattern))

    def __call__(self, *words):
        """One command and its reply, on a connection of its own; bytes that are no UTF-8 are escaped."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as sock:
            if self.authority:
                context = ssl.create_default_context(cafile=str(self.directory / "ca.pem"))
                sock = context.wrap_socket(sock, server_hostname="localhost")
            with sock, sock.makefile("rwb") as stream:
                if self.password:
                    ask(stream, "AUTH", self.password)
                return ask(stream, *words)


class Cluster:
    """Three masters, each with a replica that takes over when it dies."""

    def __init__(self, directory, password=None):
        quick = ["--cluster-enabled", "yes", "--cluster-node-timeout", 500, "--cluster-require-full-coverage", "no",
                 "--repl-diskless-sync-delay", 0, *(["--masterauth", password] if password else [])]
        self.nodes = [Redis(directory, password, options=[*quick, "--cluster-port", free_port()]) for _ in range(6)]
        self.password = password

    def start(self):
        for node in self.nodes:
            node.start()
        command = [program("redis-cli"), "--cluster", "create", *(f"127.0.0.1:{node.port}" for node in self.nodes),
                   "--cluster-replicas", "1", "--cluster-yes"]
        env = {**os.environ, **({"REDISCLI_AUTH": self.password} if self.password else {})}
        subprocess.run(command, check=True, capture_output=True, env=env, timeout=30)
        assert until(self.is_whole, 20), self.nodes[0]("CLUSTER", "NODES")
        return self

    def is_whole(self):
        return all("cluster_state:ok" in node("CLUSTER", "INFO") and self.replicated(node) for node in self.nodes)

    @staticmethod
    def replicated(node):
        info = node("INFO", "replication")
        return "connected_slaves:1" in info or "master_link_status:up" in info

    @property
    def urls(self):
        return [node.url for node in self.nodes[:3]]

    def stop(self):
        for node in self.nodes:
            node.stop()

    def owner(self, name):
        """The master that keeps a key."""
        slot = self._any("CLUSTER", "KEYSLOT", name)
        for first, last, (_, port, *_), *_ in self._any("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)

    def names(self, pattern):
        """The keys that any node has."""
        return {name for node in self.nodes for name in node("KEYS", pattern)}

    def _any(self, *words):
        return next(node for node in self.nodes if node.process.poll() is None)(*words)

    def __call__(self, command, name, *words):
        """A command, at the node that keeps its key."""
        return self.owner(name)(command, name, *words)


def ask(stream, *words):
    encoded = [str(word).encode(errors="surrogateescape") for word in words]
    stream.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded))
    stream.flush()
    reply = receive(stream)
    if isinstance(reply, RuntimeError):
        raise reply
    return reply


def receive(stream):
    line = stream.readline().decode()
    kind, rest = line[:1], line[1:].rstrip("\r\n")
    match kind:
        case "+":
            return rest
        case "-":
            return RuntimeError(rest)
        case ":":
            return int(rest)
        case "$":
            return None if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode(errors="surrogateescape")
        case "*":
            return [receive(stream) for _ in range(int(rest))]
    raise OSError(f"the end, or nonsense: {line!r}")
