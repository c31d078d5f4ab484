// The page: rooms, one of which is open, and the order that they share.

import { get } from "./api.js";
import { CompareRoom } from "./compare.js";
import { GuessRoom } from "./guess.js";
import { ManyRoom } from "./many.js";
import { OrderRoom } from "./order.js";
import { Panel } from "./panel.js";
import { element } from "./picture.js";
import { WatchRoom } from "./watch.js";

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const kinds = { order: OrderRoom, watch: WatchRoom, many: ManyRoom, compare: CompareRoom, guess: GuessRoom };
const tabs = [...document.querySelectorAll("[role=tab]")];
const look = { stretch: "asinh", colour: "inferno", kind: "image" };
const rooms = {};
let open = null;

function theme(name) {
  root.dataset.theme = name;
  Object.values(rooms).forEach((room) => room.show());
}

function enter(name) {
  if (open === name) return;
  rooms[open]?.leave?.();
  open = name;
  for (const tab of tabs) {
    const isOpen = tab.getAttribute("aria-controls") === name;
    tab.setAttribute("aria-selected", isOpen);
    tab.tabIndex = isOpen ? 0 : -1;
    document.getElementById(tab.getAttribute("aria-controls")).hidden = !isOpen;
  }
  document.getElementById("frame").classList.toggle("alone", name === "guess" || name === "compare");
  history.replaceState(null, "", `#${name}`);
  rooms[name].draw();
}

for (const [k, tab] of tabs.entries()) {
  tab.addEventListener("click", () => enter(tab.getAttribute("aria-controls")));
  tab.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = tabs[(k + by + tabs.length) % tabs.length];
    next.focus();
    next.click();
  });
}
document.getElementById("theme").addEventListener("click", () => theme(root.dataset.theme === "dark" ? "light" : "dark"));
dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
document.addEventListener("look", () => Object.values(rooms).forEach((room) => room.show()));
theme(dark.matches ? "dark" : "light");

const about = await get("/api/about");
document.title = `${about.name} · gravlens studio`;
const scale = about.pixel_scale ? ` of ${Number(about.pixel_scale.toPrecision(3))}″` : "";
document.getElementById("model").append(about.name, element("span", {}, `, ${about.size} × ${about.size} pixels${scale}`));
const panel = new Panel(about, (isDraft) => rooms[open].draw(isDraft));
for (const [name, Room] of Object.entries(kinds)) rooms[name] = new Room(about, panel, look);
const named = () => (location.hash.slice(1) in kinds ? location.hash.slice(1) : "order");
addEventListener("hashchange", () => enter(named()));
enter(named());
root.dataset.ready = "yes";
