// Real, simulated or generated? Ten images, then the answer.

import { ask, unpacked } from "./api.js";
import { choice } from "./panel.js";
import { element, limits, paint } from "./picture.js";

export class GuessRoom {
  constructor(about, panel, look) {
    Object.assign(this, { look, game: null, total: [0, 0] });
    this.cards = document.getElementById("cards");
    this.score = document.getElementById("score");
    this.button = document.querySelector("#game .main");
    document.getElementById("again").addEventListener("click", () => this.begin());
    document.getElementById("game").addEventListener("submit", (event) => {
      event.preventDefault();
      this.end();
    });
    document.getElementById("game").addEventListener("change", () => this.count());
  }

  draw(isDraft = false) {
    if (!isDraft && !this.game) this.begin();
  }

  async begin() {
    const found = await ask("/api/guess").catch(() => null);
    if (!found) return;
    this.game = found.game;
    this.images = found.images.map(unpacked);
    const origins = found.origins.map((name) => [name, name]);
    const words = found.origins.join(", ").replace(/, (\w+)$/, " or $1");
    document.getElementById("rules").textContent = `${words[0].toUpperCase()}${words.slice(1)}? Ten images, each on its own scale.`;
    this.cards.replaceChildren(...this.images.map((image, k) => {
      const canvas = element("canvas");
      const truth = element("p", { className: "truth" });
      const options = choice(`image-${k}`, origins, null);
      options.setAttribute("aria-label", `Image ${k + 1}`);
      return element("figure", { className: "card" }, element("div", { className: "sky" }, canvas), options, truth);
    }));
    this.show();
    this.score.textContent = "";
    this.count();
  }

  show() {
    this.images?.forEach((image, k) => {
      paint(this.cards.querySelectorAll("canvas")[k], image, { stretch: "asinh", colour: this.look.colour }, limits([image]));
    });
  }

  get answers() {
    return this.images.map((_, k) => document.querySelector(`[name=image-${k}]:checked`)?.value);
  }

  count() {
    this.button.disabled = !this.images || this.answers.includes(undefined);
  }

  async end() {
    const { answers } = this;
    const found = await ask("/api/answer", { game: this.game, origins: answers }).catch(() => null);
    if (!found) return;
    this.button.disabled = true;
    found.truth.forEach((truth, k) => {
      const card = this.cards.children[k];
      const isRight = truth === answers[k];
      card.classList.add(isRight ? "right" : "wrong");
      card.querySelector(".truth").textContent = isRight ? `right: ${truth}` : truth;
      card.querySelectorAll("input").forEach((input) => { input.disabled = true; });
    });
    this.total = [this.total[0] + found.score, this.total[1] + found.truth.length];
    const sum = this.total[1] > found.truth.length ? `, ${this.total.join(" of ")} in all` : "";
    this.score.textContent = `${found.score} of ${found.truth.length}${sum}`;
  }
}
