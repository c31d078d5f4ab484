// The order: a row for each thing that can be asked of the model.

import { element } from "./picture.js";

const NAMES = {
  theta_E: "Einstein radius",
  source_x: "Source x",
  source_y: "Source y",
  gamma1: "Shear γ₁",
  gamma2: "Shear γ₂",
  signal_to_noise: "Signal to noise",
  lens_e1: "Lens ellipticity e₁",
  lens_e2: "Lens ellipticity e₂",
  source_R_sersic: "Source radius",
  source_n_sersic: "Sérsic index",
  source_e1: "Source ellipticity e₁",
  source_e2: "Source ellipticity e₂",
};
// Where sliders stand at first, as shares of their range: a source just off the axis.
const FIRST = { source_x: 0.68, source_y: 0.6 };
// Follows from the others, so it is left to them.
const FREE = ["signal_to_noise"];

// A slider with its number, and whether the value is left open.
class Row {
  constructor({ name, title, unit = "", low, high, scale = "linear", step = null, first, isAny = false, canBeAny = true, any = "any" }) {
    Object.assign(this, { name, low, high, isLog: scale === "log", isWhole: step === 1, first, firstAny: isAny });
    this.slider = element("input", { type: "range", min: 0, max: 1000, step: 1, id: `slide-${name}` });
    this.number = element("input", { type: "number", step: "any", min: low, max: high });
    this.number.setAttribute("aria-label", `${title}, as a number`);
    this.any = element("input", { type: "checkbox" });
    const label = element("label", { htmlFor: this.slider.id, title: name }, title, " ", element("small", {}, unit));
    const free = element("label", { className: "any" }, this.any, any);
    free.hidden = !canBeAny;
    this.any.setAttribute("aria-label", `${title}: ${any}`);
    this.element = element("div", { className: "row" }, label, this.number, free, this.slider);
    if (step === 1 && high - low < 1000) Object.assign(this.slider, { min: low, max: high });
    this.reset();
    this.slider.addEventListener("input", () => this.set(this.fromSlider(), false));
    this.number.addEventListener("change", () => this.set(this.number.valueAsNumber, false));
  }

  get isDirect() {
    return Number(this.slider.max) !== 1000;
  }

  fromSlider() {
    const at = this.slider.valueAsNumber;
    if (this.isDirect) return at;
    const share = at / 1000;
    return this.isLog ? this.low * (this.high / this.low) ** share : this.low + share * (this.high - this.low);
  }

  set(value, isAny = this.any.checked) {
    let chosen = Number.isFinite(value) ? Math.min(this.high, Math.max(this.low, value)) : this.first;
    const digits = this.isWhole ? 0 : Math.max(0, 2 - Math.floor(Math.log10((this.isLog ? chosen : this.high - this.low) || 1)));
    chosen = Math.min(this.high, Math.max(this.low, Number(chosen.toFixed(digits))));
    this.current = chosen;
    this.number.value = chosen;
    const share = this.isLog ? Math.log(chosen / this.low) / Math.log(this.high / this.low) : (chosen - this.low) / (this.high - this.low);
    this.slider.value = this.isDirect ? chosen : 1000 * share;
    this.slider.setAttribute("aria-valuetext", String(chosen));
    this.leave(isAny);
  }

  leave(isAny) {
    this.any.checked = isAny;
    this.element.classList.toggle("is-any", isAny);
  }

  reset() {
    this.set(this.first, this.firstAny);
  }

  get value() {
    return this.any.checked ? null : this.current;
  }
}

export function choice(name, options, chosen, onChange) {
  const box = element("div", { className: "choice" });
  box.setAttribute("role", "radiogroup");
  for (const [value, title] of options) {
    const input = element("input", { type: "radio", name, value, checked: value === chosen, defaultChecked: value === chosen });
    if (onChange) input.addEventListener("change", () => onChange(value));
    box.append(element("label", {}, input, element("span", {}, title)));
  }
  return box;
}

