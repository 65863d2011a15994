// A log that is followed: the last lines, those before on request, and a search in all of them.

const LOG_LINES_SHOWN = 2000; // in the page; older ones are asked for again

function logStyle(css) {
  return dm.element("style", { text: css });
}

// One line. Texts are texts; the styles are the kernel's own, never the container's.
function logLine([number, time, isError, pieces], words) {
  const node = dm.element("div", { cls: isError ? "dm-line dm-err" : "dm-line" });
  if (isError) node.title = "stderr";
  node.dataset.number = number;
  node.append(dm.element("span", { cls: "dm-time", text: time }));
  for (const [text, style] of pieces) node.append(...marked(text, style, words));
  return node;
}

function marked(text, style, words) {
  const lower = text.toLowerCase();
  const parts = [];
  let from = 0;
  const span = (piece, name) => {
    const node = dm.element(name, { text: piece });
    if (style) node.style.cssText = style;
    return node;
  };
  while (words.length) {
    let hit = -1;
    let length = 0;
    for (const word of words) {
      const at = lower.indexOf(word, from);
      if (at >= 0 && (hit < 0 || at < hit)) [hit, length] = [at, word.length];
    }
    if (hit < 0) break;
    if (hit > from) parts.push(span(text.slice(from, hit), "span"));
    parts.push(span(text.slice(hit, hit + length), "mark"));
    from = hit + length;
  }
  if (from < text.length) parts.push(span(text.slice(from), "span"));
  return parts;
}

function logTools(model, change) {
  const search = dm.element("input", { label: `search the log of ${model.get("title")}` });
  search.type = "search";
  search.placeholder = "filter";
  search.className = "dm-search";
  const streams = dm.element("select", { label: "streams" });
  for (const [value, text] of [["", "both streams"], ["stdout", "stdout"], ["stderr", "stderr"]]) {
    const option = dm.element("option", { text });
    option.value = value;
    streams.append(option);
  }
  const times = dm.element("input");
  times.type = "checkbox";
  times.checked = model.get("timestamps");
  const label = dm.element("label", {}, times, " times");
  let timer = null;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(change, 150);
  });
  streams.addEventListener("change", change);
  return { search, streams, times, label };
}

