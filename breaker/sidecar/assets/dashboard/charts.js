// The charts of a route, on one axis of five minutes, with a crosshair that pointer and arrow keys move.

import { line, mark, prepare, timeAxis, trips } from "./canvas.js";
import { make, text, WORDS } from "./dom.js";
import * as format from "./format.js";
import { stateOf } from "./store.js";
import { palette } from "./theme.js";

const SECONDS = 300;
const LEFT = 46;

/** A panel with all charts; `draw(points, until, conditions)` draws them anew. */
export function charts() {
  const figures = CHARTS.map(figure);
  const panel = make("div", { class: "charts", tabIndex: 0, role: "group", "aria-label": "Charts of the last five minutes. Left and right arrow keys read a second, Escape the present." });
  const ends = ["−5 min", "−4", "−3", "−2", "−1", "now"].map((at) => make("span", {}, at));
  panel.append(...figures.map(({ element }) => element), make("p", { class: "axis", "aria-hidden": "true" }, ...ends));
  let latest = { points: [], until: 0, conditions: [] };
  let chosen = null;

  const redraw = () => {
    const { points, until } = latest;
    const at = chosen === null ? points.at(-1) : nearest(points, chosen);
    for (const figure of figures) {
      figure.element.hidden = figure.chart.absent?.(points) ?? false;
      draw(figure, latest, at, chosen !== null && at ? at.t : null, until);
    }
  };
  const choose = (t) => {
    chosen = t;
    requestAnimationFrame(redraw);
  };
  panel.addEventListener("pointermove", ({ target, offsetX }) => {
    if (target instanceof HTMLCanvasElement) choose(axis(latest.until, target.clientWidth).at(offsetX));
  });
  panel.addEventListener("pointerleave", () => choose(null));
  panel.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) choose(Math.min(latest.until, (chosen ?? latest.until) + step * (event.shiftKey ? 10 : 1)));
    else if (event.key === "Escape" && chosen !== null) choose(null);
    else return;
    event.preventDefault();
  });
  new ResizeObserver(() => requestAnimationFrame(redraw)).observe(panel);
  return {
    panel,
    draw: (points, until, conditions) => {
      latest = { points: points.filter((point) => point.t > until - SECONDS), until, conditions };
      requestAnimationFrame(redraw);
    },
  };
}

function figure(chart) {
  const canvas = make("canvas", { role: "img" });
  const value = make("span");
  const caption = make("figcaption", {}, make("b", {}, chart.title), value);
  return { chart, canvas, value, element: make("figure", { class: chart.kind ?? "" }, caption, canvas) };
}

function draw({ chart, canvas, value }, { points, conditions }, at, crosshair, until) {
  const said = at ? chart.say(at) : "no data";
  text(value, crosshair === null ? said : `${format.clock(at.t)}  ${said}`);
  canvas.setAttribute("aria-label", `${chart.title}: ${said}`);
  const drawing = prepare(canvas);
  if (!drawing) return;
  const { context, width, height } = drawing;
  const colours = palette();
  const { x, column } = axis(until, width);
  context.font = "11px system-ui, sans-serif";
  const area = { context, colours, x, column, left: LEFT, width, top: 6, bottom: height - 1 };
  chart.draw(area, points, conditions.filter((condition) => chart.bounds?.(condition)));
  if (chart.kind !== "strip") for (const t of trips(points)) mark(context, x(t), height, colours.open);
  if (crosshair !== null) {
    context.fillStyle = colours.ink;
    context.fillRect(x(crosshair) - 0.5, 0, 1, height);
  }
}

const axis = (until, width) => timeAxis(until, SECONDS, LEFT, width - 2);

function nearest(points, t) {
  let best = points.at(-1);
  for (const point of points) if (Math.abs(point.t - t) < Math.abs(best.t - t)) best = point;
  return best;
}

/** A linear axis from 0 with lines at round values; returns where a value is. */
function upTo(area, most, label) {
  const { context, colours, left, width, top, bottom } = area;
  const y = (value) => bottom - ((bottom - top) * Math.min(value, most)) / most;
  for (const value of [0, most / 2, most]) grid(context, colours, y(value), left, width, label(value), bottom);
  return y;
}

function grid(context, colours, y, left, width, label, bottom) {
  context.fillStyle = colours.grid;
  context.fillRect(left, Math.round(y) - 0.5, width - left, 1);
  context.fillStyle = colours.quiet;
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.fillText(label, left - 6, Math.min(y, bottom - 5));
}

/** The thresholds of conditions, each with what happens there. */
function bounds(area, conditions, y, most, label) {
  const { context, colours, left, width } = area;
  for (const { threshold, action, signal } of conditions) {
    if (threshold == null || threshold > most) continue;
    context.strokeStyle = context.fillStyle = { alert: colours.alert, shed: colours.shedding }[action] ?? colours.open;
    context.setLineDash([5, 4]);
    context.beginPath();
    context.moveTo(left, y(threshold));
    context.lineTo(width, y(threshold));
    context.lineWidth = 1;
    context.stroke();
    context.setLineDash([]);
    context.textAlign = "left";
    context.textBaseline = y(threshold) > 16 ? "bottom" : "top";
    context.fillText(`${LABELS[signal] ?? signal} ≥ ${label(threshold)}: ${action}`, left + 4, y(threshold));
  }
}

const LABELS = { error_rate: "error rate", p50: "P50", p90: "P90", p95: "P95", p99: "P99", p999: "P99.9", concurrency: "in flight", anomaly: "evidence" };

/** The next of 1, 2, 5, 10, 20 … */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

const greatest = (points, of) => points.reduce((most, point) => Math.max(most, of(point) ?? 0), 0);
const highest = (conditions) => conditions.reduce((most, { threshold }) => Math.max(most, threshold ?? 0), 0);