export class Panel {
  // `onChange(isDraft)` is called while a slider moves, with true, and once it rests.
  constructor(about, onChange) {
    this.form = document.getElementById("panel");
    this.about = about;
    this.seed = 0;
    const classes = document.getElementById("classes");
    const names = about.classes.map((name) => [name, name.replaceAll("_", " ")]);
    if (names.length) classes.append(choice("label", [...names, ["any", "any"]], about.classes[0]));
    classes.hidden = !names.length;
    this.parameters = about.parameters.map((each) => new Row({
      ...each,
      title: NAMES[each.name] ?? each.name,
      first: each.scale === "log" ? Math.sqrt(each.low * each.high) : each.low + (FIRST[each.name] ?? 0.5) * (each.high - each.low),
      isAny: FREE.includes(each.name),
    }));
    this.add("parameters", this.parameters);
    this.guidance = new Row({ name: "guidance", title: "Guidance", low: 0, high: 4, first: 1, canBeAny: false });
    this.steps = new Row({ name: "steps", title: "Steps", low: 1, high: Math.min(60, about.max_steps), step: 1, first: about.steps, canBeAny: false });
    this.seedRow = new Row({ name: "seed", title: "Seed", low: 0, high: 999999, step: 1, first: 0, canBeAny: false });
    this.seedRow.slider.hidden = true;
    this.add("drawing", about.is_conditional ? [this.guidance, this.steps, this.seedRow] : [this.steps, this.seedRow]);
    this.depth = [];
    if (about.observation) {
      const { background_rms: sky, exposure_time: time } = about.observation;
      this.sky = new Row({ name: "sky_rms", title: "Sky noise", unit: "e⁻/s", low: sky / 10 || 1e-4, high: 10 * sky || 1, scale: "log", first: sky || 1e-3, isAny: true, any: "as trained" });
      this.exposure = new Row({ name: "exposure_s", title: "Exposure", unit: "s", low: 10, high: 100000, scale: "log", first: time ?? 1000, isAny: true, any: "as trained" });
      this.depth = [this.sky, this.exposure];
    }
    this.add("depth", this.depth);
    this.form.addEventListener("input", (event) => {
      if (event.target.type === "checkbox") this.rows.find((row) => row.any === event.target)?.leave(event.target.checked);
      onChange(event.target.type === "range");
    });
    this.form.addEventListener("change", () => onChange(false));
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("reset", () => setTimeout(() => {
      this.rows.forEach((row) => row.reset());
      onChange(false);
    }));
    document.getElementById("another").addEventListener("click", () => {
      this.seedRow.set(this.seedRow.current + 1);
      onChange(false);
    });
    document.getElementById("surprise").addEventListener("click", () => {
      for (const row of this.parameters) if (!FREE.includes(row.name)) row.set(row.low + Math.random() * (row.high - row.low), false);
      const radios = [...this.form.querySelectorAll("[name=label]")].slice(0, -1);
      if (radios.length) radios[Math.floor(Math.random() * radios.length)].checked = true;
      this.seedRow.set(Math.floor(Math.random() * 1000000));
      onChange(false);
    });
  }

  add(id, rows) {
    const box = document.getElementById(id);
    box.append(...rows.map((row) => row.element));
    box.hidden = !rows.length;
  }

  get rows() {
    return [...this.parameters, this.guidance, this.steps, this.seedRow, ...this.depth];
  }

  get order() {
    const given = this.parameters.filter((row) => row.value !== null);
    return {
      label: this.form.elements.label?.value || null,
      parameters: Object.fromEntries(given.map((row) => [row.name, row.value])),
      guidance: this.guidance.value,
      steps: this.steps.value === this.about.steps ? null : this.steps.value,
      seed: this.seedRow.value,
      sky_rms: this.sky?.value ?? null,
      exposure_s: this.exposure?.value ?? null,
    };
  }
}
