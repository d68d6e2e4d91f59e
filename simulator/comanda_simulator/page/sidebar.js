// The first screen: who one is, and the restaurants with the latest of each conversation.

import { avatar, el } from "./dom.js";
import { formatPhone, formatTime, plainText } from "./format.js";
import { customerKey, SAMPLES } from "./people.js";
import { summarize } from "./timeline.js";
import { words } from "./words.js";

/** Build the sidebar; `actions`: `{choosePerson, editPerson, navigate}`. */
export function buildSidebar(state, openNumberId, actions) {
  return [
    el("header", { class: "side-head" }, el("img", { src: "/page/icon.svg", alt: "", width: 36, height: 36 }),
      el("div", {}, el("strong", { class: "side-title", textContent: words.appName }), el("p", { textContent: words.intro }))),
    buildPeople(state.person, actions),
    el("nav", { class: "side-list", "aria-label": words.restaurants },
      el("h2", { textContent: words.restaurants }),
      state.numbers.length === 0 && el("p", { class: "faint", textContent: words.noRestaurants }),
      el("ul", {}, ...sorted(state).map((number) => buildNumber(number, state.timeline, openNumberId, actions)))),
  ];
}

/** What the stage shows while no conversation is open. */
export function buildEmptyStage() {
  return el("div", { class: "stage-empty" }, el("img", { src: "/page/icon.svg", alt: "", width: 72, height: 72 }), el("p", { textContent: words.pickRestaurant }));
}

function buildPeople(person, actions) {
  const key = customerKey(person);
  const people = SAMPLES.some((sample) => customerKey(sample) === key) ? SAMPLES : [...SAMPLES, person];
  return el("section", { class: "people", "aria-label": words.whoAreYou },
    el("h2", { textContent: words.youAre }),
    el("div", { class: "chips" },
      ...people.map((candidate) => el("button", {
        type: "button", class: "chip", "aria-pressed": String(customerKey(candidate) === key),
        dataset: { key: customerKey(candidate) }, on: { click: () => actions.choosePerson(candidate) },
      }, candidate.name)),
      el("button", { type: "button", class: "chip", dataset: { key: "new" }, on: { click: actions.editPerson } }, words.newPerson)),
    el("p", { class: "faint", textContent: person.phone ? formatPhone(person.phone) : `${person.userId} · ${words.hiddenPhone}` }));
}

function sorted(state) {
  const latest = (number) => state.timeline.conversations.get(number.phone_number_id)?.items.at(-1)?.seq ?? 0;
  return [...state.numbers].sort((one, other) => latest(other) - latest(one));
}

function buildNumber(number, timeline, openNumberId, actions) {
  const conversation = timeline.conversations.get(number.phone_number_id);
  const last = conversation?.items.at(-1);
  const id = number.phone_number_id;
  return el("li", {}, el("a", {
    class: "number", href: `/chat/${encodeURIComponent(id)}`, dataset: { key: id },
    "aria-current": id === openNumberId ? "page" : null, on: { click: actions.navigate },
  },
  avatar(number.display_name),
  el("span", { class: "number-text" },
    el("span", { class: "number-top" }, el("strong", { textContent: number.display_name, dir: "auto" }),
      last && el("time", { textContent: formatTime(last.at) })),
    el("span", { class: "number-last" },
      el("span", { dir: "auto", textContent: last ? `${last.mine ? `${words.you}: ` : ""}${plainText(summarize(last.payload, words))}` : formatPhone(number.display_phone_number) }),
      conversation?.unread > 0 && el("span", { class: "badge", textContent: String(conversation.unread), "aria-label": words.unread(conversation.unread) })))));
}
