"use strict";
// Light or dark, before anything is drawn. Without a choice the system's is followed.

const systemDark = matchMedia("(prefers-color-scheme: dark)");

/** What was kept under a name, or null; a browser may refuse storage to pages from disk. */
function kept(storage, name) {
  try {
    return globalThis[storage].getItem(name);
  } catch {
    return null;
  }
}

function keep(storage, name, value) {
  try {
    globalThis[storage].setItem(name, value);
  } catch {
    // the choice then lasts as long as the page
  }
}

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : systemDark.matches;
}

function chooseTheme(theme) {
  document.documentElement.dataset.theme = theme;
  keep("localStorage", "glossa theme", theme);
}

const themeBefore = kept("localStorage", "glossa theme");
if (themeBefore === "dark" || themeBefore === "light") document.documentElement.dataset.theme = themeBefore;

document.addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  const label = () => {
    button.ariaPressed = String(isDark());
    // Figures are pictures of their own, of which the browser takes the one for the system's colours.
    for (const source of document.querySelectorAll("picture source")) source.media = isDark() ? "all" : "not all";
  };
  button.addEventListener("click", () => {
    chooseTheme(isDark() ? "light" : "dark");
    label();
  });
  systemDark.addEventListener("change", label);
  label();
});
