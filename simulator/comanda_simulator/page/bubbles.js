// One message to one bubble. What a tap does is the caller's: `act(name, item, data)`.

import { el, icon, spoken } from "./dom.js";
import { formatMoney, formatText, formatTime, plainText } from "./format.js";
import { summarize } from "./timeline.js";
import { words } from "./words.js";

/** Build the list entry of a message. `context`: `{number, timeline, act}`. */
export function buildMessage(item, context) {
  const bubble = el("div", { class: "bubble" },
    spoken(`${item.mine ? words.you : context.number.display_name}: `),
    buildQuote(item, context),
    ...buildContent(item, context),
    buildFoot(item),
  );
  const more = el("button", {
    type: "button", class: "icon-button more", "aria-label": words.actions,
    on: { click: () => context.act("menu", item) },
  }, icon("more"));
  const row = el("li", { class: `message ${item.mine ? "mine" : "theirs"}`, dataset: { wamid: item.wamid } },
    el("div", { class: "bubble-row" }, bubble, more),
    el("span", { class: "failure" }),
    el("span", { class: "reactions" }),
  );
  refreshMessage(row, item);
  return row;
}

/** Bring ticks and reactions of a built message up to date; focus inside it stays where it is. */
export function refreshMessage(row, item) {
  const ticks = row.querySelector(".ticks");
  if (ticks && ticks.dataset.state !== item.state) {
    ticks.dataset.state = item.state;
    ticks.replaceChildren(icon(item.state === "sent" ? "check" : "checks"), spoken(words[item.state]));
  }
  const failure = item.statuses.find((status) => status.status === "failed")?.errors?.[0];
  if (failure) row.querySelector(".failure").textContent = `${words.failed}: ${failure.code} ${failure.title}`;
  const reactions = Object.values(item.reactions).join("");
  row.querySelector(".reactions").textContent = reactions;
  row.classList.toggle("has-reactions", Boolean(reactions));
}

function buildFoot(item) {
  return el("span", { class: "foot" },
    el("time", { dateTime: new Date(item.at * 1000).toISOString(), textContent: formatTime(item.at) }),
    item.mine && el("span", { class: "ticks" }),
  );
}

function buildQuote(item, context) {
  const id = item.payload.context?.message_id ?? item.payload.context?.id;
  const quoted = id && context.timeline.byWamid.get(id);
  if (!quoted) return null;
  return el("div", { class: "quote" },
    el("strong", { textContent: quoted.mine ? words.you : context.number.display_name }),
    el("span", { dir: "auto", textContent: plainText(summarize(quoted.payload, words)) }),
  );
}

const text = (content, className = "text") => el("div", { class: className, dir: "auto" }, formatText(content));

function buildContent(item, context) {
  const { payload } = item;
  const builder = CONTENT[payload.type];
  return builder ? builder(payload[payload.type], item, context) : [text(payload.type)];
}

const CONTENT = {
  text: (part) => [text(part.body)],
  image: (part) => [picture(part), part.caption && text(part.caption)],
  sticker: (part) => [picture(part, "sticker")],
  video: (part) => [el("video", { src: mediaUrl(part), controls: true, class: "media" }), part.caption && text(part.caption)],
  audio: (part) => [el("audio", { src: mediaUrl(part), controls: true })],
  document: (part) => [
    el("a", { class: "file", href: mediaUrl(part), target: "_blank", rel: "noopener noreferrer" },
      icon("file"), el("span", { textContent: part.filename || words.document })),
    part.caption && text(part.caption),
  ],
  location: (part) => [placeCard(part)],
  contacts: (part) => part.map((contact) => el("div", { class: "card" },
    icon("phone"), el("div", {},
      el("strong", { textContent: contact.name?.formatted_name ?? words.contact }),
      el("div", { class: "faint", textContent: (contact.phones ?? []).map((phone) => phone.phone).join(", ") })))),
  order: (part, item, context) => [orderCard(part, context)],
  interactive: buildInteractive,
  button: (part) => [text(part.text)],
  template: (part) => [
    el("div", { class: "faint", textContent: `${words.template}: ${part.name}` }),
    ...(part.components ?? []).flatMap((component) =>
      (component.parameters ?? []).filter((parameter) => parameter.text).map((parameter) => text(parameter.text))),
  ],
  system: (part) => [text(part.body ?? "")],
};

