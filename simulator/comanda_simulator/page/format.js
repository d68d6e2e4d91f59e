// Chat text to elements: *bold*, _italic_, ~struck~, `code`, ```blocks```, "> quotes" and links. Safe by construction:
// every piece becomes a text node.

import { el } from "./dom.js";

const EDGE = "[\\s\\p{P}\\p{S}]";
const SPANS = [
  { pattern: /```([\s\S]+?)```/u, tag: "code", className: "block", plain: true },
  { pattern: /`([^`\n]+?)`/u, tag: "code", plain: true },
  { pattern: /(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]])/u, link: true },
  { pattern: span("\\*"), tag: "strong" },
  { pattern: span("_"), tag: "em" },
  { pattern: span("~"), tag: "s" },
];

function span(marker) {
  return new RegExp(`(?<=^|${EDGE})${marker}(?=\\S)([^\\n]*?\\S)${marker}(?=$|${EDGE})`, "u");
}

/** Return a fragment with the text's formatting. */
export function formatText(text) {
  const fragment = document.createDocumentFragment();
  for (const part of splitQuotes(text)) {
    if (part.quote) fragment.append(el("blockquote", {}, ...inline(part.text)));
    else fragment.append(...inline(part.text));
  }
  return fragment;
}

function splitQuotes(text) {
  const parts = [];
  for (const line of text.split("\n")) {
    const quote = line.startsWith("> ");
    const content = quote ? line.slice(2) : line;
    const last = parts.at(-1);
    if (last && last.quote === quote) last.text += `\n${content}`;
    else parts.push({ quote, text: content });
  }
  return parts;
}

function inline(text) {
  if (!text) return [];
  let first = null;
  for (const kind of SPANS) {
    const match = kind.pattern.exec(text);
    if (match && (!first || match.index < first.match.index)) first = { kind, match };
  }
  if (!first) return [document.createTextNode(text)];
  const { kind, match } = first;
  const before = text.slice(0, match.index);
  const after = text.slice(match.index + match[0].length);
  return [...(before ? [document.createTextNode(before)] : []), build(kind, match[1]), ...inline(after)];
}

function build(kind, content) {
  if (kind.link) return el("a", { href: content, target: "_blank", rel: "noopener noreferrer", textContent: content });
  const properties = kind.className ? { class: kind.className } : {};
  return kind.plain ? el(kind.tag, { ...properties, textContent: content }) : el(kind.tag, properties, ...inline(content));
}

/** The text as it reads once formatted, on one line: for previews, which have no room for formatting. */
export const plainText = (text) => formatText(text).textContent.replace(/\s+/g, " ").trim();

/** Show an amount of money, short as on a menu; a currency that the browser does not know stands as it is. */
export function formatMoney(amount, currency) {
  try {
    return new Intl.NumberFormat(navigator.language, {
      style: "currency", currency, currencyDisplay: "narrowSymbol", trailingZeroDisplay: "stripIfInteger",
    }).format(amount);
  } catch {
    return `${amount} ${currency}`;
  }
}

// One and two digits as the ITU gave them out; all other country codes have three.
const COUNTRY_CODE = /^(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|\d{3})/;

/** Group the digits of a phone number for reading: country code, then fours from the right. */
export function formatPhone(digits) {
  if (!digits) return "";
  const [code] = COUNTRY_CODE.exec(digits) ?? [""];
  const rest = digits.slice(code.length).replace(/\B(?=(?:\d{4})+$)/g, " ");
  return `+${code} ${rest}`.trim();
}

/** Hours and minutes of a unix time. */
export function formatTime(at) {
  return new Date(at * 1000).toLocaleTimeString(navigator.language, { hour: "2-digit", minute: "2-digit" });
}

/** Name of a day for a separator: today, yesterday or the date. */
export function formatDay(at, words) {
  const day = new Date(at * 1000);
  const today = new Date();
  const days = Math.round((new Date(today.toDateString()) - new Date(day.toDateString())) / 86_400_000);
  if (days === 0) return words.today;
  if (days === 1) return words.yesterday;
  return day.toLocaleDateString(navigator.language, { weekday: "long", day: "numeric", month: "long" });
}
