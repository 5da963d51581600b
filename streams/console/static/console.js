// What pages need of a browser: news, charts, dialogs, keys. To look on, links and forms are enough.
"use strict";

(() => {
  const root = document.documentElement;

  root.dataset.script = ""; // what needs one is shown

  // What was chosen, kept where that may be: else it lasts as long as the page.
  const kept = {
    of: {},
    get(name) {
      try { return this.of[name] ?? localStorage.getItem(name); } catch { return null; }
    },
    set(name, value) {
      this.of[name] = value;
      try { localStorage.setItem(name, value); } catch { /* it is here as long as the page */ }
    },
  };

  // Theme: the system's, or what was chosen.
  if (kept.get("theme")) root.dataset.theme = kept.get("theme");

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  // News: parts of a page ask for them at each tick, while somebody may be looking.
  const EVERY_MS = 2000;
  setInterval(() => {
    const isBusy =
      document.querySelector("dialog[open]") || document.getSelection()?.type === "Range";
    if (document.visibilityState === "visible" && !isBusy) {
      document.body.dispatchEvent(new CustomEvent("tick"));
    }
  }, EVERY_MS);

  // Charts: their numbers are in a JSON script beside them, so that a tick brings new ones.
  const charts = new WeakMap();
  const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  const TIMES = [
    [86400, "{MM}-{DD}", null, null, null, null, null, null, 1],
    [60, "{HH}:{mm}", "\n{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1],
  ];

  const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");

  function draw(box) {
    const source = document.getElementById(box.dataset.source);
    if (!source || typeof uPlot === "undefined") return;
    const told = JSON.parse(source.textContent);
    const data = [told.times, ...told.series.map((each) => each.values)];
    const known = charts.get(box);
    if (known && known.dark === isDark() && box.contains(known.plot.root)) {
      known.plot.setData(data);
      return;
    }
    if (known) known.plot.destroy();
    box.textContent = "";
    const line = { stroke: color("muted"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false } };
    const plot = new uPlot(
      {
        width: box.clientWidth,
        height: 180,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
        cursor: { points: { size: 6 } },
        scales: { y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] } },
        // Where nobody points at a time, the legend has the sums.
        series: [
          { label: "UTC", value: (_, seconds) => (seconds == null ? "all" : clock(seconds)) },
          ...told.series.map((each) => ({
            label: each.label,
            value: (plot, value, at) => value ?? plot.data[at].reduce((sum, one) => sum + one, 0),
            stroke: color(each.color),
            width: 1.5,
            fill: each.fill ? color(`${each.color}-soft`) : undefined,
            points: { show: false },
          })),
        ],
        axes: [{ ...line, values: TIMES }, { ...line, size: 46 }],
      },
      data,
      box,
    );
    charts.set(box, { plot, dark: isDark() });
  }

  const drawAll = () => document.querySelectorAll("[data-source]").forEach(draw);
  addEventListener("resize", () =>
    document.querySelectorAll("[data-source]").forEach((box) =>
      charts.get(box)?.plot.setSize({ width: box.clientWidth, height: 180 }),
    ),
  );
  document.addEventListener("htmx:afterSettle", drawAll);
  document.addEventListener("DOMContentLoaded", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

  function toast(text) {
    const box = document.createElement("div");
    box.className = "toast";
    box.setAttribute("role", "status");
    box.textContent = text;
    document.body.append(box);
    setTimeout(() => box.remove(), 2500);
  }

  document.addEventListener("click", async (event) => {
    const at = event.target.closest("[data-copy], [data-theme-switch], [data-open], [data-close]");
    if (!at) return;
    if (at.dataset.copy !== undefined) {
      await navigator.clipboard.writeText(document.getElementById(at.dataset.copy).textContent);
      toast("copied");
    } else if (at.dataset.themeSwitch !== undefined) {
      root.dataset.theme = isDark() ? "light" : "dark";
      kept.set("theme", root.dataset.theme);
      drawAll();
    } else if (at.dataset.open !== undefined) {
      document.getElementById(at.dataset.open)?.showModal();
    } else if (at.closest("dialog")) {
      event.preventDefault(); // on a page of its own it leads back
      at.closest("dialog").close();
    }
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
    if (event.target.matches("[data-keys-switch]")) kept.set("keys", event.target.checked ? "on" : "off");
  });

  // Keys: / searches, g and a letter goes to a page, as ? tells. Who speaks to his computer, or
  // hits keys that he did not mean, turns them off.
  const areKeysOn = () => kept.get("keys") !== "off";
  document.addEventListener("DOMContentLoaded", () => {
    const box = document.querySelector("[data-keys-switch]");
    if (box) box.checked = areKeysOn();
  });
  let went = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !areKeysOn()) return;
    if (event.target.closest("input, textarea, select, dialog")) return;
    if (event.key === "/") {
      event.preventDefault();
      document.getElementById("search")?.focus();
    } else if (event.key === "?") {
      document.getElementById("keys")?.showModal();
    } else if (event.key === "g") {
      went = Date.now();
    } else if (Date.now() - went < 1500) {
      document.querySelector(`[data-key="${CSS.escape(event.key)}"]`)?.click();
      went = 0;
    }
  });

  // Dialogs that the server sends open themselves.
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "dialogs") document.querySelector("#dialogs dialog")?.showModal();
  });
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.requestConfig.verb === "get") return; // of what asks again by itself
    toast(`${event.detail.xhr.status}: that did not work; the page says more when it is loaded again`);
  });
})();
