// Bottom sheets: everything that opens over the chat. A native modal dialog keeps the focus inside, closes on Esc and
// gives the focus back to what opened it.

import { el, icon, iconButton } from "./dom.js";
import { formatMoney } from "./format.js";
import { words } from "./words.js";

let serial = 0;

/** Open a sheet with a title and content; `build(close)` returns the content. Returns the dialog. */
export function openSheet(title, build, className = "") {
  const id = `sheet-${serial += 1}`;
  const dialog = el("dialog", { class: `sheet ${className}`, "aria-labelledby": id });
  const close = () => dialog.close();
  dialog.append(
    el("header", { class: "sheet-head" }, el("h2", { id, textContent: title, dir: "auto" }), iconButton("close", words.close, close)),
    ...[build(close)].flat().filter(Boolean),
  );
  dialog.addEventListener("click", (event) => { if (event.target === dialog) close(); });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** A form that fills a sheet: its content scrolls, its button stays in sight. */
function sheetForm(content, submitLabel, onSubmit) {
  const submit = el("button", { type: "submit", class: "primary", textContent: submitLabel });
  const form = el("form", { class: "sheet-form", on: { submit: (event) => { event.preventDefault(); onSubmit(form); } } },
    el("div", { class: "sheet-body" }, ...content), el("div", { class: "sheet-foot" }, submit));
  return form;
}

function field(label, input, hint) {
  return el("label", { class: "field" }, el("span", { textContent: label }), input, hint && el("small", { textContent: hint }));
}

/** A menu of actions: `[icon, label, run]`. */
export function openMenu(title, entries) {
  openSheet(title, (close) => el("div", { class: "sheet-body menu" },
    ...entries.map(([symbol, label, run]) => el("button", { type: "button", class: "row", on: { click: () => { close(); run(); } } },
      icon(symbol), el("span", { textContent: label })))));
}

/** The rows of a list message; `onChoose(row)`. */
export function openList(action, onChoose) {
  const rows = action.sections.flatMap((section) => section.rows);
  openSheet(action.button, (close) => {
    const form = sheetForm(action.sections.map((section) => listSection(section, rows)), words.send, () => {
      const chosen = rows[Number(new FormData(form).get("row"))];
      if (chosen) { close(); onChoose(chosen); }
    });
    const submit = form.querySelector("[type=submit]");
    submit.disabled = true;
    form.addEventListener("change", () => { submit.disabled = false; });
    return form;
  });
}

function listSection(section, rows) {
  return el("fieldset", {},
    section.title && el("legend", { textContent: section.title, dir: "auto" }),
    ...section.rows.map((row) => el("label", { class: "row option" },
      el("span", { class: "row-text", dir: "auto" },
        el("span", { textContent: row.title }), row.description && el("small", { textContent: row.description })),
      el("input", { type: "radio", name: "row", value: String(rows.indexOf(row)), required: true }))));
}

const KM_PER_DEGREE = 111.32;

/** Places around a restaurant: what a customer might answer when asked for an address. */
export function placesAround(restaurant) {
  const centre = restaurant ?? { latitude: -33.4372, longitude: -70.6506 };
  const moved = (km, bearing) => ({
    latitude: Number((centre.latitude + (km * Math.cos(bearing)) / KM_PER_DEGREE).toFixed(6)),
    longitude: Number((centre.longitude + (km * Math.sin(bearing)) / (KM_PER_DEGREE * Math.cos((centre.latitude * Math.PI) / 180))).toFixed(6)),
  });
  return [
    { label: words.nearby, hint: words.metres(600), place: moved(0.6, 1) },
    { label: words.across, hint: words.kilometres(3), place: moved(3, 2.2) },
    { label: words.faraway, hint: words.kilometres(40), place: moved(40, 4) },
    { label: words.atRestaurant, hint: "", place: moved(0, 0) },
  ];
}

/** Choose a place; `onChoose({latitude, longitude, name?})`. */
export function openLocation(restaurant, onChoose) {
  openSheet(words.whereAreYou, (close) => {
    const choose = (place) => { close(); onChoose(place); };
    const problem = el("p", { class: "problem", role: "alert" });
    const latitude = el("input", { type: "number", name: "latitude", step: "any", min: -90, max: 90, required: true, inputMode: "decimal" });
    const longitude = el("input", { type: "number", name: "longitude", step: "any", min: -180, max: 180, required: true, inputMode: "decimal" });
    const locate = () => askPosition(choose, () => { problem.textContent = words.positionFailed; });
    return sheetForm([
      ...placesAround(restaurant).map(({ label, hint, place }) => el("button", {
        type: "button", class: "row", on: { click: () => choose(place) },
      }, icon("pin"), el("span", { class: "row-text" }, el("span", { textContent: label }), hint && el("small", { textContent: hint })))),
      el("button", { type: "button", class: "row", on: { click: locate } }, icon("target"), el("span", { textContent: words.myPosition })),
      problem,
      el("div", { class: "pair" }, field(words.latitude, latitude), field(words.longitude, longitude)),
    ], words.sendLocation, () => choose({ latitude: latitude.valueAsNumber, longitude: longitude.valueAsNumber }));
  });
}

function askPosition(onFound, onFailed) {
  if (!navigator.geolocation) { onFailed(); return; }
  navigator.geolocation.getCurrentPosition(
    ({ coords }) => onFound({ latitude: coords.latitude, longitude: coords.longitude }), onFailed, { timeout: 8000 });
}

/** The catalogue; `onOrder(order)` with Meta's `order` object. `offer` narrows it to a message's products. */
export function openCatalogue(number, offer, onOrder) {
  const wanted = offeredSkus(offer);
  const products = number.catalog.filter((product) => !wanted || wanted.has(product.sku));
  if (products.length === 0) {
    openSheet(words.catalogue, () => el("p", { class: "sheet-body", textContent: words.noCatalogue }));
    return;
  }
  openSheet(words.catalogue, (close) => {
    const cart = new Map();
    const note = el("input", { type: "text", name: "note", maxLength: 1000, autocomplete: "off" });
    const form = sheetForm([...products.map((product) => productRow(product, cart, () => refreshCart(form, products, cart))),
      field(words.note, note)], words.sendOrder, () => {
      close();
      onOrder(buildOrder(number, offer, products, cart, note.value.trim()));
    });
    form.querySelector(".sheet-foot").prepend(el("output", { class: "cart-total" }));
    refreshCart(form, products, cart);
    return form;
  }, "tall");
}

function offeredSkus(offer) {
  const skus = offer.product_retailer_id ? [offer.product_retailer_id]
    : (offer.sections ?? []).flatMap((section) => section.product_items.map((item) => item.product_retailer_id));
  return skus.length ? new Set(skus) : null;
}

function productRow(product, cart, onChange) {
  const count = el("output", { class: "count", textContent: "0" });
  const change = (step) => () => {
    cart.set(product.sku, Math.min(99, Math.max(0, (cart.get(product.sku) ?? 0) + step)));
    count.textContent = String(cart.get(product.sku));
    onChange();
  };
  return el("div", { class: "product", role: "group", "aria-label": product.name },
    product.image ? el("img", { src: product.image, alt: "" }) : el("span", { class: "product-blank", "aria-hidden": "true" }, icon("cart")),
    el("span", { class: "row-text", dir: "auto" },
      el("strong", { textContent: product.name }), product.description && el("small", { textContent: product.description }),
      el("span", { class: "amount", textContent: formatMoney(product.price, product.currency) })),
    el("span", { class: "stepper" },
      iconButton("minus", words.less(product.name), change(-1)), count, iconButton("plus", words.more(product.name), change(1))));
}

function refreshCart(form, products, cart) {
  const count = [...cart.values()].reduce((sum, quantity) => sum + quantity, 0);
  const total = products.reduce((sum, product) => sum + product.price * (cart.get(product.sku) ?? 0), 0);
  form.querySelector("[type=submit]").disabled = count === 0;
  form.querySelector(".cart-total").textContent = count ? `${words.total}: ${formatMoney(total, products[0].currency)}` : "";
}

function buildOrder(number, offer, products, cart, note) {
  const items = products.filter((product) => cart.get(product.sku)).map((product) => ({
    product_retailer_id: product.sku, quantity: cart.get(product.sku), item_price: product.price, currency: product.currency,
  }));
  return { catalog_id: offer.catalog_id ?? `catalog-${number.phone_number_id}`, ...(note && { text: note }), product_items: items };
}

/** The answer of a form (flow); `onSend(responseJson)`. */
export function openForm(parameters, onSend) {
  const template = JSON.stringify({ flow_token: parameters.flow_token ?? "", answer: "" }, null, 2);
  openSheet(parameters.flow_cta, (close) => {
    const answer = el("textarea", { name: "answer", rows: 8, value: template, spellcheck: false });
    const problem = el("p", { class: "problem", role: "alert" });
    return sheetForm([field(words.formAnswer, answer), problem], words.send, () => {
      try {
        JSON.parse(answer.value);
      } catch (error) {
        problem.textContent = error.message;
        return;
      }
      close();
      onSend(answer.value);
    });
  });
}

const EMOJI = "😀 😂 😍 😎 🤔 😅 😢 😡 👍 👎 🙏 👏 💪 🎉 ❤️ 🔥 ✨ ⭐ 🍕 🍣 🍔 🌮 🥗 🍝 🍰 🍺 🥤 ☕ 🛵 🏠 📍 ⏰ 💵 💳 ✅ ❌".split(" ");

/** Choose an emoji; `onChoose(emoji)`. */
export function openEmoji(title, onChoose) {
  openSheet(title, (close) => el("div", { class: "sheet-body emoji-grid" },
    ...EMOJI.map((emoji) => el("button", { type: "button", class: "emoji", textContent: emoji, on: { click: () => { close(); onChoose(emoji); } } }))));
}

/** What went over the wire for a message. */
export function openDetails(item) {
  openSheet(words.details, () => el("div", { class: "sheet-body details" },
    el("dl", {},
      el("dt", { textContent: "wamid" }), el("dd", { textContent: item.wamid }),
      ...item.statuses.flatMap((status) => [
        el("dt", { textContent: status.status }),
        el("dd", { textContent: [new Date(status.timestamp * 1000).toLocaleTimeString(), status.pricing && `${words.price}: ${status.pricing.category} · ${status.pricing.type}`, status.errors && `${status.errors[0].code} ${status.errors[0].title}`].filter(Boolean).join(" · ") })])),
    el("pre", { textContent: JSON.stringify(item.payload, null, 2), tabIndex: 0 })));
}

/** Say who one is; `onSave(person)`. `invent` and `inventUserId` make up what is left empty. */
export function openPerson(person, { invent, inventUserId }, onSave) {
  openSheet(words.whoAreYou, (close) => {
    const name = el("input", { type: "text", name: "name", required: true, maxLength: 60, value: person.name, autocomplete: "off" });
    const phone = el("input", { type: "tel", name: "phone", pattern: "\\+?[0-9 ]{7,20}", required: !person.userId, value: person.phone ?? "", autocomplete: "off" });
    const hide = el("input", { type: "checkbox", name: "hide", checked: Boolean(person.userId) });
    const refresh = () => { phone.disabled = hide.checked; phone.required = !hide.checked; };
    hide.addEventListener("change", refresh);
    refresh();
    const fill = () => { const made = invent(); name.value = made.name; phone.value = made.phone; hide.checked = false; refresh(); };
    return sheetForm([
      el("button", { type: "button", class: "row", on: { click: fill } }, icon("smile"), el("span", { textContent: words.invent })),
      field(words.name, name), field(words.phone, phone, words.phoneRule),
      el("label", { class: "check" }, hide, el("span", { textContent: words.hide })),
    ], words.save, () => {
      close();
      const digits = phone.value.replace(/\D/g, "");
      onSave(hide.checked ? { name: name.value.trim(), userId: person.userId ?? inventUserId() } : { name: name.value.trim(), phone: digits });
    });
  });
}
