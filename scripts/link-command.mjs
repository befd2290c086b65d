// Makes `npx lowflame` work in the checkout: npm links the commands of dependencies only, and npx would otherwise look
// for a package of that name in the registry. Imported by copy-assets.mjs after dist/ is written.
import { chmodSync, existsSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

// For a machine whose own node is too old (scripts/lib/node.sh): the shebang of main.js would find that one.
const WRAPPER = `#!/bin/sh
# Written by scripts/link-command.mjs: runs lowflame with the node of this checkout.
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd) || exit 1
exec "$root/.tools/node/bin/node" "$root/dist/cli/main.js" "$@"
`;

/** Puts `lowflame` into node_modules/.bin of the checkout `root`; may be called again. */
export function linkCommand(root) {
  chmodSync(join(root, "dist/cli/main.js"), 0o755);
  const folder = join(root, "node_modules/.bin");
  const partial = join(folder, `.lowflame.${process.pid}`);
  mkdirSync(folder, { recursive: true });
  if (existsSync(join(root, ".tools/node/bin/node"))) writeFileSync(partial, WRAPPER, { mode: 0o755 });
  else symlinkSync("../../dist/cli/main.js", partial);
  renameSync(partial, join(folder, "lowflame"));
}
