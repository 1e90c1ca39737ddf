"use strict";
// The page of one latent: latent.html#coder/17, #coder/17/explainer (how it was made), #coder/17/explainer/scorer (verdicts).

const [said, asideOf, troubles] = ["said", "aside", "trouble"].map((id) => document.getElementById(id));
const order = keptOrder(); // as the table stood from which a latent was opened
let page = null; // what is shown
let turn = 0; // counts what was asked for, so that an answer that comes too late is left alone
let settled = 0; // the turn that is shown

function addressParts() {
  try {
    return location.hash.slice(1).split("/").map(decodeURIComponent);
  } catch {
    throw new Trouble("The address can't be read: choose a latent from the table.");
  }
}

/** What the address asks for; throws a Trouble if it names nothing. */
function readAddress(manifest) {
  const [name, latent, explainer = null, scorer = null] = addressParts();
  const names = manifest.coders.map((coder) => coder.name).join(", ");
  if (!name) throw new Trouble(`The address should name a latent, as in latent.html#${manifest.coders[0]?.name ?? "coder"}/17: choose one from the table.`);
  const coder = manifest.coders.find((one) => one.name === name);
  if (!coder) throw new Trouble(`This report has no coder “${name}”, it has ${names}: choose a latent from the table.`);
  if (!/^\d{1,15}$/.test(latent ?? "")) throw new Trouble(`A latent is named by its number, as in latent.html#${name}/17, found “${latent ?? ""}”: choose one from the table.`);
  return { coder, latent: Number(latent), explainer, scorer };
}

function addressOf(coder, latent, { explainer, scorer } = {}) {
  return `#${[coder, latent, ...(explainer ? [explainer] : []), ...(scorer ? [scorer] : [])].join("/")}`;
}

/** Why a latent is not here, in one sentence. */
function absence(coder, latent, found) {
  if (latent >= coder.n_latents) return `${coder.name} has ${plural(coder.n_latents, "latent")}, numbered from 0; there is no ${latent}: choose one from the table.`;
  const dropped = found?.dropped?.find(([id]) => id === latent);
  if (dropped) return `Latent ${latent} of ${coder.name} was chosen but dropped, ${dropped[1]}: choose another from the table.`;
  return `Latent ${latent} of ${coder.name} was not sampled, ${grouped(coder.kept)} of ${grouped(coder.n_latents)} are in this report: choose another from the table.`;
}

async function readPage() {
  const manifest = await readManifest();
  const { coder, latent: id, explainer, scorer } = readAddress(manifest);
  const number = shardOf(coder.shards, id);
  const found = number < 0 ? null : await shard(`${coder.name}/latents/${number}`);
  const latent = found?.latents.find((one) => one.id === id);
  if (!latent) throw new Trouble(absence(coder, id, found));
  return { manifest, coder, number, latent, strings: found.strings, ids: found.latents.map((one) => one.id), open: { explainer, scorer }, toggle };
}

/** The latents before and after in the order of the table, else by number; with what says where this one is. */
async function neighbours({ coder, number, latent, ids }) {
  const mine = order?.coders.indexOf(coder.name) ?? -1;
  if (mine >= 0) {
    for (let place = 0; place < order.order.length; place += 2) {
      if (order.order[place] !== mine || order.order[place + 1] !== latent.id) continue;
      const other = (at) => (order.order[at] === undefined ? null : [order.coders[order.order[at]], order.order[at + 1]]);
      return { before: other(place - 2), after: other(place + 2), place: `${grouped(place / 2 + 1)} of ${grouped(order.order.length / 2)} in the table` };
    }
  }
  const place = ids.indexOf(latent.id);
  return {
    before: beside(coder, ids[place - 1] ?? (await idsOf(coder, number - 1)).at(-1)),
    after: beside(coder, ids[place + 1] ?? (await idsOf(coder, number + 1))[0]),
    place: "",
  };
}

const beside = (coder, id) => (id === undefined ? null : [coder.name, id]);

