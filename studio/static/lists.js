"use strict";
// In a table with data-list, j and k go down and up its links; Enter opens the one that has the focus.

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || typing(event.target)) return;
  if (event.key !== "j" && event.key !== "k") return;
  const links = [...document.querySelectorAll("table[data-list] tbody tr td:first-child a")];
  if (links.length === 0) return;
  event.preventDefault();
  const at = links.indexOf(document.activeElement);
  const next = event.key === "j" ? Math.min(at + 1, links.length - 1) : Math.max(at - 1, 0);
  links[next].focus();
});

document.addEventListener("focusin", (event) => {
  for (const row of document.querySelectorAll("table[data-list] tr[aria-current]")) row.removeAttribute("aria-current");
  event.target.closest("table[data-list] tbody tr")?.setAttribute("aria-current", "true");
});
