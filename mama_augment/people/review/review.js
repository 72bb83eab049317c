// The page: one text after the other to judge, and all texts to browse. No library.
"use strict";

const token = new URLSearchParams(location.search).get("token");
const byId = (id) => document.getElementById(id);
const state = { about: null, items: [], number: 0, item: null, since: 0, offset: 0, total: 0, busy: false, stop: null };
const PAGE_ROWS = 24;
const FRAME_MS = 450;

function address(path, values = {}) {
  return `${path}?${new URLSearchParams({ ...values, token })}`;
}

async function ask(path, values = {}, body = undefined) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(address(path, values), options);
  } catch {
    throw new Error("The program does not answer. Is it still running? Nothing unsaved is lost but this verdict.");
  }
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") made.addEventListener("click", value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function say(text) { byId("message").textContent = text; }

async function trying(work) {
  if (state.busy) return;
  state.busy = true;
  try {
    await telling(work);
  } finally {
    state.busy = false;
  }
}

async function telling(work) {
  try {
    byId("problem").hidden = true;
    await work();
  } catch (error) {
    byId("problem").textContent = error.message;
    byId("problem").hidden = false;
  }
}

// --- the clip -------------------------------------------------------------------------------

const seconds = (value) => `${value.toFixed(2)} s`;

function frameAddress(clipId, place) { return address(`frames/${encodeURIComponent(clipId)}/${place}.jpg`); }

function showClip(item) {
  if (state.stop) state.stop();
  state.stop = null;
  const player = byId("player");
  player.replaceChildren();
  if (item.has_video) playVideo(player, item);
  else animate(player, item, "The video is not here; these are its key frames.");
}

function playVideo(player, item) {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const video = element("video", { controls: "", muted: "", playsinline: "", preload: "auto", "aria-label": "The clip" });
  video.muted = true;
  const start = item.start_seconds ?? 0;
  const rewind = () => { video.currentTime = start; };
  video.addEventListener("loadedmetadata", () => {
    if (!video.videoWidth) return video.dispatchEvent(new Event("error"));
    rewind();
    if (!still) video.play().catch(() => {});
  });
  video.addEventListener("timeupdate", () => {
    if (item.end_seconds !== null && video.currentTime >= item.end_seconds) rewind();
  });
  video.addEventListener("ended", () => { rewind(); video.play().catch(() => {}); });
  video.addEventListener("error", () => {
    if (state.item !== item) return;
    player.replaceChildren();
    animate(player, item, "This browser does not play the video; these are its key frames.");
  }, { once: true });
  video.src = address(`videos/${encodeURIComponent(item.clip_id)}`);
  player.append(video);
  state.toggle = () => (video.paused ? video.play() : video.pause());
  state.stop = () => { video.pause(); video.removeAttribute("src"); };
}

function animate(player, item, why) {
  const times = item.frame_seconds;
  if (!times.length) { player.append(element("p", { class: "warn" }, "The clip has no frames here.")); return; }
  const image = element("img", { id: "frame" });
  const where = element("p", { class: "soft" });
  let place = 0;
  const show = () => {
    image.src = frameAddress(item.clip_id, place);
    image.alt = `Key frame ${place + 1} of ${times.length}, at ${seconds(times[place])}`;
    where.textContent = `${why} ${place + 1} of ${times.length}, ${seconds(times[place])}`;
  };
  let timer = null;
  const step = () => { place = (place + 1) % times.length; show(); };
  const button = element("button", { type: "button", "data-do": "play" });
  const label = () => { button.textContent = timer === null ? "Play" : "Pause"; };
  state.toggle = () => {
    if (timer === null) timer = setInterval(step, FRAME_MS);
    else { clearInterval(timer); timer = null; }
    label();
  };
  state.stop = () => clearInterval(timer);
  player.append(image, where, button);
  show();
  label();
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) state.toggle();
}

// --- one text -------------------------------------------------------------------------------

const SAID = { accepted: "accepted", edited: "edited", rejected: "rejected" };

