"use strict";
// The page of all latents: reads the tables piece by piece, and shows what the address asks for.

const at = (id) => document.getElementById(id);
const [search, count, troubles] = [at("q"), at("count"), at("trouble")];
const narrow = matchMedia("(max-width: 44rem)");
const REDRAW = 400; // milliseconds between two arrangements while pieces come in

let manifest, columns, state, grid, heads;
let shown = null; // for which explainer, coder and sort heads and rows were made
let loading = true;
let toTheTop = false; // whether the rows that come next are those of another search
let isTyping = false; // whether the last change was made by typing: that is one step of the history, not one for every letter
let sought = history.state?.at ?? null; // the row that was opened, when one comes back
const arranger = new Latest();
const arrangement = new Arrangement();

// Heads, which sort

function showHeads() {
  heads = columnsOf(manifest, state);
  grid.element.style.setProperty("--columns", heads.flatMap(({ width, aside }) => (aside ? [] : [width])).join(" "));
  grid.element.classList.toggle("one-coder", heads[0].aside);
  grid.element.ariaColCount = String(heads.length);
  at("heads").replaceChildren(
    ...heads.map((head) => {
      const made = node("div", head.right ? "head-cell right" : "head-cell", button(head.name, "plain", () => sortBy(head)));
      made.role = "columnheader";
      made.dataset.key = head.key;
      made.title = visible(head.title ?? head.name);
      return made;
    }),
  );
  at("sort").replaceChildren(...heads.map(({ key, name }) => new Option(`by ${name}`, key)));
}

function sortBy({ key, descending = false }) {
  change({ sort: key, descending: state.sort === key ? !state.descending : descending });
}

// State

/** Changes what is shown, and the address with it. */
function change(wanted, typed = false) {
  state = { ...state, ...wanted };
  const address = writeState(state, manifest);
  if (typed && isTyping) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  isTyping = typed;
  sought = null;
  follow();
}

/** Brings controls, heads and rows to the state. */
function follow() {
  if (search.value !== state.q) search.value = state.q;
  at("coder").value = state.coder;
  at("explainer").value = state.explainer ?? "";
  at("scored").value = state.scored;
  for (const bound of ["from", "to"]) if (readNumber(at(bound)) !== state[bound]) at(bound).value = state[bound] ?? "";
  at("explained").checked = state.explained;
  const [before, { explainer, coder, sort }] = [shown, state];
  shown = { columns: `${explainer} ${coder}`, sort };
  if (before?.columns !== shown.columns) showHeads();
  const leads = narrow.matches && before?.sort !== sort; // a narrow row leads with what it is sorted by
  if (before?.columns !== shown.columns || leads) grid.remake();
  for (const head of at("heads").children) {
    const isSorted = head.dataset.key === state.sort;
    head.ariaSort = isSorted ? (state.descending ? "descending" : "ascending") : "none";
  }
  at("sort").value = state.sort;
  const label = state.descending ? "Largest first" : "Smallest first";
  Object.assign(at("direction"), { textContent: state.descending ? "↓" : "↑", ariaLabel: label, title: label });
  document.title = `${state.coder || "Latents"} · Glossa`;
  toTheTop = true;
  arrange();
}

const readNumber = (input) => (input.value === "" || Number.isNaN(input.valueAsNumber) ? null : input.valueAsNumber);

/** Finds the rows to show, a slice at a time, and shows them. */
async function arrange() {
  const scorer = manifest.scorers.find(({ name }) => name === state.scored);
  const coder = manifest.coders.findIndex(({ name }) => name === state.coder);
  const address = location.hash; // what the rows are an answer to
  const rows = await arranger.run(
    arrangement.of(columns, {
      ...state,
      coder: coder < 0 ? null : coder,
      scored: scorer && scoreKey(scorer, state.explainer),
      words: state.q.toLowerCase().split(/\s+/).filter(Boolean),
    }),
  );
  if (!rows) return; // another search began
  if (toTheTop) {
    toTheTop = false;
    grid.active = -1;
    grid.element.scrollTop = 0;
  }
  grid.show(rows);
  grid.element.dataset.arranged = address;
  showCount(rows.length);
  comeBack(rows);
}

function showCount(n) {
  const total = manifest.coders.reduce((sum, coder) => sum + coder.kept, 0);
  if (loading) count.textContent = `${grouped(n)} shown, ${Math.floor((100 * columns.n) / Math.max(1, total))} % read …`;
  else count.textContent = n === columns.n ? plural(n, "latent") : `${grouped(n)} of ${plural(columns.n, "latent")}`;
  grid.element.ariaBusy = String(loading);
}

/** Makes the row active that was opened from here before. */
function comeBack(rows) {
  if (!sought) return;
  const place = rows.findIndex((row) => columns.latent[row] === sought.latent && manifest.coders[columns.coder[row]].name === sought.coder);
  if (place < 0) return;
  if (!loading) sought = null; // rows that are yet to come may stand before it
  grid.element.focus({ preventScroll: true });
  grid.move(place);
}

// Opening a latent

