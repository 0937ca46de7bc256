// What a page gets beyond its links and forms: keys for the search, copy buttons, refreshing.
// A page works without this file.
"use strict";
(() => {
  const REFRESH_MS = 5000;
  const find = document.getElementById("find");
  const isMac = /Mac|iPhone|iPad/.test(navigator.platform);

  // On a phone the navigation is one row, which may begin far from where one is.
  document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

  if (find) {
    document.querySelector("[data-find-key]").textContent = isMac ? "⌘K" : "Ctrl K";
    document.addEventListener("keydown", (event) => {
      if (event.key.toLowerCase() === "k" && (event.metaKey || event.ctrlKey)) {
        event.preventDefault();
        find.focus();
        find.select();
      }
    });
    const form = find.closest("form");
    form.addEventListener("keydown", (event) => {
      const hits = [...form.querySelectorAll("#quick-hits a")];
      const place = hits.indexOf(document.activeElement);
      if (event.key === "Escape") {
        document.getElementById("quick-hits").replaceChildren();
        find.focus();
      } else if (event.key === "ArrowDown" && hits.length) {
        event.preventDefault();
        hits[Math.min(place + 1, hits.length - 1)].focus();
      } else if (event.key === "ArrowUp" && place >= 0) {
        event.preventDefault();
        (hits[place - 1] ?? find).focus();
      }
    });
  }

  // The Clipboard API exists in secure contexts only; elsewhere there is no button.
  const showCopyButtons = () => {
    for (const button of document.querySelectorAll("[data-copy][hidden]")) {
      button.hidden = !navigator.clipboard;
    }
  };
  showCopyButtons();
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    }
  });

  // A refresh must not move what a person reads or types, and a hidden tab asks nothing.
  const isBusy = (part) => {
    const focused = document.activeElement;
    const types = part.contains(focused) && focused.matches("input, select, textarea");
    const selection = document.getSelection();
    const marks = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
    return types || marks;
  };
  setInterval(() => {
    if (document.hidden) return;
    for (const part of document.querySelectorAll("[data-refresh]")) {
      if (!isBusy(part)) htmx.trigger(part, "refresh");
    }
  }, REFRESH_MS);
  document.addEventListener("htmx:after:swap", showCopyButtons);
})();
