// Parts of a route's page: sources, history, policy.

import { attribute, make, text, WORDS } from "./dom.js";
import * as format from "./format.js";
import { trace } from "./traces.js";

const COLUMNS = [
  ["Source", (source) => source.source],
  ["Requests", (source) => format.count(source.requests)],
  ["Failures", (source) => format.count(source.failures)],
  ["Error rate", (source) => format.share(source.requests ? source.error_rate : null)],
  ["P50", (source) => format.time(source.latency?.p50)],
  ["P90", (source) => format.time(source.latency?.p90)],
  ["P99", (source) => format.time(source.latency?.p99)],
  ["Max", (source) => format.time(source.latency?.max)],
  ["In flight, P99", (source) => format.count(source.concurrency?.p99)],
  ["Alert", (source) => (source.alerting ? (source.alert ?? "alert") : format.NONE)],
];

/** A table with a row a source, and a meter a detector. A source's `alert` is the reason of the one that holds. */
export function sources(place, scores, list) {
  table(place, COLUMNS, list);

  const anomalies = list.flatMap(({ source, anomalies = [] }) => anomalies.map((anomaly) => ({ source, ...anomaly })));
  while (scores.children.length > anomalies.length) scores.lastChild.remove();
  anomalies.forEach((anomaly, index) => score(scores.children[index] ?? scores.appendChild(scoreRow()), anomaly));
}

const NUMBERS = { share: format.share, seconds: format.time, count: format.count };
const number = ({ unit }, value) => (NUMBERS[unit] ?? format.count)(value);
const STATUS = [
  ["Source", (status) => status.source],
  ["Condition", (status) => status.text, "text"],
  ["Now", (status) => number(status, status.observed)],
  ["Bound", (status) => number(status, status.threshold)],
  ["Of the bound", (status) => format.share(status.reached)],
  ["Requests", ({ samples, min_requests }) => (samples < min_requests ? `${samples} of ${min_requests}` : format.count(samples))],
  ["Holds", (status) => (status.holds ? status.action : format.NONE)],
];

/** A table with a row a condition and source: what is observed beside the bound. */
export function conditions(place, list) {
  const all = list.flatMap(({ source, conditions = [] }) => conditions.map((status) => ({ source, ...status })));
  place.hidden = all.length === 0;
  table(place, STATUS, all);
}

const FAILURES = [
  ["Source", ({ source }) => source],
  ["Failure", ({ kind }) => kind, "text"],
  ["Endpoint", ({ endpoint }) => endpoint ?? format.NONE, "text"],
  ["Requests", ({ count }) => format.count(count)],
  ["Latest trace", ({ trace: id }) => (id ? trace(id) : format.NONE), "text"],
];

/** How requests failed lately; made anew each time, because the order changes with the numbers. */
export function failures(place, list) {
  const all = list.flatMap(({ source, failure_kinds = [] }) => failure_kinds.map((failure) => ({ source, ...failure })));
  place.hidden = all.length === 0;
  const known = JSON.stringify(all);
  if (place.dataset.known === known) return;
  place.dataset.known = known;
  const head = make("tr", {}, ...FAILURES.map(([title, , kind]) => make("th", { scope: "col", class: kind }, title)));
  const row = (failure) => make("tr", {}, ...FAILURES.map(([, of, kind], index) => make(index === 0 ? "th" : "td", { class: kind }, of(failure))));
  const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...all.map(row)));
  place.replaceChildren(make("h3", {}, "How requests failed in the last five minutes"), table);
}

/** The feeds that match nothing, and what arrives instead. */
export function unmatched(place, list) {
  const idle = list.filter(({ unmatched }) => unmatched);
  const known = JSON.stringify(idle.map(({ source, unmatched }) => [source, unmatched.detail]));
  if (place.dataset.known === known) return;
  place.dataset.known = known;
  place.replaceChildren(...idle.map(({ source, unmatched }) => make("p", {}, make("b", {}, `Feed ${source}: `), unmatched.detail)));
}

/** A table with a row each of a list, made anew only when it has other rows, by their keys. */
export function table(place, columns, list, key = ({ source, text }) => `${source} ${text ?? ""}`) {
  const names = list.map(key).join();
  if (place.dataset.of !== names) {
    place.dataset.of = names;
    const head = make("tr", {}, ...columns.map(([title, , kind]) => make("th", { scope: "col", class: kind }, title)));
    const rows = list.map(() => make("tr", {}, make("th", { scope: "row" }), ...columns.slice(1).map(([, , kind]) => make("td", { class: kind }))));
    place.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  }
  const rows = place.querySelectorAll("tbody tr");
  list.forEach((one, index) => columns.forEach(([, of], column) => text(rows[index].children[column], of(one))));
}

