"use strict";
// Puts what the server says is new in place. It is markup that the server made of texts; the page's policy runs nothing in it.

const place = document.getElementById("live");
const state = document.getElementById("live-state");
const source = new EventSource(`${root}/live/events`);

source.addEventListener("message", (event) => {
  const open = document.activeElement && place.contains(document.activeElement) ? document.activeElement.id : "";
  place.innerHTML = JSON.parse(event.data);
  if (open) document.getElementById(open)?.focus();
});
source.addEventListener("open", () => { state.textContent = "Following."; });
source.addEventListener("error", () => { state.textContent = "The studio does not answer; trying again."; });
addEventListener("pagehide", () => source.close());
