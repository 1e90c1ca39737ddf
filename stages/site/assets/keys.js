"use strict";
// Keys, and the dialog that lists them. A page gives what its keys do; here is when they are heard.

/** Whether a key is the field's that has the focus; a search gives some of its own away. */
function isTyped({ target, key }) {
  if (target.matches("input[type=search]")) return !["Escape", "Enter", "ArrowDown"].includes(key);
  return target.matches("input, select") && key !== "Escape";
}

/** `keys`: [[names of the key], what it does, act(event)]. The act returns false to leave the key to the browser. */
function listen(keys) {
  const help = document.getElementById("help");
  const all = [...keys, [["?"], "show the keys", () => help.showModal()]];
  help.append(
    node("h2", "", "Keys"),
    node(
      "dl",
      "keys",
      ...all.map(([names, does]) =>
        node("div", "", node("dt", "", names.flatMap((name, place) => [place ? " " : null, node("kbd", "", NAMES.get(name) ?? name)])), node("dd", "", does)),
      ),
    ),
    button("Close", "", () => help.close()),
  );
  document.getElementById("show-help").addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || help.open) return;
    if (isTyped(event)) return;
    const [, , act] = all.find(([names]) => names.includes(event.key)) ?? [];
    if (act && act(event) !== false) event.preventDefault();
  });
}

const NAMES = new Map([
  ["ArrowDown", "↓"],
  ["ArrowUp", "↑"],
  ["ArrowLeft", "←"],
  ["ArrowRight", "→"],
  ["Escape", "Esc"],
]);
