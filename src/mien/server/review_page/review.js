// The page of `mien review`: one item after the other, its face in a box, a key for each code. A code counts as
// given once the server says that it is on disk; until then the page stays where it is.

const $ = (id) => document.getElementById(id);
const KEYS = "1234567890";
const videos = [...document.querySelectorAll("video")];
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

let about, coder; // how the review is held, and by whom
let items = [], done = [], at = 0; // the queue; the places that were coded, first coded first; the place that is seen
let view = null; // where the item is seen
let [video, spare] = videos; // what is seen, and what holds the next clip ready, so that it shows at once
let busy = false, retry = null;
const unplayable = new Set(); // clips that this browser cannot play

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, options).catch(() => {
    throw new Error("The server does not answer. Start `mien review` again with the same command; your codes are kept.");
  });
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `The server says ${answer.status}.`);
  if (answer.status === 204) return null;
  return answer.headers.get("Content-Type").startsWith("application/json") ? answer.json() : answer.blob();
}

/** Do something with the server; where it fails, say why and offer to try again. */
async function attempt(work) {
  if (busy) return; // a key too many must not code what was not yet seen
  setBusy(true);
  try {
    await work();
    $("trouble").hidden = true;
  } catch (error) {
    $("why").textContent = error.message;
    $("trouble").hidden = false;
    retry = work;
  } finally {
    setBusy(false);
  }
}

function setBusy(value) {
  busy = value;
  $("work").setAttribute("aria-busy", `${busy}`);
}

function turnTo(id) {
  for (const name of ["welcome", "work", "end"]) $(name).hidden = name !== id;
  $("copies").hidden = id === "welcome";
}
const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;

// --- who codes

async function begin() {
  about = await ask("/about");
  $("order").textContent = $("held").textContent = about.order;
  $("blind").textContent = about.blind ? "What Mien reads is hidden, so that it does not sway you." : "What Mien reads is shown.";
  $("then").textContent = about.then;
  about.words.forEach((word, i) => {
    const button = document.createElement("button");
    const key = document.createElement("kbd");
    key.textContent = KEYS[i];
    button.append(key, ` ${word === "none" ? "none of these" : word}`);
    Object.assign(button, { type: "button", onclick: () => give(word) });
    button.dataset.word = word;
    button.setAttribute("aria-keyshortcuts", KEYS[i]);
    $("words").append(button);
  });
  $("coder").value = about.coder ?? "";
  $("coder").readOnly = about.coder !== null;
  turnTo("welcome");
  $("coder").focus();
}

async function sign() {
  const queue = await ask(`/queue?coder=${encodeURIComponent($("coder").value)}`);
  coder = $("coder").value.trim();
  items = queue.items;
  const places = new Map(items.map((item, place) => [item.item, place]));
  done = queue.coded.map((item) => places.get(item));
  $("who").textContent = `Coder: ${coder}`;
  await next(0);
  if (!$("work").hidden) $("title").focus();
}

// --- one item

async function next(from) {
  const rest = [...items.keys()].filter((place) => !items[place].code);
  if (rest.length) return show(rest.find((place) => place >= from) ?? rest[0]);
  video.pause();
  turnTo("end");
  $("finished").focus();
}

async function show(place) {
  const item = items[place];
  const ready = spare.place === place;
  const seen = ready ? spare.view : await ask(`/items/${item.item}`);
  [at, view] = [place, seen];
  turnTo("work");
  const isClip = item.start !== null;
  const coded = items.filter((one) => one.code).length;
  $("count").textContent = `${coded} of ${items.length} coded`;
  Object.assign($("done"), { max: items.length, value: coded });
  $("title").textContent = item.name + (isClip ? `, ${clock(item.start)} to ${clock(item.end)}` : "");
  $("read").textContent = item.read ? `Mien reads: ${item.read}` : "";
  $("hint").textContent = isClip ? "Code what the face shows while its box is solid; dashed is just before and after." : "";
  for (const button of $("words").children) button.setAttribute("aria-pressed", `${button.dataset.word === item.code}`);
  $("undo").disabled = !done.length;
  $("back").disabled = place === 0;
  $("box").hidden = true;
  $("box").classList.remove("outside"); // of a clip before
  video.pause();
  if (ready) {
    [video, spare] = [spare, video];
    mark(video.currentTime + video.offset);
  } else if (isClip) load(video, place, view);
  for (const id of ["play", "slow"]) $(id).hidden = !isClip;
  for (const one of videos) one.hidden = one !== video || !isClip;
  $("photo").hidden = isClip;
  if (!isClip) $("photo").src = `/media/${item.media}`;
  else if (!calm) play();
  if (isClip && video.videoWidth) fit(video.videoWidth, video.videoHeight);
  prepare(place).catch(() => {}); // it is asked for again when its turn comes
}

/** Let a video show the begin of what is seen of an item. */
function load(one, place, seen) {
  const item = items[place];
  const whole = seen.whole && !unplayable.has(item.media);
  const source = whole ? `/media/${item.media}` : `/stretches/${item.item}.mp4`;
  // offset: seconds of the view at which the video's file begins
  Object.assign(one, { place, view: seen, offset: whole ? 0 : seen.first });
  if (one.getAttribute("src") !== source) one.src = source;
  one.currentTime = seen.first - one.offset;
}

