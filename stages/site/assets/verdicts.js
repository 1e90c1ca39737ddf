"use strict";
// What a scorer said about every example, with a latent's own explanation and with another's.

const AT_ONCE = 40; // examples that are made at a time

/** The examples of one explanation as objects, in the order in which they are best read. */
function examplesOf(columns, words) {
  const word = (name, place) => (columns[name]?.[place] ?? null) === null ? null : words[columns[name][place]];
  const plain = (name, place) => columns[name]?.[place] ?? null;
  const made = columns.window.map((start, place) => ({
    start,
    kind: word("kind", place),
    reason: word("reason", place),
    ...Object.fromEntries(["decile", "active", "predicted", "value", "values", "text", "request"].map((name) => [name, plain(name, place)])),
  }));
  if (columns.text) return made; // what was written about one window stays together
  const isRanking = made.some(({ value, values }) => value !== null && !values) && !made.some(({ predicted }) => predicted !== null);
  if (isRanking) made.sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity));
  else made.sort((a, b) => b.active - a.active || (a.decile ?? 0) - (b.decile ?? 0) || a.start - b.start);
  return made;
}

/** What was said to fire by whoever wrote it: there is no window of the corpus behind it. */
const isWritten = ({ kind }) => kind === "written";
const isWrong = ({ active, predicted }) => predicted !== null && active !== null && predicted !== active;
const isUnscored = ({ predicted, value, reason }) => predicted === null && value === null && reason !== null;

function summary(examples) {
  const told = examples.filter(({ predicted, active }) => predicted !== null && active !== null);
  if (told.some(isWritten)) return `It fires on ${grouped(told.filter(({ active }) => active).length)} of ${plural(told.length, "text")} written from the explanation.`;
  const parts = [];
  for (const [wanted, name] of [
    [1, "windows in which it fires"],
    [0, "in which it is silent"],
  ]) {
    const among = told.filter(({ active }) => active === wanted);
    if (among.length) parts.push(`${grouped(among.filter((example) => !isWrong(example)).length)} of ${grouped(among.length)} ${name}`);
  }
  return parts.length ? `Right on ${parts.join(", and on ")}.` : "";
}

function verdictHead(example) {
  const { active, predicted, value, values, kind, decile, reason } = example;
  const truth = active === null ? "" : active ? "fires" : "silent";
  const said = predicted === null || isWritten(example) ? null : `judged ${predicted ? "to fire" : "silent"}`;
  const told = value === null || values ? null : `${isWritten(example) ? "maximum" : "value"} ${short(value)}`;
  const notes = [said, isWritten(example) ? null : kind, decile ? `decile ${decile}` : null, told].filter(Boolean);
  const made = node("div", "source", node("b", "", truth), ...notes.map((note) => node("span", "", note)));
  if (reason) made.append(node("span", "none", `no verdict: ${reason}`));
  return made;
}

function verdictMark(example) {
  const [name, look, label] = isUnscored(example)
    ? ["none", "–", "no verdict"]
    : example.predicted === null
      ? ["", "", ""]
      : isWrong(example)
        ? ["wrong", "✗", "wrong"]
        : ["right", "✓", "right"];
  const made = node("span", `verdict ${name}`, look);
  if (label) {
    made.role = "img";
    made.ariaLabel = label;
  }
  return made;
}

function verdictItem(page, example, windows, { requests, common }) {
  const body = node("div", "", verdictHead(example));
  const known = isWritten(example) ? null : windows?.latents[page.latent.id]?.[example.start];
  if (known) {
    const [indices, sparse] = known;
    const values = dense(sparse);
    const mark = (page.manifest.threshold ?? Infinity) * Math.max(...values.values());
    body.append(windowText({ strings: windows.strings, indices, values, largest: page.latent.max, mark }));
    if (example.values) body.append(predictions(windows.strings, indices, example.values));
  } else if (!isWritten(example)) body.append(node("p", "small muted", `The window at token ${grouped(example.start)} is not in the report.`));
  if (known && example.text !== null) body.append(node("div", "small muted", "written"));
  if (example.text !== null) body.append(node("div", "window", ...marked(example.text)));
  if (example.request !== null && requests[example.request]) {
    const toggle = button("Prompt and answer", "fold small", () => {
      const open = toggle.ariaExpanded !== "true";
      toggle.ariaExpanded = String(open);
      if (open) body.append(exchange(requests[example.request], common));
      else body.lastElementChild.remove();
    });
    toggle.ariaExpanded = "false";
    body.append(toggle);
  }
  return node("li", "", verdictMark(example), body);
}

