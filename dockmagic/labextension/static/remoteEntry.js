/* Highlights %%dockerfile and %%docker cells, and marks the lines of a Dockerfile's errors.

A prebuilt extension of JupyterLab 4 and Notebook 7, as their loader wants it: this file registers a
container with `init`, which is given the modules that the front end shares, and `get`. That is all
a bundler would add, so there is none, and this source is what the wheel ships. It uses the front
end's own CodeMirror and its own language for Dockerfiles; nothing is loaded from elsewhere. */
"use strict";

(() => {
  const MARK = "dm-error-line";
  const STYLE = `
.cm-line.${MARK} {
  background: color-mix(in srgb, var(--jp-error-color1, #c62828) 12%, transparent);
  text-decoration: underline wavy var(--jp-error-color1, #c62828) 1px;
  text-underline-offset: 3px;
  box-shadow: inset 3px 0 var(--jp-error-color1, #c62828);
}`;
  // A cell's first words, and the language of what follows.
  const LANGUAGES = [
    [/^%%dockerfile\b/, "text/x-dockerfile"],
    [/^%%docker\b/, "text/x-sh"],
  ];
  const followed = new WeakSet();
  let shared = {};

  /* The module that the front end shares under a name; of several versions the one in use. */
  async function load(name) {
    const versions = Object.values(shared[name] || {});
    const chosen = versions.find((version) => version.loaded) || versions[0];
    if (!chosen) {
      throw new Error(`dockmagic: this front end does not share ${name}`);
    }
    return (await chosen.get())();
  }

  function languageOf(source) {
    const entry = LANGUAGES.find(([pattern]) => pattern.test(source));
    return entry ? entry[1] : "";
  }

  /* The lines of a Dockerfile that the cell's error output marks with >>>, from 1. */
  function errorLines(outputs) {
    const lines = new Set();
    for (let index = 0; index < outputs.length; index++) {
      const output = outputs.get(index);
      if (output.type !== "error") {
        continue;
      }
      const text = (output.toJSON().traceback || []).join("\n");
      for (const match of text.matchAll(/^\s*(\d+) \| >>>/gm)) {
        lines.add(Number(match[1]));
      }
    }
    return [...lines].sort((first, second) => first - second);
  }

  /* What an editor of a cell gets: a language that comes before the notebook's own, and marks of
     lines until they are edited. */
  function extensions({ Compartment, Prec, StateEffect, StateField }, { Decoration, EditorView }) {
    const setLines = StateEffect.define();
    const line = Decoration.line({ class: MARK, attributes: { "aria-invalid": "true" } });
    const field = StateField.define({
      create: () => Decoration.none,
      update(marks, transaction) {
        let changed = transaction.docChanged ? Decoration.none : marks;
        for (const effect of transaction.effects) {
          if (effect.is(setLines)) {
            const document = transaction.state.doc;
            const known = effect.value.filter((number) => number <= document.lines);
            changed = Decoration.set(known.map((number) => line.range(document.line(number).from)));
          }
        }
        return changed;
      },
      provide: (self) => EditorView.decorations.from(self),
    });
    const language = new Compartment();
    return { all: [field, Prec.highest(language.of([]))], field, language, setLines };
  }

  /* Follows one cell: its language, and the marks of its errors. */
  function follow(cell, languages, offered) {
    const model = cell.model;
    if (model.type !== "code" || followed.has(cell)) {
      return;
    }
    followed.add(cell);
    let current = "";

    const view = () => {
      if (cell.isDisposed || !cell.editor) {
        return null;
      }
      if (!cell.editor.editor.state.field(offered.field, false)) {
        cell.editor.injectExtension(offered.all);
        current = "";
      }
      return cell.editor.editor;
    };
    const setLanguage = async () => {
      const wanted = languageOf(model.sharedModel.getSource());
      if (wanted === current || !view()) {
        return;
      }
      current = wanted;
      const language = wanted ? await languages.getLanguage(wanted) : null;
      if (current === wanted && view()) {
        const support = language && language.support ? language.support : [];
        view().dispatch({ effects: offered.language.reconfigure(support) });
      }
    };
    const setMarks = () => {
      if (!/^%%dockerfile\b/.test(model.sharedModel.getSource()) || !view()) {
        return;
      }
      const lines = errorLines(model.outputs).map((number) => number + 1); // below %%dockerfile
      view().dispatch({ effects: offered.setLines.of(lines) });
    };
    const begin = () => {
      setLanguage();
      setMarks();
    };
    // The editor changes the model in the middle of its own update, in which it takes no other.
    model.contentChanged.connect(() => queueMicrotask(setLanguage));
    model.outputs.changed.connect(setMarks);
    Promise.resolve(cell.ready).then(begin);
  }

  function activate(tracker, languages, offered) {
    const style = document.createElement("style");
    style.textContent = STYLE;
    document.head.append(style);
    const followAll = (panel) => {
      for (const cell of panel.content.widgets) {
        follow(cell, languages, offered);
      }
    };
    tracker.forEach(watch);
    tracker.widgetAdded.connect((_, panel) => watch(panel));

    function watch(panel) {
      panel.context.ready.then(() => {
        followAll(panel);
        panel.content.model.cells.changed.connect(() => {
          // The widgets of new cells come after their models.
          Promise.resolve().then(() => followAll(panel));
        });
        panel.content.modelContentChanged.connect(() => followAll(panel));
      });
    }
  }

  async function extension() {
    const names = ["notebook", "codemirror"].map((name) => `@jupyterlab/${name}`);
    const [notebook, codemirror, state, view] = await Promise.all(
      [...names, "@codemirror/state", "@codemirror/view"].map(load),
    );
    const offered = extensions(state, view);
    const plugin = {
      id: "dockmagic:dockerfile-cells",
      description: "Highlights Dockerfile cells and marks the lines of their errors.",
      autoStart: true,
      requires: [notebook.INotebookTracker, codemirror.IEditorLanguageRegistry],
      activate: (_, tracker, languages) => activate(tracker, languages, offered),
    };
    return { default: [plugin], __esModule: true };
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB.dockmagic = {
    init(scope) {
      shared = scope;
    },
    async get(module) {
      if (module !== "./extension") {
        throw new Error(`dockmagic: no module ${module}`);
      }
      const exported = await extension();
      return () => exported;
    },
  };
})();
