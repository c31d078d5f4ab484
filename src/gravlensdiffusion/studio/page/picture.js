// From flux to colours on a canvas, row 0 at the bottom.

const STOPS = {
  grey: ["#000000", "#ffffff"],
  negative: ["#ffffff", "#000000"],
  inferno: ["#000004", "#1b0c41", "#4a0c6b", "#781c6d", "#a52c60", "#cf4446", "#ed6925", "#fb9b06", "#f7d13d", "#fcffa4"],
  viridis: ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"],
  light: ["#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7", "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f"],
  dark: ["#9eb0ff", "#4a8fc4", "#2a5d7e", "#183240", "#0e1015", "#3b1a12", "#7a3a26", "#c26a54", "#ffacac"],
};
export const COLOURS = ["grey", "negative", "inferno", "viridis"];
export const STRETCHES = ["linear", "asinh", "unsharp"];
const SOFTENING = 0.05;
// As in `benchmarks/export_model.py`: a blur by 1.5 pixels of 64, shown from -8% to 8% of the peak.
const BLUR = 1.5 / 64;
const DEPTH = 0.08;

const tables = Object.fromEntries(Object.entries(STOPS).map(([name, stops]) => [name, table(stops)]));

function table(stops) {
  const rgb = stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  const found = new Uint8Array(256 * 3);
  for (let level = 0; level < 256; level++) {
    const at = (level / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    for (let k = 0; k < 3; k++) found[3 * level + k] = rgb[low][k] + (at - low) * (rgb[low + 1][k] - rgb[low][k]);
  }
  return found;
}

export function percentile(values, share) {
  const sorted = Float32Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.round(share * (sorted.length - 1)))];
}

export function limits(images) {
  const all = images.flatMap((image) => [percentile(image.values, 0.02), percentile(image.values, 0.9985)]);
  const low = Math.min(...all.filter((_, k) => k % 2 === 0));
  const high = Math.max(...all.filter((_, k) => k % 2 === 1));
  return high > low ? [low, high] : [low, low + 1];
}

function blurred({ width, height, values }, sigma) {
  const reach = Math.ceil(3 * sigma);
  const kernel = Array.from({ length: 2 * reach + 1 }, (_, k) => Math.exp(-0.5 * ((k - reach) / sigma) ** 2));
  const total = kernel.reduce((sum, weight) => sum + weight);
  const pass = (from, step, length, across, lines) => {
    const to = new Float32Array(from.length);
    for (let line = 0; line < lines; line++) {
      for (let place = 0; place < length; place++) {
        let sum = 0;
        for (let k = -reach; k <= reach; k++) {
          const other = Math.min(length - 1, Math.max(0, place + k));
          sum += kernel[k + reach] * from[line * across + other * step];
        }
        to[line * across + place * step] = sum / total;
      }
    }
    return to;
  };
  return pass(pass(values, 1, width, width, height), width, height, 1, width);
}

export function difference(one, two) {
  return { ...one, values: one.values.map((value, k) => value - two.values[k]) };
}

// Returns what is drawn of an image: its values, both ends, and how they map to [0, 1].
function stretched(image, look, ends) {
  if (look.stretch === "unsharp" && !look.isSigned) {
    const peak = Math.max(Math.abs(ends[0]), Math.abs(ends[1])) || 1;
    const blur = blurred(image, BLUR * image.width);
    const values = image.values.map((value, k) => value - blur[k]);
    return { values, ends: [-DEPTH * peak, DEPTH * peak], asinh: false };
  }
  return { values: image.values, ends, asinh: look.stretch === "asinh" && !look.isSigned };
}

export function paint(canvas, image, look, ends) {
  const { width, height } = image;
  const shown = stretched(image, look, ends);
  const [low, high] = shown.ends;
  const colours = tables[look.colour];
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  const full = Math.asinh(1 / SOFTENING);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      let share = (shown.values[row * width + column] - low) / (high - low);
      share = share > 0 ? (share < 1 ? share : 1) : 0;
      if (shown.asinh) share = Math.asinh(share / SOFTENING) / full;
      const level = 3 * Math.round(255 * share);
      const at = 4 * ((height - 1 - row) * width + column);
      pixels.data[at] = colours[level];
      pixels.data[at + 1] = colours[level + 1];
      pixels.data[at + 2] = colours[level + 2];
      pixels.data[at + 3] = 255;
    }
  }
  context.putImageData(pixels, 0, 0);
  return shown.ends;
}