/** The same window, shaded by what was predicted of every token, from 0 to 10. */
function predictions(strings, indices, values) {
  const given = new Map(values.map((value, place) => [place, value ?? 0]));
  const text = windowText({ strings, indices, values: given, largest: 10, tell: (value) => `predicted ${value} of 10` });
  text.classList.add("predicted");
  return node("div", "", node("div", "small muted", "predicted"), text);
}

/** Buttons of which one is pressed. */
function choice(label, entries, choose) {
  const made = node("div", "choice");
  made.role = "group";
  made.ariaLabel = label;
  entries.forEach(([value, text], place) => {
    const one = button(text, "", () => {
      for (const other of made.children) other.ariaPressed = String(other === one);
      choose(value);
    });
    one.ariaPressed = String(place === 0);
    made.append(one);
  });
  return made;
}

/** All of it: which explanation, which examples, and the list. */
async function verdictPanel(page, explainer, scorer) {
  const name = `${page.coder.name}/verdicts/${explainer}/${scorer.name}/${page.number}`;
  const hasWindows = page.coder.windows?.includes(page.number) ?? true;
  const [found, windows] = await Promise.all([shard(name), hasWindows ? shard(`${page.coder.name}/windows/${page.number}`) : null]);
  const latent = found.latents[page.latent.id];
  if (!latent) return [node("p", "muted", "No verdict about this latent is in the report.")];
  const bar = node("div", "bar");
  const body = node("div");
  const kinds = ["own", "shuffled"].filter((kind) => latent[kind]);
  const show = (kind) => body.replaceChildren(...verdictList(page, examplesOf(latent[kind], found.words ?? []), windows, found, scorer, bar));
  if (kinds.length > 1) bar.append(choice("Explanation", [["own", "Its explanation"], ["shuffled", "Another latent’s, the floor"]], show));
  show(kinds[0]);
  const settings = page.manifest.scorer_facts?.[scorer.name] ?? [];
  const about = settings.length ? [node("details", "", node("summary", "", "How it was scored"), facts(settings.map(([label, value]) => [label, ...marked(value)])))] : [];
  return [...about, bar, body];
}

function verdictList(page, examples, windows, found, scorer, bar) {
  const list = tokenList("ol", "verdicts", "Verdicts");
  const rest = button("", "", () => more());
  let [shown, chosen] = [0, examples];
  const more = () => {
    const next = chosen.slice(shown, shown + AT_ONCE);
    list.append(...next.map((example) => verdictItem(page, example, windows, found)));
    shown += next.length;
    rest.textContent = `${grouped(Math.min(AT_ONCE, chosen.length - shown))} more of ${grouped(chosen.length)}`;
    rest.hidden = shown >= chosen.length;
  };
  const choose = (kept) => {
    [shown, chosen] = [0, kept];
    list.replaceChildren();
    more();
  };
  const parts = [];
  const [wrong, unscored] = [examples.filter(isWrong), examples.filter(isUnscored)];
  const filters = [[examples, `All ${grouped(examples.length)}`]];
  if (wrong.length) filters.push([wrong, `Wrong ${grouped(wrong.length)}`]);
  if (unscored.length) filters.push([unscored, `No verdict ${grouped(unscored.length)}`]);
  bar.querySelector("[aria-label=Examples]")?.remove();
  if (filters.length > 1) bar.append(choice("Examples", filters, choose));
  const told = summary(examples);
  if (told) parts.push(node("p", "", told));
  const ranked = examples.filter(({ value, values, active, text }) => value !== null && !values && active !== null && text === null);
  if (!told && new Set(ranked.map(({ active }) => active)).size > 1) {
    parts.push(strip(ranked.map(({ value }) => value), ranked.map(({ active }) => active), `${scorer.kind ?? scorer.name} value`));
  }
  choose(examples);
  return [...parts, list, rest];
}
