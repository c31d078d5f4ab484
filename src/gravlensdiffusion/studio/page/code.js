// Commands to copy.

import { element } from "./picture.js";

function block(title, text) {
  const button = element("button", { type: "button" }, "Copy");
  button.setAttribute("aria-label", `Copy ${title}`);
  const code = element("pre", { tabIndex: 0 }, text.trim());
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.trim());
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return element("div", { className: "code" }, button, code);
}

export function elsewhere(details, { shell, python }) {
  details.hidden = false;
  details.querySelector("div").replaceChildren(block("the command", shell), block("the Python lines", python));
}
