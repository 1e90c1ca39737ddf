"use strict";
// A score on its scale, the histogram of activations, the values of a ranking.

/** A score with its interval and its floor on a scale from 0, or from −1 where one of them is below 0. */
function track([score, low, high, floor]) {
  const least = Math.min(score, low ?? score, floor ?? score) < 0 ? -1 : 0;
  const x = (value) => `${((100 * (Math.max(least, Math.min(1, value)) - least)) / (1 - least)).toFixed(1)}%`;
  const line = (name, from, to, y1 = 7, y2 = 7) => drawing("line", { class: name, x1: x(from), x2: x(to), y1, y2 });
  const made = drawing("svg", { class: "track", "aria-hidden": "true" }, line("rail", least, 1));
  if (least < 0) made.append(line("zero", 0, 0, 4, 10));
  if (floor !== null) made.append(line("floor", floor, floor, 1, 13));
  if (low !== null && high !== null) made.append(line("interval", low, high));
  made.append(drawing("circle", { class: "point", cx: x(score), cy: 7, r: 3.5 }));
  return made;
}

const CHART = { width: 340, height: 150, left: 40, right: 8, top: 8, bottom: 34 };

function label(text, x, y, anchor = "middle") {
  return drawing("text", { x, y, "text-anchor": anchor }, text);
}

const power = (exponent) => (exponent < 3 ? String(10 ** exponent) : exponent < 6 ? `${10 ** (exponent - 3)}k` : `${10 ** (exponent - 6)}M`);

/** How many tokens have which activation; heights are logarithms, as most tokens are weak. */
function histogram({ histogram: bars, min = 0, max }) {
  const { width, height, left, right, top, bottom } = CHART;
  const most = Math.max(1, ...bars);
  const exponents = Math.max(1, Math.ceil(Math.log10(most)));
  const y = (n) => top + (height - top - bottom) * (1 - Math.log10(1 + n) / Math.log10(1 + 10 ** exponents));
  const x = (share) => left + (width - left - right) * share;
  const edge = (place) => short(min + ((max - min) * place) / bars.length);
  const made = drawing("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img" });
  const tallest = bars.indexOf(most);
  made.setAttribute("aria-label", `Histogram of activations from ${short(min)} to ${short(max)}; most, ${plural(most, "token")}, are between ${edge(tallest)} and ${edge(tallest + 1)}.`);
  for (let exponent = 0; exponent <= exponents; exponent++) {
    const height = y(10 ** exponent);
    made.append(drawing("line", { class: "rule", x1: left, x2: width - right, y1: height, y2: height }), label(power(exponent), left - 6, height + 4, "end"));
  }
  bars.forEach((n, place) => {
    const bar = drawing("rect", { class: "bar", x: x((place + 0.06) / bars.length), y: y(n), width: x(0.88 / bars.length) - left, height: y(0) - y(n) });
    // what is pointed at is the whole column, however low its bar
    const column = drawing("rect", { class: "column", x: x(place / bars.length), y: top, width: x(1 / bars.length) - left, height: y(0) - top });
    column.dataset.tip = `${edge(place)} – ${edge(place + 1)}: ${plural(n, "token")}`;
    made.append(bar, column);
  });
  made.append(
    drawing("line", { class: "axis", x1: left, x2: width - right, y1: y(0), y2: y(0) }),
    ...[0, 0.5, 1].map((share) => label(short(min + share * (max - min)), x(share), y(0) + 14, ["start", "middle", "end"][2 * share])),
    label("activation", x(0.5), height - 4),
    drawing("text", { class: "upright", "text-anchor": "middle", x: -(top + y(0)) / 2, y: 10, transform: "rotate(-90)" }, "tokens"),
  );
  return made;
}

/** Values of a ranking: a tick for every window, those in which it fires above the line. */
function strip(values, isActive, name) {
  const { width, left } = { width: 640, left: 70 };
  const known = values.filter((value) => value !== null);
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const x = (value) => left + ((width - left - 10) * (value - least)) / (most - least || 1);
  const made = drawing("svg", { class: "chart strip", viewBox: `0 0 ${width} 62`, role: "img" });
  const middle = (wanted) => short(median(values.filter((value, place) => value !== null && Boolean(isActive[place]) === wanted)));
  made.setAttribute("aria-label", `${visible(name)} of the windows: median ${middle(true)} where it fires, ${middle(false)} where it is silent.`);
  made.append(label("fires", left - 10, 17, "end"), label("silent", left - 10, 39, "end"));
  values.forEach((value, place) => {
    if (value === null) return;
    const [name, y] = isActive[place] ? ["tick fires", 4] : ["tick", 26];
    made.append(drawing("line", { class: name, x1: x(value), x2: x(value), y1: y, y2: y + 18 }));
  });
  made.append(label(short(least), left, 60, "start"), label(name, (left + width) / 2, 60), label(short(most), width - 10, 60, "end"));
  return made;
}

function median(values) {
  const ordered = values.toSorted((a, b) => a - b);
  const half = ordered.length >> 1;
  if (!ordered.length) return NaN;
  return ordered.length % 2 ? ordered[half] : (ordered[half - 1] + ordered[half]) / 2;
}
