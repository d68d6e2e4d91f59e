// The page's only way out: the simulator's control API.

async function call(path, options = {}) {
  const response = await fetch(path, options);
  const body = await response.json();
  if (!response.ok) throw new Error(body.message ?? `HTTP ${response.status}`);
  return body;
}

function post(path, body) {
  return call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

/** All restaurants. */
export const getNumbers = () => call("/simulator/numbers");

/** The newest entries of one customer with all restaurants. */
export const getHistory = (customer) =>
  call(`/simulator/ledger?last=2000&customer=${encodeURIComponent(customer)}`);

/** Those of the newest messages of a customer that bots have taken. */
export async function getTaken(customer) {
  const entries = await call(`/simulator/ledger?last=200&direction=in&customer=${encodeURIComponent(customer)}`);
  return entries.filter((entry) => entry.acked).map((entry) => entry.wamid);
}

/** Write to a restaurant; resolves with `{wamid, acked}` when its webhook was acknowledged or some seconds later. */
export function sendMessage(person, phoneNumberId, message) {
  const sender = person.phone ? { from: person.phone } : { user_id: person.userId };
  return post("/simulator/messages?wait=acked", { phone_number_id: phoneNumberId, name: person.name, message, ...sender });
}

/** Read all that a restaurant sent. */
export const markRead = (phoneNumberId, customer) =>
  post("/simulator/reads", { phone_number_id: phoneNumberId, customer });

/** Store a file; resolves with `{id, mime_type}`. */
export function uploadFile(phoneNumberId, file) {
  const query = new URLSearchParams({ phone_number_id: phoneNumberId, filename: file.name });
  return call(`/simulator/media?${query}`, { method: "POST", headers: { "Content-Type": file.type }, body: file });
}

/**
 * Follow the ledger of one customer after `seq`. `onEntry(entry)` for each entry, `onAcked(wamid)`
 * when the bot has taken a message, `onState(connected)` on changes,
 * `onRestart()` when the simulator has begun anew and history must be read again. Returns a function that stops.
 */
export function followEvents(customer, seq, { onEntry, onAcked, onState, onRestart }) {
  let source;
  let run;
  let timer;
  let last = seq;
  const open = () => {
    source = new EventSource(`/simulator/events?customer=${encodeURIComponent(customer)}&after=${last}`);
    source.addEventListener("hello", (event) => {
      const hello = JSON.parse(event.data);
      if ((run && run !== hello.run) || hello.last < last) { onRestart(); return; }
      run = hello.run;
      onState(true);
    });
    source.addEventListener("entry", (event) => {
      const entry = JSON.parse(event.data);
      last = entry.seq;
      onEntry(entry);
    });
    source.addEventListener("acked", (event) => onAcked(JSON.parse(event.data).wamid));
    source.addEventListener("error", () => {
      onState(false);
      // A browser gives up after some kinds of failure; then it is up to us.
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, 1000);
    });
  };
  open();
  return () => { clearTimeout(timer); source.close(); };
}
