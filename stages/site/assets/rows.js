"use strict";
// The rows of the table: made once, filled again and again. What they show is table.js's: manifest, columns, heads, state.

function makeRow() {
  const lead = heads.find(({ key, right }) => key === state.sort && right && key !== "latent") ?? heads.find(({ scorer }) => scorer) ?? heads[3];
  const cells = heads.map(({ key, right }) => {
    const cell = node("div", `cell ${key.split(".")[0]}`, key === "explanation" ? null : "\u00a0");
    cell.classList.toggle("right", right ?? false);
    cell.classList.toggle("lead", key === lead.key);
    if (key === lead.key) cell.dataset.name = lead.name;
    cell.role = "gridcell";
    return cell;
  });
  const made = node("div", "row", ...cells);
  made.role = "row";
  const text = node("bdi");
  const address = node("a", "", text);
  address.tabIndex = -1;
  cells[2].append(address);
  Object.assign(made, { cells, text, address });
  return made;
}

function fillRow(made, row) {
  const coder = manifest.coders[columns.coder[row]];
  const text = columns.texts.get(state.explainer)?.[row] ?? null;
  made.address.href = addressOf(row);
  made.text.textContent = text ?? "not explained";
  made.address.classList.toggle("muted", text === null);
  heads.forEach(({ key, scorer }, place) => {
    const cell = made.cells[place];
    if (key === "coder") {
      write(cell, coder.name);
      if (isControl(coder) !== cell.childNodes.length > 1) isControl(coder) ? cell.append(tag(coder)) : cell.lastChild.remove();
    } else if (key === "latent") write(cell, String(columns.latent[row]));
    else if (key === "density") write(cell, figure(columns.density[row], percent));
    else if (key === "max") write(cell, figure(columns.max[row], short));
    else if (scorer) fillScore(cell, scorer, columns.scores.get(key.slice(6))?.[row] ?? NaN);
  });
}

/** Cells keep their text node: that is what makes scrolling cheap. */
function write(cell, text) {
  if (cell.firstChild.data !== text) cell.firstChild.data = text;
}

function fillScore(cell, { bounded }, value) {
  write(cell, figure(value, hundredths));
  if (cell.isNone !== Number.isNaN(value)) cell.classList.toggle("none", (cell.isNone = Number.isNaN(value)));
  const share = bounded && value > 0 ? Math.min(1, value).toFixed(2) : "0";
  if (share === cell.share) return;
  cell.share = share;
  cell.style.setProperty("--share", share);
}

const figure = (value, show) => (Number.isNaN(value) ? "–" : show(value));
const addressOf = (row) => `latent.html#${manifest.coders[columns.coder[row]].name}/${columns.latent[row]}`;

function tag(coder) {
  const made = node("span", "tag", "control");
  made.title = CONTROLS[coder.kind];
  return made;
}
