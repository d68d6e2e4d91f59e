// Who the person at the page pretends to be. Kept in this browser.

const KEY = "comanda.person";

export const SAMPLES = [
  { name: "Ana Rojas", phone: "56933334444" },
  { name: "Leo Pérez", phone: "56955556666" },
  { name: "Sofía Núñez", userId: "CL.SOFIA7N2U9E4Z1" },
];

const FIRST = ["Camila", "Mateo", "Valentina", "Diego", "Isidora", "Tomás", "Julieta", "Bruno", "Maite", "Gaspar"];
const LAST = ["Soto", "Vidal", "Campos", "Rivas", "Fuentes", "Molina", "Araya", "Cortés", "Pinto", "Silva"];

/** What the ledger calls this person: the phone, or the user id of one who hides it. */
export const customerKey = (person) => person.phone || person.userId;

/** The person chosen last, or the first sample. */
export function loadPerson() {
  try {
    const person = JSON.parse(localStorage.getItem(KEY));
    if (person?.name && customerKey(person)) return person;
  } catch {
    // A damaged entry is as good as none.
  }
  return SAMPLES[0];
}

/** Keep a person for the next visit. */
export function savePerson(person) {
  localStorage.setItem(KEY, JSON.stringify(person));
}

/** Invent a name and a phone number that nobody here has. */
export function inventPerson() {
  const pick = (names) => names[Math.floor(Math.random() * names.length)];
  const digits = String(Math.floor(Math.random() * 1e8)).padStart(8, "0");
  return { name: `${pick(FIRST)} ${pick(LAST)}`, phone: `569${digits}` };
}

/** A user id for somebody who hides the phone number. */
export function inventUserId() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return `CL.${Array.from(bytes, (byte) => byte.toString(36).toUpperCase().padStart(2, "0")).join("")}`;
}