function render({ model, el }) {
  const page = [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16)).join("");
  const send = (kind, more = {}) => model.send({ kind, page, ...more });
  let following = true;
  let words = [];
  let first = 0; // the oldest line that the kernel keeps
  let isOver = false;

  const state = dm.element("span", { text: "●", cls: "dm-run", title: "following" });
  state.setAttribute("role", "img");
  state.setAttribute("aria-label", "following");
  const count = dm.element("span");
  const facts = dm.element("span", { cls: "dm-facts dm-muted" });
  facts.append(dm.element("span", { text: model.get("command") }), count);
  const { search, streams, times, label } = logTools(model, () => look());
  const pause = dm.button("pause", "Pause", () => follow(!following));
  const stop = dm.button("stop", "Stop following", () => send("stop"));
  const tools = dm.element("span", { cls: "dm-tools" });
  tools.append(search, streams, label, pause, stop);
  const head = dm.element("div", { cls: "dm-head" });
  head.append(state, dm.element("b", { text: model.get("title") }), facts, tools);
  const older = dm.element("button", { text: "older lines", cls: "dm-older" });
  older.type = "button";
  older.hidden = true;
  older.addEventListener("click", () => {
    const top = list.querySelector(".dm-line");
    follow(false);
    send("older", { before: Number(top?.dataset.number ?? 0) });
  });
  const list = dm.element("div", { cls: "dm-lines dm-term" });
  list.setAttribute("role", "log");
  list.setAttribute("aria-live", "off");
  list.tabIndex = 0;
  list.append(older);
  const none = dm.element("div", { cls: "dm-muted", text: "nothing is logged yet" });
  el.append(
    logStyle(
      ".dm-older{font:inherit;border:0;background:none;color:var(--dm-info);cursor:pointer;padding:2px 8px}" +
        ".dm-search{font:inherit;width:11em;max-width:40vw;padding:1px 6px;color:inherit;background:none;" +
        "border:1px solid var(--dm-line);border-radius:4px}" +
        ".dm-tools{align-items:center;flex-wrap:wrap}.dm-tools select{font:inherit;color:inherit;" +
        "background:var(--jp-layout-color1,Canvas);border:1px solid var(--dm-line);border-radius:4px}" +
        ".dm-notimes .dm-time{display:none}.dm-lines mark{background:var(--dm-warn-fill);color:inherit;" +
        "text-decoration:underline 2px var(--dm-warn);text-underline-offset:2px}.dm-tools label{white-space:nowrap}",
    ),
    head, none, list,
  );

  const showTimes = () => list.classList.toggle("dm-notimes", !times.checked);
  times.addEventListener("change", showTimes);
  showTimes();

  let top = 0;
  const toEnd = () => {
    list.scrollTop = list.scrollHeight;
  };
  const follow = (on) => {
    if (isOver || following === on) return;
    following = on;
    pause.replaceChildren(dm.icon(on ? "pause" : "resume"));
    pause.title = on ? "Pause" : "Follow again";
    pause.setAttribute("aria-label", pause.title);
    look();
  };
  const look = () => {
    words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (isOver) return local();
    send("look", { text: search.value, stream: streams.value, following });
  };
  // The kernel follows no more: what is in the page is filtered here.
  const local = () => {
    for (const line of list.querySelectorAll(".dm-line")) {
      const text = line.textContent.toLowerCase();
      const stream = line.classList.contains("dm-err") ? "stderr" : "stdout";
      line.hidden =
        !words.every((word) => text.includes(word)) || (streams.value && streams.value !== stream);
    }
  };
  list.addEventListener("scroll", () => {
    top = list.scrollTop;
  });
  list.addEventListener("wheel", (event) => {
    if (event.deltaY < 0 && list.scrollHeight > list.clientHeight) follow(false);
  });
  // An output that is replaced takes the view out of the page and puts it back, scrolled to its top.
  const sizes = new ResizeObserver(() => (following ? toEnd() : (list.scrollTop = top)));
  sizes.observe(list);

  const receivers = {
    lines(message) {
      if (message.page !== page) return;
      const nodes = message.lines.map((line) => logLine(line, words));
      const lines = () => list.querySelectorAll(".dm-line");
      if (message.place === "all") for (const line of lines()) line.remove();
      if (message.skipped) {
        for (const line of lines()) line.remove(); // they are not next to each other
      }
      if (message.place === "start") {
        const height = list.scrollHeight;
        older.after(...nodes);
        list.scrollTop += list.scrollHeight - height;
        for (const line of [...lines()].slice(LOG_LINES_SHOWN)) line.remove();
      } else {
        list.append(...nodes);
        const all = lines();
        for (const line of [...all].slice(0, Math.max(0, all.length - LOG_LINES_SHOWN))) line.remove();
      }
      first = message.first;
      const oldest = Number(list.querySelector(".dm-line")?.dataset.number ?? 0);
      older.hidden = message.place === "start" ? !nodes.length : oldest <= first;
      count.textContent = `${message.total.toLocaleString("en")} line${message.total === 1 ? "" : "s"}`;
      const shown = list.querySelector(".dm-line");
      none.hidden = Boolean(shown);
      none.textContent = message.total ? "no line matches" : "nothing is logged yet";
      if (following && message.place !== "start") toEnd();
      send("drawn");
    },
  };
  const onMessage = (message) => {
    if (Object.hasOwn(receivers, message.kind)) receivers[message.kind](message);
  };
  model.on("msg:custom", onMessage);
  look();
  return () => {
    isOver = true;
    sizes.disconnect();
    model.off("msg:custom", onMessage);
    el.replaceChildren();
  };
}
