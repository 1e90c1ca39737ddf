"use strict";
// Everything shown comes from the data element as text: nodes are made with createElement and filled with textContent.

const data = JSON.parse(document.getElementById("data").textContent);
const [search, sort, direction, count, column, rows, detail] = ["search", "sort", "direction", "count", "column", "rows", "detail"].map((id) =>
  document.getElementById(id),
);
const coder = document.querySelector("h1").textContent;
const places = new Map(data.latents.map((latent, place) => [latent.id, place]));
const ROWS_AT_ONCE = 100;

let order = []; // places in data.latents, as searched and sorted
let rendered = 0; // rows of the list that exist
let descending = false;
let current = null; // the latent that is shown

function node(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null));
  return made;
}

function drawing(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Corpus text, with the marks that stand for unprintable characters set apart. */
function marked(text) {
  return text.split(/([\u21b5\u21e5]|\u27e8U\+[0-9A-F]{4,6}\u27e9)/).flatMap((part, place) => {
    if (place % 2 === 0) return part ? [part] : [];
    const mark = node("span", "mark", part);
    return part === "\u21b5" ? [mark, document.createElement("wbr")] : [mark];
  });
}

const percent = (share) => `${Number((100 * share).toPrecision(3))} %`;
const grouped = (number) => number.toLocaleString("en-US");
const plural = (n, word) => `${grouped(n)} ${word}${n === 1 ? "" : "s"}`;

// Sorting and searching

const keys = [
  { name: "latent", of: (latent) => latent.id, descending: false },
  { name: "density", of: (latent) => latent.density, show: (latent) => percent(latent.density), descending: true },
];
data.explainers.forEach((explainer, e) =>
  data.scorers.forEach(([scorer], s) => {
    const of = (latent) => {
      const score = latent.explanations[e].scores?.[s];
      return Array.isArray(score) ? score[0] : null;
    };
    const show = (latent) => of(latent)?.toFixed(2) ?? "–";
    keys.push({ name: data.explainers.length > 1 ? `${scorer} of ${explainer}` : scorer, of, show, descending: true });
  }),
);
data.of_latents.forEach(([scorer], s) => {
  const of = (latent) => (Array.isArray(latent.scores[s]) ? latent.scores[s][0] : null);
  keys.push({ name: scorer, of, show: (latent) => of(latent)?.toFixed(2) ?? "–", descending: true });
});
const gist = (latent) => latent.explanations.find((explanation) => explanation.text !== undefined)?.text ?? null;
const haystack = data.latents.map((latent) => latent.explanations.map((explanation) => explanation.text ?? "").join("\n").toLowerCase());

function arrange() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const { of } = keys[sort.value];
  const sign = descending ? -1 : 1;
  order = [...data.latents.keys()]
    .filter((place) => words.every((word) => haystack[place].includes(word) || String(data.latents[place].id) === word))
    .sort((a, b) => {
      const [x, y] = [of(data.latents[a]), of(data.latents[b])];
      if (x === null || y === null) return (x === null) - (y === null) || a - b;
      return sign * (x - y) || a - b;
    });
  count.textContent = words.length ? `${grouped(order.length)} of ${plural(data.latents.length, "latent")}` : plural(order.length, "latent");
  direction.textContent = descending ? "↓" : "↑";
  direction.ariaLabel = descending ? "Largest first" : "Smallest first";
  direction.title = direction.ariaLabel;
  column.textContent = shownKey()?.name ?? "";
  rows.replaceChildren();
  rows.scrollTop = 0;
  rendered = 0;
  more();
  reveal();
}

/** What the list shows beside an explanation: what it is sorted by, or the first score. */
function shownKey() {
  return keys[Number(sort.value) || 2];
}

function row(latent) {
  const text = gist(latent);
  const link = node(
    "a",
    "",
    node("span", "number", String(latent.id)),
    node("bdi", text === null ? "gist muted" : "gist", text ?? "not explained"),
    node("span", "value", shownKey()?.show(latent) ?? ""),
  );
  link.href = `#latent-${latent.id}`;
  link.id = `row-${latent.id}`;
  return node("li", "", link);
}

function more(least = 0) {
  const end = Math.min(order.length, Math.max(rendered + ROWS_AT_ONCE, least));
  rows.append(...order.slice(rendered, end).map((place) => row(data.latents[place])));
  rendered = end;
}

