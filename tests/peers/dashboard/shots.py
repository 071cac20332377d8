"""Takes the pictures of docs/dashboard.md: `shots.py BREAKER DIRECTORY`. Takes six minutes, so that the charts have something to show."""

import http.client
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import expect

from browser import browser, page_of

BEGAN = time.monotonic()
LASTS = 210

# name: requests a second, policy and more of the route, and what the service does: failures and seconds, by the time.
ROUTES = {
    "checkout": (40, "sensitive", lambda t: (0.85, 0.02) if 80 < t < 110 or t > 190 else (0.01, 0.02)),
    "ledger": (25, "sensitive", lambda t: (0.95, 0.008) if t > 130 else (0.0, 0.008)),
    "search": (30, "sensitive", lambda t: (0.6, 0.05) if 100 < t < 150 else (0.01, 0.05)),
    "recommendations": (15, "sensitive", lambda t: (0.0, 1.2 if random.random() < 0.03 and t > 30 else 0.06)),
    "inventory": (20, "sensitive, mode: shadow", lambda t: (0.3 if 60 < t < 220 else 0.0, 0.012)),
    "pricing": (30, "adaptive", lambda t: (0.02, 0.015 if t < 200 else 0.045)),
    "users": (50, "conservative", lambda t: (0.002, 0.004)),
    "sessions": (35, "conservative", lambda t: (0.0, 0.003)),
    "images": (20, "combined", lambda t: (0.005, 0.12)),
    "mail": (3, "sensitive, mode: forced_open", lambda t: (0.0, 0.05)),
    "export": (0, "conservative", lambda t: (0.0, 0.5)),
}


def one_of_many(name):
    """Of the many services a few are in trouble, each in its own way."""
    chance = random.Random(name)
    failing, slow = chance.random() < 0.06, chance.random() < 0.04
    return (0.9 if failing else 0.002), (1.3 if slow else 0.002 * chance.lognormvariate(1, 1))


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = self.path.split("/")[1]
        failures, seconds = ROUTES[name][2](time.monotonic() - BEGAN) if name in ROUTES else one_of_many(name)
        time.sleep(seconds * random.lognormvariate(0, 0.35))
        self.send_response(500 if random.random() < failures else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def load(port, name, rate):
    """Sends so many requests a second, until the process ends."""
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            while True:
                connection.request("GET", f"/{name}/x")
                connection.getresponse().read()
                time.sleep(random.expovariate(rate))
        except OSError:
            time.sleep(0.5)


def start(breaker, routes):
    """A sidecar in front of the service; returns process, port and admin address."""
    service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    service.daemon_threads = True
    threading.Thread(target=service.serve_forever, daemon=True).start()
    config = Path(tempfile.mkdtemp()) / "breaker.yaml"
    entries = [f"  - {{ name: {name}, match: {{ path: '/{name}/{{*rest}}' }}, upstream: all, policy: {policy} }}" for name, policy in routes]
    config.write_text("\n".join([
        "listen: 127.0.0.1:0", "admin: 127.0.0.1:0", "upstreams:",
        f"  all: {{ endpoints: ['http://127.0.0.1:{service.server_port}'] }}", "routes:", *entries]) + "\n")
    process = subprocess.Popen([breaker, "run", "--config", config, "--log-format", "json"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        fields = json.loads(line)
        fields = fields.get("fields", fields)
        if "admin" in fields:
            threading.Thread(target=lambda: [None for _ in process.stdout], daemon=True).start()
            return process, int(fields["listen"].rsplit(":", 1)[1]), f"http://{fields['admin']}"
    raise SystemExit("the sidecar does not run")


def shoot(chromium, admin, file, address="/", state=None, full=False, **options):
    options = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light", **options}
    page = page_of(chromium, admin, base_url=admin, **options)
    page.goto(address)
    expect(page.locator("#connection-text")).to_have_text("live")
    if state:
        expect(page.locator("#route")).to_have_attribute("data-state", state, timeout=120_000)
    # Histories come one by one, and charts are drawn a frame later.
    page.wait_for_timeout(3000)
    page.screenshot(path=file, full_page=full)
    assert page.wrong == [], page.wrong
    page.context.close()


def scene(breaker, directory):
    process, port, admin = start(breaker, [(name, policy) for name, (_, policy, _) in ROUTES.items()])
    for name, (rate, _, _) in ROUTES.items():
        for _ in range(3 if rate else 0):
            threading.Thread(target=load, args=(port, name, rate / 3), daemon=True).start()
    with browser() as chromium:
        time.sleep(HALF_OPEN)
        shoot(chromium, admin, directory / "half-open.png", "/#/route/checkout", "half_open", True)
        time.sleep(LASTS - (time.monotonic() - BEGAN))
        shoot(chromium, admin, directory / "overview.png")
        shoot(chromium, admin, directory / "overview-dark.png", color_scheme="dark")
        shoot(chromium, admin, directory / "narrow.png", viewport={"width": 390, "height": 800})
        shoot(chromium, admin, directory / "closed.png", "/#/route/pricing", full=True, color_scheme="dark")
        shoot(chromium, admin, directory / "open.png", "/#/route/ledger", "open", True)
    process.terminate()


def many(breaker, directory):
    process, port, admin = start(breaker, [(f"service-{number:03}", "sensitive") for number in range(500)])
    for number in range(0, 500, 4):
        threading.Thread(target=load, args=(port, f"service-{number:03}", 2), daemon=True).start()
    time.sleep(150)
    with browser() as chromium:
        shoot(chromium, admin, directory / "many.png", viewport={"width": 1600, "height": 1000})
    process.terminate()


# When the trial of `checkout` is near.
HALF_OPEN = 95

if __name__ == "__main__":
    scene(sys.argv[1], Path(sys.argv[2]))
    many(sys.argv[1], Path(sys.argv[2]))
