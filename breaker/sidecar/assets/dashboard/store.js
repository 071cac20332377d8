// What is known of the routes. Everything on the page is drawn from here.

import * as api from "./api.js";
import { WORDS } from "./dom.js";

const KEPT = 300;
const EVENTS = 100;

/** By name: { name, index, report, points, events, complete, deadline }. */
export const routes = new Map();
export const state = { t: 0, received: 0, panic: null, status: null };

/** Takes over a snapshot: all breakers, and the newest second of each. */
export function snapshot({ t, breakers, points, panic }) {
  const now = performance.now();
  state.t = t;
  state.received = now;
  state.panic = panic ?? null;
  const gone = new Set(routes.keys());
  breakers.forEach((report, index) => {
    gone.delete(report.name);
    const route = routes.get(report.name) ?? add(report.name);
    route.index = index;
    take(route, report, points?.[index], now);
  });
  gone.forEach((name) => routes.delete(name));
}

/** Takes over what is new since the second before: what is not in it is as it was. */
export function changes({ t, breakers, points, panic }) {
  const now = performance.now();
  const passed = t - state.t;
  state.t = t;
  state.received = now;
  state.panic = panic ?? null;
  const changed = new Map(breakers.map((report, index) => [report.name, index]));
  for (const route of routes.values()) {
    const index = changed.get(route.name);
    if (index !== undefined) {
      take(route, breakers[index], points[index], now);
    } else {
      route.report.lasted += passed;
      const last = route.points.at(-1);
      if (last) push(route, { ...last, t });
    }
  }
}

function take(route, report, point, now) {
  route.report = report;
  // Counted down here, so that it moves between snapshots.
  route.deadline = report.open_remaining == null ? null : now + report.open_remaining * 1000;
  if (point) push(route, point);
}

function push({ points }, point) {
  if (points.at(-1)?.t >= point.t) return;
  points.push(point);
  if (points.length > KEPT) points.shift();
}

export function event(told) {
  // What happened to none concerns all of them.
  if (told.breaker == null) return routes.forEach((route) => concerns(told, route) && keep(route, told));
  const route = routes.get(told.breaker);
  if (!route) return;
  // The next snapshot has the numbers; the state is shown at once.
  if (told.kind === "transition") {
    Object.assign(route.report, { state: told.to, reason: told.reason, lasted: 0, shedding: null });
    route.deadline = null;
  }
  keep(route, told);
}

/** What happens to an upstream concerns the routes that go there. */
const concerns = ({ upstream }, { report }) => upstream == null || upstream === report.upstream;

function keep({ events }, told) {
  events.push(told);
  if (events.length > EVENTS) events.shift();
}

/** What was missed while nothing came must be asked for. */
export function disconnected() {
  for (const route of routes.values()) route.complete = false;
}

/** Asks for the last minutes of a route, once, a few routes at a time. */
export async function complete(route) {
  if (route.complete) return;
  route.complete = true;
  waiting.push(route);
  if (asking >= AT_ONCE) return;
  asking += 1;
  while (waiting.length > 0) await load(waiting.shift());
  asking -= 1;
}

async function load(route) {
  try {
    const { points, events } = await api.history(route.name);
    const last = points.at(-1)?.t ?? 0;
    route.points = [...points, ...route.points.filter((point) => point.t > last)].slice(-KEPT);
    // What happened while the answer was under way came by the stream.
    const newest = events.at(-1)?.t ?? 0;
    const known = new Set(events.map(identity));
    route.events = [...events, ...route.events.filter((told) => told.t >= newest && !known.has(identity(told)))].slice(-EVENTS);
  } catch {
    // It goes on with what comes by itself; the connection's state says what is wrong.
    route.complete = false;
  }
}

/** Asks what the sidecar is, and which configuration it follows. */
export async function identify() {
  try {
    state.status = await api.status();
  } catch {
    // The connection's state says what is wrong.
  }
}

const identity = ({ t, kind, from, to, mode, reason, endpoint }) => [t, kind, from, to, mode, reason?.label, endpoint].join();

/** The mean of the last five seconds, rejected requests included: a second alone jumps about. */
export function rate({ points }) {
  const last = points.slice(-5);
  const sum = last.reduce((sum, point) => sum + point.requests + point.rejected, 0);
  return last.length === 0 ? null : sum / last.length;
}

/** The word for a report's state: in shadow mode nothing is rejected, whatever the state. */
export function wordOf(report) {
  const word = WORDS[stateOf(report)];
  return report.mode === "shadow" && report.state !== "closed" ? `Would be ${word.toLowerCase()}` : word;
}
/** The state of a report or a point as it is shown: a closed breaker with a limit sheds. */
export const stateOf = ({ state, shedding, limit }) => (state === "closed" && (shedding ?? limit) != null ? "shedding" : state);
export const alerting = ({ report }) => report.sources.some((source) => source.alerting);
/** Why an alert holds, of a source or of any: what was told of it last, if that is still known. */
export function alertReason({ report, events }, source = null) {
  const alerts = report.sources.filter((known) => known.alerting && (source === null || known.source === source));
  const told = events.findLast((event) => event.kind === "alert" && alerts.some((known) => known.source === event.source));
  return told?.reason?.detail ?? null;
}
export const remaining = ({ deadline }) => (deadline == null ? null : Math.max(0, (deadline - performance.now()) / 1000));

function add(name) {
  const route = { name, index: 0, report: null, points: [], events: [], complete: false, deadline: null };
  routes.set(name, route);
  return route;
}

const waiting = [];
const AT_ONCE = 4;
let asking = 0;
