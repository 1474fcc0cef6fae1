"use strict";
// Keys of every page. A link or button with data-key is pressed by that key, unless one types or holds Ctrl, Alt or Meta.

const root = document.body.dataset.root;
const typing = (element) => element.closest("input, textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const found = [...document.querySelectorAll("[data-key]")].find((element) => element.dataset.key === event.key);
  if (!found || found.disabled) return;
  event.preventDefault();
  if (found.matches("input, textarea, select")) found.focus();
  else found.click();
});