async function open(number) {
  const item = await ask(`api/items/${number}`);
  state.number = number;
  state.item = item;
  state.since = performance.now();
  close();
  byId("text").textContent = item.raw_text;
  byId("source").textContent = `${item.source} · ${item.video ?? item.video_uri ?? item.clip_id}`;
  byId("place").textContent = `Text ${number + 1} of ${state.items.length}` + (item.split ? `, for ${item.split}` : "");
  byId("concept").textContent = item.concept ?? "";
  const verdict = item.verdict;
  byId("verdict").textContent = verdict ? SAID[verdict.verdict] + (verdict.reason ? `: ${verdict.reason}` : "") : "";
  if (verdict?.verdict === "edited") byId("text").textContent = verdict.text;
  const list = byId("others").querySelector("ul");
  list.replaceChildren(...item.others.map((other) => element("li", {}, `${other.text ?? other.raw_text ?? ""} (${other.source}${other.status === "ok" ? "" : `, rejected: ${other.reason}`})`)));
  byId("others").hidden = !item.others.length;
  showClip(item);
}

function close() {
  byId("editor").hidden = true;
  byId("reasons").hidden = true;
  byId("actions").hidden = false;
}

function take(progress) {
  state.items = progress.items;
  const meter = (row) => element("div", { class: "meter" },
    element("span", {}, row.name || "any"),
    element("progress", { max: row.asked, value: row.judged, "aria-label": `${row.name || "any"}: ${row.judged} of ${row.asked} judged` }),
    element("span", { class: "soft" }, `${row.judged} of ${row.asked}, ${row.usable} usable`));
  byId("splits").replaceChildren(...progress.splits.map(meter));
  byId("concepts").replaceChildren(...progress.concepts.map(meter));
}

function following(number) {
  const order = state.items.map((_, i) => (number + 1 + i) % state.items.length);
  return order.find((i) => state.items[i].verdict === null);
}

async function judge(verdict, more = {}) {
  const number = state.number;
  const took = Math.round((performance.now() - state.since) / 10) / 100;
  take(await ask(`api/items/${number}/verdict`, {}, { verdict, seconds: took, ...more }));
  const next = following(number);
  await open(next === undefined ? number : next);
  say(`Saved: ${SAID[verdict]}.` + (next === undefined ? " All texts are judged." : ""));
  byId("main").focus({ preventScroll: true });
}

const actions = {
  accept: () => trying(() => judge("accepted")),
  edit: () => {
    close();
    byId("editor").hidden = false;
    byId("actions").hidden = true;
    byId("edited").value = byId("text").textContent;
    byId("edited").focus();
  },
  save: () => trying(() => judge("edited", { text: byId("edited").value })),
  reject: () => {
    close();
    byId("reasons").hidden = false;
    byId("actions").hidden = true;
    byId("reasons").querySelector("button").focus();
  },
  cancel: () => { close(); byId("main").focus({ preventScroll: true }); },
  undo: () => trying(async () => {
    const answer = await ask("api/undo", {}, {});
    take(answer);
    if (answer.number === null) say("There is nothing to undo.");
    else { await open(answer.number); say("Undone."); }
  }),
  next: () => trying(() => open((state.number + 1) % state.items.length)),
  previous: () => trying(() => open((state.number + state.items.length - 1) % state.items.length)),
  play: () => state.toggle && state.toggle(),
  on: () => telling(() => search(state.offset + PAGE_ROWS)),
  back: () => telling(() => search(Math.max(0, state.offset - PAGE_ROWS))),
};

// --- all texts ------------------------------------------------------------------------------

function wanted() {
  const values = Object.fromEntries(new FormData(byId("filters")));
  const name = (values.concept_name ?? "").trim();
  delete values.concept_name;
  if (name) {
    const found = state.about.concepts.find((c) => c.name === name);
    if (!found) throw new Error(`There is no concept “${name}”; choose one from the list.`);
    values.concept = found.id;
  }
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));
}

// What is asked for last is shown, even where an earlier answer comes later.
let searches = 0;

async function search(offset) {
  const own = ++searches;
  const answer = await ask("api/browse", { ...wanted(), offset });
  if (own !== searches) return;
  state.offset = offset;
  state.total = answer.total;
  const last = Math.min(answer.total, offset + answer.rows.length);
  byId("found").textContent = answer.total ? `${(offset + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${answer.total.toLocaleString("en")} texts` : "No text is like that.";
  byId("rows").replaceChildren(...answer.rows.map(card));
  document.querySelector("[data-do=back]").disabled = offset === 0;
  document.querySelector("[data-do=on]").disabled = last >= answer.total;
}

