// Calls the API with what stands in a form of its page. Without this file each call can be read, and copied as a command.
"use strict";
(() => {
  const key = document.querySelector("#key");
  const csrf = document.querySelector("[data-csrf]").dataset.csrf;

  function asked(form) {
    const headers = { "X-CSRF-Token": csrf };
    const query = new URLSearchParams();
    let path = form.dataset.path;
    if (key.value) headers.Authorization = `Bearer ${key.value.trim()}`;
    for (const { name, value, dataset } of form.querySelectorAll("input")) {
      if (dataset.in === "path") path = path.replace(`{${name}}`, () => encodeURIComponent(value));
      else if (value && dataset.in === "query") query.append(name, value);
      else if (value) headers[name] = value;
    }
    const body = form.querySelector("textarea")?.value;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    return [query.size ? `${path}?${query}` : path, { method: form.dataset.method, headers, body }];
  }

  function readable(text) {
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  }

  async function call(form) {
    const told = form.querySelector("output");
    told.textContent = "...";
    try {
      const reply = await fetch(...asked(form));
      told.textContent = `${reply.status} ${reply.statusText}\n${readable(await reply.text())}`;
    } catch {
      told.textContent = document.body.dataset.failed;
    }
  }

  for (const form of document.querySelectorAll(".call form")) {
    form.querySelector("button").disabled = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      call(form);
    });
  }
})();
