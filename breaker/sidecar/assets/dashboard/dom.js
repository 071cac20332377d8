// Small helpers around the document. Text only ever gets in as text, never as markup.

export const byId = (id) => document.getElementById(id);

/** An element with properties, `class` and `data` among them, and children: nodes or text. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const { class: name, data, ...others } = properties;
  if (name) element.className = name;
  Object.assign(element.dataset, data);
  for (const [key, value] of Object.entries(others)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** Sets a text, if it is another: the browser then lays out only what has changed. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** Sets an attribute, or removes it when the value is null. */
export function attribute(element, name, value) {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/** The shape and the word of a state. */
export function chip(state) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  const element = make("span", { class: "chip" }, svg, make("span", { class: "state" }));
  setChip(element, state);
  return element;
}

export function setChip(element, state, word = WORDS[state] ?? state) {
  attribute(element.querySelector("use"), "href", `#shape-${state}`);
  text(element.querySelector(".state"), word);
}

export const WORDS = {
  closed: "Closed", open: "Open", half_open: "Half-open", shedding: "Shedding",
  auto: "Automatic", forced_open: "Forced open", forced_closed: "Forced closed", shadow: "Shadow",
};

const SVG = "http://www.w3.org/2000/svg";
