// Ids of traces: links, where the configuration says where traces are shown.

import { make } from "./dom.js";
import { state } from "./store.js";

/** A trace's id as a link, or as text. */
export function trace(id) {
  const template = state.status?.configuration.trace_url;
  // The sidecar has checked it; what is no web address is no link all the same.
  if (!template || !/^https?:\/\//.test(template)) return make("span", {}, id);
  return make("a", { href: template.replaceAll("{trace_id}", encodeURIComponent(id)), target: "_blank", rel: "noopener noreferrer" }, id);
}
