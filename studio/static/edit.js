"use strict";
// The editor: at each pause of typing the text is read, and what it changes is shown. No call is made but by "Ask again".

const PAUSE = 30;
const text = document.getElementById("text");
const least = document.getElementById("least");
const trouble = document.getElementById("trouble");
const byId = (id) => document.getElementById(id);
let timer = 0;
let latest = 0;

const say = (lines) => {
  trouble.textContent = lines.join(" ");
  trouble.hidden = lines.length === 0;
};

const post = async (path, body) => {
  try {
    const answer = await fetch(path, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
    if (answer.ok) {
      say([]);
      return answer;
    }
    const told = await answer.json();
    say([told.error, ...told.lines]);
  } catch {
    say(["The studio does not answer. Start it again; your text is still here."]);
  }
  return null;
};

const edited = () => ({ text: text.value, least: least && least.value !== "" ? Number(least.value) : null });

const check = async () => {
  const number = ++latest;
  const answer = await post(`${root}/edit/check`, edited());
  if (!answer) return;
  const body = await answer.text();
  if (number === latest) byId("effect").innerHTML = body;
};

const soon = () => {
  clearTimeout(timer);
  timer = setTimeout(check, PAUSE);
};

const fill = async () => {
  if (!byId("as-form").open) return;
  const answer = await post(`${root}/edit/form`, edited());
  if (answer) byId("form").innerHTML = await answer.text();
};

text.addEventListener("input", soon);
text.addEventListener("change", fill);
if (least) least.addEventListener("input", soon);
byId("as-form").addEventListener("toggle", fill);

byId("form").addEventListener("change", async (event) => {
  const input = event.target;
  if (!input.dataset.keys) return;
  const value = input.type === "checkbox" ? input.checked : input.type === "number" ? Number(input.value) : input.value;
  const answer = await post(`${root}/edit/field`, { text: text.value, keys: JSON.parse(input.dataset.keys), value });
  if (!answer) return;
  text.value = (await answer.json()).text;
  await check();
});

document.addEventListener("click", (event) => {
  const line = Number(event.target.dataset.line);
  if (!line) return;
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  text.focus();
  text.setSelectionRange(start, start + (lines[line - 1] || "").length);
  text.scrollTop = (text.scrollHeight / lines.length) * Math.max(0, line - 4);
});

const save = byId("save");
if (save) {
  save.addEventListener("click", async () => {
    const answer = await post(`${root}/edit/save`, { text: text.value, seen: save.dataset.seen });
    byId("saved").textContent = answer ? "Saved." : "";
    if (answer) save.dataset.seen = (await answer.json()).seen;
  });
}

const watch = async (name) => {
  const answer = await fetch(`${root}/edit/${name}`);
  byId(name).innerHTML = await answer.text();
  if (byId(name).querySelector("[data-running='1']")) setTimeout(watch, 500, name);
};

if (byId("tested")) {
  byId("tested").addEventListener("toggle", async () => {
    if (!byId("tested").open) return;
    const answer = await post(`${root}/edit/tested`, edited());
    if (answer) byId("worth").innerHTML = await answer.text();
  });
}

if (byId("ask")) {
  byId("try-it").addEventListener("click", async () => {
    const responses = [...document.querySelectorAll(".given")].map((area) => area.value);
    byId("try-it").disabled = true;
    const answer = await post(`${root}/edit/try`, { text: text.value, prompt: byId("prompt").value, responses });
    byId("try-it").disabled = false;
    if (answer) watch("tried");
  });
  byId("price").addEventListener("click", async () => {
    const answer = await post(`${root}/edit/price`, edited());
    if (answer) byId("takes").innerHTML = await answer.text();
  });
  byId("ask").addEventListener("click", async () => {
    byId("ask").disabled = true;
    const answer = await post(`${root}/edit/ask`, edited());
    byId("ask").disabled = false;
    if (answer) watch("asking");
  });
  byId("stop").addEventListener("click", async () => {
    if (await post(`${root}/edit/stop`, {})) watch("asking");
  });
  watch("asking");
  watch("tried");
}
