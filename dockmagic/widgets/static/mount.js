// Draws a view over the element of its output, wherever and whenever that element is in the page.

// The model behind anywidget's: it is what events of its traits are given. Its manager knows the
// notebook in JupyterLab and Notebook; elsewhere there is nothing to be had, and nothing is lost.
function notebookOf(model) {
  let cells;
  const look = (real) => (cells = real?.widget_manager?.context?.model?.cells);
  model.on("change:nudge", look);
  model.set("nudge", Date.now());
  model.off("change:nudge", look);
  return cells;
}

// Replaces the output over which a view is drawn, in the notebook that is saved.
function replaceOutput(model, bundle) {
  const mark = `data-dm-view="${model.get("mount")}"`;
  const cells = notebookOf(model);
  for (let index = 0; index < (cells?.length ?? 0); index++) {
    const outputs = cells.get(index).outputs;
    for (let at = 0; at < (outputs?.length ?? 0); at++) {
      const html = [outputs.get(at).data?.["text/html"] ?? ""].flat().join("");
      if (html.includes(mark)) {
        outputs.set(at, { output_type: "display_data", data: bundle, metadata: {} });
      }
    }
  }
}

// An output that is replaced takes the focus from what is typed into; `dmFocus` is what had it.
function keepFocus(own) {
  own.addEventListener("focusin", (event) => (own.dmFocus = event.target));
  own.addEventListener("focusout", () => {
    setTimeout(() => {
      if (own.isConnected && !own.contains(document.activeElement)) own.dmFocus = null;
    });
  });
}

function mounting(model) {
  const places = new Map(); // element -> how to take the view away from it
  const nodes = new Map(); // a view keeps its node: an output that is replaced gets it back

  function put(place) {
    const still = [...place.childNodes];
    const own = nodes.get("free") ?? document.createElement("div");
    nodes.delete("free");
    let cleanup = own.dmCleanup;
    if (!own.dmCleanup) {
      own.className = "dm dm-live";
      const el = document.createElement("div");
      own.append(dm.element("style", { text: dm.style }), el);
      cleanup = render({ model, el, host: place }) ?? (() => {});
      own.dmCleanup = cleanup;
      keepFocus(own);
    }
    for (const node of still) if (node.style) node.style.display = "none";
    place.append(own);
    if (own.dmFocus && document.activeElement === document.body) own.dmFocus.focus();
    places.set(place, { own, still });
  }

  function look() {
    for (const [place, { own }] of places) {
      if (place.isConnected) continue;
      places.delete(place); // replaced, or scrolled out of sight: the next place gets the node
      if (nodes.has("free")) own.dmCleanup();
      else nodes.set("free", own);
    }
    const id = model.get("mount");
    if (!id) return;
    for (const place of document.querySelectorAll(`[data-dm-view="${id}"]`)) {
      if (!places.has(place)) put(place);
    }
  }

  const observer = new MutationObserver(look);
  observer.observe(document.body, { childList: true, subtree: true });
  const receive = (message) => {
    if (message.kind === "lasting") replaceOutput(model, message.bundle);
  };
  model.on("change:mount", look);
  model.on("msg:custom", receive);
  look();
  // `isGone`: the kernel was restarted or has died, and no message will come or go any more.
  const leave = (isGone) => {
    observer.disconnect();
    model.off("change:mount", look);
    model.off("msg:custom", receive);
    for (const [place, { own, still }] of places) {
      own.dmCleanup(isGone);
      own.remove();
      for (const node of still) if (node.style) node.style.display = "";
    }
    nodes.get("free")?.dmCleanup(isGone);
    nodes.clear();
    places.clear();
  };
  model.on("comm_live_update", () => leave(true));
  return () => leave(false);
}

export default {
  initialize({ model }) {
    return mounting(model);
  },
};
