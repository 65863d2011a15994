// A terminal for one process of a container: xterm.js, and messages with the kernel.
//
// The kernel sends output in packets; what has been drawn is acknowledged, and the kernel waits for
// that. xterm.js itself comes from the kernel too, once for a page.

const TERMINAL_ROWS = 18;
const ACKNOWLEDGE_EVERY = 50; // milliseconds
const PASTE_PIECE = 16 * 1024; // characters in one message
const terminalLibrary = Symbol.for("dockmagic.xterm");

function newPageId() {
  return [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16)).join("");
}

// The classes of xterm.js, and the two sets of colours.
function loadTerminal(model) {
  globalThis[terminalLibrary] ??= new Promise((resolve) => {
    const receive = async (message, buffers) => {
      if (message.kind !== "library") return;
      model.off("msg:custom", receive);
      const [xterm, fit, css] = buffers.map((b) => new Uint8Array(b.buffer ?? b, b.byteOffset ?? 0, b.byteLength));
      document.head.append(dm.element("style", { text: new TextDecoder().decode(css) }));
      const [{ Terminal }, { FitAddon }] = await Promise.all([xterm, fit].map(importBytes));
      resolve({ Terminal, FitAddon, colors: message.colors });
    };
    model.on("msg:custom", receive);
    model.send({ kind: "library" });
  });
  return globalThis[terminalLibrary];
}

