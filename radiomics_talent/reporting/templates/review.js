// The review page: shows one lesion at a time, sends verdicts, keeps what could not be sent.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const token = document.querySelector('meta[name="review-token"]').content;
  const STATES = { accepted: "accepted", rejected: "rejected", open: "open", changed: "changed since" };
  const WORDS = { accept: "accepted", reject: "rejected", open: "open again" };
  const POLL_MS = 5000, SETTLE_MS = 120;
  const drafts = new Map(); // index -> comment that is typed and not saved
  const unsent = new Map(); // index -> verdict that could not be saved, with the reason
  let lesions = [], current = -1, seen = null, readable = false, busy = false, over = false, lost = false, asked = 0;
  let waiting = null, timer = 0, viewer = null;

  // The token leaves the address bar and the history; the cookie stands in for it on reload.
  history.replaceState(null, "", "/" + location.hash);

  async function ask(path, options = {}) {
    let answer;
    try {
      answer = await fetch(path, { ...options, headers: { "X-Review-Token": token, "Content-Type": "application/json" } });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("the server does not answer; is `radiomics-talent review` still running?");
    }
    if (answer.status === 403) throw new Error("the server was started anew; open the address that it printed");
    let body = null;
    try { body = await answer.json(); } catch { /* told below */ }
    if (!answer.ok || body === null) {
      const error = new Error((body && body.error) || `the server failed (status ${answer.status})`);
      throw Object.assign(error, { isStale: answer.status === 409 });
    }
    return body;
  }

  const say = (text) => { byId("status").textContent = text; };
  const isDraft = (i) => drafts.has(i) && drafts.get(i) !== (lesions[i] ? lesions[i].comment : "");
  const unsavedCount = () => [...drafts.keys()].filter(isDraft).length + unsent.size;

  function trouble() {
    const lines = [...unsent].map(([i, one]) => `NOT SAVED: ${lesions[i].name}, ${one.body.decision}: ${one.reason}`);
    if (lost && !lines.length) lines.push("No connection: the server does not answer; nothing can be saved now.");
    const text = lines.join("\n");
    if (byId("trouble").textContent !== text) byId("trouble").textContent = text;
    byId("banner").hidden = !text;
    byId("retry").hidden = ![...unsent.values()].some((one) => !one.isStale);
  }

  // --- what the server says

  function take(state, isOwn) {
    const before = lesions;
    lesions = state.lesions;
    const others = lesions.filter((one, i) => before[i] && one.number !== before[i].number && i !== isOwn);
    if (others.length) say(`Changed elsewhere: ${others.map((one) => `${one.name} ${STATES[one.state]}`).join(", ")}`);
    list();
    about();
    trouble();
  }

  function count(name) { return lesions.filter((one) => one.state === name).length; }

  function list() {
    const items = byId("list");
    while (items.children.length < lesions.length) {
      const item = document.createElement("li"), button = document.createElement("button");
      const i = items.children.length;
      button.type = "button";
      button.append(Object.assign(document.createElement("span"), { className: "name" }), document.createElement("span"));
      button.addEventListener("click", () => go(i));
      item.append(button);
      items.append(item);
    }
    lesions.forEach((one, i) => {
      const button = items.children[i].firstChild, [name, badge] = button.children;
      const label = one.name + (isDraft(i) ? " *" : "");
      if (name.textContent !== label) {
        // A long name breaks behind the patient first.
        name.replaceChildren(...label.split(/(?<=\/)/).flatMap((part) => [part, document.createElement("wbr")]));
      }
      badge.textContent = STATES[one.state];
      badge.className = `badge ${one.state}`;
      if (i === current) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
    const done = count("accepted") + count("rejected");
    byId("progress").max = lesions.length;
    byId("progress").value = done;
    const changed = count("changed") ? `, ${count("changed")} changed since` : "";
    byId("counts").textContent = `${done} of ${lesions.length} reviewed: ${count("accepted")} accepted, ${count("rejected")} rejected, ${count("open")} open${changed}`;
  }

  function about() {
    const one = lesions[current];
    if (!one) return;
    byId("name").textContent = one.name;
    byId("state").textContent = STATES[one.state];
    byId("state").className = `badge ${one.state}`;
    const who = one.reviewer ? ` by ${one.reviewer}` : "";
    const when = one.number ? `Last verdict ${one.time.replace("T", " ").replace("+00:00", " UTC")}${who}.` : "No verdict yet.";
    byId("said").textContent = one.state === "changed" ? `${when} Mask or scan changed since: look again.` : when;
    const comment = byId("comment"), text = drafts.has(current) ? drafts.get(current) : one.comment;
    if (comment.value !== text) comment.value = text;
    byId("unsaved").textContent = isDraft(current) ? "Not saved yet" : "";
    byId("accept").setAttribute("aria-disabled", String(!readable));
    byId("reject").setAttribute("aria-disabled", String(seen === null));
    byId("undo").setAttribute("aria-disabled", String(one.state === "open"));
  }

  // --- one lesion

  const isOpen = (one) => one.state === "open" || one.state === "changed";
  function nextOpen(from) {
    for (let step = 1; step <= lesions.length; step++) {
      const i = (from + step) % lesions.length;
      if (i !== from && isOpen(lesions[i])) return i;
    }
    return -1;
  }

  function go(index) {
    if (over || index < 0 || index >= lesions.length) return;
    current = index;
    seen = null;
    readable = false;
    history.replaceState(null, "", `#${index + 1}`);
    if (viewer) viewer.destroy();
    viewer = null;
    byId("findings").replaceChildren();
    byId("wait").textContent = "Reading the scan …";
    list();
    about();
    inList(byId("list").children[index]);
    byId("name").focus({ preventScroll: true });
    byId("name").scrollIntoView({ block: "nearest" });
    if (waiting) waiting.abort();
    clearTimeout(timer);
    // Whoever pages on quickly asks for the last lesion only.
    timer = setTimeout(() => load(index), asked++ ? SETTLE_MS : 0);
  }

  // Scrolls the list and not the page, which on a phone holds it further down.
  function inList(item) {
    const box = byId("list").parentElement, top = item.offsetTop - byId("list").offsetTop;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + item.offsetHeight > box.scrollTop + box.clientHeight - 20) box.scrollTop = top + item.offsetHeight - box.clientHeight + 20;
  }

  async function load(index) {
    const abort = waiting = new AbortController();
    const following = nextOpen(index) < 0 ? (index + 1) % lesions.length : nextOpen(index);
    let shown;
    try {
      shown = await ask(`/api/lesions/${index}?next=${following}`, { signal: abort.signal });
    } catch (error) {
      if (error.name !== "AbortError" && index === current) {
        byId("wait").textContent = `The lesion could not be read: ${error.message}`;
        say(byId("wait").textContent);
      }
      return;
    }
    if (index !== current) return;
    seen = shown.seen;
    readable = shown.volume !== null;
    byId("wait").textContent = readable ? "" : "No picture: scan or mask cannot be used. The lesion can be rejected.";
    found(shown.findings);
    byId("viewer").setAttribute("aria-label", `CT slices of ${lesions[index].name}`);
    if (readable) viewer = RadiomicsViewer.mount(byId("viewer"), shown.volume);
    about();
    const n = shown.findings.length;
    say(`${lesions[index].name}, lesion ${index + 1} of ${lesions.length}, ${STATES[lesions[index].state]}, ${n} finding${n === 1 ? "" : "s"}${readable ? "" : ", no picture"}`);
  }

  function found(findings) {
    const items = findings.map((one) => {
      const item = document.createElement("li"), badge = document.createElement("span"), code = document.createElement("code");
      badge.className = `badge ${one.level}`;
      code.textContent = one.code;
      badge.append(code);
      item.append(badge, ` ${one.level}: ${one.sentence}`);
      return item;
    });
    if (!items.length) items.push(Object.assign(document.createElement("li"), { className: "quiet", textContent: "Nothing to report." }));
    byId("findings").replaceChildren(...items);
  }

  // --- verdicts

  async function decide(decision, then) {
    if (busy || over || current < 0) return;
    const index = current, one = lesions[index];
    if (seen === null) return say("Not saved: the lesion is not shown yet, wait for its picture");
    if (decision === "accept" && !readable) return say("Not saved: a lesion without a picture cannot be accepted, only rejected");
    const comment = drafts.has(index) ? drafts.get(index) : one.comment;
    if (await send(index, { decision, comment, seen, known: one.number })) then(index);
  }

  async function send(index, body) {
    busy = true;
    try {
      const state = await ask(`/api/lesions/${index}`, { method: "POST", body: JSON.stringify(body) });
      unsent.delete(index);
      // What was typed while the answer was on its way is still a draft.
      if (drafts.get(index) === body.comment) drafts.delete(index);
      lost = false;
      take(state, index);
      const was = state.replaced ? `; this replaces a verdict given elsewhere (${WORDS[state.replaced]})` : "";
      say(`${lesions[index].name}: ${WORDS[body.decision]}, saved${was}`);
      return true;
    } catch (error) {
      unsent.set(index, { body, reason: error.message, isStale: Boolean(error.isStale) });
      if (!drafts.has(index) && body.comment) drafts.set(index, body.comment);
      trouble();
      if (error.isStale && index === current) go(index); // to be seen as it is now
      return false;
    } finally {
      busy = false;
    }
  }

  async function retry() {
    for (const [index, one] of [...unsent]) {
      if (one.isStale) continue;
      if (!(await send(index, { ...one.body, known: lesions[index].number }))) return;
    }
    byId("name").focus({ preventScroll: true });
  }

  const accept = () => decide("accept", (index) => {
    const i = nextOpen(index);
    if (i >= 0) go(i);
    else say("Accepted and saved. Every lesion has a verdict: press Finish");
  });
  const reject = () => decide("reject", () => {});
  const undo = () => { if (lesions[current] && lesions[current].state !== "open") decide("open", () => {}); };
  const saveComment = () => {
    const one = lesions[current];
    if (!one) return;
    // A verdict on files that changed since is not renewed by a comment.
    const decision = { accepted: "accept", rejected: "reject" }[one.state] || "open";
    decide(decision, () => { byId("name").focus({ preventScroll: true }); });
  };
  const next = () => go((current + 1) % lesions.length);
  const previous = () => go((current + lesions.length - 1) % lesions.length);

  async function finish() {
    if (unsavedCount() && !confirm(`${unsavedCount()} comments or verdicts are not saved. End all the same?`)) return;
    try {
      const counts = await ask("/api/finish", { method: "POST" });
      over = true;
      byId("desk").hidden = byId("banner").hidden = byId("finish").hidden = true;
      byId("end").hidden = false;
      byId("sum").textContent = `${counts.accepted} accepted, ${counts.rejected} rejected, ${counts.open} open${counts.changed ? `, ${counts.changed} changed since` : ""}.`;
      byId("ended").focus();
    } catch (error) {
      byId("trouble").textContent = `The review could not be ended: ${error.message}`;
      byId("banner").hidden = false;
    }
  }

  // --- keys, events

  const KEYS = { a: accept, r: reject, u: undo, n: next, j: next, p: previous, k: previous };
  const ONCE = new Set(["a", "r", "u"]); // a key held down must not judge what nobody has looked at

  document.addEventListener("keydown", (event) => {
    if (over || event.isComposing) return;
    const comment = byId("comment");
    if (event.target === comment) {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); saveComment(); }
      if (event.key === "Escape") byId("name").focus({ preventScroll: true });
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isFree = event.target === document.body || event.target === byId("name");
    if (event.key === "/" || (event.key === "Tab" && !event.shiftKey && isFree)) {
      event.preventDefault();
      comment.focus();
      return;
    }
    const key = event.key.toLowerCase();
    if (!KEYS[key] || (event.repeat && ONCE.has(key))) return;
    event.preventDefault();
    KEYS[key]();
  });
  byId("comment").addEventListener("input", () => {
    drafts.set(current, byId("comment").value);
    if (!isDraft(current)) drafts.delete(current);
    list();
    about();
  });
  for (const [id, act] of Object.entries({ accept, reject, undo, next, previous, keep: saveComment, retry, finish })) {
    byId(id).addEventListener("click", () => act());
  }
  window.addEventListener("beforeunload", (event) => { if (!over && unsavedCount()) event.preventDefault(); });

  async function refresh() {
    if (over || busy || document.hidden) return;
    try {
      const state = await ask("/api/state");
      if (busy) return; // older than what is being saved
      lost = false;
      take(state, -1);
    } catch {
      lost = true;
      trouble();
    }
  }
  window.addEventListener("focus", refresh);
  document.addEventListener("visibilitychange", refresh);
  setInterval(refresh, POLL_MS);

  ask("/api/state").then((state) => {
    take(state, -1);
    const asked = Number(location.hash.slice(1)) - 1;
    const first = lesions.findIndex(isOpen);
    go(Number.isInteger(asked) && lesions[asked] ? asked : Math.max(0, first));
  }).catch((error) => {
    byId("name").textContent = "The review cannot be shown";
    byId("trouble").textContent = error.message;
    byId("banner").hidden = false;
  });
})();
