"""The measurements, one function each. The load runs on a core of its own, beside the upstream."""

import asyncio
import re
import ssl
import subprocess
import sys
import time
from pathlib import Path

from proxies import LOAD_CORE, PRIORITY, STEADY

CONNECTIONS = 64
IDLE_CONNECTIONS = 5_000
FIRST_CONNECTIONS = 1_000


def warm_up(running):
    """Fills connection pools, caches and the allocator."""
    wrk(running.port, 1)
    if running.http2_port:
        h2load(running.http2_port, "-D1", "-c8", "-m8")


def full_load(running, seconds):
    """HTTP/1.1 as fast as it goes: requests a second and processor time a request."""
    return under_load(running, lambda: wrk(running.port, seconds))


def full_load_http2(running, seconds):
    """The same over cleartext HTTP/2, 8 connections of 8 streams."""
    return under_load(running, lambda: h2load(running.http2_port, f"-D{seconds}", "-c8", "-m8"))


def equal_load(running, seconds, rate):
    """Latencies while requests come at a fixed rate: the median and the 99th percentile, in µs."""
    output = on_load_core(STEADY, running.port, rate, seconds, seconds=seconds)
    requests, p50, p99 = map(int, output.split())
    if requests < 0.9 * rate * seconds:
        raise SystemExit(f"{running.proxy.name} answered {requests / seconds:.0f} requests a second of {rate}")
    return {"p50": p50, "p99": p99}


def full_load_tls(running, seconds):
    """HTTP/1.1 over kept connections in TLS, as fast as it goes."""
    return under_load(running, lambda: h2load(running.port, "--h1", f"-D{seconds}", f"-c{CONNECTIONS}", scheme="https"))


def handshakes(running, seconds, kind):
    """Processor time of a handshake of TLS 1.3, `full` or `resumed`, in µs."""
    cpu = running.cpu_seconds()
    shake = Path(__file__).with_name("shake.py")
    count = int(on_load_core(sys.executable, shake, running.port, seconds, kind, seconds=seconds))
    return (running.cpu_seconds() - cpu) / count * 1e6


def idle_tls_connections(running):
    """What each idle connection in TLS adds after one request: the first thousand, and those after them."""
    asyncio.run(one_request_each(running.port, 1, 0, secured=insecure()))
    time.sleep(0.5)
    seen = [running.resident_kib()]

    async def opened():
        for count in (FIRST_CONNECTIONS, IDLE_CONNECTIONS - FIRST_CONNECTIONS):
            kept.append(await open_with_one_request(running.port, count, insecure()))
            await asyncio.sleep(1)
            seen.append(running.resident_kib())

        closed = sum(reader.at_eof() for connections in kept for reader, _ in connections)
        if closed:
            raise SystemExit(f"{closed} of {IDLE_CONNECTIONS} idle connections were closed")

    kept = []
    asyncio.run(opened())
    before, first, last = seen
    return {
        "first_kib": (first - before) / FIRST_CONNECTIONS,
        "connection_kib": (last - first) / (IDLE_CONNECTIONS - FIRST_CONNECTIONS),
    }


def insecure():
    """TLS that believes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def idle_connections(running):
    """Memory while idle, and what each of many idle keep-alive connections adds after one request."""
    asyncio.run(one_request_each(running.port, 1, 0))
    time.sleep(0.5)
    before = running.resident_kib()
    after = asyncio.run(one_request_each(running.port, IDLE_CONNECTIONS, 1, running.resident_kib))
    return {"idle_mib": before / 1024, "connection_kib": (after - before) / IDLE_CONNECTIONS}


def under_load(running, load):
    cpu, start = running.cpu_seconds(), time.monotonic()
    requests = load()
    elapsed = time.monotonic() - start
    return {"rps": requests / elapsed, "cpu_us": (running.cpu_seconds() - cpu) / requests * 1e6}


def wrk(port, seconds):
    """Runs wrk; returns how many requests were answered, which must be all."""
    output = on_load_core("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"http://127.0.0.1:{port}/", seconds=seconds)
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(f"wrk: not every request was answered:\n{output}")
    return int(re.search(r"(\d+) requests in", output)[1])


def h2load(port, *options, scheme="http"):
    """Runs h2load; returns how many requests were answered, which must be all."""
    output = on_load_core("h2load", "-t1", *options, f"{scheme}://127.0.0.1:{port}/", seconds=60)
    done, failed = map(int, re.search(r"(\d+) done, \d+ succeeded, (\d+) failed", output).groups())
    if failed or not done:
        raise SystemExit(f"h2load: not every request was answered:\n{output}")
    return done


def on_load_core(*command, seconds):
    command = [*PRIORITY, "taskset", "-c", LOAD_CORE, *map(str, command)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{ran.stdout}{ran.stderr}")
    return ran.stdout


async def open_with_one_request(port, count, secured=None):
    """Opens `count` connections, and sends one request on each."""
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    turn = asyncio.Semaphore(100)

    async def ask():
        async with turn:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=secured)
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
            return reader, writer

    return await asyncio.wait_for(asyncio.gather(*(ask() for _ in range(count))), 60)


async def one_request_each(port, count, rest_seconds, look=lambda: 0, secured=None):
    """Opens `count` connections, sends one request on each, rests, looks, closes them."""
    connections = await open_with_one_request(port, count, secured)
    await asyncio.sleep(rest_seconds)
    seen = look()
    closed = sum(reader.at_eof() for reader, _ in connections)
    if closed:
        raise SystemExit(f"{closed} of {count} idle connections were closed")
    for _, writer in connections:
        writer.close()
    return seen

