// The built page (script, style, licence texts) that every report carries; made by `npm run build:web`.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

export interface PageAssets {
  readonly script: string;
  readonly style: string;
  /** Licence texts of the libraries inside the script. */
  readonly licences: string;
}

/** build/web of the checkout: the same three levels up from src/export/html and from dist/export/html. */
const DEFAULT_FOLDER = fileURLToPath(new URL("../../../build/web/", import.meta.url));

/**
 * Reads the built page.
 * @throws Error that names the folder and the command that builds it
 */
export async function loadPageAssets(folder: string = DEFAULT_FOLDER): Promise<PageAssets> {
  const read = (name: string): Promise<string> => readFile(`${folder}/${name}`, "utf8");
  try {
    const [script, style, licences] = await Promise.all([
      read("page.js"),
      read("page.css"),
      read("licences.txt"),
    ]);
    return { script, style, licences };
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new Error(
      `The report's page is not built: cannot read ${folder} (${reason}). Run "npm run build:web" in the checkout.`,
    );
  }
}
