// Light or dark: as the system says, until somebody chooses.

const CHOICE = "breaker.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** Follows system and button; calls `changed` when the colours are others. */
export function follow(button, changed) {
  const apply = () => {
    const theme = localStorage.getItem(CHOICE) ?? (system.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    button.textContent = theme === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${theme === "dark" ? "light" : "dark"} colours`);
    colours = null;
    changed();
  };
  button.addEventListener("click", () => {
    localStorage.setItem(CHOICE, document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}

/** The colours of the theme, for canvases. */
export function palette() {
  if (!colours) {
    const style = getComputedStyle(document.documentElement);
    colours = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return colours;
}

let colours = null;
const NAMES = ["ink", "quiet", "line", "grid", "closed", "open", "half_open", "shedding", "alert", "accent", "bar", "bad", "turned", "panel"];
