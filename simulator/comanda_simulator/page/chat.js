// The page: who one is, which restaurants there are, and the conversation that is open.

import { followEvents, getHistory, getNumbers, getTaken, markRead, sendMessage, uploadFile } from "./api.js";
import { ChatView } from "./chatview.js";
import { toast } from "./dom.js";
import { customerKey, inventPerson, inventUserId, loadPerson, savePerson } from "./people.js";
import { openCatalogue, openDetails, openEmoji, openForm, openList, openLocation, openMenu, openPerson } from "./sheets.js";
import { buildEmptyStage, buildSidebar } from "./sidebar.js";
import { Timeline } from "./timeline.js";
import { language, words } from "./words.js";

const NUMBERS_POLL_MS = 5000;

const state = { numbers: [], person: loadPerson(), timeline: new Timeline(), view: null, stopEvents: () => {}, loading: 0 };

const sidebar = document.getElementById("sidebar");
const stage = document.getElementById("stage");
const banner = document.getElementById("banner");

const openNumberId = () => decodeURIComponent(location.pathname.match(/^\/chat\/([^/]+)$/)?.[1] ?? "");

// --- Showing -------------------------------------------------------------------------------------------------------

function showSidebar() {
  const focused = document.activeElement?.closest("#sidebar") ? document.activeElement.dataset.key : null;
  sidebar.replaceChildren(...buildSidebar(state, openNumberId(), { choosePerson, editPerson, navigate }));
  if (focused) sidebar.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  const unread = [...state.timeline.conversations.values()].reduce((sum, conversation) => sum + conversation.unread, 0);
  const name = state.view?.number.display_name;
  document.title = `${unread ? `(${unread}) ` : ""}${name ? `${name} – ` : ""}${words.appName}`;
}

function showStage() {
  const number = state.numbers.find((candidate) => candidate.phone_number_id === openNumberId());
  document.body.dataset.view = number ? "chat" : "home";
  if (!number) {
    state.view = null;
    stage.replaceChildren(buildEmptyStage());
  } else {
    state.view = new ChatView(stage, number, state.timeline, { act, sendText, attach, emoji, leave: navigate });
    if (matchMedia("(min-width: 800px)").matches) state.view.input.focus();
    readIfSeen();
  }
  showSidebar();
}

function navigate(event) {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", event.currentTarget.href);
  showStage();
}

// --- Following the ledger ------------------------------------------------------------------------------------------

async function loadTimeline() {
  const attempt = state.loading += 1;
  state.stopEvents();
  try {
    const [numbers, entries] = await Promise.all([getNumbers(), getHistory(customerKey(state.person))]);
    if (attempt !== state.loading) return;
    state.numbers = numbers;
    state.timeline = new Timeline();
    for (const entry of entries) state.timeline.apply(entry);
    for (const conversation of state.timeline.conversations.values()) conversation.unread = 0;
  } catch {
    showConnected(false);
    setTimeout(() => { if (attempt === state.loading) loadTimeline(); }, 1000);
    return;
  }
  showConnected(true);
  showStage();
  state.stopEvents = followEvents(customerKey(state.person), state.timeline.last, {
    onEntry, onAcked: (wamid) => show(state.timeline.acknowledge(wamid)), onState, onRestart: loadTimeline,
  });
}

function onEntry(entry) {
  show(state.timeline.apply(entry));
  if (entry.direction === "status" && entry.payload.status === "delivered") readIfSeen();
}

function show(change) {
  if (!change) return;
  if (change.number === state.view?.number.phone_number_id) {
    state.view.apply(change);
    readIfSeen();
  }
  if (change.kind === "item") showSidebar();
}

async function onState(connected) {
  const back = connected && !banner.hidden;
  showConnected(connected);
  if (!back) return;
  const taken = await getTaken(customerKey(state.person)).catch(() => []);
  for (const wamid of taken) show(state.timeline.acknowledge(wamid));
}

function showConnected(connected) {
  banner.hidden = connected;
  banner.textContent = connected ? "" : words.lost;
}

let readTimer;

function readIfSeen() {
  if (!state.view || document.visibilityState !== "visible") return;
  state.view.conversation.unread = 0;
  clearTimeout(readTimer);
  const number = state.view.number.phone_number_id;
  readTimer = setTimeout(() => markRead(number, customerKey(state.person)).catch(() => {}), 100);
}

async function refreshNumbers() {
  try {
    const numbers = await getNumbers();
    if (JSON.stringify(numbers) === JSON.stringify(state.numbers)) return;
    state.numbers = numbers;
    const number = numbers.find((candidate) => candidate.phone_number_id === openNumberId());
    if (number && state.view) state.view.number.catalog = number.catalog;
    if (Boolean(number) !== Boolean(state.view)) showStage();
    else showSidebar();
  } catch {
    // The event stream tells about lost connections.
  }
}