const STATE = {
  title: "State",
  kind: "strip",
  say: (point) => WORDS[stateOf(point)],
  draw: ({ context, colours, column, bottom }, points) => {
    const tall = { closed: 0.25, shedding: 0.45, half_open: 0.6, open: 1 };
    for (const point of points) {
      const state = stateOf(point);
      const height = bottom * tall[state];
      context.fillStyle = colours[state];
      const [left, wide] = column(point.t);
      context.fillRect(left, bottom - height, wide, height);
    }
  },
};

const TRAFFIC = {
  title: "Requests",
  say: (point) => `${format.count(point.requests)}/s · ${format.count(point.failures)} failed · ${format.count(point.rejected)} rejected`,
  draw: (area, points) => {
    const { context, colours, column, bottom } = area;
    const y = upTo(area, round(Math.max(10, greatest(points, (point) => point.requests + point.rejected))), format.count);
    const layer = (colour, from, to) => {
      context.fillStyle = colour;
      for (const point of points) {
        const [below, above] = [y(from(point)), y(to(point))];
        const [left, wide] = column(point.t);
        if (below > above) context.fillRect(left, above, wide, below - above);
      }
    };
    layer(colours.bar, () => 0, (point) => point.requests - point.failures);
    layer(colours.bad, (point) => point.requests - point.failures, (point) => point.requests);
    layer(colours.turned, (point) => point.requests, (point) => point.requests + point.rejected);
  },
};

const LATENCY = {
  title: "Latency, with P99",
  kind: "tall",
  // Quantiles, whichever there are.
  bounds: ({ unit }) => unit === "seconds",
  say: (point) => `P50 ${format.time(point.p50)} · P99 ${format.time(point.p99)}`,
  draw: (area, points, conditions) => {
    const { context, colours, x, column, top, bottom, left, width } = area;
    const cells = points.flatMap((point) => point.latency.map(([above, count]) => ({ t: point.t, above, below: lower(above), count })));
    const least = Math.min(0.001, ...cells.map((cell) => cell.below));
    const most = Math.max(1, highest(conditions) * 1.5, ...cells.map((cell) => cell.above));
    const [low, high] = [Math.log(least), Math.log(most)];
    const y = (seconds) => bottom - ((bottom - top) * (Math.log(Math.max(seconds, least)) - low)) / (high - low);
    const full = greatest(cells, (cell) => cell.count);
    context.fillStyle = colours.accent;
    for (const cell of cells) {
      // The square root lets the few slow ones be seen beside the many fast ones.
      context.globalAlpha = 0.12 + 0.88 * Math.sqrt(cell.count / full);
      const [begin, wide] = column(cell.t);
      context.fillRect(begin, y(cell.above), wide, y(cell.below) - y(cell.above));
    }
    context.globalAlpha = 1;
    for (const decade of DECADES) {
      if (decade >= least && decade <= most) grid(context, colours, y(decade), left, width, format.time(decade), bottom);
    }
    line(context, points.map((point) => [point.t, point.p99]), x, y, colours.panel, 4);
    line(context, points.map((point) => [point.t, point.p99]), x, y, colours.ink, 1.75);
    bounds(area, conditions, y, most, format.time);
  },
};

const DECADES = [0.0001, 0.001, 0.01, 0.1, 1, 10, 100];

/** Bounds are 2ⁿ and 1½·2ⁿ µs in turn. */
function lower(above) {
  const octaves = Math.log2(above * 1e6);
  return Math.abs(octaves - Math.round(octaves)) < 0.01 ? above * 0.75 : above / 1.5;
}

/** A line of one value, with the thresholds of conditions on the signal `bound`. */
const plain = (title, of, bound, label, least, colour, cap = Infinity) => ({
  title,
  bounds: ({ signal }) => signal === bound,
  say: (point) => label(of(point)),
  draw: (area, points, conditions, also = 0) => {
    const most = Math.min(cap, round(Math.max(least, greatest(points, of) * 1.05, also * 1.05, highest(conditions) * 1.25)));
    const y = upTo(area, most, label);
    line(area.context, points.map((point) => [point.t, of(point)]), area.x, y, area.colours[colour]);
    bounds(area, conditions, y, most, label);
    return y;
  },
});

const ERRORS = plain("Error rate", (point) => point.error_rate, "error_rate", format.share, 0.05, "bad", 1);
const inFlight = plain("In flight", (point) => point.in_flight, "concurrency", format.count, 5, "accent");
const CONCURRENCY = {
  ...inFlight,
  say: (point) => format.count(point.in_flight) + (point.limit == null ? "" : ` · limit ${format.count(point.limit)}`),
  // The limit that is in force has its line on the same axis.
  draw: (area, points, conditions) => {
    const limits = points.map((point) => [point.t, point.limit]);
    const y = inFlight.draw(area, points, conditions, greatest(points, (point) => point.limit));
    line(area.context, limits, area.x, y, area.colours.shedding, 2);
  },
};
// Evidence for health is below 0: no news.
const score = (point) => (point.score == null ? null : Math.max(0, point.score));
const evidence = plain("Anomaly", score, "anomaly", format.share, 1, "alert");
const ANOMALY = {
  ...evidence,
  absent: (points) => points.every((point) => point.score == null),
  say: (point) => `${format.share(score(point))} of the alarm line`,
  // Whatever the policy says, the alarm is at 1.
  draw: (area, points) => evidence.draw(area, points, [{ threshold: 1, action: "alarm", signal: "anomaly" }]),
};

const CHARTS = [STATE, TRAFFIC, LATENCY, ERRORS, CONCURRENCY, ANOMALY];
