// A set of the user's beside generated lenses, and the report of an evaluation.

import { get, lines, unpacked } from "./api.js";
import { tile } from "./many.js";
import { element, limits } from "./picture.js";

const NUM = 12;

export class CompareRoom {
  constructor(about, panel, look) {
    Object.assign(this, { about, panel, look, first: 0, abort: null });
    this.own = document.getElementById("own");
    this.others = document.getElementById("others");
    this.place = document.getElementById("place");
    document.getElementById("own-name").textContent = about.set?.name ?? "Yours";
    document.getElementById("no-set").hidden = Boolean(about.set);
    document.getElementById("turn").hidden = !about.set;
    document.getElementById("no-report").hidden = about.has_report;
    document.getElementById("back").addEventListener("click", () => this.turn(-NUM));
    document.getElementById("on").addEventListener("click", () => this.turn(NUM));
  }

  turn(by) {
    const last = Math.max(0, Math.floor((this.about.set.num - 1) / NUM) * NUM);
    this.first = Math.min(last, Math.max(0, this.first + by));
    this.draw();
  }

  async draw(isDraft = false) {
    if (isDraft) return;
    if (this.about.has_report && !document.querySelector("#report iframe")) {
      document.getElementById("report").append(element("iframe", { src: "/report", title: "Report of the evaluation" }));
    }
    this.abort?.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    const order = { ...this.panel.order, num: Math.min(NUM, this.about.max_num), label: null, parameters: {}, seed: this.panel.order.seed + this.first };
    try {
      if (this.about.set) {
        const { num } = this.about.set;
        const page = await get(`/api/set?first=${this.first}&num=${NUM}`);
        this.place.textContent = `${this.first + 1} to ${this.first + page.images.length} of ${num}`;
        this.ownImages = page.images.map((image, k) => ({ image: unpacked(image), label: page.labels[k] }));
        this.fill(this.own, this.ownImages, this.about.set.pixel_scale, this.first);
      }
      const found = [];
      for await (const item of lines("/api/many", order, signal)) {
        (item.images ?? []).forEach((image, k) => found.push({ image: unpacked(image), label: item.labels[k] }));
        if (item.images) this.fill(this.others, found, this.about.pixel_scale, 0);
      }
      this.found = found;
    } catch {
      // Said already, or another order has taken its place.
    }
  }

  fill(box, images, pixelScale, first) {
    if (!images?.length) return;
    const ends = limits(images.map((each) => each.image));
    box.replaceChildren(...images.map(({ image, label }, k) =>
      tile(image, `${first + k} ${label.replaceAll("_", " ")}`, this.look, ends, pixelScale)));
  }

  show() {
    this.fill(this.own, this.ownImages, this.about.set?.pixel_scale, this.first);
    this.fill(this.others, this.found, this.about.pixel_scale, 0);
  }

  leave() {
    this.abort?.abort();
  }
}
