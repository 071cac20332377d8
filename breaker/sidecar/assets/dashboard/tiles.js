// The overview: a tile a route, in the order of trouble. Only what has changed is touched.

import { attribute, byId, setChip, text, WORDS } from "./dom.js";
import * as format from "./format.js";
import { spark } from "./spark.js";
import { alerting, alertReason, complete, rate, remaining, routes, state, stateOf, wordOf } from "./store.js";

const list = byId("tiles");
const template = byId("tile");
const filter = byId("filter");
const tiles = new Map();
let stale = true;
/** From here on tiles are small. */
const MANY = 60;

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const tile = tiles.get(target.dataset.name);
    if (!tile) continue;
    tile.visible = isIntersecting;
    if (isIntersecting) draw(tile);
  }
}, { rootMargin: "200px" });

/** Draws what is new. */
export function update() {
  for (const [name, tile] of tiles) {
    if (routes.has(name)) continue;
    seen.unobserve(tile.item);
    tile.item.remove();
    tiles.delete(name);
  }
  for (const route of routes.values()) {
    const tile = tiles.get(route.name) ?? add(route);
    tile.route = route;
    tile.drawn = false;
    heading(tile);
    if (tile.visible) draw(tile);
  }
  list.classList.toggle("many", tiles.size > MANY);
  arrange();
}

/** Moves the countdowns on. */
export function tick() {
  for (const tile of tiles.values()) if (tile.visible && tile.route.deadline !== null) badges(tile);
}

/** The colours are others. */
export function redraw() {
  for (const tile of tiles.values()) {
    tile.drawn = false;
    if (tile.visible) draw(tile);
  }
}

function add(route) {
  const item = template.content.firstElementChild.cloneNode(true);
  const find = (name) => item.querySelector(`.${name}`);
  const tile = {
    item, route, visible: false, drawn: false, rank: null,
    link: find("tile"), chip: find("chip"), badges: find("badges"), why: find("why"), canvas: find("spark"),
    rate: find("rate"), errors: find("errors"), p50: find("p50"), p99: find("p99"), inFlight: find("in-flight"),
  };
  item.dataset.name = route.name;
  tile.link.href = `#/route/${encodeURIComponent(route.name)}`;
  text(find("name"), route.name);
  attribute(find("name"), "title", route.name);
  tiles.set(route.name, tile);
  list.append(item);
  seen.observe(item);
  stale = true;
  return tile;
}

/** State and badges: cheap, and what the order and the filter go by. */
function heading(tile) {
  const { report } = tile.route;
  const shown = stateOf(report);
  attribute(tile.link, "data-state", shown);
  setChip(tile.chip, shown, wordOf(report));
  attribute(tile.link, "data-alert", alerting(tile.route) ? "" : null);
  const rank = trouble(tile.route);
  const words = `${tile.route.name} ${WORDS[shown]} ${shown} ${report.mode} ${WORDS[report.mode]}`.toLowerCase();
  if (rank !== tile.rank || words !== tile.words) stale = true;
  tile.rank = rank;
  tile.words = words;
}

/** The rest, of a tile that can be seen. */
function draw(tile) {
  if (tile.drawn) return;
  tile.drawn = true;
  complete(tile.route).then(() => requestAnimationFrame(() => spark(tile.canvas, tile.route.points, state.t)));
  const { report, points } = tile.route;
  const last = points.at(-1);
  badges(tile);
  text(tile.why, why(tile.route));
  text(tile.rate, format.count(rate(tile.route)));
  text(tile.errors, format.share(last?.error_rate));
  tile.errors.classList.toggle("bad", last?.error_rate >= 0.05);
  text(tile.p50, format.time(last?.p50));
  text(tile.p99, format.time(last?.p99));
  text(tile.inFlight, format.count(report.in_flight));
}

function why(route) {
  const { report } = route;
  if (stateOf(report) === "shedding") return `${report.shedding.limit} in flight at most: ${report.shedding.reason.detail}`;
  // A closed breaker's last change is old news beside an alert.
  const alert = report.state === "closed" ? alertReason(route) : null;
  if (alert !== null) return `Alert: ${alert}`;
  const idle = report.sources.find(({ unmatched }) => unmatched);
  if (report.state === "closed" && idle) return `Feed ${idle.source}: ${idle.unmatched.detail}`;
  return report.reason.label === "initial" ? "" : report.reason.detail;
}

function badges(tile) {
  const { report } = tile.route;
  const wanted = [];
  if (alerting(tile.route)) wanted.push(["badge alert", "alert"]);
  if (report.source && report.source !== "proxy") wanted.push(["badge", `by ${report.source}`]);
  if (report.mode !== "auto") wanted.push(["badge forced", WORDS[report.mode]]);
  const left = remaining(tile.route);
  if (left !== null) wanted.push(["badge remaining", `${Math.ceil(left)} s`]);
  else if (stateOf(report) !== "closed" && report.state !== "open") wanted.push(["badge remaining", `${format.share(report.admitted_share)} admitted`]);
  while (tile.badges.children.length > wanted.length) tile.badges.lastChild.remove();
  wanted.forEach(([name, words], index) => {
    const badge = tile.badges.children[index] ?? tile.badges.appendChild(document.createElement("span"));
    attribute(badge, "class", name);
    text(badge, words);
  });
}

/** Trouble in coarse steps, so that tiles don't change places for a percent. */
function trouble(route) {
  const { state, mode } = route.report;
  if (state === "open") return mode === "shadow" ? 3 : 0;
  if (state === "half_open") return 1;
  if (stateOf(route.report) === "shedding") return mode === "shadow" ? 3 : 2;
  if (alerting(route)) return 4;
  const errors = route.points.at(-1)?.error_rate ?? null;
  // An idle route says nothing, good or bad.
  if (errors === null) return 8;
  if (errors >= 0.05) return 5;
  return errors >= 0.01 ? 6 : 7;
}

/** Tiles stay where they are while the pointer or the focus is among them. */
function arrange(now = false) {
  const used = list.matches(":hover") || list.contains(document.activeElement);
  if (!stale || (used && !now)) return;
  stale = false;
  const words = filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const sorted = [...tiles.values()].sort((a, b) => a.rank - b.rank || a.route.index - b.route.index);
  let shown = 0;
  let place = list.firstElementChild;
  for (const tile of sorted) {
    const wanted = words.every((word) => tile.words.includes(word));
    tile.item.hidden = !wanted;
    shown += wanted;
    if (tile.item === place) place = place.nextElementSibling;
    else list.insertBefore(tile.item, place);
  }
  text(byId("shown"), words.length > 0 ? `${shown} of ${sorted.length}` : "");
  const none = byId("none");
  none.hidden = shown > 0;
  text(none, sorted.length === 0 ? "No routes are configured." : "No route matches the filter.");
}

list.addEventListener("pointerleave", () => arrange());
list.addEventListener("focusout", () => requestAnimationFrame(() => arrange()));
filter.addEventListener("input", () => {
  stale = true;
  arrange(true);
});
