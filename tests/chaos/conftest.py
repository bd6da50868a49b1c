"""The stage of chaos: two vendors as processes, lines to them, a gateway, and the table of what came of it."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "suite"), str(HERE.parent / "load")]
from actors import ROOT, Kind, Load, Vendor, build, machine  # noqa: E402
from gateway import Gateway, client_key, free_port  # noqa: E402
from line import Line  # noqa: E402
from storm import put  # noqa: E402

CREDENTIAL = "sk-load"
ROUTING = {"attempts": 3, "first_token_timeout": "500ms", "answer_timeout": "500ms", "idle_timeout": "1s", "total_timeout": "5s"}


@pytest.fixture(scope="session", autouse=True)
def programs():
    build()


@pytest.fixture(scope="session")
def trap():
    """A filter that crashes at a word, which no release does."""
    built = ROOT / "target" / "chaos" / "weir.wasm"
    assert built.exists(), "`make chaos` builds it"
    return built


class Scene:
    """Two vendors, of which the first is asked first; each behind a line of its own. And whatever a test adds."""

    def __init__(self, directory, stack):
        self.directory, self.stack = directory, stack
        self.a, self.b = (self.start(Vendor(name)) for name in "ab")
        self.to_a, self.to_b = (self.line(vendor.port) for vendor in (self.a, self.b))
        self.key, entry = client_key("chaos")
        entry["limits"] = {"requests": {"rate": "1000000/s"}, "concurrent": 1000}
        serve = [{"vendor": "a"}, {"vendor": "b"}]
        self.config = {
            "listen": f"127.0.0.1:{free_port()}", "admin": f"127.0.0.1:{free_port()}",
            "vendors": [self.a.entry(self.to_a.port), self.b.entry(self.to_b.port)],
            "models": [{"name": "m", "serve": serve}], "keys": [entry], "routing": ROUTING, "log": {"access": False},
        }

    def start(self, actor):
        self.stack.callback(actor.stop)
        return actor.start()

    def line(self, port):
        line = Line(port)
        self.stack.callback(line.stop)
        return line

    def gateway(self, wasm="", **sections):
        self.config |= sections
        gateway = Gateway(self.config, self.directory, {"LOAD_CREDENTIAL": CREDENTIAL}, 2, [CREDENTIAL, self.key], self.key,
                          wasm=str(wasm))
        gateway.start()
        self.stack.callback(gateway.stop)
        return gateway

    def load(self, gateway, *kinds, connections=16, pace_us=2000):
        """Clients that ask as fast as a busy service does, not as fast as they can: a fault is to be seen, not a full machine."""
        kinds = kinds or (self.kind("whole"), self.kind("stream", stream=True))
        return Load(gateway.port, kinds, self.directory, connections, pace_us=pace_us)

    def kind(self, name, words="", weight=10, mark="<NEW>", **more):
        asked = {"model": "m", **more, "messages": [{"role": "user", "content": f"{words} What does {mark} mean?"}]}
        return Kind(name, weight, asked, self.key)


@pytest.fixture
def scene(tmp_path):
    with ExitStack() as stack:
        yield Scene(tmp_path, stack)


ROWS = []


@pytest.fixture
def rows():
    """Where every storm leaves its row."""
    return ROWS


def pytest_sessionfinish(session, exitstatus):
    """The table is written when all of it is there: a row of every test of every file."""
    chosen = {Path(item.path) for item in session.items} != set(HERE.glob("test_*.py")) or session.config.option.keyword
    if not os.environ.get("UPDATE") or exitstatus or chosen or len(ROWS) != len(session.items):
        return
    about = "{cores} cores of {cpu}, Linux {kernel}; 16 clients, two workers.".format(**machine())
    page = ROOT / "docs" / "reliability.md"
    page.write_text(put(page.read_text(), ROWS, about))
