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

// What keeps buttons from being pressed: a form on its way, a code that died.
const off = { busy: false, over: false };
const draw = () => document.querySelectorAll("button").forEach((button) => {
  button.disabled = off.busy || (off.over && button.name === "decision");
});
const busy = (on) => { off.busy = on; draw(); };

// No second submit. The browser has read the form, pressed button included, before the timer fires.
addEventListener("submit", (event) => {
  if (event.defaultPrevented) return;
  setTimeout(busy, 0, true);
  setTimeout(busy, 10000, false);
});
addEventListener("pageshow", () => busy(false));
const onVisible = (act) => document.addEventListener("visibilitychange", () => document.hidden || act());

// Whenever the page comes to the front, Allow takes no click for a moment: the second of a double click that a page
// above this one has asked for must not land on it. Keys and screen readers need not wait.
const allow = document.querySelector('button[value="approve"]');
if (allow) {
  let timer;
  const wait = () => {
    allow.dataset.fresh = "";
    clearTimeout(timer);
    timer = setTimeout(() => delete allow.dataset.fresh, 500);
  };
  wait();
  onVisible(wait);
  addEventListener("focus", wait);
  addEventListener("pageshow", wait);
}

// The time that is left, and the end of it: by the clock, or because the code was decided elsewhere.
const left = document.getElementById("left");
const form = document.getElementById("decision");
if (left && form) {
  const spoken = left.nextElementSibling;
  let end = Date.now() + left.dataset.seconds * 1000;
  let marks = [300, 60].filter((mark) => mark < left.dataset.seconds);
  let asked = Date.now();
  let pause = 30000;

  // In the digits that the server writes. Seconds only towards the end: nothing moves beside what is to be read.
  const count = (number, unit) =>
    new Intl.NumberFormat(`${document.documentElement.lang}-u-nu-latn`, { style: "unit", unit, unitDisplay: "long" }).format(number);
  const inWords = (seconds) => {
    const minutes = Math.floor(seconds / 60);
    if (minutes > 1) return count(minutes, "minute");
    const parts = [minutes && count(1, "minute"), seconds % 60 && count(seconds % 60, "second")].filter(Boolean);
    return new Intl.ListFormat(document.documentElement.lang, { type: "unit" }).format(parts);
  };

  const die = (how) => {
    if (off.over) return;
    off.over = true;
    draw();
    const told = document.getElementById(how).content.cloneNode(true);
    left.textContent = told.querySelector("strong").textContent;
    spoken.textContent = "";
    (form.closest(".decide") ?? form).before(told);
  };

  const tick = () => {
    if (off.over) return;
    const seconds = Math.ceil((end - Date.now()) / 1000);
    if (seconds <= 0) return die("expired");
    const text = left.dataset.text.replace("{}", inWords(seconds));
    if (left.textContent !== text) left.textContent = text;
    if (seconds > marks[0] || !marks.length) return;
    marks = marks.filter((mark) => mark < seconds);
    spoken.textContent = text;
  };

  // Ever more seldom, and only while somebody looks: people behind one address share what it may look up.
  const ask = async () => {
    if (document.hidden || off.busy || off.over) return;
    asked = Date.now();
    const body = new URLSearchParams({ user_code: form.elements.user_code.value });
    const answer = await fetch(left.dataset.lookup, { method: "POST", body, credentials: "omit" }).catch(() => null);
    if (!answer?.ok) return;
    const told = await answer.json();
    if (off.busy) return;
    if (told.valid) end = Date.now() + told.expires_in_remaining * 1000;
    else die(told.client_id === null ? "expired" : "decided");
  };

  const again = () => {
    ask();
    pause = Math.min(pause * 2, 120000);
    if (!off.over) setTimeout(again, pause);
  };
  setInterval(tick, 1000);
  setTimeout(again, pause);
  onVisible(() => { tick(); if (Date.now() - asked > 10000) ask(); });
  addEventListener("pageshow", (event) => event.persisted && ask());
}

// A code has no business in the address bar or the history.
const address = new URL(location);
if (address.searchParams.has("user_code")) {
  address.searchParams.delete("user_code");
  history.replaceState(null, "", address);
}
