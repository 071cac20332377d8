// Where it begins: the stream feeds the store, the store is drawn, the address says what is shown.

import { announce } from "./announce.js";
import { attribute, byId, make, text } from "./dom.js";
import * as fleet from "./fleet.js";
import * as fleetPage from "./fleetpage.js";
import * as format from "./format.js";
import { follow } from "./live.js";
import * as route from "./route.js";
import * as store from "./store.js";
import * as theme from "./theme.js";
import * as tiles from "./tiles.js";

const connection = byId("connection");
const overview = byId("overview");
/** The place of the fleet's page: no route is called so. */
const FLEET = Symbol("fleet");
let place = null;
let drawing = false;

/** At most once a frame, however much comes. */
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    identity();
    counts();
    panic();
    refused();
    if (place === null) tiles.update();
    else if (place === FLEET) fleetPage.update();
    else route.update();
  });
}

function counts() {
  const of = { open: 0, half_open: 0, shedding: 0, closed: 0 };
  let alerts = 0;
  for (const known of store.routes.values()) {
    // In shadow mode nothing is rejected.
    of[known.report.mode === "shadow" ? "closed" : store.stateOf(known.report)] += 1;
    alerts += store.alerting(known);
  }
  const told = [["open", "open", of.open], ["half_open", "half-open", of.half_open], ["shedding", "shedding", of.shedding], ["closed", "closed", of.closed], ["", "alerting", alerts]];
  const list = byId("counts");
  if (list.children.length === 0) {
    list.append(...told.map(([state, word]) => make("span", { data: { state } }, make("b"), ` ${word}`)));
  }
  told.forEach(([, , number], index) => text(list.children[index].firstChild, String(number)));
  document.title = of.open > 0 ? `(${of.open} open) Breaker` : "Breaker";
}

function identity() {
  const told = store.state.status;
  text(byId("identity"), told ? [told.host, told.version].filter(Boolean).join(" · ") : "");
  attribute(byId("identity"), "title", told ? `breaker ${told.version} on ${told.host}, instance ${told.instance}` : null);
}

/** A configuration that is not in force is what somebody believes to be. */
function refused() {
  const banner = byId("refused");
  const told = store.state.status?.configuration.error ?? null;
  banner.hidden = told === null;
  if (told !== null) text(banner, `The last reload was refused at ${format.clock(told.at)}, and the configuration before stays in force: ${told.detail}`);
}

/** That all routes are forced closed is above all else. Said once, and not each second: a reader would read it each time. */
function panic() {
  const banner = byId("panic");
  const told = store.state.panic;
  banner.hidden = told === null;
  if (told === null) return;
  const until = told.remaining == null ? "until it is ended" : `until ${format.clock(store.state.t + told.remaining)}`;
  text(banner, `Panic: all routes are forced closed ${until}, and every request is admitted${told.reason ? `: ${told.reason}` : "."}`);
}

function connected(is) {
  if (is === "live" && connection.dataset.state !== "live") {
    store.identify().then(() => {
      fleet.follow(store.state.status?.fleet, draw);
      draw();
    });
  }
  if (is !== "live" && connection.dataset.state === "live") {
    store.disconnected();
    fleet.stop();
  }
  connection.dataset.state = is;
  age();
}

/** How old what is shown is, while nothing new comes. */
function age() {
  const seconds = (performance.now() - store.state.received) / 1000;
  const old = store.state.received ? `, data ${format.span(seconds)} old` : "";
  const words = { live: "live", connecting: "connecting", lost: `reconnecting${old}` };
  text(byId("connection-text"), words[connection.dataset.state]);
}

function navigate() {
  const [, name] = location.hash.match(/^#\/route\/(.+)$/) ?? [];
  const next = location.hash === "#/fleet" ? FLEET : name === undefined ? null : decodeURIComponent(name);
  overview.hidden = next !== null;
  byId("route").hidden = next === null || next === FLEET;
  byId("fleet").hidden = next !== FLEET;
  if (next === null || next === FLEET) route.close();
  else route.open(next);
  if (next === FLEET) fleetPage.open();
  else fleetPage.close();
  // A reader goes on where the page begins; the first page is where it is already.
  if (place !== undefined && document.body.dataset.ready) (next === null ? byId("main") : byId(next === FLEET ? "fleet-name" : "route-name")).focus({ preventScroll: true });
  document.body.dataset.ready = "yes";
  place = next;
  scrollTo(0, 0);
  draw();
}

addEventListener("hashchange", navigate);
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, select") || place !== null) return;
  event.preventDefault();
  byId("filter").focus();
});
setInterval(() => {
  tiles.tick();
  route.tick();
  age();
}, 250);

theme.follow(byId("theme"), () => {
  tiles.redraw();
  route.update();
});
navigate();
follow({
  snapshot: (told) => {
    store.snapshot(told);
    draw();
  },
  changes: (told) => {
    store.changes(told);
    draw();
  },
  event: (told) => {
    store.event(told);
    if (told.kind === "configuration") store.identify().then(draw);
    announce(told);
    route.event(told);
    draw();
  },
  state: connected,
});
