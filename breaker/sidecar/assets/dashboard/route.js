// The page of one route.

import * as api from "./api.js";
import { charts } from "./charts.js";
import { attribute, byId, chip, make, setChip, text, WORDS } from "./dom.js";
import * as format from "./format.js";
import { endpoints } from "./endpoints.js";
import * as fleet from "./fleet.js";
import { askMode, askReset } from "./modes.js";
import { conditions, failures, log, policy, sources, unmatched } from "./panels.js";
import { chooser } from "./source.js";
import { alertReason, complete, remaining, routes, state, stateOf, wordOf } from "./store.js";

const page = byId("route");
const MODES = { auto: "Automatic", forced_open: "Force open", forced_closed: "Force closed", shadow: "Shadow" };
let shown = null;

/** Shows the page of a route. */
export function open(name) {
  close();
  const parts = {
    name, charts: charts(), endpoints: endpoints(), fleet: fleet.panel(), chip: chip("closed"),
    title: make("h1", { id: "route-name" }, name), sentence: make("p", { class: "sentence" }),
    facts: make("p", { class: "facts" }), sources: make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Numbers of the sources" }), scores: make("div", { class: "scores" }),
    failures: make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Kinds of failure" }), unmatched: make("div", { class: "unmatched" }),
    chooser: chooser(name, () => update()),
    bounds: make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Conditions of the sources" }),
    log: make("ol", { class: "log", tabIndex: 0, "aria-label": "History" }), policy: make("div"), missing: make("p", { class: "empty wide", hidden: true }),
  };
  parts.modes = Object.entries(MODES).map(([mode, word]) =>
    make("button", { type: "button", onclick: () => askMode(name, mode), data: { mode } }, word));
  const steer = make("div", { class: "steer", role: "group", "aria-label": "Mode" }, ...parts.modes,
    make("span", { class: "gap" }), make("button", { type: "button", onclick: () => askReset(name) }, "Reset"));
  parts.body = [
    make("header", { class: "panel" }, make("a", { href: "#/" }, "← All routes"),
      make("div", { class: "title" }, parts.title, parts.chip), parts.sentence, parts.facts, steer),
    panel("The last five minutes", parts.chooser.element, parts.charts.panel),
    make("div", { class: "stack" }, panel("History", parts.log), panel("Policy in force", parts.policy)),
    make("div", { class: "wide stack" }, parts.fleet.panel, parts.endpoints.panel, panel("Sources, each apart", parts.unmatched, parts.sources, parts.failures, parts.bounds, parts.scores)),
  ];
  page.replaceChildren(...parts.body, parts.missing);
  shown = parts;
  update();
  parts.title.tabIndex = -1;
}

export function close() {
  shown = null;
  page.replaceChildren();
}

/** Draws what is new. */
export function update() {
  if (!shown) return;
  const parts = shown;
  const route = routes.get(parts.name);
  // Before the first snapshot nobody knows.
  parts.missing.hidden = Boolean(route) || state.t === 0;
  text(parts.missing, `No route is called ${parts.name}.`);
  for (const part of parts.body) part.hidden = !route;
  if (!route) return;
  // Only of a route that is known: a name in the address may be of none.
  if (!parts.asked) loadPolicy();
  const { report } = route;
  const shownState = stateOf(report);
  attribute(page, "data-state", shownState);
  setChip(parts.chip, shownState, wordOf(report));
  text(parts.sentence, sentence(report));
  for (const button of parts.modes) attribute(button, "aria-pressed", String(button.dataset.mode === report.mode));
  facts(parts, route);
  const list = report.sources.map((source) => ({ ...source, alert: alertReason(route, source.source) }));
  sources(parts.sources, parts.scores, list);
  conditions(parts.bounds, list);
  failures(parts.failures, list);
  unmatched(parts.unmatched, list);
  log(parts.log, route.events);
  parts.fleet.update(parts.name);
  parts.endpoints.update(report.upstream, state.t);
  // Those of the source that the points are of; requests in flight are the proxy's, whichever that is.
  const points = parts.chooser.points(route);
  const shownSource = parts.chooser.chosen() ?? report.source;
  const drawn = ({ source, signal }) => source === shownSource || signal === "concurrency";
  const statuses = list.flatMap(({ source, conditions = [] }) => conditions.map((status) => ({ source, ...status })));
  parts.charts.draw(points, state.t, statuses.filter(drawn));
  complete(route).then(() => shown === parts && log(parts.log, route.events));
}

/** Moves the countdown on. */
export function tick() {
  const route = shown && routes.get(shown.name);
  if (route?.deadline != null) facts(shown, route);
}

/** Something happened: the policy may be another. */
export function event({ kind, breaker }) {
  if (shown && (kind === "configuration" || (kind === "policy" && breaker === shown.name))) loadPolicy();
}

function sentence(report) {
  const { reason, shedding } = report;
  if (stateOf(report) === "shedding") return `Closed, and turns away what is beyond ${shedding.limit} in flight: ${shedding.reason.detail}`;
  return reason.label === "initial" ? "Closed since it was started." : reason.detail;
}

function facts(parts, route) {
  const { report } = route;
  const { shedding } = report;
  const left = remaining(route);
  const told = [
    ["Mode", WORDS[report.mode] + (report.mode_remaining ? ` for ${format.span(report.mode_remaining)}` : "")],
    ["For", format.span(report.lasted)],
    ["Numbers of", report.source && report.source !== "proxy" ? report.source : null],
    ["Alert", alertReason(route)],
    ["Half-open in", left === null ? null : `${Math.ceil(left)} s`],
    ["Sheds for", shedding && report.state === "closed" ? format.span(shedding.lasted) : null],
    ["Admitted", report.state === "half_open" || shedding ? format.share(report.admitted_share) : null],
    ["In flight", format.count(report.in_flight)],
    ["Limit", shedding ? format.count(shedding.limit) : null],
    ["Target latency", shedding ? format.time(shedding.target) : null],
    ["Oldest", report.oldest_in_flight ? format.time(report.oldest_in_flight) : null],
    ["Failed recoveries", report.failed_recoveries || null],
    ["Rejected since start", format.count(report.totals.rejected)],
    ["Of these answered by the fallback", report.fallback ? `${format.count(report.totals.fallback)} (${report.fallback})` : null],
    ["Would have been rejected", report.totals.would_reject ? format.count(report.totals.would_reject) : null],
  ].filter(([, value]) => value !== null);
  while (parts.facts.children.length > told.length) parts.facts.lastChild.remove();
  told.forEach(([label, value], index) => {
    const fact = parts.facts.children[index] ?? parts.facts.appendChild(make("span", {}, make("span"), " ", make("b")));
    text(fact.firstChild, label);
    text(fact.lastChild, String(value));
  });
}

async function loadPolicy() {
  const parts = shown;
  parts.asked = true;
  try {
    policy(parts.policy, await api.policy(parts.name));
  } catch (refused) {
    parts.policy.replaceChildren(make("p", { class: "quiet" }, `The policy can't be read: ${refused.message}.`));
  }
  if (shown === parts) update();
}

const panel = (title, ...children) => make("section", { class: "panel" }, make("h2", {}, title), ...children);
