// BPF programs by the names that the kernel gives their code: bpf_prog_<tag>_<name>. Which are lowflame's own, and
// which of the loaded ones a frame belongs to.
import type { OtherProgram } from "../capture/binding.js";
import type { Profile } from "../model/profile.js";

const PROGRAM = /^bpf_prog_([0-9a-f]{16})(?:_(.*))?$/s;
/** BPF_OBJ_NAME_LEN - 1: the kernel cuts a program's name there, but names its code by the whole name in its BTF. */
const CUT = 15;

export interface ProgramSymbol {
  readonly tag: string;
  /** "" for a program that was loaded without a name. */
  readonly name: string;
}

/** Parts of a program's symbol, undefined for any other name. */
export function programSymbol(functionName: string): ProgramSymbol | undefined {
  const match = PROGRAM.exec(functionName);
  return match === null ? undefined : { tag: match[1]!, name: match[2] ?? "" };
}

/** Whether a symbol is the code of a program: same tag (hash of its instructions) and same name, as far as kept. */
export function isProgram(symbol: ProgramSymbol, program: { name: string; tag: string }): boolean {
  if (symbol.tag !== program.tag) return false;
  if (symbol.name === program.name) return true;
  const short = Math.min(symbol.name.length, program.name.length);
  return short >= CUT && symbol.name.slice(0, short) === program.name.slice(0, short);
}

/** Whether a symbol is one of lowflame's own programs. */
export function isOwn(profile: Profile, symbol: ProgramSymbol): boolean {
  return profile.start.programs.some((program) => isProgram(symbol, program));
}

/** Other people's loaded programs that a symbol can belong to (several when one is loaded twice). */
export function othersFor(profile: Profile, symbol: ProgramSymbol): readonly OtherProgram[] {
  return (profile.final?.otherPrograms ?? []).filter((program) => isProgram(symbol, program));
}
