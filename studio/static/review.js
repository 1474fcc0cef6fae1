"use strict";
// The queue: an answer is sent as a line of review.jsonl, and what comes back takes the card's place.

const card = document.getElementById("card");
const trouble = document.getElementById("trouble");
let busy = false;

const answerId = () => [...crypto.getRandomValues(new Uint8Array(8))].map((one) => one.toString(16).padStart(2, "0")).join("");

const edits = () => [...card.querySelectorAll(".edit")].filter((area) => area.value.trim() && area.value !== area.defaultValue);

const say = (lines) => {
  trouble.textContent = lines.join(" ");
  trouble.hidden = lines.length === 0;
};

const lineOf = (button) => {
  const line = JSON.parse((button.dataset.line ? button : button.closest("form")).dataset.line);
  line.label = button.dataset.answer;
  if (button.dataset.line) return { ...line, id: answerId() };
  const note = document.getElementById("note").value.trim();
  if (note) line.note = note;
  const [edit] = edits();
  if (edit && line.label !== "skip") Object.assign(line, { edited: edit.dataset.side, text: edit.value });
  return line;
};

const send = async (button) => {
  if (busy) return;
  if (edits().length > 1) {
    say(["Edit one of the two: both were changed."]);
    return;
  }
  busy = true;
  try {
    const answer = await fetch(`${root}/review/answer`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(lineOf(button)),
    });
    if (!answer.ok) {
      const told = await answer.json();
      say([told.error, ...told.lines]);
      return;
    }
    card.innerHTML = await answer.text();
    say([]);
    document.getElementById("now").focus();
    window.scrollTo(0, 0);
  } catch {
    say(["The studio does not answer. Start it again, and send this answer once more: it is counted once."]);
  } finally {
    busy = false;
  }
};

card.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-answer]");
  if (button) send(button);
});