/** Marks the row of the latent that is shown, scrolls to it, and lets the buttons step from there. */
function reveal() {
  for (const button of detail.querySelectorAll("button")) button.disabled = neighbour(Number(button.dataset.by)) === null;
  rows.querySelector("[aria-current]")?.removeAttribute("aria-current");
  const place = current === null ? -1 : order.indexOf(places.get(current));
  if (place < 0) return;
  if (place >= rendered) more(place + ROWS_AT_ONCE);
  const link = document.getElementById(`row-${current}`);
  link.ariaCurrent = "true";
  link.scrollIntoView({ block: "nearest" });
}

// One latent

function facts(pairs) {
  return node("dl", "facts", ...pairs.map(([name, value]) => node("div", "", node("dt", "", name), node("dd", "", value))));
}

const isShare = (value) => value >= 0 && value <= 1;

function track([score, low, high, floor]) {
  const line = (name, x1, x2, y1 = 7, y2 = 7) => drawing("line", { class: name, x1: `${100 * x1}%`, x2: `${100 * x2}%`, y1, y2 });
  const made = drawing("svg", { class: "track", "aria-hidden": "true" }, line("rail", 0, 1));
  if (floor !== null && isShare(floor)) made.append(line("floor", floor, floor, 1, 13));
  if (low !== null && high !== null) made.append(line("interval", Math.max(0, low), Math.min(1, high)));
  made.append(drawing("circle", { class: "point", cx: `${100 * score}%`, cy: 7, r: 3.5 }));
  return made;
}

function chip([name, metric, floorName, naturalName, isBounded], score) {
  const label = node("span", "", name);
  label.title = metric;
  if (!Array.isArray(score)) {
    return node("li", "", node("div", "name", label), node("div", "small muted", `unscored: ${score}`));
  }
  const [value, low, high, floor, unscored, natural] = score;
  const notes = [];
  if (low !== null && high !== null) notes.push(`${low.toFixed(2)} – ${high.toFixed(2)}`);
  if (floor !== null) notes.push(`${floorName} ${floor.toFixed(2)}`);
  if (natural !== null) notes.push(`${naturalName} ${natural.toFixed(2)}`);
  if (unscored) notes.push(`${plural(unscored, "example")} unscored`);
  const above = floor !== null && low !== null && low > floor;
  const made = node("li", above ? "above" : "", node("div", "name", label, node("b", "", value.toFixed(2))));
  if (isBounded && isShare(value)) made.append(track(score));
  made.append(node("div", "small muted", notes.join(" · ")));
  made.title = above ? "The interval lies above the floor." : "The interval does not lie above the floor.";
  return made;
}

function explanation(name, { text, reason, scores }) {
  const made = node("div", "explanation");
  if (data.explainers.length > 1) made.append(node("div", "small muted", name));
  if (text === undefined) made.append(node("p", "muted", `Not explained by ${name}: ${reason}.`));
  else made.append(node("bdi", "text", ...marked(text)));
  if (!scores) return made;
  made.append(...judgements(data.scorers, scores));
  return made;
}

function judgements(scorers, scores) {
  const judged = scorers.flatMap((scorer, place) => (scores[place] === null ? [] : [chip(scorer, scores[place])]));
  const others = scorers.filter((_, place) => scores[place] === null).map(([scorer]) => scorer);
  return [
    ...(judged.length ? [node("ul", "scores", ...judged)] : []),
    ...(others.length ? [node("p", "outside small muted", `Not in the sample of ${others.join(", ")}.`)] : []),
  ];
}

function ofLatent(latent) {
  if (!data.of_latents.length) return [];
  return [node("h3", "", "Whatever its explanation"), ...judgements(data.of_latents, latent.scores)];
}

function segment(part, largest) {
  if (typeof part === "string") return marked(part);
  const [text, value] = part;
  if (value === undefined) return [node("span", "special", text)];
  const made = node("span", "on", ...marked(text));
  made.style.setProperty("--level", Math.max(0.12, Math.min(1, value / largest)).toFixed(3));
  made.title = String(value);
  return [made];
}

function windowItem([role, decile, maximum, documentName, parts], largest) {
  const source = node("div", "source", node("span", "", `max ${maximum}`), node("span", "", `decile ${decile} · ${role}`));
  source.append(node("bdi", "document", documentName));
  return node("li", "", source, node("div", "window", ...parts.flatMap((part) => segment(part, largest))));
}