async function idsOf(coder, number) {
  if (number < 0 || number >= coder.shards.length) return [];
  try {
    return (await shard(`${coder.name}/latents/${number}`)).latents.map((one) => one.id);
  } catch (error) {
    if (error instanceof Trouble) return []; // it will be told where it is opened
    throw error;
  }
}

// Showing

function showHead({ manifest, coder, latent }) {
  document.getElementById("about").textContent = visible(manifest.subject ?? "");
  document.getElementById("heading").replaceChildren(node("span", "muted", `${coder.name} `), String(latent.id));
  document.getElementById("where").textContent = visible([coder.hookpoint, CONTROLS[coder.kind]].filter(Boolean).join(" · "));
  document.title = `${coder.name} ${latent.id} · Glossa`;
}

function showSteps({ before, after, place }) {
  for (const [id, other] of [
    ["before", before],
    ["after", after],
  ]) {
    const made = document.getElementById(id);
    made.ariaDisabled = String(!other);
    if (other) made.href = addressOf(...other, page.open);
    else made.removeAttribute("href");
  }
  const where = document.getElementById("where");
  where.textContent = [where.textContent, place].filter(Boolean).join(" · ");
}

async function follow() {
  const mine = ++turn;
  try {
    const found = await readPage();
    if (mine !== turn) return;
    const isOther = found.latent !== page?.latent;
    page = found;
    settled = mine;
    troubles.hidden = true;
    document.getElementById("back").href = `latents.html${order?.hash || `#${page.coder.name}`}`;
    if (isOther) {
      showHead(page);
      said.replaceChildren(...explanationsOf(page).filter(Boolean), ...windowsOf(page, page.latent));
      asideOf.replaceChildren(...besides(page));
      if (!page.open.explainer) scrollTo(0, 0);
    }
    const [around] = await Promise.all([neighbours(page), openPanel(page, said, page.open)]);
    if (mine !== turn || !isOther) return;
    showSteps(around);
    said.querySelector(".panel")?.parentElement.scrollIntoView();
  } catch (error) {
    if (mine === turn) sayTrouble(error);
  }
}

function sayTrouble(error) {
  tell(troubles, error);
  page = null;
  for (const id of ["heading", "where"]) document.getElementById(id).textContent = "";
  document.title = "Latent · Glossa";
  said.replaceChildren();
  asideOf.replaceChildren();
  showSteps({ before: null, after: null, place: "" });
}

/** Opens or closes what is behind a score or an explanation; the address follows. */
function toggle(explainer, scorer) {
  if (settled !== turn) return; // the page is about to be another's
  const isOpen = page.open.explainer === explainer && page.open.scorer === scorer;
  page.open = isOpen ? { explainer: null, scorer: null } : { explainer, scorer };
  history.replaceState(null, "", addressOf(page.coder.name, page.latent.id, page.open));
  for (const id of ["before", "after"]) {
    const made = document.getElementById(id);
    const [coder, latent] = made.hash.slice(1).split("/");
    if (made.hash) made.href = addressOf(coder, latent, page.open);
  }
  openPanel(page, said, page.open);
}

// Moving about

let steps = Promise.resolve();
let waiting = 0;

/** Steps take the place of the latent in the history, so that going back leads to the table. They wait for each other. */
function go(id) {
  if (waiting > 3) return; // a key that is held down
  waiting++;
  steps = steps.then(async () => {
    waiting--;
    const { hash } = document.getElementById(id);
    if (!hash) return;
    history.replaceState(null, "", hash);
    await follow();
  });
}

for (const id of ["before", "after"]) {
  document.getElementById(id).addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(id);
  });
}

function showTable() {
  location.href = document.getElementById("back").href;
}

listen([
  [["ArrowRight", "n", "j"], "the next latent", () => go("after")],
  [["ArrowLeft", "p", "k"], "the latent before", () => go("before")],
  [["u", "/"], "back to the table", showTable],
  [["Escape"], "close what is open", () => page?.open.explainer && toggle(page.open.explainer, page.open.scorer)],
]);
window.addEventListener("hashchange", follow);
follow();
