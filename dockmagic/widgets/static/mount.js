// Draws a view over the element of its output, wherever and whenever that element is in the page.

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
      own.append(el);
      cleanup = render({ model, el, host: place }) ?? (() => {});
      own.dmCleanup = cleanup;
    }
    for (const node of still) if (node.style) node.style.display = "none";
    place.append(own);
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
  model.on("change:mount", look);
  look();
  // `isGone`: the kernel was restarted or has died, and no message will come or go any more.
  const leave = (isGone) => {
    observer.disconnect();
    model.off("change:mount", look);
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