const scoreRow = () => make("div", { class: "score" }, make("span"), make("meter", { min: 0, max: 1.5, low: 0.5, high: 1, optimum: 0 }), make("span"), make("p", { class: "quiet" }));

function score(row, { source, signal, score, share, normal, observations, alarming }) {
  const [name, meter, number, words] = row.children;
  text(name, signal);
  meter.value = Math.max(0, score);
  attribute(meter, "aria-label", `${signal} of ${source}: evidence against the alarm line`);
  text(number, format.share(Math.max(0, score)));
  const seen = observations === 0 ? "no evidence" : `${format.share(share)} of ${format.count(observations)}`;
  text(words, `${source}: ${seen}, ${format.share(normal)} is normal${alarming ? ": alarm" : ""}`);
  attribute(words, "data-state", alarming ? "open" : null);
}

const KINDS = { ramp: "Ramp begins", alert: "Alert", policy: "Policy changed", reset: "Reset", panic: "Panic", ejected: "Endpoint out", readmitted: "Endpoint in", discovered: "Endpoints found" };
const LABELS = {
  shedding: { shedding_started: "Shedding begins", shedding_ended: "Shedding ends" },
  upstream_panic: { panic: "All endpoints used", panic_ended: "Endpoints may go out again" },
  discovered: { lost: "No endpoint known" },
  configuration: { applied: "Configuration loaded", refused: "Configuration refused" },
};
/** The reasons of these tell the source themselves. */
const NAMES_SOURCE = ["transition", "shedding"];
/** What the border of an entry says beside its words. */
const STATES = { shedding_started: "shedding", shedding_ended: "closed", refused: "open", panic: "open", lost: "open" };

const OF_KIND = { ejected: "open", readmitted: "closed" };

/** What happened, the latest first. */
export function log(list, events) {
  const newest = events.at(-1);
  const known = `${events.length} ${newest?.t} ${newest?.kind}`;
  if (list.dataset.known === known) return;
  list.dataset.known = known;
  list.replaceChildren(...events.toReversed().map(entry));
  if (events.length === 0) list.append(make("li", { class: "quiet" }, "Nothing has happened yet."));
}

function entry({ t, kind, from, to, reason, source, mode, traces = [] }) {
  const what = kind === "transition" ? `${WORDS[from]} → ${WORDS[to]}` : kind === "mode" ? `Mode: ${WORDS[mode]}` : LABELS[kind]?.[reason?.label] ?? KINDS[kind] ?? kind;
  const item = make("li", {}, make("b", {}, what), make("time", { dateTime: new Date(t * 1000).toISOString() }, format.clock(t)));
  if (reason) item.append(make("span", {}, reason.detail));
  if (source && !NAMES_SOURCE.includes(kind)) item.append(make("span", { class: "quiet" }, `Source: ${source}`));
  for (const id of traces) item.append(make("span", { class: "id" }, "trace ", trace(id)));
  const state = to ?? OF_KIND[kind] ?? (LABELS[kind] && STATES[reason?.label]);
  if (state) item.dataset.state = state;
  return item;
}

/** The policy: its conditions in words, and its text. */
export function policy(place, { name, origin, yaml, window, min_requests, conditions }) {
  const entries = Map.groupBy(conditions, ({ entry }, index) => entry ?? index);
  const items = [...entries.values()].map((all) => make("li", {},
    make("span", { class: `badge ${all[0].action}` }, all[0].action), all.map(({ text }) => text).join(" and ")));
  // An anomaly is judged from request to request.
  const windowed = conditions.some(({ metric }) => metric !== "anomaly");
  place.replaceChildren(...[
    make("p", {}, make("b", {}, name), origin === "override" ? " – set at run time, over the configuration" : ""),
    windowed && make("p", { class: "quiet" }, `In ${format.span(window)}, of at least ${min_requests} requests`),
    make("ul", { class: "conditions" }, ...items),
    make("details", {}, make("summary", {}, "As YAML"), make("pre", { tabIndex: 0 }, yaml)),
  ].filter(Boolean));
}