// --- Being somebody ------------------------------------------------------------------------------------------------

function choosePerson(person) {
  state.person = person;
  savePerson(person);
  loadTimeline();
}

function editPerson() {
  openPerson(state.person, { invent: inventPerson, inventUserId }, choosePerson);
}

// --- Writing -------------------------------------------------------------------------------------------------------

/** Send a message to the open restaurant; false when the simulator did not take it. */
async function send(message) {
  const number = state.view.number.phone_number_id;
  try {
    const { acked } = await sendMessage(state.person, number, message);
    if (!acked) toast(words.notTaken);
    return true;
  } catch (error) {
    toast(error instanceof TypeError ? words.notSent : error.message);
    return false;
  }
}

const answerTo = (item) => (item ? { context: { from: state.view.number.display_phone_number, id: item.wamid } } : {});

const sendText = (text, quoted) => send({ type: "text", text: { body: text }, ...answerTo(quoted) });

const sendPlace = (item) => (place) => send({ type: "location", location: place, ...answerTo(item) });

const sendOrder = (order) => send({ type: "order", order });

function sendReply(kind, item, { id, title, description }) {
  const reply = { id, title, ...(description && { description }) };
  return send({ type: "interactive", interactive: { type: kind, [kind]: reply }, ...answerTo(item) });
}

function sendContact(item) {
  const { name, phone } = state.person;
  const digits = phone ?? "56900000000";
  const vcard = `BEGIN:VCARD\nVERSION:3.0\nFN:${name}\nTEL;type=CELL;waid=${digits}:+${digits}\nEND:VCARD`;
  return send({ type: "contacts", origin: "contact_request", ...answerTo(item),
    contacts: [{ name: { formatted_name: name, first_name: name }, phones: [{ phone: `+${digits}`, wa_id: digits, type: "CELL" }], vcard, origin: "contact_request" }] });
}

/** What a tap on a message does. */
function act(name, item, data) {
  const restaurant = state.view.number;
  const taps = {
    button: () => sendReply("button_reply", item, data),
    list: () => openList(data, (row) => sendReply("list_reply", item, row)),
    location: () => openLocation(restaurant.location, sendPlace(item)),
    catalogue: () => openCatalogue(restaurant, data, sendOrder),
    contact: () => sendContact(item),
    flow: () => openForm(data, (answer) => send({ type: "interactive", ...answerTo(item),
      interactive: { type: "nfm_reply", nfm_reply: { name: "flow", body: "Sent", response_json: answer } } })),
    menu: () => openMenu(words.actions, [
      ["reply", words.reply, () => state.view.quote(item)],
      ["smile", words.react, () => openEmoji(words.react, (emoji) => send({ type: "reaction", reaction: { message_id: item.wamid, emoji } }))],
      ["form", words.details, () => openDetails(item)],
    ]),
  };
  taps[name]();
}

function attach() {
  const restaurant = state.view.number;
  openMenu(words.attach, [
    ["image", words.photoOrFile, pickFile],
    ["pin", words.location, () => openLocation(restaurant.location, sendPlace(null))],
    ["cart", words.catalogue, () => openCatalogue(restaurant, {}, sendOrder)],
  ]);
}

function emoji() {
  openEmoji(words.emoji, (character) => state.view.insert(character));
}

const filePicker = Object.assign(document.createElement("input"), {
  type: "file", accept: "image/jpeg,image/png,application/pdf,audio/*,video/mp4,text/plain", hidden: true, ariaLabel: words.photoOrFile,
});
filePicker.addEventListener("change", () => { if (filePicker.files[0]) sendFile(filePicker.files[0]); });
document.body.append(filePicker);

function pickFile() {
  filePicker.value = "";
  filePicker.click();
}

async function sendFile(file) {
  const number = state.view.number.phone_number_id;
  try {
    const { id } = await uploadFile(number, file);
    const family = file.type.split("/")[0];
    const kind = ["image", "video", "audio"].includes(family) ? family : "document";
    const caption = state.view.input.value.trim();
    if (caption && kind !== "audio") state.view.input.value = "";
    await send({ type: kind, [kind]: { id, ...(kind === "document" && { filename: file.name }), ...(caption && kind !== "audio" && { caption }) } });
  } catch (error) {
    toast(error instanceof TypeError ? words.notSent : error.message);
  }
}

// --- Starting ------------------------------------------------------------------------------------------------------

document.documentElement.lang = language;
addEventListener("popstate", showStage);
document.addEventListener("visibilitychange", readIfSeen);
setInterval(refreshNumbers, NUMBERS_POLL_MS);
loadTimeline();
