// The fleet: asked for while somebody looks, the link in the head, and the panel of a route.

import * as api from "./api.js";
import { attribute, byId, make, text } from "./dom.js";
import * as format from "./format.js";
import { table } from "./panels.js";

/** What was told last, or null: `fleet` as this sidecar sees it, `overview` of the aggregator. */
export let told = null;

export const STAGES = {
  quiet: ["Quiet", "closed"], alarm: ["Alarm", "half_open"], open: ["Open", "open"],
  probing: ["Probes", "half_open"], ramp: ["Ramp", "half_open"], unknown: ["Not known", null],
};

let timer = null;
/** Which of several conversations is the current one. */
let talk = 0;

/** Asks each two seconds from now on, if the sidecar is in a fleet; calls `changed` when there is something new. */
export function follow(fleet, changed) {
  stop();
  told = fleet ? { fleet, overview: told?.overview ?? null } : null;
  link();
  if (fleet) ask(changed, talk);
}

/** The sidecar itself can't be reached: what was told may not be so any more. */
export function stop() {
  clearTimeout(timer);
  talk += 1;
}

async function ask(changed, mine) {
  // Without an answer: the connection's state says what is wrong.
  const page = await api.fleet().catch(() => told);
  if (talk !== mine) return;
  told = page;
  link();
  changed();
  timer = setTimeout(() => ask(changed, mine), EACH);
}

/** Whether verdicts are in force; if not, each breaker is alone. */
export const isTogether = ({ connected, fresh }) => connected && fresh;

function link() {
  const place = byId("fleet-link");
  place.hidden = told === null;
  if (told === null) return;
  const { fleet } = told;
  const members = fleet.members === null ? "" : ` · ${fleet.members} sidecars`;
  text(place, `Fleet ${fleet.name}${isTogether(fleet) ? members : ": alone"}`);
  attribute(place, "data-state", isTogether(fleet) ? null : "open");
}

/** How the fleet is reached, in a sentence. */
export function sentence({ connected, fresh, engine, aggregator }) {
  if (!connected) return `The engine ${engine} can't be reached: each breaker is alone.`;
  if (!fresh) return "No aggregator has been heard for 3 s: each breaker is alone.";
  return aggregator?.here ? "This sidecar aggregates." : `${nameOf(aggregator)} aggregates.`;
}

/** The machine with the id, or the id alone. */
export const nameOf = (of) => (of ? (of.host ? `${of.host} (${of.instance})` : of.instance) : "Nobody known");

/** What the aggregator sees of a route, and the signal that is nearest to an alarm. */
export function ofAll(name) {
  const route = told?.overview?.routes.find((route) => route.name === name) ?? null;
  const byVerdict = route?.signals.find(({ signal }) => signal === route.evidence?.signal);
  const nearest = route?.signals.toSorted((a, b) => share(b) - share(a))[0];
  return { route, signal: byVerdict ?? nearest ?? null };
}

/** How much of an alarm the evidence is: that of the verdict, or else of the signal that is nearest to an alarm. */
export function reached(name) {
  const { route, signal } = ofAll(name);
  return route && share(route.evidence ?? signal ?? { evidence: 0, line: 1 });
}

const share = ({ evidence, line }) => Math.min(1, Math.max(0, evidence / Math.max(1, line)));

/** What this sidecar makes of the verdict. */
export function made({ led, prober, share, ignored, opened }) {
  return [
    led && "led by the fleet", prober && "sends probes", share != null && `${format.share(share)} admitted`,
    ignored && `does not follow: ${WHY[ignored] ?? ignored}`, opened && `opened ${format.span(opened.ago)} ago`,
  ].filter(Boolean).join(", ");
}

const ROWS = [
  ["Evidence of", ({ of }) => of],
  ["Requests, 30 s", ({ requests }) => format.count(requests)],
  ["Hits", ({ hits }) => format.count(hits)],
  ["Share", ({ requests, hits }) => format.share(requests > 0 ? hits / requests : null)],
  ["Normal", ({ normal }) => format.share(normal)],
  ["Of an alarm", ({ reached }) => format.share(reached)],
];

/** The panel of a route: own against fleet evidence. */
export function panel() {
  const words = make("p", {});
  const place = make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Evidence of the fleet and of this sidecar" });
  const section = make("section", { class: "panel", hidden: true }, make("h2", {}, "Fleet"), words, place);

  function update(name) {
    const route = told?.fleet.routes.find((route) => route.name === name);
    section.hidden = !route;
    if (!route) return;
    const { route: all, signal } = ofAll(name);
    const own = route.own.find((own) => own.signal === (signal?.signal ?? "errors"));
    text(words, [STAGES[route.stage]?.[0] ?? route.stage, HITS[own?.signal], made(route), isTogether(told.fleet) ? "" : sentence(told.fleet)].filter(Boolean).join(" · "));
    attribute(words, "data-state", STAGES[route.stage]?.[1] ?? null);
    const rows = [{ of: "This sidecar", ...own }];
    if (all && signal) rows.unshift({ of: `All ${all.heard} sidecars`, ...signal, reached: reached(name) });
    table(place, ROWS, rows, ({ of }) => of);
  }

  return { panel: section, update };
}

const HITS = { errors: "hits are failures", latency: "hits are slow requests", deadline: "hits are late requests" };
const WHY = {
  old_term: "a newer aggregator has spoken", replayed: "it came before", stale: "it is too old", quorum: "too few sidecars report",
  weak: "the share is too small", own_evidence: "its own requests go well", forced: "an operator decides", left: "it has tripped again by itself",
};
const EACH = 2000;
