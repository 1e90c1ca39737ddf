"use strict";
// Links the pages of a report that is served to the live test, from a latent's page to that latent.

document.addEventListener("DOMContentLoaded", () => {
  const link = document.createElement("a");
  link.textContent = "Live test";
  const point = () => {
    const latent = location.pathname.endsWith("/latent.html") ? location.hash.split("/").slice(0, 2).join("/") : "";
    link.href = `live.html${latent}`;
  };
  // A page that steps to the next latent says so to nobody.
  for (const event of ["pointerover", "focus", "click"]) link.addEventListener(event, point);
  point();
  document.querySelector("header nav a:last-of-type").after(link);
});
