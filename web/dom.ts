// Making elements. Text goes in as text, always: nothing here or elsewhere in the page turns a string into markup.

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;
export type Child = Node | string | null;

/** An element with attributes (false and undefined leave one out) and children (strings become text). */
export function el<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== null) element.append(child);
  return element;
}

/** Text that wraps where a name has a joint, so that `anon_pipe_write` does not end a line with "wr". */
export function wrapping(text: string): HTMLElement {
  const parts = text.split(/(?<=[_/]|::)(?=[^_/:])/);
  const between = parts.flatMap((part, index): Child[] => (index === 0 ? [part] : [el("wbr"), part]));
  return el("span", { class: "clamp" }, ...between);
}

/** A push button. */
export function button(label: string, action: () => void, attributes: Attributes = {}): HTMLButtonElement {
  const element = el("button", { type: "button", ...attributes }, label);
  element.addEventListener("click", action);
  return element;
}

/**
 * Puts text on the clipboard, also where the browser denies a file the clipboard interface.
 * @returns whether it worked
 */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el("textarea", { readonly: true, class: "offscreen", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

/** A button that copies, and says whether it did. */
export function copyButton(
  label: string,
  text: () => string,
  attributes: Attributes = {},
): HTMLButtonElement {
  const element = button(
    label,
    async () => {
      element.textContent = (await copyText(text())) ? "Copied" : "Copy failed";
      setTimeout(() => {
        element.textContent = label;
      }, 1500);
    },
    attributes,
  );
  return element;
}
