"""What the page does in a browser: `cases.py CASE ADMIN [ARGUMENT]…`. Says `passed`, or fails by an assertion."""

import json
import os
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from playwright.sync_api import expect

from browser import browser, page_of

AUDIT = (Path(__file__).parent / "audit.js").read_text()
# The machine may be busy; what is promised in seconds is measured.
expect.set_options(timeout=30_000)


def trip(url):
    for _ in range(20):
        try:
            urllib.request.urlopen(url)
        except urllib.error.HTTPError as error:
            assert error.code in (500, 503), error.code


def live(page, path="/"):
    page.goto(path)
    expect(page.locator("#connection-text")).to_have_text("live")


def case_trip(page, proxy):
    live(page)
    tile = page.locator(".tile", has_text="pay")
    # What else the machine does makes it longer, never shorter: the shortest time counts.
    for attempt in range(3):
        expect(tile.locator(".state")).to_have_text("Closed")
        trip(proxy)
        began = time.monotonic()
        expect(tile.locator(".state")).to_have_text("Open")
        took = time.monotonic() - began
        print(f"seen after {took:.2f} s")
        if took < 2:
            break
        assert page.request.post("/api/v1/breakers/pay/reset", data={}).ok
    assert took < 2, f"{took} s"
    expect(tile.locator(".why")).to_contain_text("error rate 100% ≥ 8%")
    expect(page.locator("#announcer")).to_have_text("pay is open")
    assert page.title() == "(1 open) Breaker", page.title()

    tile.click()
    expect(page.locator("#route-name")).to_have_text("pay")
    expect(page.locator("#route-name")).to_be_focused()
    assert page.url.endswith("#/route/pay"), page.url
    expect(page.locator(".log li").first).to_contain_text("Closed → Open")
    expect(page.locator(".conditions li").first).to_have_text("openerror rate ≥ 8%")
    left = page.locator(".facts span", has_text="Half-open in").locator("b")
    first = int(left.inner_text().split()[0])
    while int(left.inner_text().split()[0]) > first - 2:
        page.wait_for_timeout(100)
    expect(page.get_by_role("img", name=re.compile("^Error rate: "))).to_be_visible()
    page.get_by_role("link", name="All routes").click()
    expect(page.locator("#overview")).to_be_visible()
    page.goto("/#/route/none")
    expect(page.get_by_text("No route is called none.")).to_be_visible()


def case_panic(page, admin):
    live(page)
    banner = page.get_by_role("alert").filter(has_text="Panic")
    expect(banner).to_be_hidden()

    def set_panic(body):
        request = urllib.request.Request(f"{admin}/api/v1/panic", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="PUT")
        urllib.request.urlopen(request)

    set_panic({"on": True, "reason": "breakers do harm"})
    expect(banner).to_have_text("Panic: all routes are forced closed until it is ended, and every request is admitted: breakers do harm")
    page.locator(".tile", has_text="pay").click()
    expect(banner).to_be_visible()
    expect(page.locator(".log li").filter(has_text="Panic")).to_contain_text("on: breakers do harm")
    set_panic({"on": False})
    expect(banner).to_be_hidden()


def case_shedding(page, proxy):
    live(page)
    over = threading.Event()

    def call():
        while not over.is_set():
            try:
                urllib.request.urlopen(proxy)
            except urllib.error.HTTPError as error:
                assert error.code == 503, error.code
                over.wait(0.2)

    # As long as requests are refused, it goes on.
    with ThreadPoolExecutor(20) as callers:
        calls = [callers.submit(call) for _ in range(20)]
        try:
            sees_shedding(page)
        finally:
            over.set()
    for each in calls:
        each.result()


def sees_shedding(page):
    tile = page.locator(".tile", has_text="pay")
    expect(tile.locator(".state")).to_have_text("Shedding")
    expect(tile.locator(".why")).to_contain_text("in flight at most: ")
    expect(page.locator("#counts")).to_contain_text("1 shedding")
    expect(page.locator("#announcer")).to_have_text("pay is shedding")
    page.locator("#filter").fill("shedding")
    expect(page.locator("#shown")).to_have_text("1 of 1")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        live(page)
        expect(tile.locator(".state")).to_have_text("Shedding")
        found = page.evaluate(AUDIT)
        assert found == [], f"{theme}: {found}"

    tile.click()
    expect(page.locator(".title .state")).to_have_text("Shedding")
    expect(page.locator(".facts span", has_text="Limit").locator("b")).to_have_text(re.compile(r"^\d+$"))
    expect(page.locator(".log li").first).to_contain_text("Shedding begins")
    expect(page.locator(".conditions li").first).to_have_text(re.compile("^shed"))
    expect(page.get_by_role("img", name=re.compile(r"^In flight: \d+ · limit \d+"))).to_be_visible()


def case_stall(page, process):
    live(page)
    os.kill(int(process), signal.SIGSTOP)
    try:
        expect(page.locator("#connection-text")).to_have_text(re.compile(r"reconnecting, data \d+ s old"))
    finally:
        os.kill(int(process), signal.SIGCONT)
    expect(page.locator("#connection-text")).to_have_text("live")


