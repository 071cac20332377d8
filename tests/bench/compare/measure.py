"""The measurements, one function each. The load runs on a core of its own, beside the upstream."""

import asyncio
import re
import subprocess
import time

from proxies import LOAD_CORE, STEADY

CONNECTIONS = 64
IDLE_CONNECTIONS = 5_000


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


def h2load(port, *options):
    """Runs h2load; returns how many requests were answered, which must be all."""
    output = on_load_core("h2load", "-t1", *options, f"http://127.0.0.1:{port}/", seconds=60)
    done, failed = map(int, re.search(r"(\d+) done, \d+ succeeded, (\d+) failed", output).groups())
    if failed or not done:
        raise SystemExit(f"h2load: not every request was answered:\n{output}")
    return done


def on_load_core(*command, seconds):
    ran = subprocess.run(["taskset", "-c", LOAD_CORE, *map(str, command)], capture_output=True, text=True, timeout=seconds + 30)
    if ran.returncode:
        raise SystemExit(f"{command[0]} failed:\n{ran.stdout}{ran.stderr}")
    return ran.stdout


async def one_request_each(port, count, rest_seconds, look=lambda: 0):
    """Opens `count` connections, sends one request on each, rests, looks, closes them."""
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    turn = asyncio.Semaphore(100)

    async def ask():
        async with turn:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
            return reader, writer

    connections = await asyncio.wait_for(asyncio.gather(*(ask() for _ in range(count))), 60)
    await asyncio.sleep(rest_seconds)
    seen = look()
    closed = sum(reader.at_eof() for reader, _ in connections)
    if closed:
        raise SystemExit(f"{closed} of {count} idle connections were closed")
    for _, writer in connections:
        writer.close()
    return seen

