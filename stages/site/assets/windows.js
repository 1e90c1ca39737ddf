"use strict";
// Windows of text whose tokens are shaded by how strongly the latent fires, and the tip that tells the value.

/** Places and values, one after the other, as a map. */
function dense(sparse) {
  const found = new Map();
  for (let place = 0; place < sparse.length; place += 2) found.set(sparse[place], sparse[place + 1]);
  return found;
}

/** [text, value, is it special] of what a window shows. Empty strings are the rest of a character that stands whole before them. */
function segments(strings, indices, values) {
  const found = [];
  indices.forEach((index, place) => {
    const text = strings[index];
    const value = values.get(place) ?? 0;
    const last = found.at(-1);
    if (Array.isArray(text)) found.push([text[0], 0, true]);
    else if (last && text === "" && !last[2]) last[1] = Math.max(last[1], value);
    else if (last && last[1] === 0 && value === 0 && !last[2] && strings[indices[place + 1]] !== "") last[0] += text;
    else found.push([text, value, false]);
  });
  return found;
}

/**
 * The text of a window. Shades are relative to `largest`; from `mark` on a token is underlined; `tell` says a value in words.
 */
function windowText({ strings, indices, values, largest, mark = Infinity, tell = (value) => `activation ${value}` }) {
  const made = node("div", "window");
  for (const [text, value, isSpecial] of segments(strings, indices, values)) {
    if (isSpecial) made.append(node("span", "special", text));
    else if (value <= 0) made.append(...marked(text));
    else {
      const on = node("span", value >= mark ? "on marks" : "on", ...marked(text));
      on.style.setProperty("--level", Math.max(0.1, Math.min(1, value / largest)).toFixed(3));
      on.dataset.tip = tell(short(value));
      on.tabIndex = -1;
      made.append(on);
    }
  }
  return made;
}

/** A list of windows in which the arrow keys go from one firing token to the next. */
function tokenList(tag, className, label, ...items) {
  const made = node(tag, className, ...items);
  made.tabIndex = 0;
  made.ariaLabel = `${label}. Arrow keys go through the tokens on which it fires.`;
  made.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape" && document.activeElement !== made) made.focus();
    else if (by) stepToken(made, by);
    else return;
    event.preventDefault();
  });
  return made;
}

function stepToken(list, by) {
  const tokens = [...list.querySelectorAll(".on")];
  const place = tokens.indexOf(document.activeElement);
  const next = place < 0 ? (by > 0 ? 0 : tokens.length - 1) : place + by;
  tokens[next]?.focus();
}

// The windows of a latent

function windowItem({ strings, threshold }, latent, [role, decile, maximum, documentName, position, indices, values]) {
  const text = windowText({
    strings,
    indices,
    values: dense(values),
    largest: latent.max,
    mark: threshold === null ? Infinity : threshold * maximum,
  });
  const source = node("div", "source", node("span", "", `max ${short(maximum)}`), node("span", "", `decile ${decile}`), node("span", "", role));
  const from = node("bdi", "document", documentName ?? "");
  from.title = `token ${grouped(position)} of the corpus`;
  source.append(from);
  return node("li", "", source, text);
}

function windowsOf(page, latent) {
  if (!latent.windows.length) return [node("h2", "", "Windows"), node("p", "muted", "No window of this latent is in the report.")];
  const strongest = latent.windows.slice(0, page.manifest.examples);
  const others = latent.windows.slice(page.manifest.examples);
  const given = { strings: page.strings, threshold: page.manifest.threshold ?? null };
  const list = (label, windows) => tokenList("ol", "windows", label, ...windows.map((item) => windowItem(given, latent, item)));
  const legend = [`Shade: activation, relative to the latent’s maximum of ${short(latent.max)}`];
  if (given.threshold !== null) legend.push(`line: at least ${percent(given.threshold)} of the window’s, as prompts mark it`);
  return [
    node("h2", "", "Strongest windows"),
    node("p", "legend small muted", `${legend.join("; ")}.`),
    list("Strongest windows", strongest),
    ...(others.length ? [node("h2", "", "From every decile"), list("Windows of every decile", others)] : []),
  ];
}

// The tip

let told = null; // what the tip is about

function showTip(target) {
  const tip = document.getElementById("tip");
  tip.textContent = target.dataset.tip;
  tip.hidden = false;
  target.setAttribute("aria-describedby", "tip");
  told = target;
  const [box, own] = [target.getClientRects()[0] ?? target.getBoundingClientRect(), tip.getBoundingClientRect()];
  const left = Math.max(4, Math.min(innerWidth - own.width - 4, box.left + box.width / 2 - own.width / 2));
  const top = box.top > own.height + 8 ? box.top - own.height - 5 : box.bottom + 5;
  tip.style.setProperty("left", `${left}px`);
  tip.style.setProperty("top", `${top}px`);
}

function hideTip(target) {
  document.getElementById("tip").hidden = true;
  target.removeAttribute("aria-describedby");
  told = null;
}

for (const [shown, gone] of [
  ["pointerover", "pointerout"],
  ["focusin", "focusout"],
]) {
  document.addEventListener(shown, ({ target }) => {
    const wanted = target.closest("[data-tip]");
    if (wanted) showTip(wanted);
  });
  document.addEventListener(gone, ({ target }) => {
    const wanted = target.closest("[data-tip]");
    if (wanted) hideTip(wanted);
  });
}
document.addEventListener("scroll", () => told && (told.isConnected ? showTip(told) : hideTip(told)), { passive: true, capture: true });
