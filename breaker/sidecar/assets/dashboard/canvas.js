// Drawing on canvases: sizes, time axes and lines.

/** The context of a canvas, cleared and scaled to its size on the page; null while it has none. */
export function prepare(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (width === 0 || height === 0) return null;
  const scale = window.devicePixelRatio || 1;
  const [pixels, rows] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== pixels || canvas.height !== rows) {
    canvas.width = pixels;
    canvas.height = rows;
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** An axis of `seconds` that ends at `until`: where a time is, what time is at a place, and the column of the second before a time. */
export function timeAxis(until, seconds, left, right) {
  const second = (right - left) / seconds;
  const x = (t) => right - (until - t) * second;
  const at = (position) => until - (right - position) / second;
  // Whole pixels, and each column begins where the one before ends: no seams.
  const column = (t) => {
    const end = Math.round(x(t));
    const begin = Math.max(left, Math.round(x(t - 1)));
    return [begin, Math.max(1, end - begin)];
  };
  return { x, at, column };
}

/** A line through those points that have a value. */
export function line(context, points, x, y, colour, width = 1.5) {
  context.beginPath();
  let pen = false;
  let before = null;
  for (const [t, value] of points) {
    // A gap in time or value is a gap in the line: silence is no data.
    if (value == null || (before !== null && t - before > 3)) pen = false;
    if (value != null) {
      if (pen) context.lineTo(x(t), y(value));
      else context.moveTo(x(t), y(value));
      pen = true;
      before = t;
    }
  }
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.lineJoin = "round";
  context.stroke();
}

/** A vertical mark with a triangle on top: a trip. */
export function mark(context, x, height, colour) {
  context.fillStyle = colour;
  context.fillRect(x - 0.5, 0, 1, height);
  context.beginPath();
  context.moveTo(x - 4, 0);
  context.lineTo(x + 4, 0);
  context.lineTo(x, 6);
  context.fill();
}

/** The times at which the state went from another to open. */
export function trips(points) {
  return points.filter((point, index) => index > 0 && point.state === "open" && points[index - 1].state !== "open").map((point) => point.t);
}