/** Notes which row is left and in which order it stood, for the way back and for the latent's own previous and next. */
function leave(row) {
  const order = [];
  for (const other of grid.rows) order.push(columns.coder[other], columns.latent[other]);
  keepOrder({ hash: location.hash, coders: manifest.coders.map(({ name }) => name), order });
  history.replaceState({ at: { coder: manifest.coders[columns.coder[row]].name, latent: columns.latent[row] } }, "");
}

function open() {
  const row = grid.rows[grid.active < 0 && document.activeElement === search ? 0 : grid.active];
  if (row === undefined) return;
  leave(row);
  location.href = addressOf(row);
}

function step(to) {
  grid.element.focus({ preventScroll: true });
  grid.move(to);
}

const KEYS = [
  [["/"], "search", () => search.select() ?? search.focus()],
  [["j", "ArrowDown"], "the next row", () => step(grid.active + 1)],
  [["k", "ArrowUp"], "the row before", () => step(grid.active - 1)],
  [["PageDown"], "a screen further", () => step(grid.active + grid.page)],
  [["PageUp"], "a screen back", () => step(grid.active - grid.page)],
  [["Home", "g"], "the first row", () => step(0)],
  [["End", "G"], "the last row", () => step(grid.rows.length - 1)],
  [["Enter", "o"], "open the latent", (event) => (event.target.matches("button, a, select, summary") ? false : open())],
  [["Escape"], "empty the search, leave it", () => (document.activeElement === search && search.value ? change({ q: "" }) : document.activeElement.blur())],
];

// Start

function options(select, named, others) {
  select.replaceChildren(...named.map(([value, label]) => new Option(label, value)));
  select.hidden = named.length < others;
}

function start() {
  const { coders, explainers, scorers } = manifest;
  at("about").textContent = visible(manifest.subject ?? "");
  options(at("coder"), [["", "All coders"], ...coders.map((coder) => [coder.name, isControl(coder) ? `${coder.name} (${CONTROLS[coder.kind]})` : coder.name])], 3);
  options(at("explainer"), explainers.map((name) => [name, `by ${name}`]), 2);
  options(at("scored"), scorers.map(({ name }) => [name, name]), 1);
  at("range").hidden = !scorers.length;
  columns = new Columns(explainers);
  grid = new Grid(at("grid"), { make: makeRow, fill: fillRow });
  const height = () => {
    grid.height = narrow.matches ? 62 : 33;
  };
  narrow.addEventListener("change", height);
  state = readState(location.hash, manifest);
  follow();
  height();
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  search.addEventListener("input", () => change({ q: search.value }, true));
  for (const bound of ["from", "to"]) at(bound).addEventListener("input", () => change({ [bound]: readNumber(at(bound)) }, true));
  for (const name of ["coder", "scored"]) at(name).addEventListener("change", () => change({ [name]: at(name).value }));
  at("explainer").addEventListener("change", () => {
    const before = state.explainer;
    const explainer = at("explainer").value;
    change({ explainer, sort: state.sort.replace(`score.${before}/`, `score.${explainer}/`) });
  });
  at("explained").addEventListener("change", () => change({ explained: at("explained").checked }));
  at("sort").addEventListener("change", () => change({ sort: at("sort").value, descending: heads.find(({ key }) => key === at("sort").value).descending ?? false }));
  at("more").addEventListener("click", () => {
    at("more").ariaExpanded = String(at("filters").classList.toggle("open"));
  });
  at("direction").addEventListener("click", () => change({ descending: !state.descending }));
  grid.element.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) leave(grid.rows[row.place]);
  });
  grid.element.addEventListener("pointerover", ({ target }) => {
    const text = target.closest("a");
    if (text) text.title = text.textContent; // a row is a line, the text may be longer
  });
  window.addEventListener("popstate", () => {
    state = readState(location.hash, manifest);
    isTyping = false;
    sought = history.state?.at ?? null;
    follow();
  });
  for (const type of ["wheel", "pointerdown", "keydown"]) {
    document.addEventListener(type, () => (sought = null), { passive: true, capture: true });
  }
  listen(KEYS);
}

/** Reads all tables, those of the coder that is asked for first. */
async function readTables() {
  const all = manifest.coders.flatMap((coder, place) => coder.table.map((_, number) => [place, `${coder.name}/table/${number}`]));
  const first = (place) => Number(manifest.coders[place].name !== state.coder);
  all.sort(([a], [b]) => first(a) - first(b)); // stable: otherwise in the manifest's order
  let next = all.length ? fetchShard(all[0][1]) : null;
  let drawn = -Infinity;
  for (let number = 0; number < all.length; number++) {
    const piece = next;
    next = number + 1 < all.length ? fetchShard(all[number + 1][1]) : null; // is read while this one is taken in
    next?.catch(() => null); // heard when its turn comes
    try {
      columns.append(all[number][0], await piece);
      if (performance.now() - drawn > REDRAW) {
        drawn = performance.now();
        await arrange();
      }
    } catch (error) {
      tell(troubles, error);
    }
  }
  loading = false;
  await arrange();
}

async function main() {
  try {
    manifest = await readManifest();
  } catch (error) {
    return tell(troubles, error);
  }
  start();
  return readTables();
}

main();
