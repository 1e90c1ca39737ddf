"use strict";
// Explanations with their scores; a score opens the verdicts behind it, an explanation how it was made.

/** What a score comes to, in words: its interval, its floor, what else it says, what is missing. */
function notesOf(scorer, [, low, high, floor, unscored, natural]) {
  const notes = [];
  if (low !== null && high !== null) notes.push(`${hundredths(low)} – ${hundredths(high)}`);
  if (floor !== null) notes.push(`${scorer.floor} ${hundredths(floor)}`);
  if (natural !== null && natural !== undefined) notes.push(`${scorer.natural} ${hundredths(natural)}`);
  if (unscored) notes.push(`${plural(unscored, "example")} unscored`);
  return notes;
}

/** A score as a card; a button if its verdicts are in the report. */
function chip(scorer, score, open) {
  const made = node(open ? "button" : "div", "chip");
  const value = Array.isArray(score) ? node("b", "", hundredths(score[0])) : null;
  made.append(node("span", "line", node("span", "", scorer.name), value), node("span", "metric", scorer.metric));
  if (!value) {
    made.append(node("span", "notes", `unscored: ${score}`));
  } else {
    const [, low, , floor] = score;
    const above = floor !== null && low !== null && low > floor;
    const notes = notesOf(scorer, score);
    made.classList.toggle("above", above);
    if (scorer.bounded) made.append(track(score));
    made.append(node("span", "notes", ...notes.flatMap((note, place) => [node("span", "", place < notes.length - 1 ? `${note} ·` : note), " "])));
    if (floor !== null && low !== null) made.title = above ? `The interval lies above the ${scorer.floor}.` : `The interval does not lie above the ${scorer.floor}.`;
  }
  if (open) {
    made.type = "button";
    made.ariaExpanded = "false";
    made.addEventListener("click", open);
  }
  return made;
}

/** Chips of the scores that there are; the scorers that did not ask about the latent in a line below. */
function scoreList(page, explainer, scorers, scores) {
  const asked = scorers.filter(({ name }) => (scores[name] ?? null) !== null);
  const others = scorers.filter((scorer) => !asked.includes(scorer)).map(({ name }) => name);
  const chips = asked.map((scorer) => {
    const hasVerdicts = page.coder.verdicts?.[`${explainer}/${scorer.name}`]?.includes(page.number);
    const made = chip(scorer, scores[scorer.name], hasVerdicts ? () => page.toggle(explainer, scorer.name) : null);
    made.dataset.panel = `${explainer}/${scorer.name}`;
    return node("li", "", made);
  });
  return [
    chips.length ? node("ul", "scores", ...chips) : null,
    others.length ? node("p", "outside small muted", `Not in the sample of ${others.join(", ")}.`) : null,
  ];
}

function explanation(page, { explainer, text, reason, scores }) {
  const hasMade = page.coder.made?.[explainer]?.includes(page.number);
  const how = hasMade ? button("How it was made", "fold small", () => page.toggle(explainer, null)) : null;
  if (how) {
    how.ariaExpanded = "false";
    how.dataset.panel = explainer;
  }
  const elsewhere = page.manifest.explainers_made?.[explainer];
  const by = elsewhere ? `by ${explainer}: ${elsewhere}` : `by ${explainer}`;
  const made = node("article", "explanation", node("div", "by", node("span", "muted small", ...marked(by)), how));
  made.ariaLabel = `Explanation by ${explainer}`;
  if (text === undefined || text === null) made.append(node("p", "muted", `Not explained: ${reason ?? "no reason given"}.`));
  else made.append(node("bdi", "text", ...marked(text)));
  const scorers = page.manifest.scorers.filter((scorer) => !scorer.of_latents);
  if (scores) made.append(...scoreList(page, explainer, scorers, scores).filter(Boolean));
  return made;
}

/** Scores of the latent that no explanation has a part in. */
function ofLatent(page) {
  const scorers = page.manifest.scorers.filter((scorer) => scorer.of_latents);
  if (!scorers.length) return null;
  const made = node("article", "explanation", node("div", "by", node("span", "muted small", "Whatever its explanation")));
  made.ariaLabel = "Scores whatever its explanation";
  made.append(...scoreList(page, "latent", scorers, page.latent.scores ?? {}).filter(Boolean));
  return made;
}

function explanationsOf(page) {
  return [node("h2", "", page.latent.explanations.length > 1 ? "Explanations" : "Explanation"), ...page.latent.explanations.map((item) => explanation(page, item)), ofLatent(page)];
}

/** Opens what the address asks for under its explanation, and closes what was open. */
async function openPanel(page, root, { explainer, scorer }) {
  root.querySelector(".panel")?.remove();
  for (const opener of root.querySelectorAll("[data-panel]")) opener.ariaExpanded = opener.matches("button") ? "false" : null;
  const wanted = scorer ? `${explainer}/${scorer}` : explainer;
  const opener = wanted && [...root.querySelectorAll("button[data-panel]")].find((made) => made.dataset.panel === wanted);
  if (!opener) return;
  const panel = node("section", "panel", node("p", "muted", "Reading …"));
  const what = scorer ? `Verdicts of ${scorer}` : "How it was made";
  panel.ariaLabel = explainer === "latent" ? what : `${what}, explanation by ${explainer}`;
  panel.ariaBusy = "true";
  opener.ariaExpanded = "true";
  opener.closest(".explanation").append(panel);
  const close = button("Close", "fold small", () => page.toggle(explainer, scorer));
  const head = node("div", "panel-head", node("h3", "", what), close);
  try {
    const known = page.manifest.scorers.find(({ name }) => name === scorer);
    panel.replaceChildren(head, ...(known ? await verdictPanel(page, explainer, known) : await madePanel(page, explainer)));
  } catch (error) {
    tell(panel, error);
  }
  panel.ariaBusy = "false";
}
