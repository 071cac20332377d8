// The last minutes of a route in a tile.

import { mark, prepare, timeAxis, trips } from "./canvas.js";
import { stateOf } from "./store.js";
import { palette } from "./theme.js";

const SECONDS = 180;

/** Requests as bars, failures red, rejected ones light; trips marked; below, the state where it is not closed. */
export function spark(canvas, points, until) {
  const drawing = prepare(canvas);
  if (!drawing) return;
  const { context, width, height } = drawing;
  const colours = palette();
  const bottom = height - 4;
  const { x, column } = timeAxis(until, SECONDS, 0, width);
  const shown = points.filter((point) => point.t > until - SECONDS);
  const most = Math.max(4, ...shown.map((point) => point.requests + point.rejected));
  const scale = (bottom - 7) / most;
  context.fillStyle = colours.grid;
  context.fillRect(0, bottom, width, 1);
  // Each kind at once: a change of colour costs more than a rectangle.
  const layers = [
    [colours.bar, (point) => [0, point.requests - point.failures]],
    [colours.bad, (point) => [point.requests - point.failures, point.failures]],
    [colours.turned, (point) => [point.requests, point.rejected]],
  ];
  for (const [colour, layer] of layers) {
    context.fillStyle = colour;
    for (const point of shown) {
      const [below, count] = layer(point);
      if (count === 0) continue;
      const [left, wide] = column(point.t);
      context.fillRect(left, bottom - (below + count) * scale, wide, count * scale);
    }
  }
  for (const point of shown) {
    const state = stateOf(point);
    if (state === "closed") continue;
    context.fillStyle = colours[state];
    const [left, wide] = column(point.t);
    context.fillRect(left, bottom + 1, wide, 3);
  }
  for (const t of trips(points)) if (t > until - SECONDS) mark(context, x(t), bottom, colours.open);
}
