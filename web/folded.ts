// A stack as folded text: frames from the outermost to the innermost with semicolons, a blank, and the weight.
import { visible } from "./text.js";
import { pathTo, type ViewTree } from "./view-tree.js";

/** One line for the stack that ends in `node`; weight in ns. A semicolon inside a name would split it: it becomes a colon. */
export function foldedStack(tree: ViewTree, node: number, nameOf: (node: number) => string): string {
  const names = pathTo(tree, node).map((at) => visible(nameOf(at)).replaceAll(";", ":"));
  return `${names.join(";")} ${Math.round(tree.total[node]!)}`;
}
