// The conversations of one customer, built from ledger entries. Knows nothing of the page.

const TYPING_SECONDS = 25;

/** All conversations; `apply` takes ledger entries in any order of arrival and tells what changed. */
export class Timeline {
  constructor() {
    this.conversations = new Map();
    this.byWamid = new Map();
    this.seen = new Set();
    this.last = 0;
  }

  /** The conversation with a number, made when first asked for. */
  conversation(number) {
    if (!this.conversations.has(number)) {
      this.conversations.set(number, { number, items: [], unread: 0, typingUntil: 0 });
    }
    return this.conversations.get(number);
  }

  /** Take an entry; returns `{kind: "item" | "state" | "typing", number, item?}` or null when it is known already. */
  apply(entry) {
    if (this.seen.has(entry.seq)) return null;
    this.seen.add(entry.seq);
    this.last = Math.max(this.last, entry.seq);
    if (entry.direction === "status") return this.#applyStatus(entry);
    if (entry.direction === "mark") return this.#applyMark(entry);
    if (entry.payload.type === "reaction") return this.#applyReaction(entry);
    return this.#applyMessage(entry);
  }

  /** Note that a message of this customer reached the bot. */
  acknowledge(wamid) {
    const item = this.byWamid.get(wamid);
    if (!item || item.state !== "sent") return null;
    item.state = "delivered";
    return { kind: "state", number: item.number, item };
  }

  #applyMessage(entry) {
    const mine = entry.direction === "in";
    const item = {
      seq: entry.seq, at: entry.at, number: entry.phone_number_id, wamid: entry.wamid, mine, payload: entry.payload,
      state: entry.acked ? "delivered" : "sent", statuses: [], reactions: {},
    };
    const conversation = this.conversation(item.number);
    conversation.items.push(item);
    this.byWamid.set(item.wamid, item);
    if (!mine) {
      conversation.typingUntil = 0;
      conversation.unread += 1;
    }
    return { kind: "item", number: item.number, item };
  }

  #applyStatus(entry) {
    const item = this.byWamid.get(entry.wamid);
    if (!item) return null;
    item.statuses.push(entry.payload);
    return { kind: "state", number: item.number, item, status: entry.payload.status };
  }

  #applyMark(entry) {
    const conversation = this.conversation(entry.phone_number_id);
    const marked = conversation.items.findIndex((item) => item.wamid === entry.wamid);
    const changed = conversation.items.slice(0, marked + 1).filter((item) => item.mine && item.state !== "read");
    for (const item of changed) item.state = "read";
    if (entry.payload.typing_indicator) conversation.typingUntil = entry.at + TYPING_SECONDS;
    return { kind: "typing", number: conversation.number, changed };
  }

  #applyReaction(entry) {
    const { message_id: target, emoji } = entry.payload.reaction;
    const item = this.byWamid.get(target);
    if (!item) return null;
    if (emoji) item.reactions[entry.direction] = emoji;
    else delete item.reactions[entry.direction];
    return { kind: "state", number: item.number, item };
  }
}

/** One line that stands for a message: in the sidebar, in quotes. */
export function summarize(payload, words) {
  const { type } = payload;
  switch (type) {
    case "text": return payload.text.body;
    case "interactive": return summarizeInteractive(payload.interactive, words);
    case "image": return payload.image.caption || `📷 ${words.photo}`;
    case "video": return payload.video.caption || `🎬 ${words.video}`;
    case "audio": return `🎤 ${words.audio}`;
    case "sticker": return words.sticker;
    case "document": return `📄 ${payload.document.filename || payload.document.caption || words.document}`;
    case "location": return `📍 ${payload.location.name || words.location}`;
    case "contacts": return `👤 ${payload.contacts[0]?.name?.formatted_name ?? words.contact}`;
    case "order": return `🛒 ${words.orderOf(payload.order.product_items.reduce((sum, item) => sum + item.quantity, 0))}`;
    case "template": return payload.template.name;
    case "button": return payload.button.text;
    default: return type;
  }
}

function summarizeInteractive(interactive, words) {
  const reply = interactive.button_reply ?? interactive.list_reply;
  if (reply) return reply.title;
  if (interactive.nfm_reply) return words.formSent;
  return interactive.body?.text ?? interactive.type;
}
