// Passkeys (WebAuthn): the button of the sign-in page, and the form of the page of passkeys. Both pages hide what
// only works with this file, and hold every text that it shows.

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
const base64url = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

// The browser's own conversions from and to JSON are younger than passkeys, and extensions that keep them lack these.
const described = (list = []) => list.map((one) => ({ ...one, id: bytes(one.id) }));
const forCreation = (options) => ({
  ...options,
  challenge: bytes(options.challenge),
  user: { ...options.user, id: bytes(options.user.id) },
  excludeCredentials: described(options.excludeCredentials),
});
const forRequest = (options) => ({
  ...options,
  challenge: bytes(options.challenge),
  allowCredentials: described(options.allowCredentials),
});
const written = ({ id, rawId, type, response }) => {
  const told = { clientDataJSON: base64url(response.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (response[name]) told[name] = base64url(response[name]);
  }
  if (response.getTransports) told.transports = response.getTransports();
  return JSON.stringify({ id, rawId: base64url(rawId), type, response: told });
};

class Refused extends Error {}

// What the server answers to `members`. Throws Refused with its error code.
const ask = async (part, path, members, signal) => {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": part.dataset.csrfToken },
    body: JSON.stringify(members),
    signal,
  });
  const told = await answer.json();
  if (!answer.ok) throw new Refused(told.error);
  return told;
};

// Which of the texts of `part` tells of an error. The browser says NotAllowedError whatever the person did not do.
const problemOf = (error) => {
  if (error instanceof Refused) return error.message;
  return { NotAllowedError: "cancelled", InvalidStateError: "known" }[error.name] ?? "other";
};
const tell = (part, problem) => {
  const texts = [...part.querySelectorAll("[data-problem]")];
  const shown = texts.find((one) => one.dataset.problem === problem) ?? texts.find((one) => one.dataset.problem === "other");
  for (const one of texts) one.hidden = !problem || one !== shown;
};

// A challenge is good for five minutes: one that waits in the field for the e-mail is replaced before.
const RENEW_MILLISECONDS = 4 * 60 * 1000;
let waiting = new AbortController();
let renewal = 0;

const signIn = async (part, mediation) => {
  // The browser takes one request at a time.
  waiting.abort();
  clearTimeout(renewal);
  const { signal } = (waiting = new AbortController());
  const options = await ask(part, part.dataset.options, {}, signal);
  const credential = await navigator.credentials.get({ publicKey: forRequest(options), mediation, signal });
  const { location: next } = await ask(part, part.dataset.answer, { credential: written(credential) });
  location.assign(next);
};

// Passkeys among what the browser offers for the e-mail, where it can. Nobody has asked for it: what the browser
// does not do is no problem to tell.
const offer = async (part) => {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  const offered = signIn(part, "conditional");
  renewal = setTimeout(offer, RENEW_MILLISECONDS, part);
  try {
    await offered;
  } catch (error) {
    if (error instanceof Refused) tell(part, problemOf(error));
  }
};

const onSignIn = (part) => {
  let busy = false;
  part.querySelector("button").addEventListener("click", async () => {
    if (busy) return;
    busy = true;
    tell(part, "");
    try {
      await signIn(part, "optional");
    } catch (error) {
      tell(part, problemOf(error));
      offer(part);
    }
    busy = false;
  });
  part.hidden = false;
  offer(part);
};

const onAdd = (form) => {
  let busy = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    // No page follows: device.js is not to disable the buttons.
    event.stopPropagation();
    if (busy) return;
    busy = true;
    tell(form, "");
    try {
      const { name, password } = form.elements;
      const options = await ask(form, form.dataset.options, { password: password.value });
      const credential = await navigator.credentials.create({ publicKey: forCreation(options) });
      const { location: next } = await ask(form, form.dataset.answer, { name: name.value, credential: written(credential) });
      location.assign(next);
    } catch (error) {
      tell(form, problemOf(error));
      if (problemOf(error) === "login_failed") form.elements.password.focus();
    }
    busy = false;
  });
  document.getElementById("no-passkeys").hidden = true;
  form.hidden = false;
};

if (window.PublicKeyCredential && navigator.credentials) {
  const part = document.getElementById("sign-in-with-passkey");
  const form = document.getElementById("add-passkey");
  if (part) onSignIn(part);
  if (form) onAdd(form);
}