function card(row) {
  const places = row.num_frames ? [...new Set([0, Math.floor((row.num_frames - 1) / 2), row.num_frames - 1])] : [];
  const frames = places.map((place) => element("img", { src: frameAddress(row.clip_id, place), loading: "lazy", alt: `Key frame ${place + 1} of ${row.num_frames}` }));
  const facts = [row.video_uri?.split("/").pop(), row.source, row.split, row.status === "ok" ? null : `rejected: ${row.reason}`, `${row.num_words ?? 0} words`,
    row.agreement === null ? null : `agreement ${row.agreement.toFixed(3)}`, row.trusted ? "trusted" : null, row.concepts.join(", ")];
  const ends = row.verdict ? element("span", { class: "tag" }, SAID[row.verdict]) : "";
  return element("li", {},
    element("div", {}, ...frames),
    element("p", { class: row.status === "ok" ? "" : "rejected" }, row.text ?? row.raw_text ?? "(nothing)"),
    element("p", { class: "soft" }, facts.filter(Boolean).join(" · ")),
    element("p", {}, ends, " ", element("button", { type: "button", onclick: () => trying(() => review(row.number)) }, "Review this text")));
}

async function review(textNumber) {
  const { number } = await ask(`api/texts/${textNumber}/ask`, {}, {});
  take(await ask("api/progress"));
  await open(number);
  location.hash = "#review";
}

function fillFilters() {
  const form = byId("filters");
  byId("names").replaceChildren(...state.about.concepts.map((c) => element("option", { value: c.name }, `${c.num_texts} texts`)));
  for (const [name, values] of Object.entries(state.about.filters)) {
    form.elements[name].append(element("option", { value: "" }, "any"),
      ...values.map((value) => element("option", { value: `=${value}` }, value || "none")));
  }
  form.elements.sort.append(...state.about.sorts.map((name) => element("option", { value: name }, name)));
}

// --- all of it ------------------------------------------------------------------------------

function show() {
  const view = location.hash === "#browse" ? "browse" : "review";
  for (const name of ["review", "browse"]) byId(name).hidden = name !== view;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view === "browse") {
    if (state.stop) state.stop();
    telling(() => search(state.offset));
  } else if (state.item) showClip(state.item);
}

const KEYS = { a: "accept", e: "edit", r: "reject", u: "undo", n: "next", p: "previous", ArrowRight: "next", ArrowLeft: "previous" };

function onKey(event) {
  const field = event.target.matches("input, textarea, select");
  if (event.key === "Escape" && (!byId("editor").hidden || !byId("reasons").hidden)) { actions.cancel(); event.preventDefault(); return; }
  if (event.key === "Enter" && event.ctrlKey && !byId("editor").hidden) { actions.save(); event.preventDefault(); return; }
  if (field || event.ctrlKey || event.metaKey || event.altKey) return;
  if (state.busy) { event.preventDefault(); return; } // the next text is not there yet
  if (event.key === "b") { location.hash = "#browse"; return; }
  if (event.key === "v") { location.hash = "#review"; return; }
  if (byId("review").hidden) return;
  if (!byId("reasons").hidden) {
    const reason = state.about.reasons[Number(event.key) - 1];
    if (reason) { trying(() => judge("rejected", { reason: reason.code })); event.preventDefault(); }
    return;
  }
  if (event.key === " " && !event.target.matches("button, summary, video, a")) { actions.play(); event.preventDefault(); return; }
  if (event.target.matches("video") && event.key.startsWith("Arrow")) return;
  const name = KEYS[event.key];
  if (name && byId("editor").hidden) { event.preventDefault(); actions[name](); }
}

async function begin() {
  [state.about] = [await ask("api/about")];
  take(await ask("api/progress"));
  fillFilters();
  byId("reasons").append(...state.about.reasons.map((reason, i) =>
    element("button", { type: "button", onclick: () => trying(() => judge("rejected", { reason: reason.code })) }, reason.text, " ", element("kbd", {}, `${i + 1}`))));
  const first = state.items.findIndex((item) => item.verdict === null);
  await open(Math.max(0, first));
  if (first < 0) say("All texts are judged.");
}

document.addEventListener("keydown", onKey);
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button && !state.busy) actions[button.dataset.do]();
});
byId("editor").addEventListener("submit", (event) => { event.preventDefault(); actions.save(); });
byId("filters").addEventListener("submit", (event) => { event.preventDefault(); telling(() => search(0)); });
window.addEventListener("hashchange", show);
trying(begin).then(show);