function mediaUrl(part) {
  return part.id ? `/simulator/media/${encodeURIComponent(part.id)}` : part.link;
}

function picture(part, className = "media") {
  return el("img", { class: className, src: mediaUrl(part), alt: part.caption || words.photo, loading: "lazy" });
}

function placeCard(place) {
  const { latitude, longitude } = place;
  const href = `https://www.openstreetmap.org/?mlat=${latitude}&mlon=${longitude}#map=16/${latitude}/${longitude}`;
  return el("a", { class: "place", href, target: "_blank", rel: "noopener noreferrer" },
    el("span", { class: "map" }, icon("pin")),
    el("span", { class: "place-text" },
      el("strong", { dir: "auto", textContent: place.name || words.location }),
      place.address && el("span", { dir: "auto", textContent: place.address }),
      el("span", { class: "faint", textContent: `${Number(latitude).toFixed(5)}, ${Number(longitude).toFixed(5)}` }),
      spoken(words.opensNewTab)));
}

function orderCard(order, context) {
  const names = new Map(context.number.catalog.map((product) => [product.sku, product.name]));
  const items = order.product_items;
  const total = items.reduce((sum, item) => sum + item.quantity * Number(item.item_price ?? 0), 0);
  return el("div", { class: "order" },
    el("div", { class: "card-title" }, icon("cart"), el("strong", { textContent: words.order })),
    el("ul", {}, ...items.map((item) => el("li", {},
      el("span", { textContent: `${item.quantity} × ${names.get(item.product_retailer_id) ?? item.product_retailer_id}` }),
      el("span", { class: "amount", textContent: formatMoney(item.quantity * Number(item.item_price ?? 0), item.currency) })))),
    el("div", { class: "order-total" }, el("span", { textContent: words.total }),
      el("strong", { class: "amount", textContent: formatMoney(total, items[0]?.currency ?? "USD") })),
    order.text && text(order.text));
}

function buildInteractive(part, item, context) {
  const reply = part.button_reply ?? part.list_reply;
  if (reply) return [text(reply.title), reply.description && el("div", { class: "faint", dir: "auto", textContent: reply.description })];
  if (part.nfm_reply) return [el("div", { class: "card-title" }, icon("form"), words.formSent)];
  return [
    part.header && buildHeader(part.header),
    part.body && text(part.body.text),
    part.footer && text(part.footer.text, "footer-text"),
    buildActions(part, item, context),
  ];
}

function buildHeader(header) {
  if (header.type === "text") return text(header.text, "header-text");
  return el("div", { class: "header-media" }, ...CONTENT[header.type](header[header.type]).filter(Boolean));
}

/** Buttons below a message: name of the icon, label, and what the caller is told. */
function actionsOf(part) {
  const { action } = part;
  switch (part.type) {
    case "button": return action.buttons.map(({ reply }) => ["reply", reply.title, "button", reply]);
    case "list": return [["list", action.button, "list", action]];
    case "location_request_message": return [["pin", words.sendLocation, "location"]];
    case "catalog_message": return [["cart", words.viewCatalogue, "catalogue", {}]];
    case "product": return [["cart", words.viewCatalogue, "catalogue", action]];
    case "product_list": return [["cart", words.viewCatalogue, "catalogue", action]];
    case "flow": return [["form", action.parameters.flow_cta, "flow", action.parameters]];
    case "request_contact_info": return [["phone", words.sharePhone, "contact"]];
    default: return [];
  }
}

function buildActions(part, item, context) {
  const buttons = part.type === "cta_url" ? [linkButton(part.action.parameters)]
    : actionsOf(part).map(([symbol, label, name, data]) => el("button", {
      type: "button", class: "action", on: { click: () => context.act(name, item, data) },
    }, icon(symbol), el("span", { dir: "auto", textContent: label })));
  return el("div", { class: "actions" }, ...buttons);
}

function linkButton({ display_text: label, url }) {
  return el("a", { class: "action", href: /^https?:/.test(url) ? url : "#", target: "_blank", rel: "noopener noreferrer" },
    icon("link"), el("span", { dir: "auto", textContent: label }), spoken(words.opensNewTab));
}
