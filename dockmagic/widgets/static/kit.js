// What the views share. Texts go in as text, never as HTML: they come from containers.

const dm = {
  element(name, { text, cls, style, title, label } = {}, ...children) {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    if (cls) node.className = cls;
    if (style) node.style.cssText = style;
    if (title) node.title = title;
    if (label) node.setAttribute("aria-label", label);
    node.append(...children);
    return node;
  },

  icons: {
    pause: "M4 3h3v10H4zM9 3h3v10H9z",
    resume: "M4 3l9 5-9 5z",
    start: "M4 3l9 5-9 5z",
    stop: "M4 4h8v8H4z",
    restart: "M8 3a5 5 0 1 0 5 5h-1.600A3.400 3.400 0 1 1 8 4.600V7l4-3-4-3z",
    kill: "M4.200 3L8 6.800 11.800 3 13 4.200 9.200 8 13 11.800 11.800 13 8 9.200 4.200 13 3 11.800 6.800 8 3 4.200z",
    remove: "M6 2h4l1 1h3v1.500H2V3h3zM3.500 6h9l-.6 8H4.100z",
    logs: "M2 3h12v1.500H2zM2 7h12v1.500H2zM2 11h8v1.500H2z",
    terminal: "M2 3l5 5-5 5-1-1 4-4-4-4zM8 12h6v1.500H8z",
    more: "M3 7h2v2H3zM7 7h2v2H7zM11 7h2v2h-2z",
    search: "M7 2a5 5 0 1 0 3 9l3.300 3.300 1-1L11 10a5 5 0 0 0-4-8zm0 1.500a3.500 3.500 0 1 1 0 7 3.500 3.500 0 0 1 0-7z",
    copy: "M5 1h9v10h-2V3H5zM2 4h9v11H2z",
    open: "M3 6l5 5 5-5z",
    close: "M6 3l5 5-5 5z",
  },

  style: `
.dm-button{border:0;background:none;color:inherit;padding:4px;border-radius:4px;cursor:pointer;line-height:0}
.dm-button:hover{background:var(--dm-info-fill);color:var(--dm-info)}
.dm-button:focus-visible,.dm-word:focus-visible{outline:2px solid var(--dm-info)}
.dm-button:disabled{opacity:.35;cursor:default}
.dm-word{border:0;background:var(--dm-muted-fill);color:inherit;font:inherit;font-size:12px;padding:2px 9px;border-radius:4px;cursor:pointer}
.dm-word.dm-sure{background:var(--dm-fail-fill);color:var(--dm-fail)}
.dm-word[aria-selected=true]{background:var(--dm-info-fill);color:var(--dm-info)}
.dm-live-row{border-top:1px solid var(--dm-line);padding:3px 0}
.dm-line{display:grid;align-items:center;column-gap:12px}
.dm-line>*{min-width:0}
.dm-under{padding:2px 0 4px 18px;display:flex;gap:8px;align-items:center;flex-wrap:wrap}
.dm-panel{padding:4px 0 6px 18px;max-height:26em;overflow:auto}
.dm-ended{opacity:.55}`,

  icon(name) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("aria-hidden", "true");
    svg.style.cssText = "width:14px;height:14px;display:block";
    const path = document.createElementNS(space, "path");
    path.setAttribute("d", dm.icons[name] ?? dm.icons.more);
    path.setAttribute("fill", "currentColor");
    svg.append(path);
    return svg;
  },

  // A flat button of a header: `label` is its title and its name for screen readers.
  button(name, label, act) {
    const node = dm.element("button", { title: label, label, cls: "dm-button" }, dm.icon(name));
    node.type = "button";
    node.addEventListener("click", act);
    return node;
  },

  word(text, act, cls = "") {
    const node = dm.element("button", { text, cls: `dm-word ${cls}` });
    node.type = "button";
    node.addEventListener("click", act);
    return node;
  },

  // What is in a node now, replaced only where it differs: focus and selection stay.
  fill(node, ...children) {
    const same =
      node.childNodes.length === children.length &&
      children.every((child, at) => node.childNodes[at] === child);
    if (!same) node.replaceChildren(...children);
  },

  text(node, text) {
    if (node.textContent !== text) node.textContent = text;
  },

  // A shape of values from 0 to `top`, as wide as its box: for rows.
  sparkline(token) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", "0 0 60 20");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.style.cssText = "width:100%;height:20px;display:block;background:var(--dm-muted-fill)";
    const path = document.createElementNS(space, "path");
    path.setAttribute("fill", `var(--dm-${token}-fill)`);
    path.setAttribute("stroke", `var(--dm-${token})`);
    path.setAttribute("vector-effect", "non-scaling-stroke");
    svg.append(path);
    const values = [];
    return {
      node: svg,
      add(value, top) {
        values.push(value);
        if (values.length > 60) values.shift();
        const start = 60 - values.length;
        const points = values.map(
          (v, at) => `${start + at + 0.5} ${(19 - 18 * Math.min(1, v / top)).toFixed(1)}`,
        );
        path.setAttribute("d", `M${start + 0.5} 20L${points.join("L")}L60 20`);
        svg.setAttribute("aria-label", `now ${value.toFixed(1)} of ${top}`);
      },
    };
  },

  // Calls `ask` every `interval` milliseconds while the page is looked at and the node is in it.
  ticking(node, interval, ask) {
    let timer = null;
    const tick = () => {
      if (document.visibilityState === "visible" && node.isConnected) ask();
      timer = setTimeout(tick, interval());
    };
    tick();
    return () => clearTimeout(timer);
  },

  // Buttons of a container's state, with a question in place before what cannot be undone.
  // `under` is the line below, where the question and the docker line are shown.
  actions(model, under, id, actions) {
    const ask = (action) => {
      const send = () => {
        dm.fill(under, dm.element("code", { text: `${action.line} …`, cls: "dm-muted" }));
        model.send({ kind: "act", verb: action.verb, id });
      };
      if (!action.question) return send();
      const yes = dm.word(action.verb, send, "dm-sure");
      const no = dm.word("cancel", () => dm.fill(under));
      const code = dm.element("code", { text: action.line, cls: "dm-muted" });
      dm.fill(under, dm.element("span", { text: action.question }), yes, no, code);
      yes.focus();
    };
    return actions.map((action) => dm.button(action.icon, action.label, () => ask(action)));
  },

  // What came of an action: its docker line, and the reason where it failed.
  acted(under, message) {
    const line = dm.element("code", { text: message.line, cls: "dm-muted" });
    const error = dm.element("span", { text: message.error, cls: "dm-fail" });
    dm.fill(under, line, ...(message.error ? [error] : []));
  },
};
