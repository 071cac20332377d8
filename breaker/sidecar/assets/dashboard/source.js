// Which source the charts of a route show: the one that explains the breaker, or one that is chosen.

import * as api from "./api.js";
import { make, text } from "./dom.js";

const KEPT = 300;

/** A choice of the sources of the route `name`; `redraw` is called when there is something new of the chosen one. */
export function chooser(name, redraw) {
  let chosen = null;
  let points = [];
  let asking = false;
  const select = make("select", { onchange: () => {
    chosen = select.value === "" ? null : select.value;
    points = [];
    redraw();
  } });
  const element = make("label", { class: "source", hidden: true }, "Numbers of ", select);

  /** Asks for what is new, one question at a time. */
  async function ask(until) {
    const last = points.at(-1)?.t ?? 0;
    if (asking || last >= until) return;
    asking = true;
    const source = chosen;
    try {
      const { points: more } = await api.historyOf(name, source, last);
      if (source === chosen && more.length > 0) {
        points = [...points, ...more].slice(-KEPT);
        redraw();
      }
    } catch {
      // It is asked again with the next second; the connection's state says what is wrong.
    } finally {
      asking = false;
    }
  }

  function options({ report }) {
    const names = report.sources.map(({ source }) => source);
    element.hidden = names.length < 2;
    if (!names.includes(chosen)) chosen = null;
    const known = names.join();
    if (select.dataset.known !== known) {
      select.dataset.known = known;
      select.replaceChildren(make("option", { value: "" }), ...names.map((source) => make("option", { value: source }, source)));
      select.value = chosen ?? "";
    }
    text(select.firstChild, `${report.source}, which decides`);
  }

  return {
    element,
    chosen: () => chosen,
    /** The points to be drawn of a route. */
    points: (route) => {
      options(route);
      if (chosen === null) return route.points;
      ask(route.points.at(-1)?.t ?? 0);
      return points;
    },
  };
}
