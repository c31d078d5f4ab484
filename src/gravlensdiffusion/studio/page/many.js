// A set of lenses, drawn while one looks on.

import { lines, unpacked } from "./api.js";
import { elsewhere } from "./code.js";
import { choice } from "./panel.js";
import { Picture, element, limits, paint } from "./picture.js";

// A small picture that opens in full when it is chosen.
export function tile(image, title, look, ends, pixelScale) {
  const canvas = element("canvas");
  paint(canvas, image, look, ends);
  const button = element("button", { type: "button" }, element("div", { className: "sky" }, canvas));
  button.setAttribute("aria-label", `${title}, in full`);
  button.addEventListener("click", () => {
    const picture = new Picture(title, { pixelScale });
    const dialog = element("dialog", {}, picture.figure, element("form", { method: "dialog", className: "bar" }, element("button", { autofocus: true }, "Close")));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    picture.show(image, look, ends);
    dialog.showModal();
  });
  return element("figure", {}, button, element("figcaption", {}, title));
}

export class ManyRoom {
  constructor(about, panel, look) {
    Object.assign(this, { about, panel, look, images: [], room: document.getElementById("many"), abort: null });
    this.tiles = document.getElementById("tiles");
    this.num = document.getElementById("num");
    document.getElementById("kinds").append(choice("kind", [["all", "of all kinds"], ["ordered", "as ordered"]], "all"));
    this.num.max = about.max_num;
    this.num.value = Math.min(24, about.max_num);
    this.progress = document.getElementById("progress");
    this.done = document.getElementById("done");
    this.saves = document.getElementById("saves");
    document.getElementById("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.begin();
    });
  }

  get order() {
    const asked = { ...this.panel.order, num: this.num.valueAsNumber };
    return document.querySelector("[name=kind]:checked").value === "all" ? { ...asked, label: null, parameters: {} } : asked;
  }

  draw(isDraft = false) {
    if (!isDraft && !this.images.length) this.begin();
  }

  async begin() {
    this.abort?.abort();
    const abort = new AbortController();
    this.abort = abort;
    this.images = [];
    this.tiles.replaceChildren();
    this.saves.hidden = true;
    this.progress.hidden = false;
    this.progress.value = 0;
    const order = this.order;
    const began = performance.now();
    let total = order.num;
    try {
      for await (const item of lines("/api/many", order, abort.signal)) {
        if (item.total) total = item.total;
        for (const [k, image] of (item.images ?? []).entries()) {
          this.images.push({ image: unpacked(image), label: item.labels[k] });
        }
        if (item.images) this.grow();
        this.progress.value = this.images.length / total;
        this.done.textContent = `${this.images.length} of ${total}`;
        if (item.shell) elsewhere(this.room.querySelector(".elsewhere"), item);
      }
    } catch {
      return;
    } finally {
      if (this.abort === abort) this.progress.hidden = true;
    }
    this.done.textContent = `${total} lenses in ${((performance.now() - began) / 1000).toFixed(1)} s`;
    this.saves.hidden = false;
    for (const link of this.saves.querySelectorAll("a")) {
      link.href = `/api/file?${new URLSearchParams({ kind: link.dataset.kind, order: JSON.stringify(order) })}`;
    }
  }

  grow() {
    this.ends ??= limits([this.images[0].image]);
    if (this.tiles.childElementCount === 0) this.ends = limits(this.images.map((each) => each.image));
    for (const { image, label } of this.images.slice(this.tiles.childElementCount)) {
      const title = `${this.tiles.childElementCount} ${label.replaceAll("_", " ")}`;
      this.tiles.append(tile(image, title, this.look, this.ends, this.about.pixel_scale));
    }
  }

  show() {
    if (!this.images.length) return;
    this.tiles.replaceChildren();
    this.grow();
  }

  leave() {
    if (!this.progress.hidden) this.images = [];
    this.abort?.abort();
  }
}
