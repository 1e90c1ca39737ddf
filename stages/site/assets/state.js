"use strict";
// What the table shows, as the part of its address behind the #: a filter can be bookmarked, sent and gone back to.

/** `latents.html#resid2` is short for `latents.html#coder=resid2`. Names that the report does not have are left out. */
function readState(hash, manifest) {
  const given = new URLSearchParams(hash.includes("=") ? hash.slice(1) : `coder=${hash.slice(1)}`);
  const one = (name, among, otherwise) => (among.includes(given.get(name)) ? given.get(name) : otherwise);
  const number = (name) => (given.get(name)?.trim() && Number.isFinite(Number(given.get(name))) ? Number(given.get(name)) : null);
  const explainer = one("by", manifest.explainers, manifest.explainers[0] ?? null);
  const sort = given.get("sort") ?? "coder";
  const column = sort.replace(/^-/, "");
  const known = columnsOf(manifest, { explainer }).some(({ key }) => key === column);
  return {
    coder: one("coder", manifest.coders.map((coder) => coder.name), ""),
    q: given.get("q") ?? "",
    explainer,
    sort: known ? column : "coder",
    descending: known && sort.startsWith("-"),
    scored: one("score", manifest.scorers.map((scorer) => scorer.name), manifest.scorers[0]?.name ?? ""),
    from: number("from"),
    to: number("to"),
    explained: given.get("explained") === "1",
  };
}

/** The shortest address that reads back as the state. */
function writeState(state, manifest) {
  const made = new URLSearchParams();
  if (state.coder) made.set("coder", state.coder);
  if (state.q) made.set("q", state.q);
  if (state.explainer !== (manifest.explainers[0] ?? null)) made.set("by", state.explainer);
  if (state.sort !== "coder" || state.descending) made.set("sort", (state.descending ? "-" : "") + state.sort);
  if (state.from !== null || state.to !== null) made.set("score", state.scored);
  if (state.from !== null) made.set("from", state.from);
  if (state.to !== null) made.set("to", state.to);
  if (state.explained) made.set("explained", "1");
  const text = made.toString();
  return text === `coder=${state.coder}` ? `#${state.coder}` : `#${text}`;
}

/** Where a scorer's scores are: of an explainer's explanations, or of latents whatever their explanation. */
const scoreKey = (scorer, explainer) => `${scorer.of_latents ? "latent" : explainer}/${scorer.name}`;

/** The table's columns: key, name, title, and whether the largest come first when one asks for the order. */
function columnsOf({ coders, scorers }, { explainer, coder = "" }) {
  const longest = Math.max(6, ...coders.map((coder) => coder.name.length + (isControl(coder) ? 8 : 0)));
  return [
    { key: "coder", name: "coder", width: `${Math.min(20, longest) + 1}ch`, aside: coder !== "" }, // all are of one
    { key: "latent", name: "latent", width: "4rem", right: true },
    { key: "explanation", name: "explanation", width: "minmax(15rem, 1fr)" },
    { key: "density", name: "density", title: "share of the tokens on which it fires", width: "5.2rem", right: true, descending: true },
    { key: "max", name: "max", title: "largest activation", width: "3.2rem", right: true, descending: true },
    ...scorers.map((scorer) => ({
      key: `score.${scoreKey(scorer, explainer)}`,
      name: scorer.name,
      title: `${scorer.name}: ${scorer.metric}`,
      width: `max(3.2rem, ${0.5 * scorer.name.length}rem)`,
      right: true,
      descending: true,
      scorer,
    })),
  ];
}

// The order in which a latent was opened, for its page's previous and next

const orderName = () => `glossa order ${location.pathname.replace(/[^/]*$/, "")}`;

function keepOrder(order) {
  try {
    sessionStorage.removeItem(orderName()); // rather none than that of another search, if this one is too large
  } catch {
    return;
  }
  keep("sessionStorage", orderName(), JSON.stringify(order));
}

/** {hash, coders: [name], order: [place in coders, latent, place in coders, latent, …]}, or null. */
function keptOrder() {
  const text = kept("sessionStorage", orderName());
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}
