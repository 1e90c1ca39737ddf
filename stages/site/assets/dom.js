"use strict";
// Nodes and texts. Whatever comes from data becomes a text node: nothing is ever parsed as markup, and no character
// of it can hide, or turn what stands beside it.

/** An element with children: nodes, texts, lists of both; null and undefined are left out. */
function node(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.flat().filter((child) => child !== null && child !== undefined).map(safe));
  return made;
}

/** Texts lose what can't be seen; a line break alone is one that `lines` put there. */
const safe = (child) => (typeof child === "string" && child !== "\n" ? visible(child) : child);

function link(href, className, ...children) {
  const made = node("a", className, ...children);
  made.href = href;
  return made;
}

function button(label, className, act) {
  const made = node("button", className, label);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

function drawing(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.map(safe));
  return made;
}

// Controls, formats (bidirectional overrides, zero width), separators of lines and paragraphs, and the marks that stand for them
const MARKED = /([\u21b5\u21e5]|\u27e8U\+[0-9A-F]{4,6}\u27e9|[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}])/u;
const LOOKS = new Map([
  ["\n", "\u21b5"],
  ["\t", "\u21e5"],
]);

function look(character) {
  if (LOOKS.has(character)) return LOOKS.get(character);
  if (!/^[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]$/u.test(character)) return character;
  return `\u27e8U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
}

/** Text as nodes, with marks set apart for what has no look of its own. */
function marked(text) {
  return text.split(MARKED).flatMap((part, place) => {
    if (place % 2 === 0) return part ? [part] : [];
    const mark = node("span", "mark", look(part));
    return look(part) === "\u21b5" ? [mark, document.createElement("wbr")] : [mark];
  });
}

/** The same of text whose lines stay lines. */
function lines(text) {
  return text.split("\n").flatMap((line, place) => (place ? ["\n", ...marked(line)] : marked(line)));
}

/** The same as plain text. */
function visible(text) {
  if (!MARKED.test(text)) return text;
  return text.split(MARKED).map((part, place) => (place % 2 ? look(part) : part)).join("");
}

const grouped = (number) => number.toLocaleString("en-US");
const plural = (n, word) => `${grouped(n)} ${word}${n === 1 ? "" : "s"}`;
const signed = (text) => text.replace("-", "\u2212");
const short = (value) => signed(Math.abs(value) >= 1000 ? grouped(Math.round(value)) : String(Number(value.toPrecision(3))));
const percent = (share) => `${short(100 * share)}\u00a0%`;
const hundredths = (value) => signed((Number(value.toFixed(2)) || 0).toFixed(2)); // never −0.00
const isControl = (coder) => coder.kind !== "coder";
const CONTROLS = { random: "random directions, a control", neurons: "neurons, a control" };
