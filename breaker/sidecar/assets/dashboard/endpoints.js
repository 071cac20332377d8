// The endpoints behind a route: which get requests, how they do, and which are out.

import * as api from "./api.js";
import { attribute, make, text } from "./dom.js";
import * as format from "./format.js";

const STATES = { in: ["In", "closed"], out: ["Out", "open"], probing: ["Probing", "half_open"] };
const COLUMNS = [
  ["Endpoint", ({ endpoint }) => endpoint],
  ["State", ({ state }) => STATES[state]?.[0] ?? state],
  ["Share, 10 s", ({ attempts }, all) => format.share(all > 0 ? attempts / all : null)],
  ["Load", ({ load }) => format.time(load)],
  ["In flight", ({ in_flight }) => format.count(in_flight)],
  ["Latency", ({ latency }) => format.time(latency)],
  ["Errors", ({ attempts, error_rate }) => format.share(attempts > 0 ? error_rate : null)],
  ["Failed since start", ({ failures }) => format.count(failures)],
  ["Why", why, "text"],
];

/** A panel that asks once a second for the upstream of the route that is shown. */
export function endpoints() {
  const note = make("p", { class: "quiet" });
  const place = make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Endpoints of the route" });
  const panel = make("section", { class: "panel", hidden: true }, make("h2", {}, "Endpoints"), note, place);
  let asked = 0;

  /** Asks if the last answer is a second old; `t` is the time of the reading. */
  async function update(name, t) {
    if (name == null) panel.hidden = true;
    if (name == null || t === asked) return;
    asked = t;
    try {
      draw(await api.upstream(name));
    } catch {
      // It may have gone with a reload; the connection's state says what else is wrong.
      panel.hidden = true;
    }
  }

  function draw(upstream) {
    const list = upstream.endpoints;
    // Of a single one there is nothing to tell that the route does not tell.
    panel.hidden = upstream.found === 1 && !list.some(({ reason }) => reason);
    text(note, sentence(upstream));
    const names = list.map(({ endpoint }) => endpoint).join();
    if (place.dataset.of !== names) {
      place.dataset.of = names;
      place.replaceChildren(table(list));
    }
    const all = list.reduce((sum, { attempts }) => sum + attempts, 0);
    const rows = place.querySelectorAll("tbody tr");
    list.forEach((one, index) => {
      COLUMNS.forEach(([, of], column) => text(rows[index].children[column], of(one, all)));
      attribute(rows[index].children[1], "data-state", STATES[one.state]?.[1] ?? null);
    });
  }

  return { panel, update };
}

function sentence({ name, found, most_out, panic, endpoints }) {
  if (found === 0) return `${name}: no endpoint is known, so requests can't be sent.`;
  const used = endpoints.length < found ? `${endpoints.length} of ${found} endpoints are used` : `${found} endpoints`;
  if (panic) return `${name}: ${used}. More are bad than may be out (${most_out}), so bad ones get requests too.`;
  const out = endpoints.filter(({ state }) => state !== "in").length;
  return `${name}: ${used}, ${out === 0 ? "all in" : `${out} out`}; at most ${most_out} may be out at once, besides those that operators ejected.`;
}

function table(list) {
  const head = make("tr", {}, ...COLUMNS.map(([title, , kind]) => make("th", { scope: "col", class: kind }, title)));
  const rows = list.map(() => make("tr", {}, make("th", { scope: "row" }), ...COLUMNS.slice(1).map(([, , kind]) => make("td", { class: kind }))));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
}

function why({ reason, out_remaining, grown }) {
  if (!reason) return grown < 1 ? `gets ${format.share(grown)} of its share so far` : "";
  return out_remaining > 0 ? `${Math.ceil(out_remaining)} s to go: ${reason.detail}` : reason.detail;
}
