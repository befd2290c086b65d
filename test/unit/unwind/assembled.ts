// Small ELF files out of assembly, whose call frame information is known to the byte.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Assembles and links a program without libraries. A section .own_frame becomes .eh_frame: so no linker has touched it. */
export function assemble(dir: string, name: string, source: string, ...flags: string[]): string {
  const file = join(dir, name);
  writeFileSync(`${file}.s`, `${source}\n`);
  execFileSync("as", [`${file}.s`, "-o", `${file}.o`]);
  execFileSync("ld", ["-e", "0", "--build-id", ...flags, `${file}.o`, "-o", file]);
  if (source.includes(".own_frame"))
    execFileSync("objcopy", ["--rename-section", ".own_frame=.eh_frame", file]);
  return file;
}

/** File addresses of the labels of a file that is not stripped. */
export function labels(file: string): ReadonlyMap<string, number> {
  const out = execFileSync("nm", [file], { encoding: "utf8" });
  return new Map([...out.matchAll(/^([0-9a-f]+) \w (\S+)$/gm)].map((m) => [m[2]!, parseInt(m[1]!, 16)]));
}

export interface CieForm {
  /** Of addresses, as DW_EH_PE_*. */
  readonly encoding?: number;
  readonly version?: number;
  /** Begins with "z" and has the data that follows, without its length. */
  readonly augmentation?: readonly [string, readonly (number | string)[]];
}
/** A CIE of .eh_frame: CFA = rsp + 8, return address at CFA - 8. */
export function cie(label: string, { encoding = 0x1b, version = 1, augmentation }: CieForm = {}): string {
  const [text, data] = augmentation ?? ["zR", [encoding]];
  return `
${label}: .long 2f - 1f
1: .long 0
  .byte ${version}
  .asciz "${text}"
  ${version === 4 ? ".byte 8, 0" : ""}
  .byte 1, 0x78, 16
  ${text.startsWith("z") ? `.byte ${[data.length, ...data].join(", ")}` : ""}
  .byte 0x0c, 7, 8, 0x90, 1
2:`;
}

/** An FDE of .eh_frame: `begin` and `size` are directives, `instructions` bytes; `wide` with a length of 64 bits. */
export function fde(
  cieLabel: string,
  begin: string,
  size: string,
  instructions: readonly number[],
  wide = false,
): string {
  return `
  ${wide ? ".long 0xffffffff\n.quad 2f - 1f" : ".long 2f - 1f"}
1: .long . - ${cieLabel}
  ${begin}
  ${size}
  .byte 0
  ${instructions.length ? `.byte ${instructions.join(", ")}` : ""}
2:`;
}
