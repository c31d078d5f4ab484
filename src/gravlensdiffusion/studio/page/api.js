// Questions to this machine, and what it answers.

const trouble = document.getElementById("trouble");
const busy = document.getElementById("busy");
let waiting = 0;

export function tell(text) {
  trouble.textContent = text.replaceAll("`", "");
  trouble.hidden = !text;
}

// The page counts as busy until the answer has been read, so that it rests only once all is shown.
async function asked(path, options, read = (answer) => answer.json()) {
  waiting += 1;
  busy.classList.add("on");
  try {
    const answer = await fetch(path, options);
    if (!answer.ok) {
      const found = await answer.json().catch(() => ({}));
      throw new Error(found.error ?? `the studio answers ${answer.status}`);
    }
    const found = await read(answer);
    tell("");
    return found;
  } catch (error) {
    if (error.name !== "AbortError") {
      tell(error instanceof TypeError ? "The studio has ended; start it again in the terminal." : error.message);
    }
    throw error;
  } finally {
    waiting -= 1;
    busy.classList.toggle("on", waiting > 0);
  }
}

function body(question, signal) {
  return { method: "POST", body: JSON.stringify(question), signal };
}

export function get(path) {
  return asked(path);
}

export function ask(path, question = {}, signal = undefined) {
  return asked(path, body(question, signal));
}

// Yields the lines of a long answer as they come.
export async function* lines(path, question, signal) {
  const reader = await asked(path, body(question, signal), (answer) => answer.body.pipeThrough(new TextDecoderStream()).getReader());
  busy.classList.add("on");
  waiting += 1;
  try {
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) {
        const item = JSON.parse(part);
        if (item.error) {
          tell(item.error);
          throw new Error(item.error);
        }
        yield item;
      }
    }
  } finally {
    waiting -= 1;
    busy.classList.toggle("on", waiting > 0);
    reader.cancel().catch(() => {});
  }
}

export function unpacked({ shape, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return { height: shape[0], width: shape[1], values: new Float32Array(bytes.buffer) };
}
