// The page of the fleet: what the aggregator sees of all sidecars, beside what this one sees.

import { attribute, byId, chip, make, setChip, text } from "./dom.js";
import * as fleet from "./fleet.js";
import * as format from "./format.js";
import { table } from "./panels.js";
import { state } from "./store.js";

const page = byId("fleet");
let shown = null;

const ROUTES = [
  ["Route", ({ own }) => own.name],
  ["Fleet", ({ own }) => fleet.STAGES[own.stage]?.[0] ?? own.stage, "text"],
  ["Of an alarm", ({ own }) => format.share(fleet.reached(own.name))],
  ["Hits of all, 30 s", ({ signal }) => of(signal?.hits, signal?.requests)],
  ["Normal", ({ signal }) => format.share(signal?.normal)],
  ["Hits here, 30 s", ({ here }) => of(here?.hits, here?.requests)],
  ["Requests a second", ({ all }) => format.count(all?.rate)],
  ["Report", ({ all }) => of(all?.reporting, all?.heard)],
  ["Not closed", ({ all }) => format.count(all?.not_closed)],
  ["This sidecar", ({ own }) => fleet.made(own), "text"],
];
const MEMBERS = [
  ["Sidecar", ({ instance }) => instance],
  ["Machine", ({ host }) => host || format.NONE, "text"],
  ["Reported", ({ silent }) => `${format.time(silent)} ago`],
  ["Routes not closed", ({ not_closed }) => format.count(not_closed)],
  ["", note, "text"],
];

/** Shows the page. */
export function open() {
  const region = (label) => make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": label });
  const parts = {
    title: make("h1", { id: "fleet-name" }), chip: chip("closed"), sentence: make("p", { class: "sentence" }), facts: make("p", { class: "facts" }),
    routes: region("Routes over all sidecars"), members: region("Sidecars of the fleet"), more: make("p", { class: "quiet" }), missing: make("p", { class: "empty", hidden: true }, "This sidecar is in no fleet."),
  };
  parts.title.tabIndex = -1;
  parts.body = [
    make("header", { class: "panel" }, make("a", { href: "#/" }, "← All routes"), make("div", { class: "title" }, parts.title, parts.chip), parts.sentence, parts.facts),
    panel("Routes, over all sidecars", make("p", { class: "quiet" }, "Hits are failures, slow or late requests: of the signal that is nearest to an alarm."), parts.routes), panel("Sidecars", parts.more, parts.members),
  ];
  page.replaceChildren(...parts.body, parts.missing);
  shown = parts;
  update();
}

export function close() {
  shown = null;
  page.replaceChildren();
}

/** Draws what is new. */
export function update() {
  if (!shown) return;
  const parts = shown;
  const { told } = fleet;
  text(parts.title, told ? `Fleet ${told.fleet.name}` : "Fleet");
  // Before the sidecar has said what it is, nobody knows.
  parts.missing.hidden = told !== null || state.status === null;
  for (const part of parts.body.slice(1)) part.hidden = told === null;
  parts.chip.hidden = told === null;
  if (told === null) return;
  const together = fleet.isTogether(told.fleet);
  setChip(parts.chip, together ? "closed" : "open", together ? "Together" : "Alone");
  attribute(parts.chip, "data-state", together ? "closed" : "open");
  text(parts.sentence, fleet.sentence(told.fleet));
  facts(parts.facts, told.fleet);
  const rows = told.fleet.routes.map((own) => {
    const { route: all, signal } = fleet.ofAll(own.name);
    return { own, all, signal, here: own.own.find((here) => here.signal === (signal?.signal ?? "errors")) };
  });
  table(parts.routes, ROUTES, rows, ({ own }) => own.name);
  parts.routes.querySelectorAll("tbody tr").forEach((row, index) => attribute(row.children[1], "data-state", fleet.STAGES[rows[index].own.stage]?.[1] ?? null));
  const list = told.overview?.members ?? [];
  const more = told.overview?.more_members ?? 0;
  text(parts.more, told.overview === null ? "The aggregator can't be heard: what it sees of all sidecars is not known." : more > 0 ? `${more} more are not listed.` : "");
  table(parts.members, MEMBERS, list, ({ instance }) => instance);
  parts.members.hidden = list.length === 0;
  parts.members.querySelectorAll("tbody tr").forEach((row, index) => {
    attribute(row.children[2], "data-state", list[index].silent > LATELY ? "open" : null);
    attribute(row.children[3], "data-state", list[index].not_closed > 0 ? "open" : null);
    attribute(row.children[4], "data-state", list[index].outlier > 0 ? "half_open" : null);
  });
}

function facts(place, { engine, aggregator, term, members, verdict_age, reports, dropped, ignored }) {
  const counts = (list) => list.map(({ reason, count }) => `${format.count(count)} ${reason}`).join(", ") || null;
  const facts = [
    ["Engine", engine], ["Aggregator", aggregator ? fleet.nameOf(aggregator) : null], ["Term", term], ["Sidecars", members],
    ["Newest verdict", verdict_age === null ? "none" : `${format.time(verdict_age)} old`], ["Reports", format.count(reports)],
    ["Dropped", counts(dropped)], ["Ignored", counts(ignored)],
  ].filter(([, value]) => value !== null);
  while (place.children.length > facts.length) place.lastChild.remove();
  facts.forEach(([label, value], index) => {
    const fact = place.children[index] ?? place.appendChild(make("span", {}, make("span"), " ", make("b")));
    text(fact.firstChild, label);
    text(fact.lastChild, String(value));
  });
}

function note({ instance, counts_in, outlier }) {
  const { aggregator, instance: here } = fleet.told.fleet;
  return [
    instance === aggregator?.instance && "aggregates", instance === here && "this one",
    counts_in > 0 && `counts in ${format.span(counts_in)}`, outlier > 0 && "sees what the others don't",
  ].filter(Boolean).join(", ");
}

function of(some, all) {
  return all == null ? format.NONE : `${format.count(some)} of ${format.count(all)}`;
}

const panel = (title, ...children) => make("section", { class: "panel" }, make("h2", {}, title), ...children);
/** A sidecar that was silent for longer does not report, in seconds. */
const LATELY = 3;
