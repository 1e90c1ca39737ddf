"use strict";
// What a language model was asked, and what it answered.

function message({ role, content }) {
  return node("div", `message ${role === "answer" ? "answer" : ""}`, node("div", "role", role), node("pre", "", ...lines(content)));
}

/** One call, as sent: the messages that all calls begin with are folded. */
function exchange({ messages, answer, model, endpoint, usage, sample }, common) {
  const facts = [model, endpoint && `endpoint ${endpoint}`];
  if (usage) facts.push(`${plural(usage[0] ?? 0, "token")} asked, ${grouped(usage[1] ?? 0)} answered`);
  if (sample) facts.push(`sample ${sample}`);
  const made = node("div", "exchange", node("p", "small muted", facts.filter(Boolean).join(" · ")));
  if (common.length) {
    made.append(node("details", "", node("summary", "", `${plural(common.length, "message")} that all of these calls begin with`), ...common.map(message)));
  }
  made.append(...messages.map(message), message({ role: "answer", content: answer ?? "no answer" }));
  return made;
}

/** Labels and values, whatever they are: what an explainer went by is its own affair. */
function plainFacts(value) {
  if (Array.isArray(value)) {
    if (value.every((item) => item === null || typeof item !== "object")) return value.length ? value.flatMap((item) => [node("code", "item", ...marked(written(item))), " "]) : ["–"];
    return [node("ol", "nested", ...value.map((item) => node("li", "", ...plainFacts(item))))];
  }
  if (value === null || typeof value !== "object") return marked(written(value));
  return [facts(Object.entries(value).map(([name, item]) => [name.replaceAll("_", " "), ...plainFacts(item)]))];
}

const written = (value) => (value === null || value === "" ? "–" : typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value));

function facts(pairs, className = "facts") {
  return node("dl", className, ...pairs.map(([name, ...value]) => node("div", "", node("dt", "", name), node("dd", "", ...value))));
}

/** How an explanation was made: the settings, what it went by, the very prompts and answers. */
async function madePanel(page, explainer) {
  const { latents, requests, common } = await shard(`${page.coder.name}/made/${explainer}/${page.number}`);
  const { requests: calls = [], evidence } = latents[page.latent.id] ?? {};
  const settings = page.manifest.explainer_facts?.[explainer] ?? [];
  const parts = [];
  if (settings.length) parts.push(facts(settings.map(([name, value]) => [name, ...marked(value)])));
  if (evidence && Object.keys(evidence).length) parts.push(node("h4", "", "What it went by"), ...plainFacts(evidence));
  if (calls.length) parts.push(node("h4", "", calls.length > 1 ? `${calls.length} prompts and answers` : "Prompt and answer"));
  parts.push(...calls.map((place) => exchange(requests[place], common)));
  if (!parts.length) parts.push(node("p", "muted", "Nothing is noted about how it was made."));
  return parts;
}
