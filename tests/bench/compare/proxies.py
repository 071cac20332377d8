"""The proxies, and how each is started: one worker thread, and the breaker-like features that it has."""

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
PEERS = TARGET / "peers"

PROXY_CORE, LOAD_CORE = "0", "1"
PRIORITY = []  # what comes before each command that is measured or measures
STEADY = PEERS / "steady"


@dataclass(frozen=True)
class Proxy:
    name: str
    title: str
    config: str  # a file in configs/, or none
    command: tuple  # with placeholders, as in the configuration
    http2: str = "HTTP1"  # the port for cleartext HTTP/2; none if it cannot
    tls: str = ""  # what stands at @TLS@ in its configuration; without it, it speaks cleartext


BREAKER = os.environ.get("BREAKER_BIN", str(TARGET / "dist" / "breaker"))

PROXIES = [
    Proxy("breaker", "**Breaker** (`sensitive`, metrics on)", "breaker.yaml", (BREAKER, "run", "--config", "@CONFIG@")),
    Proxy("nginx", "nginx", "nginx.conf", ("nginx", "-p", "@DIR@", "-c", "@CONFIG@"), http2="HTTP2"),
    Proxy("haproxy", "HAProxy, HTTP", "haproxy-http.cfg", ("haproxy", "-db", "-f", "@CONFIG@")),
    Proxy("pingora", "Pingora, nothing added", "", (str(PEERS / "pingora/release/pingora-peer"), "127.0.0.1:@HTTP1@", "127.0.0.1:@UPSTREAM@")),
    Proxy(
        "envoy",
        "Envoy (outlier detection, admission control)",
        "envoy.yaml",
        (str(PEERS / "venv/bin/envoy"), "-c", "@CONFIG@", "--concurrency", "1", "--base-id", "@BASE@", "-l", "error"),
    ),
    Proxy("haproxy-tcp", "HAProxy, TCP (the floor)", "haproxy-tcp.cfg", ("haproxy", "-db", "-f", "@CONFIG@"), http2=""),
]

UPSTREAM = Proxy("upstream", "", "upstream.conf", ("nginx", "-p", "@DIR@", "-c", "@CONFIG@"))


def install():
    """Installs the peers."""
    subprocess.run([ROOT / "tests/peers/install", PEERS, "compare"], check=True)
    # Debian keeps servers where only root's PATH looks.
    os.environ["PATH"] += os.pathsep + "/usr/sbin"


def build(names):
    """Builds what is to be measured."""
    subprocess.run(["rustc", "--edition=2024", "-O", "-o", STEADY, HERE / "steady.rs"], check=True)
    if "breaker" in names:
        build_breaker()
    if "pingora" in names:
        environment = {**os.environ, "CARGO_TARGET_DIR": str(PEERS / "pingora")}
        cargo = ["cargo", "build", "--release", "--quiet", "--locked"]
        subprocess.run(cargo, cwd=HERE / "pingora", env=environment, check=True)


def build_breaker():
    """Builds Breaker as it is shipped, unless a binary is given."""
    if "BREAKER_BIN" not in os.environ:
        cargo = ["cargo", "build", "--profile", "dist", "--quiet", "-p", "breaker-sidecar"]
        subprocess.run(cargo, cwd=ROOT, check=True)


class Running:
    """A proxy, or the upstream, as a process tree bound to a core; ends with the `with` block."""

    def __init__(self, proxy, directory, core, upstream_port=0):
        self.proxy = proxy
        ports = free_ports(3)
        self.ports = {"HTTP1": ports[0], "HTTP2": ports[1], "ADMIN": ports[2]}
        values = {**self.ports, "UPSTREAM": upstream_port or ports[0], "DIR": directory, "BASE": ports[0]}
        values["TLS"] = fill(proxy.tls, values)
        if proxy.config:
            config = Path(directory) / proxy.config
            config.write_text(fill((HERE / "configs" / proxy.config).read_text(), values))
            values["CONFIG"] = config
        self.log = open(Path(directory) / f"{proxy.name}.log", "w+")
        self.process = subprocess.Popen(
            [*PRIORITY, "taskset", "-c", core, *(fill(word, values) for word in proxy.command)],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.port = self.ports["HTTP1"]
        self.http2_port = self.ports.get(proxy.http2)

    def __enter__(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                if self.process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
            self.__exit__()
            self.log.seek(0)
            raise SystemExit(f"{self.proxy.name} did not start:\n{self.log.read()}")

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def pids(self):
        """The process and its descendants."""
        found = [self.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        return found

    def cpu_seconds(self):
        """User and system time of all its processes so far."""
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident_kib(self):
        """Resident memory of all its processes."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids())
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def fill(text, values):
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
