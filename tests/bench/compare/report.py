"""The medians of all rounds as a Markdown table, each with its ratio to Breaker's."""

import os
import platform
import re
import statistics
from datetime import date
from pathlib import Path

COLUMNS = [
    ("h1_rps", "requests/s", "{:,.0f}"),
    ("h1_cpu_us", "CPU µs/request", "{:.1f}"),
    ("p50", "p50 µs", "{:,.0f}"),
    ("p99", "p99 µs", "{:,.0f}"),
    ("h2_rps", "HTTP/2 requests/s", "{:,.0f}"),
    ("h2_cpu_us", "HTTP/2 CPU µs/request", "{:.1f}"),
    ("idle_mib", "MiB idle", "{:.1f}"),
    ("load_mib", "MiB under load", "{:.1f}"),
    ("connection_kib", "KiB/idle connection", "{:.1f}"),
]


TLS_COLUMNS = [
    ("cpu_us", "CPU µs/request", "{:.1f}"),
    ("rps", "requests/s", "{:,.0f}"),
    ("full_us", "CPU µs/full handshake", "{:.0f}"),
    ("resumed_us", "CPU µs/resumed handshake", "{:.0f}"),
    ("connection_kib", "KiB/idle connection", "{:.1f}"),
    ("first_kib", "KiB, of the first 1,000", "{:.1f}"),
]


def table(proxies, rounds, columns=COLUMNS):
    """`rounds` is a list of dictionaries from a proxy's name to its values."""
    medians = {proxy.name: medians_of(proxy.name, rounds) for proxy in proxies}
    ours = medians.get("breaker", {})
    lines = ["| | " + " | ".join(title for _, title, _ in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for proxy in proxies:
        cells = [cell(medians[proxy.name].get(key), ours.get(key), form, proxy.name) for key, _, form in columns]
        lines.append(f"| {proxy.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def medians_of(name, rounds):
    keys = {key for values in rounds for key in values[name]}
    return {key: statistics.median(values[name][key] for values in rounds) for key in keys}


def cell(value, ours, form, name):
    if value is None:
        return "–"
    text = form.format(value)
    if name == "breaker" or not ours:
        return text
    return f"{text} (×{value / ours:.2f})"


def machine():
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{date.today()}, {model[1] if model else platform.machine()}, {os.cpu_count()} vCPU, "
        f"{memory:.0f} GiB, Linux {platform.release()}"
    )
