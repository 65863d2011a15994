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
    restart: "M8 3a5 5 0 1 0 5 5h-1.6A3.4 3.4 0 1 1 8 4.6V7l4-3-4-3z",
    kill: "M4.2 3L8 6.800 11.8 3 13 4.200 9.200 8 13 11.800 11.800 13 8 9.200 4.200 13 3 11.800 6.800 8 3 4.200z",
    remove: "M6 2h4l1 1h3v1.500H2V3h3zM3.500 6h9l-.6 8H4.100z",
    logs: "M2 3h12v1.500H2zM2 7h12v1.500H2zM2 11h8v1.500H2z",
    terminal: "M2 3l5 5-5 5-1-1 4-4-4-4zM8 12h6v1.500H8z",
    more: "M3 7h2v2H3zM7 7h2v2H7zM11 7h2v2h-2z",
    search: "M7 2a5 5 0 1 0 3 9l3.300 3.300 1-1L11 10a5 5 0 0 0-4-8zm0 1.500a3.500 3.500 0 1 1 0 7 3.500 3.500 0 0 1 0-7z",
    copy: "M5 1h9v10h-2V3H5zM2 4h9v11H2z",
    open: "M3 6l5 5 5-5z",
  },

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
    node.style.cssText =
      "border:0;background:none;color:inherit;padding:4px;border-radius:4px;cursor:pointer;line-height:0";
    node.addEventListener("click", act);
    return node;
  },
};
