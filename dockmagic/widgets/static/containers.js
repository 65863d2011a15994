// Containers, a row each: state, name, image, status, ports, use, and the buttons of the state.

const WIDE = "minmax(8em,1.2fr) minmax(6em,1fr) minmax(8em,1.2fr) minmax(6em,1fr) 90px 80px 132px";
const NARROW = "1fr auto";

function render({ model, el, host }) {
  const lines = new Map(); // id -> row
  const note = dm.element("div", { cls: "dm-muted" });
  const list = dm.element("div");
  el.append(list, note);

  function row(id) {
    const name = dm.element("strong");
    const mark = dm.element("span");
    mark.setAttribute("role", "img");
    const fold = dm.button("close", "details", () => open(entry));
    const title = dm.element("span", { style: "display:flex;align-items:center;gap:4px" }, fold, mark, name);
    const image = dm.element("span", { cls: "dm-muted" });
    const status = dm.element("span");
    const ports = dm.element("span");
    const cpu = dm.sparkline("info");
    const memory = dm.element("span", { cls: "dm-num", style: "text-align:right" });
    const tools = dm.element("span", { cls: "dm-tools", style: "justify-content:flex-end" });
    const under = dm.element("div", { cls: "dm-under" });
    const panel = dm.element("div");
    const line = dm.element("div", { cls: "dm-line" });
    const wide = [title, image, status, ports, cpu.node, memory, tools];
    const node = dm.element("div", { cls: "dm-live-row" }, line, under, panel);
    const entry = { id, node, line, wide, name, mark, image, status, ports, cpu, memory, tools, under, panel, fold, shown: "" };
    title.addEventListener("dblclick", () => open(entry));
    return entry;
  }

  function lay(entry) {
    const narrow = el.clientWidth && el.clientWidth < 700;
    if (entry.narrow === narrow) return;
    entry.narrow = narrow;
    const [title, image, status, ports, cpu, memory, tools] = entry.wide;
    entry.line.style.gridTemplateColumns = narrow ? NARROW : WIDE;
    if (!narrow) return dm.fill(entry.line, ...entry.wide);
    const second = dm.element("span", {
      style: "display:flex;flex-wrap:wrap;column-gap:12px;padding-left:22px;grid-column:1/3",
    }, image, status, ports, memory);
    dm.fill(entry.line, title, tools, second);
  }

  function port({ text, address }) {
    if (!address) return dm.element("span", { text: `${text} ` });
    const url = new URL(address);
    if (url.hostname === "localhost") url.hostname = location.hostname; // the server's own host
    const link = dm.element("a", { text, cls: "dm-link" });
    link.href = url.href;
    link.target = "_blank";
    link.rel = "noopener";
    return dm.element("span", {}, link, " ");
  }

  function show(entry, data) {
    entry.data = data;
    dm.text(entry.name, data.name);
    dm.text(entry.mark, data.mark);
    entry.mark.className = `dm-${data.token}`;
    entry.mark.title = data.word;
    entry.mark.setAttribute("aria-label", data.word);
    dm.text(entry.image, data.image);
    dm.text(entry.status, data.status);
    entry.node.title = data.command;
    const ports = JSON.stringify(data.ports);
    if (entry.shownPorts !== ports) entry.ports.replaceChildren(...data.ports.map(port));
    entry.shownPorts = ports;
    const actions = JSON.stringify(data.actions);
    if (entry.shown !== actions) {
      entry.tools.replaceChildren(...dm.actions(model, entry.under, entry.id, data.actions));
    }
    entry.shown = actions;
    entry.cpu.node.style.visibility = data.runs ? "" : "hidden";
    if (!data.runs) dm.text(entry.memory, "");
    lay(entry);
  }

  function open(entry) {
    entry.opened = !entry.opened;
    entry.fold.replaceChildren(dm.icon(entry.opened ? "open" : "close"));
    entry.fold.setAttribute("aria-expanded", String(entry.opened));
    if (!entry.opened) return entry.panel.replaceChildren();
    const body = dm.element("div", { cls: "dm-panel" });
    const bar = dm.element("div", { cls: "dm-under", style: "padding-top:4px" });
    bar.setAttribute("role", "tablist");
    for (const name of model.get("tabs")) {
      const tab = dm.word(name, () => choose(name));
      tab.setAttribute("role", "tab");
      bar.append(tab);
    }
    const choose = (name) => {
      entry.tab = name;
      for (const tab of bar.children) tab.setAttribute("aria-selected", String(tab.textContent === name));
      model.send({ kind: "tab", id: entry.id, name });
    };
    entry.body = body;
    entry.panel.replaceChildren(bar, body);
    choose(entry.tab ?? model.get("tabs")[0]);
  }

  function update() {
    const rows = model.get("rows");
    const ids = new Set(rows.map((data) => data.id));
    for (const id of lines.keys()) if (!ids.has(id)) lines.delete(id);
    for (const data of rows) {
      if (!lines.has(data.id)) lines.set(data.id, row(data.id));
      show(lines.get(data.id), data);
    }
    dm.fill(list, ...rows.map((data) => lines.get(data.id).node));
    dm.text(note, model.get("empty"));
  }

  function onMessage(message) {
    const entry = lines.get(message.id);
    if (message.kind === "usage") {
      for (const [id, sample] of Object.entries(message.usage)) {
        const used = lines.get(id);
        if (!used) continue;
        used.cpu.add(sample.cpu, Math.max(100, Math.ceil(sample.cpu / 100) * 100));
        used.cpu.node.title = `CPU ${sample.cpu.toFixed(1)} %`;
        dm.text(used.memory, sample.memory_text);
      }
    } else if (message.kind === "acted") {
      if (entry) dm.acted(entry.under, message);
      else dm.text(note, `${message.line} ${message.error}`);
    } else if (message.kind === "tab" && entry?.opened && entry.tab === message.name) {
      const bottom = entry.body.scrollTop + entry.body.clientHeight >= entry.body.scrollHeight - 4;
      if (entry.body.dataset.html !== message.html) entry.body.innerHTML = message.html; // our own HTML: escaped
      entry.body.dataset.html = message.html;
      if (bottom && message.name === "Logs") entry.body.scrollTop = entry.body.scrollHeight;
    }
  }

  const resized = new ResizeObserver(() => lines.forEach(lay));
  resized.observe(el);
  model.on("change:rows", update);
  model.on("change:empty", update);
  model.on("msg:custom", onMessage);
  update();
  const stop = dm.ticking(el, () => model.get("interval"), () => {
    model.send({ kind: "sample" });
    for (const entry of lines.values()) {
      if (entry.opened && entry.tab !== "Inspect") model.send({ kind: "tab", id: entry.id, name: entry.tab });
    }
  });
  return () => {
    stop();
    resized.disconnect();
    model.off("change:rows", update);
    model.off("change:empty", update);
    model.off("msg:custom", onMessage);
  };
}