def case_modes(page, secret):
    asked = []

    def request(request):
        if request.method != "GET":
            asked.append((request.method, request.headers.get("authorization"), json.loads(request.post_data)))

    page.on("request", request)
    live(page, "/#/route/pay")
    modes = page.get_by_role("group", name="Mode")
    expect(modes.get_by_role("button", name="Automatic")).to_have_attribute("aria-pressed", "true")

    modes.get_by_role("button", name="Force open").click()
    dialog = page.get_by_role("dialog", name="Force open: pay")
    token = dialog.get_by_label("Control token")
    expect(token).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert asked == [], asked

    modes.get_by_role("button", name="Force open").click()
    token.fill("wrong")
    dialog.get_by_label("For").select_option("30 seconds")
    dialog.get_by_role("button", name="Force open").click()
    expect(dialog.get_by_role("alert")).to_contain_text("token")
    token.fill(secret)
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.locator(".title .state")).to_have_text("Open")
    expect(page.locator(".facts")).to_contain_text("Mode Forced open for")
    body = {"mode": "forced_open", "for": 30}
    assert asked == [("PUT", "Bearer wrong", body), ("PUT", f"Bearer {secret}", body)], asked

    # It is not asked for again, and no other tab has it.
    modes.get_by_role("button", name="Automatic").click()
    expect(token).to_be_hidden()
    page.get_by_role("dialog").get_by_role("button", name="Automatic").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert asked[-1] == ("PUT", f"Bearer {secret}", {"mode": "auto"}), asked
    expect(modes.get_by_role("button", name="Automatic")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".log")).to_contain_text("Mode: Automatic")

    modes.get_by_role("button", name="Reset").click()
    page.get_by_role("dialog").get_by_role("button", name="Reset").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(".title .state")).to_have_text("Closed")
    assert page.evaluate("sessionStorage.getItem('breaker.token')") == secret
    kept = page.evaluate("JSON.stringify(localStorage) + document.cookie")
    assert secret not in kept, kept


def case_accessible(page, proxy):
    trip(proxy)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for path in ("/", "/#/route/pay"):
            for width in (1280, 360):
                page.set_viewport_size({"width": width, "height": 800})
                live(page, path)
                place = page.locator("#route-name") if "route" in path else page.locator(".tile .p99").first
                expect(place).to_be_visible()
                found = page.evaluate(AUDIT)
                assert found == [], f"{theme}, {path}, {width}: {found}"
    page.set_viewport_size({"width": 1280, "height": 800})
    live(page)
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator(".tile").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#route-name")).to_be_focused()
    before = page.locator("html").get_attribute("data-theme")
    page.get_by_role("button", name=re.compile("^Switch to ")).click()
    expect(page.locator("html")).not_to_have_attribute("data-theme", before)


def case_fleet(page, redis):
    live(page)
    link = page.locator("#fleet-link")
    expect(link).to_have_text("Fleet shop · 2 sidecars")
    link.click()
    expect(page.locator("#fleet-name")).to_have_text("Fleet shop")
    expect(page.locator("#fleet-name")).to_be_focused()
    sidecars = page.get_by_role("region", name="Sidecars of the fleet").locator("tbody tr")
    expect(sidecars).to_have_count(2)
    expect(sidecars.filter(has_text="aggregates")).to_have_count(1)
    expect(sidecars.filter(has_text="this one")).to_have_count(1)
    routes = page.get_by_role("region", name="Routes over all sidecars").locator("tbody tr")
    expect(routes).to_have_count(1)
    expect(routes).to_contain_text("Quiet")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width in (1280, 360):
            page.set_viewport_size({"width": width, "height": 800})
            for path, place in (("/#/fleet", sidecars.first), ("/#/route/pay", page.get_by_text("All 0 sidecars"))):
                live(page, path)
                expect(place).to_be_visible()
                found = page.evaluate(AUDIT)
                assert found == [], f"{theme}, {path}, {width}: {found}"
    live(page, "/#/fleet")
    os.kill(int(redis), signal.SIGKILL)
    expect(page.locator("#fleet .state")).to_have_text("Alone")
    expect(page.locator("#fleet .sentence")).to_contain_text("can't be reached: each breaker is alone")
    expect(link).to_have_text("Fleet shop: alone")
    found = page.evaluate(AUDIT)
    assert found == [], found


def case_many(page, count):
    live(page)
    tiles = page.locator("#tiles li")
    expect(tiles).to_have_count(int(count))
    expect(page.locator(".tile .p99").first).not_to_be_empty()
    drawn = page.evaluate("[...document.querySelectorAll('.tile .rate')].filter((rate) => rate.textContent).length")
    assert 0 < drawn < 100, drawn
    # What a snapshot costs is told, not judged: the machine may be busy.
    frames = page.evaluate("""() => new Promise((done) => {
      const long = [];
      new PerformanceObserver((list) => long.push(...list.getEntries().map((entry) => Math.round(entry.duration)))).observe({ entryTypes: ["longtask"] });
      setTimeout(() => done(long), 5000);
    })""")
    print(f"{drawn} of {count} tiles drawn; tasks over 50 ms in 5 s: {frames}")
    page.locator("#filter").fill("route-499")
    expect(page.locator("#shown")).to_have_text(f"1 of {count}")
    expect(page.locator("#tiles li:visible .rate")).not_to_be_empty()
    page.locator("#filter").fill("nothing like it")
    expect(page.locator("#none")).to_have_text("No route matches the filter.")


def main():
    name, admin, *more = sys.argv[1:]
    # Refusals that the case asks for; a browser tells them on its console.
    expected = {"modes": (401, 403)}.get(name, ())
    with browser() as chromium:
        page = page_of(chromium, admin, expected, base_url=admin)
        globals()[f"case_{name}"](page, *more)
        assert page.wrong == [], page.wrong
    print("passed")


main()
