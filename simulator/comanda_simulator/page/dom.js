// Builds elements. Text always arrives through textContent: nothing a customer or bot writes is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Create an element: properties by name, `class`, `dataset`, `on` for listeners, `aria-*` as attributes. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "on") for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name in node && !name.includes("-")) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const PATHS = {
  back: "M15 5l-7 7 7 7",
  send: "M5 12h13M12 5l7 7-7 7",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  list: "M8 7h12M8 12h12M8 17h12M4 7h.01M4 12h.01M4 17h.01",
  reply: "M10 7L5 12l5 5M5 12h9a5 5 0 0 1 5 5v1",
  pin: "M12 21s-7-6.2-7-11a7 7 0 0 1 14 0c0 4.8-7 11-7 11zM12 12.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z",
  target: "M12 3v3M12 18v3M3 12h3M18 12h3M12 17a5 5 0 1 0 0-10 5 5 0 0 0 0 10z",
  file: "M7 3h7l5 5v13H7zM14 3v5h5",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01",
  cart: "M3 4h2l2.4 11h10.2L20 7H6M9 20h.01M17 20h.01",
  link: "M14 5h5v5M19 5l-8 8M11 6H5v13h13v-6",
  more: "M12 6h.01M12 12h.01M12 18h.01",
  smile: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8.5 14.5c1.800 2.300 5.200 2.300 7 0M9 9.5h.01M15 9.5h.01",
  down: "M6 9l6 6 6-6",
  form: "M6 3h12v18H6zM9 8h6M9 12h6M9 16h3",
  phone: "M6 3h4l1.5 5-2.2 1.6a12 12 0 0 0 5.100 5.100L16 12.5l5 1.5v4a3 3 0 0 1-3 3A15 15 0 0 1 3 6a3 3 0 0 1 3-3z",
  check: "M3 12.5l4.5 4.5L17 7",
  checks: "M2 12.5l4.5 4.5L15 7M11.5 16l1 1L22 7",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3.5 2",
};

/** Create an icon that screen readers skip. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** Create a button with an icon and a spoken name. */
export function iconButton(name, label, onClick, className = "") {
  return el("button", { type: "button", class: `icon-button ${className}`, "aria-label": label, title: label, on: { click: onClick } }, icon(name));
}

/** Create text that only screen readers get. */
export function spoken(text) {
  return el("span", { class: "spoken", textContent: text });
}

/** A round picture made of initials, in a colour that belongs to the name. */
export function avatar(name) {
  const initials = name.split(/\s+/).filter(Boolean).slice(0, 2).map((word) => Array.from(word)[0].toUpperCase()).join("");
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 6;
  return el("span", { class: `avatar tone-${hash}`, textContent: initials || "?", "aria-hidden": "true" });
}

let toastTimer;

/** Tell the person something for a few seconds. */
export function toast(text) {
  const node = document.getElementById("toast");
  node.textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { node.textContent = ""; }, 5000);
}
