// Entry point of the report file: unpacks the embedded document and mounts the page.
import "./style.css";
import { el } from "./dom.js";
import { mount } from "./page.js";
import { unpackDocument } from "./unpack.js";

/** The licences that the file must carry, folded away at the end. */
function licences(): HTMLElement {
  const template = document.querySelector<HTMLTemplateElement>("template#licences");
  return el(
    "footer",
    {},
    el(
      "details",
      {},
      el("summary", {}, "Licences of the libraries in this file"),
      el("pre", {}, template?.content.textContent ?? ""),
    ),
  );
}

async function start(): Promise<void> {
  const root = document.querySelector<HTMLElement>("#report")!;
  try {
    const data = document.querySelector("#document")!;
    performance.mark("lowflame-start");
    const report = await unpackDocument(data.textContent ?? "");
    data.remove();
    performance.mark("lowflame-unpacked");
    mount(root, report);
    performance.mark("lowflame-mounted");
    root.after(licences());
    // After the next frame the browser has painted: the benchmark and the tests read it.
    requestAnimationFrame(() => setTimeout(() => performance.mark("lowflame-painted")));
  } catch (error) {
    root.replaceChildren(el("p", { class: "empty", role: "alert" }, (error as Error).message));
  }
}

void start();
