// The page works without this file. It adds: dropping a file, live progress, and no second click on a sent form.
"use strict";

for (const zone of document.querySelectorAll("[data-drop]")) {
  const input = zone.querySelector("input[type=file]");
  const told = zone.querySelector("[data-told]");
  const tell = () => {
    const file = input.files[0];
    if (file) told.textContent = `${file.name}, ${Math.max(1, Math.round(file.size / 1024))} kB`;
  };
  for (const kind of ["dragenter", "dragover"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files.length) {
      input.files = event.dataTransfer.files;
      tell();
    }
  });
  input.addEventListener("change", tell);
  tell();
}

for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    form.querySelector("button").setAttribute("aria-busy", "true");
  });
}

// Back from the browser's memory: the form may be sent again.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.querySelector("button").removeAttribute("aria-busy");
  }
});

document.getElementById("faults")?.focus?.();

const SPOKEN_EVERY_MS = 15000;
const progress = document.querySelector("[data-events]");
if (progress) {
  const meter = progress.querySelector("[role=progressbar]");
  const bars = progress.querySelectorAll("rect");
  const spoken = progress.querySelector("[data-spoken]");
  let lastSpoken = 0;

  const show = (now) => {
    for (const element of document.querySelectorAll("[data-live]")) {
      const text = now[element.dataset.live];
      if (element.textContent !== text) element.textContent = text;
      if (element.dataset.live === "hold_ups") element.hidden = !text;
      if ("tone" in element.dataset) element.className = `pill ${now.tone}`;
    }
    document.title = document.title.replace(/:.*(?= · )/, `: ${now.label} ${Math.floor((100 * now.settled) / now.total)} %`);
    meter.setAttribute("aria-valuenow", now.settled);
    now.bars.forEach((bar, place) => {
      bars[place].setAttribute("x", bar.start);
      bars[place].setAttribute("width", bar.width);
    });
    for (const item of progress.querySelectorAll("[data-count]")) {
      const count = now.counts[item.dataset.count];
      item.querySelector("strong").textContent = count;
      item.hidden = count === "0";
    }
    if (Date.now() - lastSpoken > SPOKEN_EVERY_MS) {
      spoken.textContent = `${now.headline} ${now.left}`;
      lastSpoken = Date.now();
    }
  };

  const events = new EventSource(progress.dataset.events);
  events.onmessage = (event) => show(JSON.parse(event.data));
  events.addEventListener("end", () => {
    events.close();
    location.reload();
  });
  events.onerror = () => {
    // A stream that was refused is not opened again by the browser: ask for the whole page instead.
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  };
  window.addEventListener("pagehide", () => events.close());
}
