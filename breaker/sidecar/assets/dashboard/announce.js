// Tells changes of state to screen readers: politely, and not one by one when there are many.

import { byId, make, WORDS } from "./dom.js";

const log = byId("announcer");
let waiting = [];
let timer = 0;

/** Announces a transition or shedding soon, together with others. */
export function announce({ kind, breaker, to, reason }) {
  if (kind === "transition") waiting.push([breaker, WORDS[to]?.toLowerCase() ?? to]);
  else if (kind === "shedding") waiting.push([breaker, reason.label === "shedding_ended" ? "no longer shedding" : "shedding"]);
  else return;
  timer ||= setTimeout(say, TOGETHER);
}

function say() {
  timer = 0;
  const told = waiting.length <= ONE_BY_ONE
    ? waiting.map(([breaker, state]) => `${breaker} is ${state}`).join(", ")
    : `${waiting.length} changes of state, the last: ${waiting.at(-1)[0]} is ${waiting.at(-1)[1]}`;
  waiting = [];
  log.replaceChildren(make("p", {}, told));
}

const TOGETHER = 1500;
const ONE_BY_ONE = 3;
