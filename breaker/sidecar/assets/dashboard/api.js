// The control API. Reading is free; what changes something carries the token, if there is one.

const TOKEN = "breaker.token";

/** An answer that says no: `status`, and the problem's sentence. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem);
    this.status = status;
  }
}

export const history = (name) => request("GET", `breakers/${encodeURIComponent(name)}/history`);
/** The points by one of its sources, after `since`. */
export const historyOf = (name, source, since) =>
  request("GET", `breakers/${encodeURIComponent(name)}/history?${new URLSearchParams({ source, since })}`);
export const policy = (name) => request("GET", `breakers/${encodeURIComponent(name)}/policy`);
export const upstream = (name) => request("GET", `upstreams/${encodeURIComponent(name)}`);
export const fleet = () => request("GET", "fleet");
export const status = () => request("GET", "status");

export function setMode(name, mode, seconds) {
  const body = seconds ? { mode, for: seconds } : { mode };
  return request("PUT", `breakers/${encodeURIComponent(name)}/mode`, body);
}
export const reset = (name) => request("POST", `breakers/${encodeURIComponent(name)}/reset`, {});

/** Kept in this tab only, and forgotten with it. */
export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (value) => (value ? sessionStorage.setItem(TOKEN, value) : sessionStorage.removeItem(TOKEN)),
};

async function request(method, path, body) {
  const headers = {};
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  }
  const answer = await fetch(`/api/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const told = await answer.text();
  const json = parse(told);
  if (!answer.ok) throw new Refused(answer.status, json?.detail ?? json?.title ?? `the answer was ${answer.status}`);
  return json;
}

function parse(told) {
  try {
    return JSON.parse(told);
  } catch {
    return null;
  }
}
