// Keys for the review pages. Everything works without this file: each key presses a button or opens a part that is there anyway.
"use strict";
(() => {
  const TOO_SOON = 300; // ms in which nobody has read a ticket: such a key was meant for the one before
  const PAUSE = 60000; // ms without a sign of life after which nobody is taken to be at work
  const EXTEND = 60000; // ms between two times that a shown ticket is lent anew
  const OFF = "shortcuts-off";
  let typed = ""; // digits of a group, and of what is in it
  let reading = 0; // the timer that ends when a key counts: #main says so by data-read
  let touchedAt = 0;
  let active = 0; // ms that somebody has worked on this ticket

  const one = (selector, inside = document) => inside.querySelector(selector);
  const say = (line) => { one("#said").textContent = line; };
  const keysAreOn = () => localStorage.getItem(OFF) === null;

  function touch() {
    const now = performance.now();
    active += Math.min(now - touchedAt, PAUSE);
    touchedAt = now;
  }

  function read() {
    clearTimeout(reading);
    const main = one("#main");
    delete main.dataset.read;
    reading = setTimeout(() => { main.dataset.read = ""; }, TOO_SOON);
  }

  function shown() {
    touchedAt = performance.now();
    active = 0;
    typed = "";
    read();
    buttons();
  }

  function buttons() {
    document.body.classList.toggle("no-keys", !keysAreOn());
    const button = one("#shortcuts");
    if (!button) return;
    button.hidden = false;
    button.setAttribute("aria-pressed", String(keysAreOn()));
    button.textContent = keysAreOn() ? button.dataset.on : button.dataset.off;
  }

  function isVisible(element) {
    return element.checkVisibility ? element.checkVisibility() : element.offsetParent !== null;
  }

  function press(key) {
    const target = [...document.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key && isVisible(each));
    if (!target) return false;
    if (target.name && !("read" in one("#main").dataset)) {
      read();
      say(document.body.dataset.tooSoon);
    } else {
      target.click();
      if (target.tagName === "SUMMARY") target.focus();
    }
    return true;
  }

  function back() {
    const open = one(".tree details[open] summary[data-key='" + typed + "']");
    if (open && typed) open.parentElement.open = false;
    typed = typed.slice(0, -1);
    if (one("#head")) one("#head").focus();
  }

  function onKey(event) {
    touch();
    if (event.isComposing || event.keyCode === 229) return; // an input method is at work
    if (event.key === "Escape" && one("#card")) return back();
    const field = event.target.closest("input, textarea, select, [contenteditable]");
    if (field || event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.defaultPrevented) return;
    if (!keysAreOn() || event.key === "Enter" || event.key === " ") return;
    const key = event.key === "、" ? "/" : event.key.normalize("NFKC").toLowerCase();
    const focus = one("[data-focus='" + CSS.escape(key) + "']");
    if (focus) {
      event.preventDefault();
      return focus.focus();
    }
    const digits = /^[0-9]$/.test(key);
    const wanted = digits ? typed + key : key;
    if (!press(wanted)) return;
    event.preventDefault();
    typed = digits && one("summary[data-key='" + wanted + "']") ? wanted : "";
  }

  function onSubmit(event) {
    if (event.submitter?.name === "action" && event.submitter.value === "find") { // what was found is to be chosen, not answered at once
      event.preventDefault();
      event.stopPropagation();
      return (one("#found button") ?? one("#find")).focus();
    }
    touch();
    const field = event.target.elements.namedItem("active_ms");
    if (field) field.value = String(Math.round(active));
  }

  function extend() {
    const form = one("#answer");
    if (!form || document.visibilityState !== "visible") return;
    const body = new URLSearchParams({ csrf: form.elements.csrf.value, token: form.elements.token.value });
    const entry = one("#card").dataset.entry;
    fetch("/review/" + entry + "/extend", { method: "POST", body }).then((reply) => {
      if (reply.status === 409 && one("#card")?.dataset.entry === entry) say(document.body.dataset.lost);
    }, () => {});
  }

  document.addEventListener("keydown", onKey);
  document.addEventListener("submit", onSubmit, true);
  for (const name of ["pointerdown", "pointermove", "wheel", "visibilitychange"]) document.addEventListener(name, touch, { passive: true });
  document.addEventListener("click", (event) => {
    if (event.target.id !== "shortcuts") return;
    if (keysAreOn()) localStorage.setItem(OFF, "1"); else localStorage.removeItem(OFF);
    buttons();
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target.id !== "main" && event.detail.elt.id !== "main") return;
    shown();
    const head = one("h1");
    if (head) head.focus();
    scrollTo(0, 0);
  });
  for (const name of ["htmx:responseError", "htmx:sendError"]) {
    document.addEventListener(name, (event) => {
      say(event.detail.requestConfig.verb === "get" ? document.body.dataset.away : document.body.dataset.failed);
    });
  }
  setInterval(extend, EXTEND);
  shown();
})();
