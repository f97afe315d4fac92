"use strict";
// Everything is in the page already: this only shows, hides and orders it. Text is written as
// text (textContent), never as HTML.
(() => {
  const root = document.documentElement;
  const all = (query, from = document) => Array.from(from.querySelectorAll(query));
  root.classList.add("js");

  // --- Colours ---
  const choices = all("[data-theme-choice]");
  choices.forEach((choice) => choice.addEventListener("click", () => {
    const theme = choice.dataset.themeChoice;
    if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
    choices.forEach((each) => each.setAttribute("aria-pressed", String(each === choice)));
  }));

  // --- Pictures: chosen series, and the numbers below the pointer or the arrow keys ---
  all(".picture").forEach((picture) => {
    const keys = all(".key", picture);
    const readout = picture.querySelector(".readout");
    const plots = picture.querySelector(".plots");
    const dim = () => {
      const chosen = keys.filter((key) => key.getAttribute("aria-pressed") === "true")
        .map((key) => "c-" + key.dataset.colour);
      all(".series", picture).forEach((series) => series.classList.toggle("dim",
        chosen.length > 0 && !chosen.some((name) => series.classList.contains(name))));
    };
    keys.forEach((key) => key.addEventListener("click", () => {
      key.setAttribute("aria-pressed", String(key.getAttribute("aria-pressed") !== "true"));
      dim();
    }));
    // The words move out of the titles, or the browser would show them a second time.
    const words = new Map();
    all(".hit", picture).forEach((hit) => {
      words.set(hit, hit.textContent);
      hit.replaceChildren();
    });
    let here = null;
    const show = (hit) => {
      if (here) here.classList.remove("here");
      here = hit;
      if (here) here.classList.add("here");
      readout.textContent = here ? words.get(here) : "";
    };
    plots.addEventListener("pointerover", (event) => {
      if (words.has(event.target)) show(event.target);
    });
    plots.addEventListener("pointerleave", () => show(null));
    plots.addEventListener("blur", () => show(null));
    plots.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
      if (!(event.key in steps)) return;
      event.preventDefault();
      const hits = [...words.keys()].filter((hit) => hit.getClientRects().length);
      const from = hits.indexOf(here) < 0 && steps[event.key] < 0 ? hits.length : hits.indexOf(here);
      show(hits[Math.max(0, Math.min(hits.length - 1, from + steps[event.key]))]);
    });
  });

  // --- Tables: sorting ---
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  };
  const order = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  all("table.data").forEach((table) => {
    const heads = all("thead th", table);
    const body = table.tBodies[0];
    heads.forEach((head, column) => head.querySelector(".sort").addEventListener("click", () => {
      const isNumber = head.dataset.kind === "number";
      // Of numbers people look for the largest first.
      const first = isNumber ? "descending" : "ascending";
      const second = isNumber ? "ascending" : "descending";
      const next = head.getAttribute("aria-sort") === first ? second : first;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const compare = isNumber ? (a, b) => a - b : order.compare;
      const rows = Array.from(body.rows);
      rows.sort((a, b) => sign * compare(value(a, column), value(b, column)));
      body.append(...rows);
    }));
  });

  // --- Tables: filtering ---
  const number = new Intl.NumberFormat("en");
  all("form.filters").forEach((form) => {
    const rows = Array.from(document.getElementById(form.dataset.for).tBodies[0].rows);
    const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const filter = () => {
      const fields = new FormData(form);
      const text = fields.get("text").trim().toLowerCase();
      fields.delete("text");
      const wanted = [...fields].filter(([, one]) => one !== "");
      let shown = 0;
      let packets = 0;
      rows.forEach((row) => {
        const fits = texts.get(row).includes(text)
          && wanted.every(([name, one]) => row.dataset[name] === one);
        row.hidden = !fits;
        if (fits) {
          shown += 1;
          packets += Number(row.dataset.packets);
        }
      });
      form.querySelector("output").textContent = `${number.format(shown)} of `
        + `${number.format(rows.length)} rows, ${number.format(packets)} packets`;
    };
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter));
    form.addEventListener("filter", filter);
    filter();
  });

  // --- From the matrix to the rows ---
  const packets = document.querySelector("form[data-for=packet-table]");
  all(".cell").forEach((cell) => cell.addEventListener("click", () => {
    packets.reset();
    packets.elements.client.value = cell.dataset.client;
    packets.elements.resource.value = cell.dataset.resource;
    packets.dispatchEvent(new Event("filter"));
    document.getElementById("packets").scrollIntoView();
    packets.elements.client.focus({ preventScroll: true });
  }));

  // --- Paper has no folds, and no end ---
  let folded = [];
  addEventListener("beforeprint", () => {
    all(".beyond").forEach((each) => each.classList.remove("beyond"));
    const beyond = [...all("details.example").slice(20)];
    all("table.data").forEach((table) => {
      beyond.push(...Array.from(table.tBodies[0].rows).filter((row) => !row.hidden).slice(60));
    });
    beyond.forEach((each) => each.classList.add("beyond"));
    folded = all("details.example:not([open]), details.more:not([open])");
    folded.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((each) => { each.open = false; }));
})();
