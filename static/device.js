// Comfort only: every page works without this file.
"use strict";

const bare = (text) => text.normalize("NFKC").toUpperCase().replace(/[^\p{L}\p{N}]/gu, "");
const dashed = (code) => code.replace(/(.{4})(?=.)/gu, "$1-");
const linked = (text) => /[?&]user_code=([\w-]+)/.exec(text)?.[1];

// Upper case and dashes while typing. The caret stays after the same letter; nothing is dropped but punctuation.
const tidy = (field) => {
  const code = linked(field.value);
  const tidied = dashed(bare(code ?? field.value));
  if (tidied === field.value) return;
  const atEnd = code || field.selectionStart === field.value.length;
  const caret = dashed(bare(field.value.slice(0, field.selectionStart))).length;
  field.value = tidied;
  if (document.activeElement === field) field.setSelectionRange(...Array(2).fill(atEnd ? tidied.length : caret));
};

const field = document.getElementById("user_code");
if (field) {
  tidy(field);
  field.addEventListener("input", (event) => event.isComposing || /^(delete|history)/.test(event.inputType) || tidy(field));
  field.addEventListener("compositionend", () => tidy(field));
  // A whole link may be longer than the field.
  field.addEventListener("paste", (event) => {
    const code = linked(event.clipboardData?.getData("text") ?? "");
    if (!code) return;
    event.preventDefault();
    field.value = code;
    tidy(field);
  });
}

// No second submit. The browser has read the form, pressed button included, before the timer fires.
const enable = (on) => document.querySelectorAll("button").forEach((button) => { button.disabled = !on; });
addEventListener("submit", () => { setTimeout(enable, 0, false); setTimeout(enable, 10000, true); });
addEventListener("pageshow", () => enable(true));

// A code has no business in the address bar or the history.
const address = new URL(location);
if (address.searchParams.has("user_code")) {
  address.searchParams.delete("user_code");
  history.replaceState(null, "", address);
}
