// What containers use: charts of a minute for one of them, a row with a sparkline for several.

const SECONDS = 60;
const SPACE = "http://www.w3.org/2000/svg";

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${value >= 100 || at === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[at]}`;
}

// The smallest round number that is not below `value`: the top of an axis.
function roundUp(value, binary) {
  if (value <= 0) return 1;
  const unit = binary ? 1024 ** Math.floor(Math.log(value) / Math.log(1024)) : 1;
  const inUnits = value / unit;
  const power = 10 ** Math.floor(Math.log10(inUnits));
  for (const digit of [1, 2, 5, 10]) if (inUnits <= digit * power) return digit * power * unit;
  return inUnits * unit;
}

// One chart: lines over the last minute, an axis with a unit at the left, values on hovering.
function chart({ title, lines, format, top, note }) {
  const head = dm.element("div", { style: "display:flex;gap:10px;flex-wrap:wrap" }, dm.element("strong", { text: title }));
  const now = lines.map(({ token }) => dm.element("span", { cls: `dm-${token}` }));
  head.append(...now);
  const svg = document.createElementNS(SPACE, "svg");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", title);
  svg.style.cssText = "display:block;width:100%;height:110px;font-size:11px;overflow:visible";
  const box = dm.element("div", { style: "flex:1 1 300px;min-width:0" }, head, svg);
  const samples = [];
  let pointer = null;

  const draw = () => {
    const width = svg.clientWidth || 300;
    const [left, right, up, down] = [58, width - 4, 8, 90];
    const last = samples.at(-1);
    if (!last) return;
    const highest = Math.max(...samples.flatMap((sample) => lines.map((line) => line.value(sample))));
    const limit = top(last, highest);
    const x = (time) => right - ((last.time - time) / SECONDS) * (right - left);
    const y = (value) => down - (Math.min(value, limit) / limit) * (down - up);
    const parts = [];
    const add = (name, attributes, text) => {
      const node = document.createElementNS(SPACE, name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      if (text !== undefined) node.textContent = text;
      parts.push(node);
      return node;
    };
    for (const share of [0, 0.5, 1]) {
      const at = y(limit * share);
      add("line", { x1: left, x2: right, y1: at, y2: at, stroke: "var(--dm-line)" });
      add("text", { x: left - 6, y: at + 4, "text-anchor": "end", fill: "var(--dm-muted)" }, format(limit * share));
    }
    for (const ago of [60, 30, 0]) {
      const anchor = ago === 0 ? "end" : ago === 60 ? "start" : "middle";
      add("text", { x: x(last.time - ago), y: down + 14, "text-anchor": anchor, fill: "var(--dm-muted)" }, ago ? `−${ago} s` : "now");
    }
    for (const { value, token } of lines) {
      const path = samples.map((s) => `${x(s.time).toFixed(1)} ${y(value(s)).toFixed(1)}`).join("L");
      add("path", { d: `M${path}`, fill: "none", stroke: `var(--dm-${token})`, "stroke-width": 1.5 });
    }
    const marked = note?.(last, limit);
    if (marked) {
      const at = y(marked.value);
      add("line", { x1: left, x2: right, y1: at, y2: at, stroke: "var(--dm-warn)", "stroke-dasharray": "4 3" });
      add("text", { x: right, y: at + 12, "text-anchor": "end", fill: "var(--dm-warn)" }, marked.text);
    }
    let shown = last;
    if (pointer !== null) {
      shown = samples.reduce((a, b) => (Math.abs(x(b.time) - pointer) < Math.abs(x(a.time) - pointer) ? b : a));
      add("line", { x1: x(shown.time), x2: x(shown.time), y1: up, y2: down, stroke: "var(--dm-muted)" });
      for (const { value, token } of lines) {
        add("circle", { cx: x(shown.time), cy: y(value(shown)), r: 3, fill: `var(--dm-${token})` });
      }
    }
    lines.forEach((line, at) => dm.text(now[at], `${line.label ?? ""} ${line.text(shown)}`.trim()));
    svg.replaceChildren(...parts);
  };
  svg.addEventListener("pointermove", (event) => {
    pointer = event.clientX - svg.getBoundingClientRect().left;
    draw();
  });
  svg.addEventListener("pointerleave", () => {
    pointer = null;
    draw();
  });
  return {
    box,
    draw,
    add(sample) {
      samples.push(sample);
      while (samples.length && samples[0].time < sample.time - SECONDS) samples.shift();
      draw();
    },
  };
}

// Bytes a second, from two samples of a counter.
function rates(before, now) {
  const seconds = before ? now.time - before.time : 0;
  const rate = (name) => (seconds > 0 ? Math.max(0, now[name] - before[name]) / seconds : 0);
  return { ...now, rxRate: rate("rx"), txRate: rate("tx"), readRate: rate("read"), writeRate: rate("written") };
}

function header(model, item) {
  const mark = dm.element("span");
  const name = dm.element("strong");
  const image = dm.element("span", { cls: "dm-image" });
  const state = dm.element("span", { cls: "dm-muted" });
  const tools = dm.element("span", { cls: "dm-tools" });
  const under = dm.element("div", { cls: "dm-under" });
  const node = dm.element("div", { cls: "dm-head" }, mark, name, image, state, tools);
  let shown = "";
  return {
    node,
    under,
    show(data) {
      if (data.name) {
        dm.text(name, data.name);
        dm.text(image, data.image);
        dm.text(mark, data.mark);
        mark.className = `dm-${data.token}`;
        mark.title = data.word;
      }
      dm.text(state, data.ended || data.status || "");
      const actions = JSON.stringify(data.actions);
      if (shown !== actions) tools.replaceChildren(...dm.actions(model, under, data.id, data.actions));
      shown = actions;
    },
  };
}

function single(model, el) {
  const head = header(model);
  const rate = (value) => `${bytes(value)}/s`;
  let zoomed = true;
  const zoom = dm.word("", () => {
    zoomed = !zoomed;
    name();
    charts.forEach((one) => one.draw());
  });
  const name = () => dm.text(zoom, zoomed ? "memory: against the limit" : "memory: zoom in");
  const cores = model.get("cores");
  const isLimited = (sample) => sample.limit > 0 && sample.limit < model.get("host_memory") * 0.99;
  const charts = [
    chart({
      title: "CPU",
      lines: [{ token: "info", value: (s) => s.cpu, text: (s) => `${s.cpu.toFixed(1)} %` }],
      format: (value) => `${value.toFixed(0)} %`,
      top: (_, highest) => (highest <= 100 ? 100 : 100 * cores),
      note: (_, limit) => (limit > 100 ? { value: 100, text: "one core" } : null),
    }),
    chart({
      title: "memory",
      lines: [{ token: "run", value: (s) => s.memory, text: (s) => `${s.memory_text} of ${s.limit_text}${isLimited(s) ? "" : " (the machine's)"}` }],
      format: bytes,
      top: (last, highest) => (zoomed ? roundUp(highest * 1.2, true) : last.limit || model.get("host_memory")),
      note: (last, limit) => (isLimited(last) && last.limit <= limit * 1.001 ? { value: last.limit, text: "limit" } : null),
    }),
    chart({
      title: "network",
      lines: [
        { token: "net", label: "in", value: (s) => s.rxRate, text: (s) => rate(s.rxRate) },
        { token: "info", label: "out", value: (s) => s.txRate, text: (s) => rate(s.txRate) },
      ],
      format: rate,
      top: (_, highest) => roundUp(Math.max(highest, 1024), true),
    }),
    chart({
      title: "disk",
      lines: [
        { token: "run", label: "read", value: (s) => s.readRate, text: (s) => rate(s.readRate) },
        { token: "warn", label: "written", value: (s) => s.writeRate, text: (s) => rate(s.writeRate) },
      ],
      format: rate,
      top: (_, highest) => roundUp(Math.max(highest, 1024), true),
    }),
  ];
  const grid = dm.element("div", { style: "display:flex;flex-wrap:wrap;gap:10px 24px;margin-top:4px" }, ...charts.map((one) => one.box));
  const facts = dm.element("span", { cls: "dm-muted" });
  const foot = dm.element("div", { cls: "dm-head" }, facts, zoom);
  el.append(head.node, head.under, grid, foot);
  name();
  let before = null;
  const resized = new ResizeObserver(() => charts.forEach((one) => one.draw()));
  resized.observe(grid);
  return {
    acted: (message) => dm.acted(head.under, message),
    show([item]) {
      if (!item) return;
      head.show(item);
      grid.classList.toggle("dm-ended", Boolean(item.ended));
      if (item.ended || item.cpu === undefined) return;
      const sample = rates(before, item);
      before = item;
      charts.forEach((one) => one.add(sample));
      const count = `${item.pids} process${item.pids === 1 ? "" : "es"}`;
      dm.text(facts, `${count} · network ${item.network_text} · disk ${item.block_text}`);
    },
    end: () => resized.disconnect(),
  };
}

function several(model, el) {
  const columns = "minmax(8em,1.4fr) 64px minmax(80px,1fr) minmax(10em,1.4fr) minmax(9em,1fr) minmax(8em,1fr) 48px";
  const cell = (text, right) => dm.element("span", { text, cls: "dm-muted", style: right ? "text-align:right" : "" });
  const head = dm.element("div", { cls: "dm-line", style: `grid-template-columns:${columns};font-size:12px` },
    cell("NAME"), cell("CPU", true), cell(""), cell("MEMORY / LIMIT"), cell("NETWORK IN / OUT"), cell("BLOCK READ / WRITE"), cell("PIDS", true));
  const list = dm.element("div");
  const note = dm.element("div", { cls: "dm-muted" });
  el.append(head, list, note);
  const rows = new Map();

  function row() {
    const parts = {
      name: dm.element("strong"),
      cpu: dm.element("span", { style: "text-align:right" }),
      line: dm.sparkline("info"),
      memory: dm.element("span"),
      network: dm.element("span"),
      block: dm.element("span"),
      pids: dm.element("span", { style: "text-align:right" }),
    };
    const narrow = el.clientWidth && el.clientWidth < 700;
    const cells = [parts.name, parts.cpu, parts.line.node, parts.memory, parts.network, parts.block, parts.pids];
    const grid = narrow ? "display:flex;flex-wrap:wrap;column-gap:12px" : `grid-template-columns:${columns}`;
    const node = dm.element("div", { cls: "dm-line dm-live-row", style: grid }, ...cells);
    if (narrow) {
      parts.name.style.flex = "1 0 100%";
      parts.line.node.style.width = "80px";
    }
    head.style.display = narrow ? "none" : "";
    return { node, ...parts };
  }

  return {
    acted() {},
    show(items) {
      const ids = new Set(items.map((item) => item.id));
      for (const id of rows.keys()) if (!ids.has(id)) rows.delete(id);
      for (const item of items) {
        if (!rows.has(item.id)) rows.set(item.id, row());
        const entry = rows.get(item.id);
        entry.node.classList.toggle("dm-ended", Boolean(item.ended));
        if (item.name) dm.text(entry.name, item.name);
        if (item.ended) {
          dm.text(entry.memory, item.ended);
          for (const part of [entry.cpu, entry.network, entry.block, entry.pids]) dm.text(part, "");
        }
        if (item.ended || item.cpu === undefined) continue;
        dm.text(entry.cpu, `${item.cpu.toFixed(1)} %`);
        entry.line.add(item.cpu, Math.max(100, Math.ceil(item.cpu / 100) * 100));
        dm.text(entry.memory, `${item.memory_text} / ${item.limit_text}`);
        dm.text(entry.network, item.network_text);
        dm.text(entry.block, item.block_text);
        dm.text(entry.pids, String(item.pids));
      }
      dm.fill(list, ...items.map((item) => rows.get(item.id).node));
      dm.text(note, items.length ? "" : "no container runs: %docker run -d IMAGE starts one");
    },
    end() {},
  };
}

function render({ model, el }) {
  const view = model.get("single") ? single(model, el) : several(model, el);
  const onMessage = (message) => {
    if (message.kind === "sample") view.show(message.items);
    else if (message.kind === "acted") view.acted(message);
  };
  model.on("msg:custom", onMessage);
  const stop = dm.ticking(el, () => model.get("interval"), () => model.send({ kind: "sample" }));
  return () => {
    stop();
    view.end();
    model.off("msg:custom", onMessage);
  };
}