async function importBytes(bytes) {
  const url = URL.createObjectURL(new Blob([bytes], { type: "text/javascript" }));
  try {
    return await import(url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

function isDark() {
  const { jpThemeLight, vscodeThemeKind } = document.body.dataset;
  return jpThemeLight === "false" || /dark/.test(vscodeThemeKind ?? "");
}

function terminalTheme(colors) {
  const dark = isDark();
  const names = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
  const bright = names.map((name) => `bright${name[0].toUpperCase()}${name.slice(1)}`);
  const theme = {
    foreground: dark ? "#e6e8eb" : "#1f2328",
    background: dark ? "#111111" : "#ffffff",
    cursor: dark ? "#79b0ff" : "#1d63ed",
    selectionBackground: dark ? "#79b0ff55" : "#1d63ed44",
  };
  [...names, ...bright].forEach((name, index) => {
    theme[name] = colors[dark ? 1 : 0][index];
  });
  return theme;
}

// What a container writes is drawn, and has no other effect: no title, link or clipboard.
function harmless(terminal) {
  for (const number of [0, 1, 2, 8, 9, 50, 52, 777]) {
    terminal.parser.registerOscHandler(number, () => true);
  }
}

function terminalHeader(model, act) {
  const state = dm.element("span", { text: "●", cls: "dm-run", title: "running" });
  state.setAttribute("role", "img");
  state.setAttribute("aria-label", "running");
  const name = dm.element("b", { text: model.get("title") });
  const facts = dm.element("span", { cls: "dm-facts dm-muted" });
  const hint = dm.element("span", { text: model.get("hint") });
  facts.append(dm.element("span", { text: model.get("command") }), hint);
  const tools = dm.element("span", { cls: "dm-tools" });
  tools.append(dm.button("open", "Detach (ctrl-p ctrl-q): leave it running", () => act("detach")));
  if (model.get("owned")) tools.append(dm.button("stop", "End it", () => act("end")));
  const head = dm.element("div", { cls: "dm-head" });
  head.append(state, name, facts, tools);
  return {
    head,
    note(text) {
      hint.textContent = text;
    },
    end({ text, mark, token }) {
      state.textContent = mark;
      state.className = `dm-${token}`;
      state.title = text;
      state.setAttribute("aria-label", text);
      hint.textContent = text;
      tools.remove();
    },
  };
}

// Its lines as text, for the output below when the kernel can no longer replace that.
function terminalLines(terminal) {
  const { active } = terminal.buffer;
  const lines = [];
  for (let y = Math.max(0, active.length - 400); y < active.length; y++) {
    const line = active.getLine(y);
    const text = line.translateToString(true);
    if (line.isWrapped && lines.length) lines[lines.length - 1] += text;
    else lines.push(text);
  }
  return lines.join("\n").trimEnd();
}

function render({ model, el, host }) {
  const page = newPageId();
  const send = (kind, more = {}) => model.send({ kind, page, ...more });
  const header = terminalHeader(model, (kind) => send(kind));
  const body = dm.element("div", { cls: "dm-terminal-body" });
  body.style.cssText =
    `height:${TERMINAL_ROWS * 17 + 8}px;resize:vertical;overflow:hidden;padding:4px;` +
    "border:1px solid var(--jp-border-color2,#8884);border-radius:4px;box-sizing:content-box";
  body.dataset.lmSuppressShortcuts = "true"; // Lab's keys are the terminal's here
  el.append(header.head, body);

  let terminal = null;
  let drawn = 0; // offset of the output that xterm.js was given
  let acknowledged = 0;
  let timer = null;
  let early = []; // output that came before the replay that it follows
  let isReplaying = true; // what a replay asks the terminal was answered long ago
  let isMain = false;
  let isUser = false; // a key or a paste is handled now; what the terminal answers comes from a timer
  let isOver = false;
  let isGone = false; // this view
  const cleanups = [];

  const acknowledge = () => {
    timer = null;
    if (!isOver) send("ack", { offset: acknowledged });
  };
  const write = (data, at) => {
    drawn = at + data.byteLength;
    const end = drawn;
    terminal.write(data, () => {
      acknowledged = Math.max(acknowledged, end);
      timer ??= setTimeout(acknowledge, ACKNOWLEDGE_EVERY);
    });
  };
  const bytes = (buffer) => new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength);

  const open = () => {
    early = [];
    send("open");
  };

  const receivers = {
    replay(message, buffers) {
      if (message.page !== page) return;
      isReplaying = true;
      terminal.reset();
      const data = bytes(buffers[0]);
      drawn = message.offset;
      acknowledged = message.offset;
      terminal.write(data, () => {
        isReplaying = false;
        resize(true);
      });
      const waiting = early ?? [];
      early = null;
      for (const [packet, contents] of waiting) receivers.output(packet, contents);
    },
    output(message, buffers) {
      if (early) return void early.push([message, buffers]);
      if (message.at < drawn) return;
      if (message.at > drawn) return open(); // something was missed
      write(bytes(buffers[0]), message.at);
    },
    reopen(message) {
      if (message.page === page) open();
    },
    main(message) {
      isMain = message.page === page;
    },
    notice(message) {
      if (message.page === page) header.note(message.text);
    },
    end(message) {
      isOver = true;
      header.end(message);
      if (terminal) terminal.options.disableStdin = true;
    },
  };
  const onMessage = (message, buffers) => {
    if (terminal && Object.hasOwn(receivers, message.kind)) receivers[message.kind](message, buffers);
  };

  const type = (text, encoding) => {
    if ((isReplaying && !isUser) || isOver) return;
    if (!isMain && !el.contains(document.activeElement)) return; // another page answers
    for (let start = 0; start < text.length; start += PASTE_PIECE) {
      send("input", { [encoding]: text.slice(start, start + PASTE_PIECE) });
    }
  };
  const resize = (redraw = false) => {
    if (!isOver) send("resize", { rows: terminal.rows, columns: terminal.cols, redraw });
  };

  const begin = ({ Terminal, FitAddon, colors }) => {
    terminal = new Terminal({
      fontFamily: getComputedStyle(document.body).getPropertyValue("--jp-code-font-family") || "monospace",
      fontSize: 13,
      lineHeight: 1.1,
      scrollback: 5000,
      minimumContrastRatio: 4.5,
      screenReaderMode: false,
      linkHandler: { activate() {} },
      theme: terminalTheme(colors),
    });
    harmless(terminal);
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    terminal.open(body);
    terminal.textarea.setAttribute("aria-label", `terminal of ${model.get("title")}`);
    for (const kind of ["keydown", "input", "paste", "compositionend"]) {
      body.addEventListener(kind, () => {
        isUser = true;
        setTimeout(() => (isUser = false));
      }, true);
    }
    terminal.onData((text) => type(text, "text"));
    terminal.onBinary((text) => type(text, "latin1"));
    terminal.onResize(() => resize());
    terminal.textarea.addEventListener("blur", () => {
      // the output below is replaced then, which takes the focus too: only if it stays away
      setTimeout(() => {
        if (!isGone && el.isConnected && !el.contains(document.activeElement)) send("blur");
      }, 300);
    });
    const fits = () => {
      if (body.clientWidth > 40 && body.clientHeight > 20) fit.fit();
    };
    const sizes = new ResizeObserver(fits);
    sizes.observe(body);
    const themes = new MutationObserver(() => {
      terminal.options.theme = terminalTheme(colors);
    });
    themes.observe(document.body, { attributes: true });
    cleanups.push(() => sizes.disconnect(), () => themes.disconnect(), () => terminal.dispose());
    fits();
    model.on("msg:custom", onMessage);
    open();
  };

  loadTerminal(model).then((library) => {
    if (!isGone) begin(library);
  });
  return (hasKernelGone) => {
    isGone = true;
    clearTimeout(timer);
    model.off("msg:custom", onMessage);
    if (hasKernelGone) {
      const still = host.querySelector("pre.dm-term");
      if (still && terminal && !isOver) still.textContent = terminalLines(terminal);
    } else if (!isOver) send("close");
    for (const cleanup of cleanups) cleanup();
    el.replaceChildren();
  };
}