function histogram({ histogram: bars, max }) {
  const tallest = Math.max(1, ...bars);
  const made = drawing("svg", { class: "histogram", viewBox: `0 0 ${bars.length} 100`, preserveAspectRatio: "none", role: "img" });
  made.setAttribute("aria-label", `Histogram of activations from 0 to ${max}`);
  bars.forEach((n, place) => {
    const height = n ? Math.max(1, (98 * n) / tallest) : 0;
    const [from, to] = [place, place + 1].map((edge) => Number(((edge * max) / bars.length).toPrecision(3)));
    const title = drawing("title", {}, `${from} – ${to}: ${plural(n, "token")}`);
    made.append(drawing("rect", { x: place + 0.06, y: 100 - height, width: 0.88, height }, title));
  });
  return node("div", "", node("h3", "", "Activations"), made, node("div", "ends", node("span", "", "0"), node("span", "", String(max))));
}

function tokenList(name, tokens) {
  const items = tokens.map(([text, value]) => {
    const spaces = /^ */.exec(text)[0].length;
    const item = node("li", "token", node("span", "mark", "\u00b7".repeat(spaces)), ...marked(text.slice(spaces)));
    item.title = `${value} logits per unit of activation`;
    return item;
  });
  return [node("div", "small muted", name), node("ul", "tokens", ...items)];
}

function outputs({ promoted, suppressed }) {
  if (!promoted.length) return null;
  return node("div", "", node("h3", "", "Output tokens"), ...tokenList("promoted", promoted), ...tokenList("suppressed", suppressed));
}

function step(label, key, by) {
  const button = node("button", "", label);
  button.type = "button";
  button.title = `Key ${key}`;
  button.dataset.by = by;
  button.addEventListener("click", () => go(neighbour(by)));
  return button;
}

function show(latent) {
  const back = node("a", "back", "← All latents");
  back.href = "#";
  const heading = node("h2", "", `Latent ${latent.id}`);
  heading.tabIndex = -1;
  detail.replaceChildren(
    back,
    node("div", "title", heading, node("div", "step", step("Previous", "k", -1), step("Next", "j", 1))),
    facts([
      ["fires on", `${plural(latent.count, "token")} (${percent(latent.density)})`],
      ["in", plural(latent.fires_in, "window")],
      ["mean activation", String(latent.mean)],
      ["maximum", String(latent.max)],
    ]),
    node("h3", "", data.explainers.length > 1 ? "Explanations" : `Explanation by ${data.explainers[0]}`),
    ...latent.explanations.map((item, place) => explanation(data.explainers[place], item)),
    ...ofLatent(latent),
    node("h3", "", "Examples"),
    node("ol", "windows", ...latent.windows.map((item) => windowItem(item, latent.max))),
    node("div", "pair", histogram(latent), outputs(latent)),
  );
  detail.scrollTop = 0;
}

// Moving about

function neighbour(by) {
  const place = order.indexOf(places.get(current));
  const target = place < 0 ? order[0] : order[place + by];
  return target === undefined ? null : data.latents[target].id;
}

function go(id) {
  if (id !== null) location.replace(`#latent-${id}`);
}

function follow() {
  const wanted = /^#latent-(\d+)$/.exec(location.hash);
  const id = wanted ? Number(wanted[1]) : null;
  document.body.classList.toggle("open", id !== null);
  current = id ?? current ?? neighbour(0);
  const place = places.get(current);
  if (place === undefined) {
    const why = current === null ? "No latent was kept." : `Latent ${current} is not on this page: it was not sampled, or it was dropped.`;
    detail.replaceChildren(node("p", "muted", why));
  } else {
    show(data.latents[place]);
  }
  document.title = id === null ? `${coder} · Glossa` : `Latent ${id} · ${coder} · Glossa`;
  reveal();
}

keys.forEach(({ name }, place) => sort.append(new Option(`by ${name}`, place)));
search.addEventListener("input", arrange);
sort.addEventListener("change", () => {
  descending = keys[sort.value].descending;
  arrange();
});
direction.addEventListener("click", () => {
  descending = !descending;
  arrange();
});
rows.addEventListener("scroll", () => {
  if (rows.scrollTop + 2 * rows.clientHeight > rows.scrollHeight) more();
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && event.target === search) return search.blur();
  if (event.target.matches("input, select")) return;
  if (event.key === "j") go(neighbour(1));
  else if (event.key === "k") go(neighbour(-1));
  else if (event.key === "/") {
    event.preventDefault();
    search.focus();
  }
});
window.addEventListener("hashchange", follow);
arrange();
follow();
