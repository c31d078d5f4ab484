// One lens, beside what lenstronomy makes of the same parameters, and what is left between them.

import { ask, unpacked } from "./api.js";
import { elsewhere } from "./code.js";
import { choice } from "./panel.js";
import { COLOURS, Picture, STRETCHES, difference, element, limits, number, percentile } from "./picture.js";

export class OrderRoom {
  constructor(about, panel, look) {
    Object.assign(this, { about, panel, look, room: document.getElementById("order"), isDrawing: false, next: null });
    const onPoint = (point) => this.point(point);
    const how = { pixelScale: about.pixel_scale, onPoint };
    this.generated = new Picture("Generated", how);
    this.simulated = new Picture("Simulated by lenstronomy", how);
    this.rest = new Picture("Difference", how);
    this.pictures = [this.generated, this.simulated, this.rest];
    document.getElementById("trio").append(...this.pictures.map((each) => each.figure));
    this.readout = document.getElementById("readout");
    const bar = document.getElementById("looks");
    bar.append(choice("stretch", STRETCHES.map((name) => [name, name]), look.stretch, (value) => this.change({ stretch: value })));
    const colours = element("select", {}, ...COLOURS.map((name) => element("option", {}, name)));
    colours.setAttribute("aria-label", "Colour map");
    colours.value = look.colour;
    colours.addEventListener("change", () => this.change({ colour: colours.value }));
    bar.append(colours);
    if (about.observation) {
      bar.append(choice("noise", [["image", "with noise"], ["noise_free", "noise-free"]], look.kind, (value) => this.change({ kind: value })));
    }
  }

  change(what) {
    Object.assign(this.look, what);
    this.room.dispatchEvent(new CustomEvent("look", { bubbles: true }));
  }

  // The latest order wins; the one under way is shown first, so that pictures follow the slider.
  async draw(isDraft = false) {
    this.next = { ...this.panel.order, is_draft: isDraft };
    if (this.isDrawing) return;
    this.isDrawing = true;
    try {
      while (this.next) {
        const order = this.next;
        this.next = null;
        const began = performance.now();
        this.found = await ask("/api/lens", order).catch(() => null);
        if (!this.found) break;
        const seconds = ((performance.now() - began) / 1000).toFixed(2);
        this.generated.aside.textContent = `${this.found.steps} ${this.found.steps === 1 ? "step" : "steps"}`;
        this.generated.aside.title = `${seconds} s from order to answer`;
        this.show();
        elsewhere(this.room.querySelector(".elsewhere"), this.found);
      }
    } finally {
      this.isDrawing = false;
    }
  }

  show() {
    if (!this.found) return;
    const { generated, simulated } = this.found;
    const pick = (images) => unpacked(images[this.look.kind] ?? images.image);
    const one = pick(generated);
    const two = simulated && pick(simulated);
    const ends = limits(two ? [one, two] : [one]);
    this.generated.show(one, this.look, ends);
    if (!two) {
      this.simulated.clear("The model does not say which simulation it has learned.");
      this.rest.clear("");
      return;
    }
    this.simulated.show(two, this.look, ends);
    this.simulated.aside.textContent = this.about.preset;
    if (!simulated.is_same) {
      this.rest.clear("The model takes no Einstein radius: another lens of the class, with nothing to subtract.");
      return;
    }
    const left = difference(one, two);
    const size = percentile(left.values.map(Math.abs), 0.998) || 1;
    const look = { stretch: "linear", isSigned: true, colour: document.documentElement.dataset.theme };
    this.rest.show(left, look, [-size, size]);
    const rms = Math.sqrt(left.values.reduce((sum, value) => sum + value * value, 0) / left.values.length);
    this.rest.aside.textContent = `rms ${((100 * rms) / (ends[1] || 1)).toPrecision(2)}% of the peak`;
    this.pictures.forEach((each) => each.mark(each.point));
  }

  point(point) {
    this.pictures.forEach((each) => each.mark(each.image ? point : null));
    if (!point) {
      this.readout.replaceChildren();
      return;
    }
    const image = this.generated.image;
    const at = [point.column - (image.width - 1) / 2, point.row - (image.height - 1) / 2];
    const place = this.about.pixel_scale
      ? at.map((each) => `${(each * this.about.pixel_scale).toFixed(2)}″`).join(", ")
      : `${point.column}, ${point.row}`;
    const values = this.pictures.filter((each) => each.image).flatMap((each, k) => [
      ` · ${["generated", "simulated", "difference"][k]} `,
      element("b", {}, number(each.at(point))),
    ]);
    this.readout.replaceChildren(`x, y ${place}`, ...values, ` ${this.about.flux_unit}`);
  }
}