export function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e5 ? Number(value.toPrecision(3)).toString() : value.toExponential(1);
}

export function element(name, properties = {}, ...children) {
  const { style = {}, data = {}, ...others } = properties;
  const made = Object.assign(document.createElement(name), others);
  Object.assign(made.style, style);
  Object.assign(made.dataset, data);
  made.append(...children);
  return made;
}

// A picture with caption, scale bar, legend, and a cross that the pointer and the arrow keys move.
export class Picture {
  constructor(title, { hasLegend = true, pixelScale = null, onPoint = () => {} } = {}) {
    this.image = null;
    this.pixelScale = pixelScale;
    this.aside = element("small");
    this.canvas = element("canvas", { tabIndex: 0 });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", title);
    this.bar = element("div", { className: "scale", hidden: true });
    this.cross = element("div", { className: "cross", hidden: true });
    this.empty = element("div", { className: "empty", hidden: true });
    this.ends = [element("span"), element("span")];
    this.ramp = element("canvas");
    const sky = element("div", { className: "sky" }, this.canvas, this.bar, this.cross, this.empty);
    this.figure = element("figure", {}, element("figcaption", {}, title, this.aside), sky);
    if (hasLegend) this.figure.append(element("div", { className: "legend" }, this.ends[0], this.ramp, this.ends[1]));
    this.canvas.addEventListener("pointermove", (event) => onPoint(this.under(event)));
    this.canvas.addEventListener("pointerdown", (event) => onPoint(this.under(event)));
    this.canvas.addEventListener("pointerleave", () => document.activeElement !== this.canvas && onPoint(null));
    this.canvas.addEventListener("blur", () => onPoint(null));
    this.canvas.addEventListener("keydown", (event) => this.step(event, onPoint));
    this.point = null;
  }

  under(event) {
    if (!this.image) return null;
    const { width, height } = this.image;
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * width);
    const row = height - 1 - Math.floor(((event.clientY - box.top) / box.height) * height);
    return column >= 0 && row >= 0 && column < width && row < height ? { row, column } : null;
  }

  step(event, onPoint) {
    const moves = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (!this.image || !(event.key in moves)) return;
    event.preventDefault();
    const { width, height } = this.image;
    const from = this.point ?? { row: height >> 1, column: width >> 1 };
    const [up, right] = moves[event.key];
    onPoint({
      row: Math.min(height - 1, Math.max(0, from.row + up)),
      column: Math.min(width - 1, Math.max(0, from.column + right)),
    });
  }

  mark(point) {
    this.point = point;
    this.cross.hidden = !point || !this.image;
    if (this.cross.hidden) return;
    const { width, height } = this.image;
    Object.assign(this.cross.style, {
      left: `${(100 * point.column) / width}%`,
      top: `${(100 * (height - 1 - point.row)) / height}%`,
      width: `${100 / width}%`,
      height: `${100 / height}%`,
    });
  }

  at(point) {
    return this.image.values[point.row * this.image.width + point.column];
  }

  show(image, look, ends) {
    this.image = image;
    this.empty.hidden = true;
    this.figure.dataset.colour = look.colour;
    const shown = paint(this.canvas, image, look, ends);
    this.bar.hidden = !this.pixelScale;
    if (this.pixelScale) {
      const field = this.pixelScale * image.width;
      const length = [5, 2, 1, 0.5, 0.2, 0.1].find((each) => each <= field / 4) ?? 0.1;
      this.bar.style.width = `${(100 * length) / field}%`;
      this.bar.textContent = `${length}″`;
    }
    this.ends.forEach((end, k) => { end.textContent = number(shown[k]); });
    const ramp = { width: 256, height: 1, values: Float32Array.from({ length: 256 }, (_, k) => k / 255) };
    const plain = look.stretch === "unsharp" ? { ...look, stretch: "linear" } : look;
    paint(this.ramp, ramp, plain, [0, 1]);
  }

  clear(text) {
    this.image = null;
    this.empty.textContent = text;
    this.empty.hidden = false;
    this.bar.hidden = true;
    this.mark(null);
    this.canvas.width = this.canvas.width;
    this.ends.forEach((end) => { end.textContent = ""; });
  }
}
