"use strict";
// The table's rows as columns, and which of them are shown in which order. Rows are numbers: places in the columns.

const STRETCH = 4096; // steps between two looks at the clock

class Columns {
  n = 0;
  coder = new Uint16Array(0); // place in the manifest's list
  latent = new Float64Array(0);
  density = new Float64Array(0);
  max = new Float64Array(0);
  scores = new Map(); // "explainer/scorer" → Float64Array, NaN where there is none
  texts = new Map(); // explainer → texts or null
  folded = new Map(); // explainer → the same in lower case, to be searched

  constructor(explainers) {
    for (const explainer of explainers) {
      this.texts.set(explainer, []);
      this.folded.set(explainer, []);
    }
  }

  append(coder, { latent, density, max, explanations, scores }) {
    const [from, to] = [this.n, this.n + latent.length];
    this.#grow(to);
    this.coder.fill(coder, from, to);
    this.latent.set(latent, from);
    this.density.set(numbers(density), from);
    this.max.set(numbers(max), from);
    for (const [explainer, texts] of this.texts) {
      const given = explanations[explainer] ?? latent.map(() => null);
      const folded = this.folded.get(explainer);
      for (const text of given) {
        const shown = text === null ? null : visible(text);
        texts.push(shown);
        folded.push(shown === null ? null : shown.toLowerCase());
      }
    }
    for (const [key, given] of Object.entries(scores)) {
      if (!this.scores.has(key)) this.scores.set(key, new Float64Array(this.latent.length).fill(NaN));
      this.scores.get(key).set(numbers(given), from);
    }
    this.n = to;
  }

  #grow(least) {
    if (least <= this.latent.length) return;
    const length = Math.max(least, 2 * this.latent.length);
    const larger = (column) => {
      const made = new column.constructor(length);
      if (made instanceof Float64Array) made.fill(NaN);
      made.set(column);
      return made;
    };
    for (const name of ["coder", "latent", "density", "max"]) this[name] = larger(this[name]);
    for (const [key, column] of this.scores) this.scores.set(key, larger(column));
  }
}

const numbers = (values) => values.map((value) => value ?? NaN);

/** Order of two rows by coder and latent, which decides wherever a column does not. */
const byPlace = (columns) => (a, b) => columns.coder[a] - columns.coder[b] || columns.latent[a] - columns.latent[b];

/** What compares two rows by a column; rows without a value are last both ways. */
function comparing(columns, { sort, descending, explainer }) {
  const place = byPlace(columns);
  const sign = descending ? -1 : 1;
  if (sort === "coder") {
    // Of a coder those first of which there is something to read.
    const texts = columns.folded.get(explainer) ?? [];
    const silent = (row) => (texts[row] === null ? 1 : 0);
    return (a, b) => sign * (columns.coder[a] - columns.coder[b]) || silent(a) - silent(b) || columns.latent[a] - columns.latent[b];
  }
  if (sort === "explanation") {
    const texts = columns.folded.get(explainer) ?? [];
    return (a, b) => {
      const [x, y] = [texts[a], texts[b]];
      if (x === y) return place(a, b);
      if (x === null || y === null) return x === null ? 1 : -1;
      return x < y ? -sign : sign;
    };
  }
  const values = sort.startsWith("score.") ? columns.scores.get(sort.slice(6)) : columns[sort];
  if (!values) return place;
  return (a, b) => {
    const [x, y] = [values[a], values[b]];
    if (x < y) return -sign;
    if (x > y) return sign;
    return Number.isNaN(x) - Number.isNaN(y) || place(a, b);
  };
}

/** All rows in order, merged from the bottom up; yields now and then. */
function* sorted(n, compare) {
  let from = Uint32Array.from({ length: n }, (_, row) => row);
  let to = new Uint32Array(n);
  for (let width = 1; width < n; width *= 2) {
    let since = 0;
    for (let left = 0; left < n; left += 2 * width) {
      const [middle, end] = [Math.min(left + width, n), Math.min(left + 2 * width, n)];
      if (middle >= end || compare(from[middle - 1], from[middle]) <= 0) {
        to.set(from.subarray(left, end), left); // in order already
      } else {
        let [a, b] = [left, middle];
        for (let place = left; place < end; place++) {
          to[place] = b >= end || (a < middle && compare(from[a], from[b]) <= 0) ? from[a++] : from[b++];
          if (++since % STRETCH === 0) yield;
        }
      }
      if (++since % STRETCH === 0) yield;
    }
    [from, to] = [to, from];
    yield;
  }
  return from;
}

/** Whether a row is shown, as a function of the row. */
function matching(columns, { coder, words, explainer, scored, from, to, explained }) {
  const tests = [];
  if (coder !== null) tests.push((row) => columns.coder[row] === coder);
  const folded = columns.folded.get(explainer) ?? [];
  if (explained) tests.push((row) => folded[row] !== null);
  if (scored && (from !== null || to !== null)) {
    const values = columns.scores.get(scored);
    const [low, high] = [from ?? -Infinity, to ?? Infinity];
    tests.push((row) => values !== undefined && values[row] >= low && values[row] <= high);
  }
  for (const word of words) {
    const number = /^\d+$/.test(word) ? Number(word) : NaN;
    tests.push((row) => columns.latent[row] === number || folded[row]?.includes(word));
  }
  return (row) => tests.every((test) => test(row));
}

/** Those of the ordered rows that are shown. */
function* filtered(order, isShown) {
  const found = new Uint32Array(order.length);
  let n = 0;
  for (let place = 0; place < order.length; place++) {
    if (isShown(order[place])) found[n++] = order[place];
    if (place % 1024 === 0) yield;
  }
  return found.subarray(0, n);
}

/** Both; the order is kept, so that a search need not sort again. */
class Arrangement {
  #key = null;
  #order = null;

  *of(columns, wanted) {
    const key = `${columns.n} ${wanted.sort} ${wanted.descending} ${wanted.explainer}`;
    if (key !== this.#key) {
      this.#order = yield* sorted(columns.n, comparing(columns, wanted));
      this.#key = key;
    }
    return yield* filtered(this.#order, matching(columns, wanted));
  }
}
