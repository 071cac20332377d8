// What is wrong with the page for somebody who can't see it well, or at all: names, headings, landmarks, contrast, width.
() => {
  const wrong = [];
  const visible = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest(".unseen, [hidden]");
  const all = (selector) => [...document.querySelectorAll(selector)].filter(visible);
  const label = (element) => `${element.localName}.${element.className || element.id}`;

  for (const element of all("a, button, input, select, canvas[role], [role=group], [role=region], dialog")) {
    const labelled = element.getAttribute("aria-labelledby");
    const name = element.getAttribute("aria-label") ?? (labelled ? document.getElementById(labelled)?.textContent : null)
      ?? (element.labels?.[0]?.textContent || element.textContent);
    if (!name.trim()) wrong.push(`no name: ${label(element)}`);
  }
  for (const canvas of all("canvas")) {
    if (canvas.getAttribute("role") !== "img" && canvas.getAttribute("aria-hidden") !== "true") wrong.push("a canvas says nothing");
  }
  if (all("h1").length !== 1) wrong.push(`${all("h1").length} h1`);
  for (const landmark of ["header", "main"]) if (all(landmark).length === 0) wrong.push(`no ${landmark}`);
  if (!document.documentElement.lang) wrong.push("no language");
  for (const cell of all("thead th")) if (!cell.scope) wrong.push("a heading of a table without scope");
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  if (new Set(ids).size !== ids.length) wrong.push("an id twice");
  if (document.documentElement.scrollWidth > innerWidth) wrong.push(`${document.documentElement.scrollWidth} px wide`);

  const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((value) => value / 255).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if ((colour[3] ?? 1) === 1) return colour;
    }
    return [255, 255, 255];
  };
  for (const element of all("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!own || element.closest("noscript, script, template")) continue;
    const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) wrong.push(`contrast ${contrast.toFixed(2)}: ${label(element)} "${element.textContent.slice(0, 20)}"`);
  }
  return [...new Set(wrong)];
}
