"""Compares Breaker with other proxies on this machine: `python3 tests/bench/compare [--help]`.

One proxy at a time, with one worker thread, has core 0; core 1 makes the load and serves the answers (64 bytes, by
nginx). A round measures every proxy once, so that what else the machine does hits all alike; the table shows medians.

Processor time is the user and system time of all of a proxy's processes, divided by the requests of a run at full load
(wrk, 64 connections; h2load, 8 connections of 8 streams). Latencies are taken at a rate that all can serve.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import measure
import report
import tls
from proxies import LOAD_CORE, PRIORITY, PROXIES, PROXY_CORE, UPSTREAM, Running, build, build_breaker, install


def main():
    options = arguments()
    proxies = tls.PROXIES if options.tls else [proxy for proxy in PROXIES if proxy.name in options.only]
    if os.cpu_count() < 2:
        raise SystemExit("compare: needs two cores, one for the proxy and one for the load")
    if options.realtime:
        PRIORITY.extend(["chrt", "--rr", "10"])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    install()
    build_breaker() if options.tls else build(options.only)

    noise = Noise()
    rounds = []
    with tempfile.TemporaryDirectory(prefix="breaker-compare-") as directory:
        if options.tls:
            tls.make_certificate(directory)
        measured = tls.one_round if options.tls else one_round
        with Running(UPSTREAM, directory, LOAD_CORE) as upstream:
            for number in range(1, options.rounds + 1):
                values = {}
                for proxy in proxies:
                    say(f"round {number} of {options.rounds}: {proxy.name}")
                    values[proxy.name] = measured(proxy, directory, upstream.port, options)
                rounds.append(values)

    if options.tls:
        print(report.table(proxies, rounds, report.TLS_COLUMNS))
        print(*tls.ratios(rounds), sep="\n")
    else:
        print(report.table(proxies, rounds))
    print()
    latencies = "" if options.tls else f"latencies at {options.rate:,} requests/s; "
    print(
        f"Median of {options.rounds} interleaved rounds of {options.seconds} s, in brackets the ratio to Breaker's; "
        f"{latencies}{report.machine()}; "
        f"other programs took {noise.share():.0%} of the processors."
    )


def one_round(proxy, directory, upstream_port, options):
    """Measures a proxy from a fresh start: first its memory, then under load."""
    values = {}
    with Running(proxy, directory, PROXY_CORE, upstream_port) as running:
        values.update(measure.idle_connections(running))
    with Running(proxy, directory, PROXY_CORE, upstream_port) as running:
        measure.warm_up(running)
        values.update(prefixed("h1", measure.full_load(running, options.seconds)))
        values["load_mib"] = running.resident_kib() / 1024
        values.update(measure.equal_load(running, options.seconds, options.rate))
        if running.http2_port:
            values.update(prefixed("h2", measure.full_load_http2(running, options.seconds)))
    return values


def arguments():
    names = [proxy.name for proxy in PROXIES]
    parser = argparse.ArgumentParser(prog="compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each load (default 5)")
    parser.add_argument("--rate", type=int, default=4000, help="requests/s for the latencies (default 4000)")
    parser.add_argument("--tls", action="store_true", help="compare TLS 1.3, and measure the sandbox")
    parser.add_argument("--realtime", action="store_true", help="before other programs of a busy machine (for root)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, metavar="A,B", help=", ".join(names))
    options = parser.parse_args()
    unknown = set(options.only) - set(names)
    if unknown:
        parser.error(f"no proxy {', '.join(unknown)}; there are {', '.join(names)}")
    return options


class Noise:
    """How much of the processors programs other than this one and its children take."""

    def __init__(self):
        self.start, self.busy, self.own = time.monotonic(), busy_seconds(), own_seconds()

    def share(self):
        elapsed = (time.monotonic() - self.start) * os.cpu_count()
        return max(0.0, busy_seconds() - self.busy - (own_seconds() - self.own)) / elapsed


def busy_seconds():
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def prefixed(prefix, values):
    return {f"{prefix}_{key}": value for key, value in values.items()}


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
