"use strict";
// Beside the explanations: how often and how strongly the latent fires, what it writes, its relatives, where all of it is from.

function activity(latent) {
  const made = [
    node("h2", "", "Activations"),
    facts([
      ["fires on", `${plural(latent.count, "token")}, ${percent(latent.density)}`],
      ["in", plural(latent.fires_in, "window")],
      ["mean, where it fires", short(latent.mean)],
      ["maximum", short(latent.max)],
    ]),
  ];
  if (latent.histogram.length) made.push(histogram(latent));
  return node("section", "", ...made);
}

/** Output tokens, shaded by how far the latent moves them. */
function outputTokens(name, title, tokens, largest) {
  const items = tokens.map(([text, value]) => {
    const spaces = /^ */.exec(text)[0].length;
    const word = node("span", "token", node("span", "mark", "\u00b7".repeat(spaces)), ...marked(text.slice(spaces)));
    word.style.setProperty("--level", Math.min(1, Math.abs(value) / (largest || 1)).toFixed(3));
    return node("li", "", word, node("span", "value", short(value)));
  });
  return node("div", name, node("h3", "", title), node("ol", "outputs", ...items));
}

function outputs({ promoted, suppressed }) {
  if (!promoted.length && !suppressed.length) return null;
  const largest = Math.max(...[...promoted, ...suppressed].map(([, value]) => Math.abs(value)));
  return node(
    "section",
    "",
    node("h2", "", "Output tokens"),
    node("p", "legend small muted", "Logits per unit of activation."),
    node("div", "pair", outputTokens("promoted", "promoted", promoted, largest), outputTokens("suppressed", "suppressed", suppressed, largest)),
  );
}

/** Where latents write to several places: how much, and what that promotes, at each. */
function places({ latent, coder }) {
  if (!latent.places || !coder.writes) return null;
  const rows = latent.places.map(([norm, tokens], at) => {
    const words = tokens.map(([text]) => node("span", "token", ...marked(text.trim() || text)));
    return node("li", "", node("div", "small muted", `${coder.writes[at]} · norm ${short(norm)}`), node("div", "small", ...words.flatMap((word) => [word, " "])));
  });
  return node(
    "section",
    "",
    node("h2", "", "Written at"),
    node("p", "legend small muted", "What it promotes at each place, by what it writes there per unit of activation."),
    node("ol", "relatives", ...rows),
  );
}

function relatives({ latent, coder }) {
  if (!latent.relatives.length) return null;
  const items = latent.relatives.map((other) => {
    const name = `${other.coder} ${other.latent}`;
    const cosines = [`direction ${figureOf(other.direction)}`, other.meaning === null ? null : `meaning ${figureOf(other.meaning)}`];
    return node(
      "li",
      "",
      node("div", "", other.linked === false ? name : link(`#${other.coder}/${other.latent}`, "", name), " ", node("span", "small muted", cosines.filter(Boolean).join(" · "))),
      other.text === null ? node("div", "small muted", other.linked === false ? "not in this report" : "not explained") : node("bdi", "small", ...marked(other.text)),
    );
  });
  const how = coder.matched_by ? `Matched one to one by ${coder.matched_by}; numbers are cosines.` : "Numbers are cosines.";
  return node("section", "", node("h2", "", "In other coders"), node("p", "legend small muted", how), node("ol", "relatives", ...items));
}

const figureOf = (value) => (value === null ? "–" : hundredths(value));

function provenance({ coder, latent }) {
  const trace = node("p", "small muted", "The whole chain, every hash checked again: ", node("code", "", `glossa trace ${coder.name} ${latent.id}`));
  const pairs = (coder.provenance ?? []).map(([name, value]) => [name, ...marked(String(value))]);
  return node("section", "", node("h2", "", "Provenance"), facts(pairs, "provenance"), trace);
}

function besides(page) {
  return [activity(page.latent), outputs(page.latent), places(page), relatives(page), provenance(page)].filter(Boolean);
}