/** Hold ready what comes after a place, if it is a clip. */
async function prepare(place) {
  const coming = [...items.keys()].find((other) => other > place && !items[other].code);
  spare.pause();
  if (coming === undefined || items[coming].start === null || spare.place === coming) return;
  const seen = await ask(`/items/${items[coming].item}`);
  if (at === place) load(spare, coming, seen);
}

function play() {
  video.play().catch(() => {}); // one that is replaced meanwhile
}

/** The browser cannot play a clip: take the stretch as the server writes it anew. */
function replace(one) {
  const whole = one.getAttribute("src").startsWith("/media/");
  unplayable.add(items[one.place].media);
  if (one === video) {
    $("hint").textContent = whole
      ? "This browser cannot play this kind of clip: the stretch is made anew, which takes a moment."
      : "This clip cannot be shown. Is the file still there, and whole? You can skip it.";
  }
  if (!whole) return;
  load(one, one.place, one.view);
  if (one === video && !calm) play();
}

/** At each new picture of the video: the box where the face is now, and back to the start at the end. */
function tick(one, picture) {
  one.requestVideoFrameCallback((_, next) => tick(one, next));
  if (one !== video || one.place !== at) return;
  const time = picture.mediaTime + one.offset;
  mark(time);
  if (time >= view.last && !one.paused) rewind();
}

/** Draw the box where the face is at a time of the view, if it is seen then. */
function mark(time) {
  const box = view.boxes.reduce((a, b) => (Math.abs(b[0] - time) < Math.abs(a[0] - time) ? b : a), [Infinity]);
  $("box").classList.toggle("outside", time < view.start || time >= view.end);
  if (Math.abs(box[0] - time) < 0.3) draw(box, video.videoWidth, video.videoHeight);
  else $("box").hidden = true;
}

const rewind = () => { video.currentTime = view.first - video.offset; };

/** As large as the window lets it be. */
function fit(width, height) {
  $("picture").style.width = `min(100%, ${(62 * width) / height}vh)`;
}

function draw([, x, y, w, h], width, height) {
  const percent = (value, of) => `${(100 * value) / of}%`;
  $("box").hidden = false;
  Object.assign($("box").style, { left: percent(x, width), top: percent(y, height), width: percent(w, width), height: percent(h, height) });
}

// --- what the coder does

const give = (word) => attempt(async () => {
  const [place, item] = [at, items[at]];
  await ask("/codes", { coder, item: item.item, code: word });
  item.code = word;
  done = [...done.filter((one) => one !== place), place];
  await next(place + 1);
  $("said").textContent = `Saved: ${word}. ${$("end").hidden ? `Next: ${$("title").textContent}` : "All coded."}`;
});

const undo = () => attempt(async () => {
  const place = done.at(-1);
  if (place === undefined) return;
  await ask("/codes", { coder, item: items[place].item, code: null });
  items[place].code = null;
  done.pop();
  await show(place);
  $("said").textContent = `Taken back: ${$("title").textContent}`;
});

const step = (by) => attempt(async () => {
  if (items[at + by]) await show(at + by);
});

const copy = ({ to, name }) => attempt(async () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await ask(`/saved/${to}?coder=${encodeURIComponent(coder)}`));
  link.download = `${to}-${coder}.${name}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
});

const toggle = () => (video.paused ? play() : video.pause());

function slower() {
  const slow = $("slow").getAttribute("aria-pressed") !== "true";
  $("slow").setAttribute("aria-pressed", `${slow}`);
  for (const one of videos) one.defaultPlaybackRate = one.playbackRate = slow ? 0.5 : 1;
}

const ACTIONS = { " ": toggle, s: slower, u: undo, ArrowLeft: () => step(-1), ArrowRight: () => step(1) };

document.addEventListener("keydown", (event) => {
  if ($("work").hidden || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (!$("keys").checked || (event.key === " " && event.target.closest("button, input"))) return;
  const word = about.words[KEYS.indexOf(event.key)];
  const action = word && event.key.length === 1 ? () => give(word) : ACTIONS[event.key.toLowerCase()] ?? ACTIONS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});
$("sign").addEventListener("submit", (event) => { event.preventDefault(); attempt(sign); });
$("again").onclick = () => attempt(retry);
$("undo").onclick = undo;
$("back").onclick = () => step(-1);
$("skip").onclick = () => step(1);
for (const button of document.querySelectorAll("[data-to]")) button.onclick = () => copy(button.dataset);
$("play").onclick = toggle;
$("slow").onclick = slower;
$("look").onclick = () => attempt(() => show(0));
$("photo").onload = () => {
  const { naturalWidth: width, naturalHeight: height } = $("photo");
  fit(width, height);
  if (view?.start === null) draw(view.boxes[0], width, height);
};
$("photo").onerror = () => { $("hint").textContent = "This photo cannot be shown. Is the file still there, and whole? You can skip it."; };
for (const one of videos) {
  one.onerror = () => replace(one);
  one.onloadedmetadata = () => {
    if (!one.videoWidth) replace(one); // sound alone: its pictures are unknown here
    else if (one === video) fit(one.videoWidth, one.videoHeight);
  };
  one.onended = () => { if (one === video) { rewind(); play(); } };
  one.onplay = one.onpause = () => { $("playing").textContent = video.paused ? "Play" : "Pause"; };
  one.requestVideoFrameCallback((_, picture) => tick(one, picture));
}
attempt(begin);
