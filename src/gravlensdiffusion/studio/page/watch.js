// The way of a lens from noise, to be played or stepped through.

import { ask, unpacked } from "./api.js";
import { Picture, limits } from "./picture.js";

const FRAME_MS = 110;

export class WatchRoom {
  constructor(about, panel, look) {
    Object.assign(this, { panel, look, frames: [], timer: null, abort: null });
    const how = { hasLegend: false, pixelScale: about.pixel_scale };
    this.noisy = new Picture("The model sees", how);
    this.guess = new Picture("It makes out", how);
    document.getElementById("film").append(this.noisy.figure, this.guess.figure);
    this.handle = document.getElementById("handle");
    this.button = document.getElementById("play");
    this.moment = document.getElementById("moment");
    this.handle.addEventListener("input", () => { this.pause(); this.show(); });
    this.handle.addEventListener("keydown", (event) => {
      if (event.key === " ") {
        event.preventDefault();
        this.toggle();
      }
    });
    this.button.addEventListener("click", () => this.toggle());
  }

  async draw(isDraft = false) {
    if (isDraft) return;
    this.abort?.abort();
    this.abort = new AbortController();
    const found = await ask("/api/watch", this.panel.order, this.abort.signal).catch(() => null);
    if (!found) return;
    this.pause();
    this.numSteps = found.num_steps;
    this.frames = found.frames.map((each) => ({ step: each.step, noisy: unpacked(each.noisy), guess: unpacked(each.guess) }));
    this.handle.max = this.frames.length - 1;
    this.handle.value = 0;
    this.show();
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.play();
  }

  show() {
    const frame = this.frames[this.handle.valueAsNumber];
    if (!frame) return;
    // The scale of the model is a stretch already.
    const look = { stretch: "linear", colour: this.look.colour };
    const ends = limits([this.frames.at(-1).guess]);
    this.noisy.show(frame.noisy, look, limits([frame.noisy]));
    this.guess.show(frame.guess, look, ends);
    this.moment.textContent = `step ${frame.step} of ${this.numSteps}`;
    this.handle.setAttribute("aria-valuetext", this.moment.textContent);
  }

  toggle() {
    if (this.timer) this.pause();
    else this.play();
  }

  play() {
    if (!this.frames.length) return;
    if (this.handle.value === this.handle.max) this.handle.value = 0;
    this.button.textContent = "Pause";
    clearInterval(this.timer);
    this.timer = setInterval(() => {
      this.handle.value = this.handle.valueAsNumber + 1;
      this.show();
      if (this.handle.value === this.handle.max) this.pause();
    }, FRAME_MS);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    this.button.textContent = "Play";
  }

  leave() {
    this.abort?.abort();
    this.pause();
  }
}
