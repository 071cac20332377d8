// The stream of what happens, and whether it is alive.

/** Follows the stream: `on.snapshot`, `on.changes`, `on.event`, and `on.state` with "live", "connecting" or "lost". */
export function follow(on) {
  let source = null;
  let retry = 0;
  let last = 0;

  function open() {
    clearTimeout(retry);
    source?.close();
    source = new EventSource("/api/v1/watch");
    source.addEventListener("snapshot", ({ data }) => {
      last = performance.now();
      on.state("live");
      on.snapshot(JSON.parse(data));
    });
    source.addEventListener("changes", ({ data }) => {
      last = performance.now();
      on.state("live");
      on.changes(JSON.parse(data));
    });
    source.addEventListener("event", ({ data }) => on.event(JSON.parse(data)));
    source.addEventListener("error", () => {
      on.state("lost");
      // A refusal ends the source for good; a lost connection it takes up again by itself.
      if (source.readyState === EventSource.CLOSED) retry = setTimeout(open, RETRY);
    });
  }

  // A tab that nobody sees costs nothing, nor one of the few connections that a browser allows.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(retry);
      source?.close();
      source = null;
      on.state("connecting");
    } else if (!source) {
      open();
    }
  });
  setInterval(() => {
    if (source && last && performance.now() - last > STALE) on.state("lost");
  }, 1000);
  open();
}

const RETRY = 3000;
const STALE = 3500;
