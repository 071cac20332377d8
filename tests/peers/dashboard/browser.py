"""A Chromium that watches what a page does: errors, and requests to anywhere else."""

import shutil
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]


@contextmanager
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        yield chromium
        chromium.close()


def page_of(chromium, admin, expected=(), **options):
    """A page of the dashboard at `admin`. What it must not do is in `page.wrong`; statuses in `expected` may be answered."""
    page = chromium.new_context(**options).new_page()
    page.wrong = []

    def console(message):
        known = any(f"status of {status}" in message.text for status in expected)
        if message.type in ("error", "warning") and not known:
            page.wrong.append(f"console: {message.text}")

    page.on("console", console)
    page.on("pageerror", lambda error: page.wrong.append(f"error: {error}"))
    home = urlsplit(admin).netloc
    page.on("request", lambda request: urlsplit(request.url).netloc == home or request.url.startswith("data:") or page.wrong.append(f"request: {request.url}"))
    return page
