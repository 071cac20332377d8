// Steering a route: asks for confirmation, and for the token where one is needed.

import * as api from "./api.js";
import { byId, text } from "./dom.js";

const dialog = byId("confirm");
const token = byId("token");
const time = byId("confirm-time");
const error = byId("confirm-error");
let act = null;

const WHAT = {
  auto: ["Automatic", "The policy decides again. A breaker that was forced open begins with probes."],
  forced_open: ["Force open", "Every request is rejected at once, whatever the service does."],
  forced_closed: ["Force closed", "Every request is admitted, whatever the policy says."],
  shadow: ["Shadow", "The policy decides and counts what it would have done; nothing is rejected."],
};

/** Asks whether the mode is to be set, and sets it. */
export function askMode(name, mode) {
  const [title, consequence] = WHAT[mode];
  ask(`${title}: ${name}`, consequence, title, mode !== "auto", () => api.setMode(name, mode, Number(time.value) || undefined));
}

/** Asks whether the breaker is to forget, and makes it. */
export function askReset(name) {
  const consequence = "The breaker closes. Its windows, its back-off and what it has learned to be normal are forgotten.";
  ask(`Reset: ${name}`, consequence, "Reset", false, () => api.reset(name));
}

async function ask(title, consequence, yes, timed, what) {
  act = what;
  text(byId("confirm-title"), title);
  text(byId("confirm-text"), consequence);
  text(byId("confirm-yes"), yes);
  text(error, "");
  byId("confirm-for").hidden = !timed;
  time.value = "";
  token.value = "";
  byId("confirm-token").hidden = true;
  dialog.showModal();
  const needed = await api.status().then(({ token_required }) => token_required, () => false);
  if (needed && !api.token.get() && dialog.open) wantToken();
}

function wantToken() {
  byId("confirm-token").hidden = false;
  token.focus();
}

byId("confirm-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (token.value) api.token.set(token.value);
  const yes = byId("confirm-yes");
  yes.disabled = true;
  try {
    await act();
    dialog.close();
  } catch (refused) {
    text(error, refused.message);
    if (refused.status === 401 || refused.status === 403) {
      api.token.set(null);
      token.value = "";
      wantToken();
    }
  } finally {
    yes.disabled = false;
  }
});
byId("confirm-no").addEventListener("click", () => dialog.close());
