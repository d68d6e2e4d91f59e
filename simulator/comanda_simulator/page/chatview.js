// One conversation on the screen: header, log, composer.

import { buildMessage, refreshMessage } from "./bubbles.js";
import { avatar, el, icon, iconButton, spoken } from "./dom.js";
import { formatDay, formatPhone, plainText } from "./format.js";
import { summarize } from "./timeline.js";
import { words } from "./words.js";

const NEAR_BOTTOM_PX = 120;

/** The view of one conversation; `actions`: `{act, sendText, attach, emoji, leave}`. */
export class ChatView {
  constructor(stage, number, timeline, actions) {
    this.number = number;
    this.timeline = timeline;
    this.conversation = timeline.conversation(number.phone_number_id);
    this.actions = actions;
    this.rows = new Map();
    this.lastDay = "";
    this.quoted = null;
    stage.replaceChildren(this.#buildHeader(), this.#buildLog(), this.#buildComposer());
    for (const item of this.conversation.items) this.#append(item);
    this.#refreshEmpty();
    this.refreshPresence();
    this.scrollToEnd();
  }

  /** Show what `timeline.apply` changed in this conversation. */
  apply(change) {
    if (change.kind === "item") {
      const follow = this.#nearBottom() || change.item.mine;
      this.#append(change.item);
      this.#refreshEmpty();
      if (follow) this.scrollToEnd();
      else this.jump.hidden = false;
    }
    for (const item of change.changed ?? (change.kind === "state" ? [change.item] : [])) {
      const row = this.rows.get(item.wamid);
      if (row) refreshMessage(row, item);
    }
    this.refreshPresence();
  }

  /** Show whether the restaurant types. */
  refreshPresence() {
    clearTimeout(this.typingTimer);
    const left = this.conversation.typingUntil - Date.now() / 1000;
    const typing = left > 0;
    this.presence.textContent = typing ? words.typing : formatPhone(this.number.display_phone_number);
    this.presence.classList.toggle("typing", typing);
    this.dots.hidden = !typing;
    if (typing) {
      if (this.#nearBottom()) this.scrollToEnd();
      this.typingTimer = setTimeout(() => this.refreshPresence(), left * 1000);
    }
  }

  /** Answer a message: it is quoted above the composer until it is sent or given up. */
  quote(item) {
    this.quoted = item;
    this.quoteBar.hidden = !item;
    if (!item) return;
    this.quoteText.replaceChildren(
      el("strong", { textContent: item.mine ? words.you : this.number.display_name }),
      el("span", { dir: "auto", textContent: plainText(summarize(item.payload, words)) }));
    this.input.focus();
  }

  /** Put text where the cursor is. */
  insert(text) {
    this.input.setRangeText(text, this.input.selectionStart, this.input.selectionEnd, "end");
    this.#grow();
    this.input.focus();
  }

  scrollToEnd() {
    this.log.scrollTop = this.log.scrollHeight;
    this.jump.hidden = true;
  }

  #buildHeader() {
    this.presence = el("span", { class: "presence" });
    return el("header", { class: "chat-head" },
      el("a", { class: "icon-button back", href: "/", "aria-label": words.back, title: words.back, on: { click: this.actions.leave } }, icon("back")),
      avatar(this.number.display_name),
      el("div", { class: "chat-title" }, el("h1", { textContent: this.number.display_name, dir: "auto" }), this.presence));
  }

  #buildLog() {
    this.empty = el("div", { class: "empty" }, el("p", { textContent: words.noMessages }),
      el("button", { type: "button", class: "primary", textContent: words.sayHello, on: { click: () => this.actions.sendText(words.hello) } }));
    this.list = el("ol", { class: "messages", role: "log", "aria-live": "polite", "aria-label": this.number.display_name });
    this.dots = el("div", { class: "dots", hidden: true }, el("i"), el("i"), el("i"), spoken(words.typing));
    this.log = el("div", { class: "log", tabIndex: 0, "aria-label": this.number.display_name, role: "region" }, this.empty, this.list, this.dots);
    this.log.addEventListener("scroll", () => { if (this.#nearBottom()) this.jump.hidden = true; });
    // Pictures and videos change the height after they were added.
    this.log.addEventListener("load", () => { if (this.#nearBottom(400)) this.scrollToEnd(); }, true);
    this.jump = el("button", { type: "button", class: "jump", hidden: true, on: { click: () => this.scrollToEnd() } }, icon("down"), words.newMessages);
    return el("div", { class: "log-frame" }, this.log, this.jump);
  }

  #buildComposer() {
    this.input = el("textarea", { rows: 1, placeholder: words.write, "aria-label": words.write, dir: "auto", enterKeyHint: "send",
      on: { input: () => this.#grow(), keydown: (event) => this.#onKey(event) } });
    this.quoteText = el("div", { class: "quote" });
    this.quoteBar = el("div", { class: "quote-bar", hidden: true }, spoken(words.answering), this.quoteText,
      iconButton("close", words.cancelReply, () => { this.quote(null); this.input.focus(); }));
    return el("form", { class: "composer", on: { submit: (event) => { event.preventDefault(); this.#send(); } } },
      this.quoteBar,
      iconButton("plus", words.attach, this.actions.attach),
      iconButton("smile", words.emoji, this.actions.emoji),
      this.input,
      el("button", { type: "submit", class: "icon-button send", "aria-label": words.send, title: words.send }, icon("send")));
  }

  #onKey(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "Escape" && this.quoted) {
      this.quote(null);
    }
  }

  async #send() {
    const text = this.input.value.trim();
    if (!text) return;
    const quoted = this.quoted;
    this.input.value = "";
    this.#grow();
    this.quote(null);
    const sent = await this.actions.sendText(text, quoted);
    if (!sent && !this.input.value) {
      this.input.value = text;
      this.quote(quoted);
      this.#grow();
    }
  }

  #grow() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, 140)}px`;
  }

  #append(item) {
    const day = formatDay(item.at, words);
    if (day !== this.lastDay) {
      this.lastDay = day;
      this.lastSide = null;
      this.list.append(el("li", { class: "day" }, el("span", { textContent: day })));
    }
    const row = buildMessage(item, { number: this.number, timeline: this.timeline, act: this.actions.act });
    row.classList.toggle("first", this.lastSide !== item.mine);
    this.lastSide = item.mine;
    this.rows.set(item.wamid, row);
    this.list.append(row);
  }

  #refreshEmpty() {
    this.empty.hidden = this.conversation.items.length > 0;
  }

  #nearBottom(distance = NEAR_BOTTOM_PX) {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < distance;
  }
}
