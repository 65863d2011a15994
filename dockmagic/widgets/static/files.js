// The files of a container or an image: directories, contents, downloads and uploads.

const UPLOAD_PIECE = 1024 * 1024;

function fileSize(bytes) {
  let power = 0;
  while (bytes >= 1000 && power < 4) {
    bytes /= 1000;
    power++;
  }
  return `${power ? bytes.toPrecision(3) : bytes} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

function joinPath(folder, name) {
  return folder === "/" ? `/${name}` : `${folder}/${name}`;
}

function filesStyle() {
  return dm.element("style", {
    text:
      ".dm-files{max-height:24em;overflow:auto}.dm-files button,.dm-crumbs button{font:inherit;border:0;" +
      "background:none;color:var(--dm-info);cursor:pointer;padding:0;text-align:left;overflow-wrap:anywhere}" +
      ".dm-crumbs{display:flex;flex-wrap:wrap;column-gap:4px}.dm-files .dm-num{text-align:right}" +
      ".dm-files td.dm-acts{text-align:right;white-space:nowrap}.dm-files .dm-mono{white-space:nowrap}" +
      "@container (max-width:700px){.dm-files .dm-wide{display:none}}" +
      ".dm-content{border-top:1px solid var(--dm-line);margin-top:4px}",
  });
}

function render({ model, el }) {
  const page = [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16)).join("");
  const send = (kind, more = {}, buffers) => model.send({ kind, page, ...more }, undefined, buffers);
  const title = model.get("title");
  const downloads = new Map(); // id -> name and pieces
  const uploads = new Map(); // id -> the file and how far it is sent
  let path = model.get("path");

  const crumbs = dm.element("span", { cls: "dm-crumbs" });
  const note = dm.element("span", { cls: "dm-muted" });
  note.setAttribute("role", "status");
  const choose = dm.element("input", { label: "file to upload" });
  choose.type = "file";
  choose.hidden = true;
  const tools = dm.element("span", { cls: "dm-tools" });
  const text = (name, act) => {
    const button = dm.element("button", { text: name, cls: "dm-text-button" });
    button.type = "button";
    button.style.cssText = "font:inherit;border:1px solid var(--dm-line);border-radius:4px;background:none;color:inherit;cursor:pointer;padding:0 8px";
    button.addEventListener("click", act);
    return button;
  };
  if (model.get("writable")) tools.append(text("Upload", () => choose.click()));
  tools.append(text("Download folder", () => download(path)), choose);
  const head = dm.element("div", { cls: "dm-head" });
  head.append(dm.element("b", { text: title }), crumbs, note, tools);
  const list = dm.element("div", { cls: "dm-files" });
  const content = dm.element("div", { cls: "dm-content" });
  content.hidden = true;
  el.append(filesStyle(), head, list, content);

  const go = (to) => {
    content.hidden = true;
    send("list", { path: to });
  };
  const link = (name, label, act) => {
    const button = dm.element("button", { text: name, label });
    button.type = "button";
    button.addEventListener("click", act);
    return button;
  };
  const showCrumbs = () => {
    const parts = path.split("/").filter(Boolean);
    crumbs.replaceChildren(link("/", "the root", () => go("/")));
    parts.forEach((part, index) => {
      const to = `/${parts.slice(0, index + 1).join("/")}`;
      if (index) crumbs.append("/");
      crumbs.append(link(part, to, () => go(to)));
    });
  };
  const download = (what) => {
    const id = `${page}${downloads.size}${Date.now()}`;
    downloads.set(id, { name: "", pieces: [] });
    note.textContent = "downloading…";
    send("download", { path: what, id });
  };
  const row = ([name, mode, size, mtime, target]) => {
    const full = joinPath(path, name);
    const isFolder = mode[0] === "d";
    const isLink = mode[0] === "l";
    const open = isFolder ? () => go(full) : () => send("read", { path: full });
    const line = dm.element("tr");
    const cell = (cls, ...children) => line.append(dm.element("td", { cls }, ...children));
    const shown = link(isFolder ? `${name}/` : name, full, open);
    cell("", shown, ...(isLink ? [dm.element("span", { cls: "dm-muted", text: ` → ${target}` })] : []));
    cell("dm-num", isFolder ? "" : fileSize(size));
    cell("dm-muted dm-wide", new Date(mtime * 1000).toISOString().slice(0, 19).replace("T", " "));
    cell("dm-mono dm-muted dm-wide", mode);
    cell("dm-acts", link("download", `download ${full}`, () => download(full)));
    return line;
  };

  const receivers = {
    listing(message) {
      path = message.path;
      note.textContent = `${message.entries.length} entr${message.entries.length === 1 ? "y" : "ies"}`;
      showCrumbs();
      const body = dm.element("tbody", {}, ...message.entries.map(row));
      list.replaceChildren(dm.element("table", {}, body));
    },
    content(message) {
      const label = `${message.path} · ${fileSize(message.size)}`;
      const body =
        message.text === null
          ? dm.element("p", { cls: "dm-muted", text: "not text: download it to look inside" })
          : dm.element("pre", { text: message.text });
      const close = dm.button("kill", "Close", () => (content.hidden = true));
      const top = dm.element("div", { cls: "dm-head" }, dm.element("b", { text: label }));
      if (message.cut) top.append(dm.element("span", { cls: "dm-muted", text: "its beginning" }));
      top.append(dm.element("span", { cls: "dm-tools" }, close));
      content.replaceChildren(top, body);
      content.hidden = false;
    },
    begin(message) {
      const download = downloads.get(message.id);
      if (!download) return;
      download.name = message.name;
      send("next", { id: message.id });
    },
    piece(message, buffers) {
      const download = downloads.get(message.id);
      if (!download) return;
      download.pieces.push(...(buffers ?? []));
      if (!message.last) return send("next", { id: message.id });
      downloads.delete(message.id);
      const address = URL.createObjectURL(new Blob(download.pieces, { type: "application/octet-stream" }));
      const anchor = dm.element("a");
      anchor.href = address;
      anchor.download = download.name;
      anchor.click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
      note.textContent = `${download.name} downloaded`;
    },
    async more(message) {
      const upload = uploads.get(message.id);
      if (!upload) return;
      const end = Math.min(upload.at + UPLOAD_PIECE, upload.file.size);
      const data = await upload.file.slice(upload.at, end).arrayBuffer();
      upload.at = end;
      const last = end >= upload.file.size;
      const more = { id: message.id, name: upload.file.name, path: upload.path, last };
      send("upload", more, data.byteLength ? [data] : []);
    },
    uploaded(message) {
      uploads.delete(message.id);
      note.textContent = `${message.name} uploaded`;
      go(path);
    },
    error(message) {
      note.textContent = message.text;
    },
  };
  choose.addEventListener("change", () => {
    for (const file of choose.files) {
      const id = `${page}${uploads.size}${Date.now()}`;
      uploads.set(id, { file, at: 0, path });
      note.textContent = `uploading ${file.name}…`;
      receivers.more({ id });
    }
    choose.value = "";
  });
  const onMessage = (message, buffers) => {
    if (message.page === page && Object.hasOwn(receivers, message.kind)) receivers[message.kind](message, buffers);
  };
  model.on("msg:custom", onMessage);
  go(path);
  return () => {
    model.off("msg:custom", onMessage);
    el.replaceChildren();
  };
}
