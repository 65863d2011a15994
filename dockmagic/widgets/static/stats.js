// CPU and memory of one container, drawn as it goes. Asks for a sample, draws the answer, asks again.

const POINTS = 60;
const WIDTH = 240;
const HEIGHT = 44;

function element(name, text, style) {
  const node = document.createElement(name);
  if (text) node.textContent = text; // never innerHTML: names come from containers
  if (style) node.style.cssText = style;
  return node;
}

function chart(title, color) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.style.cssText = `width:${WIDTH}px;height:${HEIGHT}px;background:rgba(127,127,127,.12)`;
  const line = document.createElementNS(space, "polyline");
  line.setAttribute("fill", "none");
  line.setAttribute("stroke", color);
  line.setAttribute("stroke-width", "1.5");
  svg.append(line);
  const label = element("div", title, "font-size:.85em");
  const box = element("div", "", "margin-right:1em");
  box.append(label, svg);
  const values = [];
  return {
    box,
    add(value, text) {
      values.push(value);
      if (values.length > POINTS) values.shift();
      const top = Math.max(...values, 1e-9);
      const step = WIDTH / (POINTS - 1);
      const start = POINTS - values.length;
      line.setAttribute(
        "points",
        values
          .map((v, i) => `${((start + i) * step).toFixed(1)},${(HEIGHT - 2 - (HEIGHT - 4) * (v / top)).toFixed(1)}`)
          .join(" "),
      );
      label.textContent = `${title}: ${text}`;
    },
  };
}

function render({ model, el }) {
  const head = element("div", "", "display:flex;gap:.5em;align-items:center;margin-bottom:.3em");
  const name = element("b", model.get("name"));
  const state = element("span", "", "opacity:.65");
  head.append(name, state);
  const cpu = chart("CPU", "#3b82f6");
  const memory = chart("memory", "#22a06b");
  const charts = element("div", "", "display:flex;flex-wrap:wrap");
  charts.append(cpu.box, memory.box);
  const facts = element("div", "", "font-size:.85em;opacity:.8;margin-top:.2em");
  const buttons = model.get("actions").map((action) => {
    const button = element("button", action, "cursor:pointer");
    button.addEventListener("click", () => model.send({ kind: "action", name: action }));
    head.append(button);
    return button;
  });
  el.append(head, charts, facts);

  let timer = null;
  let stopped = false;
  const ask = () => {
    // A hidden page asks for nothing; it goes on when it is looked at again.
    if (document.visibilityState === "visible") model.send({ kind: "sample" });
    else timer = setTimeout(ask, model.get("interval"));
  };
  const onMessage = (message) => {
    if (message.kind === "state") {
      state.textContent = message.text;
      return;
    }
    if (message.kind === "end") {
      stopped = true;
      state.textContent = message.text;
      for (const button of buttons) button.disabled = true;
      return;
    }
    cpu.add(message.cpu, message.cpu_text);
    memory.add(message.memory, message.memory_text);
    facts.textContent = message.facts;
    if (!stopped) timer = setTimeout(ask, model.get("interval"));
  };
  model.on("msg:custom", onMessage);
  ask();
  return () => {
    stopped = true;
    clearTimeout(timer);
    model.off("msg:custom", onMessage);
  };
}
