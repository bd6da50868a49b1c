"""A real browser in front of a gateway's dashboard: Chromium without a screen, driven by its own driver."""

import json
import shutil
import tempfile
from contextlib import contextmanager

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from gateway import until

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
         "--force-color-profile=srgb", "--font-render-hinting=none"]
# In place of what the gateway says of itself, the page gets what this function makes of it.
STAND_IN = """{
const real = window.fetch;
window.fetch = async (...request) => {
  const response = await real(...request);
  if (!response.ok) return response;
  const change = %s;
  return new Response(JSON.stringify(change(await response.json())), { status: 200 });
}}
"""


def installed(*names):
    """The first of these programs that is there."""
    if found := next(filter(None, map(shutil.which, names)), None):
        return found
    pytest.exit(f"no {names[0]}: `make browser` installs one", 2)


class Browser:
    """One window. Fails loudly where the page does."""

    def __init__(self, driver, url):
        self.driver, self.url = driver, url

    def open(self, instead=None):
        """The page, with another idea of the gateway's status if one is given."""
        if instead:
            self.command("Page.addScriptToEvaluateOnNewDocument", source=STAND_IN % instead)
        self.driver.get(self.url)
        return self

    def enter(self, key):
        field = self.find("#key")
        field.clear()
        field.send_keys(key)
        self.find("#open").click()
        return self

    def admitted(self, key):
        self.enter(key)
        assert until(lambda: self.find("#board").is_displayed() and self.text("#n-rate") != "–", 10), self.text("#door-trouble")
        return self

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.textContent.replace(/\\s+/g, ' ').trim()", selector)

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((n) => n.textContent.trim())", selector)

    def rows(self, table):
        """A table's rows, each by the labels of its columns."""
        return self.run("return [...document.querySelectorAll(arguments[0] + ' tbody tr')].map((row) => Object.fromEntries("
                        "[...row.cells].map((cell) => [cell.dataset.label, cell.textContent.trim()])))", table)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def command(self, name, **arguments):
        return self.driver.execute_cdp_cmd(name, arguments)

    def resize(self, width, height=900, phone=False):
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.command("Emulation.setTouchEmulationEnabled", enabled=phone)

    def prefers(self, scheme):
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def overflow(self):
        """By how much the page is wider than its window."""
        return self.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def complaints(self):
        """What the console says, but for answers that are no 200 and gateways that are gone."""
        entries = self.driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["source"] != "network" or "/api/status" not in entry["message"]]

    def shot(self):
        return self.driver.get_screenshot_as_png()


@contextmanager
def browser(url):
    """A browser with nothing in it, and nothing left of it afterwards."""
    options = Options()
    options.binary_location = installed("chromium", "chromium-browser", "google-chrome")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    home = tempfile.mkdtemp(prefix="weir-browser-")
    for flag in [*FLAGS, f"--user-data-dir={home}", "--window-size=1280,900"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(installed("chromedriver")))
    try:
        driver.set_script_timeout(20)
        yield Browser(driver, url)
    finally:
        driver.quit()
        shutil.rmtree(home, ignore_errors=True)


def everywhere(text):
    """A function that puts a text in the place of every string of a document but its times, for `Browser.open`."""
    return """function change(value) {
      if (typeof value === "string") return /^\\d{4}-.*Z$|^[\\d.]+$/.test(value) ? value : %s;
      if (Array.isArray(value)) return value.map(change);
      if (value && typeof value === "object") for (const name of Object.keys(value)) value[name] = change(value[name]);
      return value;
    }""" % json.dumps(text)
