"use strict";
// The live test: sends a text to the server of this page, and shows which latents fire on which tokens. Texts come from the
// server with marks in place of what has no look of its own.
/* global node, link, button, marked, plural, grouped, short */

(() => {
  const LISTED = 50;     // latents listed while no token is chosen
  const AROUND = 12;     // tokens shown on either side of a latent's strongest
  const find = (id) => document.getElementById(id);
  const [form, text, coder, wanted, run, status] = ["form", "text", "coder", "wanted", "run", "status"].map(find);
  const [result, strip, list, title] = ["result", "tokens", "latents", "list-title"].map(find);
  let found = null;      // what the server said
  let shown = null;      // the latent whose activations shade the text
  let token = null;      // the token whose latents are listed; all when null
  let pieces = [];       // first tokens of what is drawn: a character of several tokens is one piece

  // The address names a coder and, after a slash, latents: live.html#resid2/17
  function fromAddress() {
    const [name, latents] = decodeURIComponent(location.hash.slice(1)).split("/");
    if ([...coder.options].some((option) => option.value === name)) coder.value = name;
    if (name) wanted.value = /^\d[\d, ]*$/.test(latents || "") ? latents : "";
  }

  function toAddress() {
    const latents = numbers();
    history.replaceState(null, "", `#${coder.value}${latents && latents.length ? `/${latents.join(",")}` : ""}`);
  }

  // Returns the latents asked for, null when that can't be read, [] when there are none.
  function numbers() {
    const parts = wanted.value.split(/[\s,;]+/).filter(Boolean);
    return parts.every((part) => /^\d{1,9}$/.test(part)) ? parts.map(Number) : null;
  }

  function say(message, isError = false) {
    status.textContent = message;
    status.classList.toggle("error", isError);
  }

  async function ask(path, options) {
    const response = await fetch(path, options).catch(() => {
      throw new Error("the server does not answer; is glossa serve still running?");
    });
    const content = await response.json().catch(() => ({ error: "the server failed; its terminal says why" }));
    if (content.error) throw new Error(content.error);
    return content;
  }

  async function test() {
    const latents = numbers();
    if (latents === null) return say("Latents should be numbers such as 3, 17", true);
    toAddress();
    run.disabled = true;
    result.classList.add("stale");
    say(found ? "Reading …" : "Loading the subject and reading …");
    const began = performance.now();
    try {
      const question = { coder: coder.value, text: text.value, ...(latents.length ? { latents } : {}) };
      found = await ask("api/test", {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(question),
      });
      found.asked = latents.length > 0;
      shown = found.latents.length ? found.latents[0] : null;
      token = null;
      draw();
      const seconds = (performance.now() - began) / 1000;
      const cut = found.left_out ? `; the last ${plural(found.left_out, "token")} did not fit into a row and were left out` : "";
      say(`${plural(found.tokens.length - found.special.length, "token")}, on which ${plural(found.firing, "latent")} of ${found.coder} `
        + `${found.firing === 1 ? "fires" : "fire"}${cut} (${short(seconds)} s)`);
    } catch (error) {
      say(capital(error.message), true);
    }
    run.disabled = false;
    result.classList.remove("stale");
  }

  const capital = (sentence) => sentence.charAt(0).toUpperCase() + sentence.slice(1);

  function draw() {
    result.hidden = false;
    const special = new Set(found.special);
    pieces = found.tokens.map((_, place) => place).filter((place) => found.tokens[place] !== "");
    strip.replaceChildren(...pieces.flatMap((place) => {
      const piece = special.has(place) ? node("span", "special", ...marked(found.tokens[place])) : pressable(place);
      return found.tokens[place].includes("↵") ? [piece, "\n"] : [piece];
    }));
    const first = strip.querySelector(".piece");
    if (first) first.tabIndex = 0;
    shade();
    drawList();
  }

  function pressable(place) {
    const piece = node("span", "piece", ...marked(found.tokens[place]));  // a button would break the lines of the text
    piece.role = "button";
    piece.tabIndex = -1;
    piece.dataset.place = place;
    return piece;
  }

  const end = (place) => pieces[pieces.indexOf(place) + 1] ?? found.tokens.length;

  // The activation of a latent on a piece: the strongest of its tokens.
  function valueAt(latent, place) {
    const last = end(place);
    let strongest = 0;
    latent.where.forEach((where, i) => {
      if (where >= place && where < last && Math.abs(latent.values[i]) > Math.abs(strongest)) strongest = latent.values[i];
    });
    return strongest;
  }

  const scaleOf = (latent) => Math.max(latent.largest || 0, latent.strength);

  function paint(piece, latent, value) {
    piece.classList.toggle("on", value !== 0);
    piece.classList.toggle("below", value < 0);
    piece.style.setProperty("--level", value === 0 ? 0 : Math.max(0.12, Math.abs(value) / scaleOf(latent)));
  }

  function shade() {
    for (const piece of strip.querySelectorAll(".piece")) {
      const place = Number(piece.dataset.place);
      const value = shown ? valueAt(shown, place) : 0;
      if (shown) paint(piece, shown, value);
      piece.title = shown ? `latent ${shown.latent}: ${short(value)}` : "";
      piece.setAttribute("aria-pressed", String(place === token));
    }
    find("chosen").textContent = shown ? `Shaded by latent ${shown.latent}` : "";
    const known = shown && shown.largest !== null;
    find("scale").textContent = shown ? `0 to ${short(scaleOf(shown))}, its largest ${known && shown.largest >= shown.strength ? "in the corpus" : "here"}` : "";
    for (const choice of list.querySelectorAll(".choose")) {
      choice.setAttribute("aria-pressed", String(shown !== null && Number(choice.dataset.latent) === shown.latent));
    }
  }

  function drawList() {
    const here = token !== null ? firingAt(token) : found.asked ? found.latents : found.latents.slice(0, LISTED);
    title.textContent = heading(here.length);
    list.replaceChildren(...here.map(row));
    shade();
  }

  const firingAt = (place) => found.latents.filter((latent) => valueAt(latent, place) !== 0)
    .sort((a, b) => Math.abs(valueAt(b, place)) - Math.abs(valueAt(a, place)));

  function heading(n) {
    if (token !== null) {
      const where = `on “${found.tokens[token].trim() || found.tokens[token]}”`;
      if (n === 0) return `Nothing fires ${where}`;
      return found.asked ? `Of those you named, ${n} ${n === 1 ? "fires" : "fire"} ${where}` : `The strongest ${where}`;
    }
    if (found.asked) return "The latents you named";
    return n < found.firing ? `The strongest ${n} of ${grouped(found.firing)} latents` : plural(n, "latent");
  }

  function row(latent) {
    const name = `${found.coder} ${latent.latent}`;
    const value = token === null ? latent.strength : valueAt(latent, token);
    const share = latent.largest === null ? "not sampled" : value === 0 ? "" : `${Math.round(100 * Math.abs(value) / latent.largest)} % of its largest in the corpus`;
    const shader = button("Shade the text", "choose", () => {
      shown = latent;
      shade();
      strip.scrollIntoView({ block: "nearest" });
    });
    shader.dataset.latent = latent.latent;
    shader.setAttribute("aria-label", `Shade the text by ${name}`);
    const head = node("div", "row-head", latent.page ? link(latent.page, "name", name) : node("span", "name", name),
      node("b", "", latent.strength === 0 ? "silent" : short(value)), node("span", "muted small", share), shader);
    return node("li", "", head, said(latent), latent.strength === 0 ? null : excerpt(latent));
  }

  function said(latent) {
    const explanations = Object.entries(latent.explanations);
    if (!explanations.length && latent.page) return [node("p", "said muted", "not explained")];
    return explanations.map(([explainer, explanation]) => node("p", "said",
      explanations.length > 1 ? node("span", "muted small", `${explainer} `) : null, ...marked(explanation)));
  }

  // The text around the latent's strongest token, or around the chosen one.
  function excerpt(latent) {
    const strongest = latent.values.reduce((best, value, i, all) => (Math.abs(value) > Math.abs(all[best]) ? i : best), 0);
    const peak = token ?? latent.where[strongest];
    const middle = pieces.findLastIndex((place) => place <= peak);
    const from = Math.max(0, middle - AROUND), to = Math.min(pieces.length, middle + AROUND + 1);
    const drawn = pieces.slice(from, to).map((place) => {
      const piece = node("span", found.special.includes(place) ? "special" : "", ...marked(found.tokens[place]));
      const value = valueAt(latent, place);
      paint(piece, latent, value);
      if (value !== 0) piece.title = short(value);
      return piece;
    });
    const more = (is) => (is ? node("span", "special", "…") : null);
    return node("p", "window", more(from > 0), drawn, more(to < pieces.length));
  }

  function choose(place) {
    token = token === place ? null : place;
    const here = token === null ? [] : firingAt(token);
    if (here.length && !here.includes(shown)) shown = here[0];
    drawList();
  }

  strip.addEventListener("click", (event) => {
    const piece = event.target.closest(".piece");
    if (piece) choose(Number(piece.dataset.place));
  });
  strip.addEventListener("focusin", (event) => {
    for (const piece of strip.querySelectorAll(".piece")) piece.tabIndex = piece === event.target ? 0 : -1;
  });
  strip.addEventListener("keydown", (event) => {
    const all = [...strip.querySelectorAll(".piece")];
    const place = all.indexOf(document.activeElement);
    const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Escape" && token !== null) {
      token = null;
      drawList();
    }
    if (place >= 0 && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      choose(Number(all[place].dataset.place));
    }
    if (place < 0 || next === undefined || !all[next]) return;
    event.preventDefault();
    all[next].focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!run.disabled) test();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  window.addEventListener("hashchange", fromAddress);

  ask("api/about").then((about) => {
    coder.replaceChildren(...Object.entries(about.coders).map(([name, hookpoint]) => {
      const option = node("option", "", hookpoint ? `${name} (${hookpoint})` : name);
      option.value = name;
      return option;
    }));
    find("about").textContent = about.subject;
    find("how").textContent = `The text goes through ${about.subject} and a sparse coder on this machine, as a document of the corpus did; `
      + `up to ${about.context_length.toLocaleString("en")} tokens are read.`;
    fromAddress();
    text.focus();
  }).catch((error) => say(capital(error.message), true));
})();
