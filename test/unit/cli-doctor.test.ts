// `lowflame doctor`: each check against a described machine, and the verdict.
import { describe, expect, it } from "vitest";
import { type ProbeRow, SOURCES } from "../../src/capture/binding.js";
import { canRecord } from "../../src/cli/doctor.js";
import { doctorChecks } from "../../src/cli/doctor-checks.js";
import { filesWanted } from "../../src/cli/doctor-files.js";
import type { DoctorJson } from "../../src/cli/json.js";
import { fakeSystem, Harness } from "./helpers/cli-harness.js";
import { FakeBinding } from "./helpers/fake-binding.js";

function check(id: string, over: Record<string, string | undefined>): ProbeRow {
  const found = doctorChecks(fakeSystem(over)).find((row) => row.id === id);
  if (!found) throw new Error(`no check ${id}`);
  return found;
}

const probed = (over: Partial<ProbeRow>): ProbeRow => ({
  id: "btf",
  title: "BTF of the kernel",
  status: "ok",
  found: "/sys/kernel/btf/vmlinux",
  remedy: "",
  neededBy: ["cpu", "offcpu"],
  ...over,
});

describe("checks", () => {
  it("are all ok on a healthy host", () => {
    expect(doctorChecks(fakeSystem()).filter((row) => row.status !== "ok")).toEqual([]);
  });

  it("that are not ok always say what to do", () => {
    const bad = doctorChecks(
      fakeSystem({
        euid: "1000",
        "/proc/self/status": "CapEff:\t0000000000000000\n",
        "/proc/self/uid_map": "0 1000 1",
        "/proc/self/ns/pid": "pid:[4026532201]",
        "/.dockerenv": "",
        "/proc/self/ns/mnt": "mnt:[4026532300]",
        "/proc/1/ns/mnt": "mnt:[4026531841]",
        "/proc/kallsyms": "0000000000000000 T _stext\n",
        "/proc/sys/kernel/kptr_restrict": "2\n",
        "/proc/sys/kernel/perf_event_max_sample_rate": "50\n",
        "/sys/kernel/security/lockdown": "none integrity [confidentiality]\n",
        "/sys/kernel/tracing/events": undefined,
        "/proc/cpuinfo": "flags : fpu hypervisor\n",
        "/dev/kmsg": "6,1,1,-;kvm-guest: PV spinlocks disabled, no host support\n",
        "/proc/self/limits": "Max open files            40                   40                   files\n",
        "/proc/self/cwd": "/srv/gone (deleted)",
      }),
    );
    expect(bad.map((row) => [row.id, row.status, row.remedy !== ""])).toEqual([
      ["privileges", "missing", true],
      ["namespace.user", "missing", true],
      ["namespace.pid", "degraded", true],
      ["container", "degraded", true],
      ["perf.paranoid", "missing", true],
      ["kallsyms", "degraded", true],
      ["lockdown", "degraded", true],
      ["perf.max_rate", "degraded", true],
      ["tracefs", "degraded", true],
      ["limit.files", "missing", true],
      ["cwd", "missing", true],
      ["spinlock.tracepoints", "degraded", true],
    ]);
  });

  it("see capabilities, not the user's number", () => {
    const status = (bits: bigint) => ({
      "/proc/self/status": `CapEff:\t${bits.toString(16).padStart(16, "0")}\n`,
    });
    const bpfAndPerfmon = (1n << 39n) | (1n << 38n);
    expect(check("privileges", { euid: "1000", ...status(bpfAndPerfmon) })).toMatchObject({
      status: "degraded",
    });
    expect(check("privileges", { euid: "0", ...status(0n) })).toMatchObject({
      status: "missing",
      found: "root without CAP_BPF and CAP_PERFMON",
    });
    expect(check("perf.paranoid", { euid: "1000", ...status(1n << 38n) }).status).toBe("ok");
  });

  it("do not take the host for a container because of a file that lies around", () => {
    const mount = { "/proc/self/ns/mnt": "mnt:[4026531841]", "/proc/1/ns/mnt": "mnt:[4026531841]" };
    expect(check("container", { "/.dockerenv": "", ...mount }).status).toBe("ok");
    const other = { ...mount, "/proc/self/ns/mnt": "mnt:[4026532300]" };
    expect(check("container", { "/.dockerenv": "", ...other }).status).toBe("degraded");
    // In a pid namespace of its own, pid 1 is the container's.
    expect(
      check("container", { "/.dockerenv": "", ...mount, "/proc/self/ns/pid": "pid:[4026532201]" }).status,
    ).toBe("degraded");
  });

  describe("the limit of open files", () => {
    const limited = (limit: number | string, cpus = "0-3") =>
      check("limit.files", {
        "/proc/self/limits": `Limit    Soft Limit   Hard Limit   Units\nMax open files            ${limit}    ${limit}    files\n`,
        "/sys/devices/system/cpu/online": `${cpus}\n`,
      });

    it("must hold what a recording opens on these CPUs, and the remedy says how far to raise it", () => {
      expect(limited(40)).toMatchObject({ status: "missing", neededBy: [...SOURCES] });
      expect(limited(40).remedy).toContain("sudo prlimit --nofile=1024 lowflame record");
      expect(limited(1_024).status).toBe("ok");
      expect(limited(1_024, "0-191")).toMatchObject({ status: "missing" });
      expect(limited(1_024, "0-191").remedy).toContain("LimitNOFILE=4096");
      expect(limited(524_288, "0-1023").status).toBe("ok");
      expect(limited("unlimited").status).toBe("ok");
    });

    it("is only a limit where the default sources fit and not all of them", () => {
      const four = filesWanted(["cpu", "offcpu"], 4);
      expect(limited(four).status).toBe("degraded");
      expect(limited(four - 1)).toMatchObject({
        status: "missing",
        neededBy: ["offcpu", "locks", "futex", "sockets"],
      });
      expect(limited(filesWanted(SOURCES, 4)).status).toBe("ok");
    });

    it("makes doctor exit 1", async () => {
      const system = fakeSystem({ "/proc/self/limits": "Max open files   40   40   files\n" });
      using harness = new Harness({ binding: new FakeBinding(), system });
      expect(await harness.run("doctor")).toBe(1);
    });
  });

  it("know a directory that was deleted from one that is only called so", () => {
    expect(check("cwd", { "/proc/self/cwd": "/srv/x (deleted)" })).toMatchObject({ status: "missing" });
    const present = { "/proc/self/cwd": "/srv/x (deleted)", "/srv/x (deleted)": "" };
    expect(check("cwd", present).status).toBe("ok");
  });

  const guest = { "/proc/cpuinfo": "flags\t\t: fpu hypervisor lahf_lm\n" };
  it.each([
    [
      "a guest with paravirtual locks",
      { "/dev/kmsg": "6,1,1,-;kvm-guest: PV spinlocks enabled\n" },
      "ok",
      "boot log",
    ],
    [
      "a guest where they were refused",
      { "/dev/kmsg": "6,1,1,-;PV spinlocks disabled, no host support\n" },
      "degraded",
      "likely",
    ],
    [
      "a guest booted without them",
      { "/dev/kmsg": "", "/proc/cmdline": "quiet nopvspin" },
      "degraded",
      "likely",
    ],
    [
      "a guest whose kernel has none",
      { "/dev/kmsg": "" },
      "degraded",
      "has no paravirtual spin locks: such waits may be",
    ],
    [
      "a guest whose log is gone",
      { "/proc/kallsyms": "ffffffff81000000 T __pv_queued_spin_lock_slowpath\n" },
      "degraded",
      "may be invisible",
    ],
  ])("spin-lock waits in %s", (_name, files, status, words) => {
    const row = check("spinlock.tracepoints", { ...guest, ...files });
    expect(row.status).toBe(status);
    expect(row.found).toContain(words);
  });
});

describe("the verdict", () => {
  it("is yes only when nothing is missing that a default source needs", () => {
    expect(canRecord([probed({})])).toBe(true);
    expect(canRecord([probed({ status: "degraded" })])).toBe(true);
    expect(canRecord([probed({ status: "missing", neededBy: [] })])).toBe(true);
    expect(canRecord([probed({ status: "missing", neededBy: ["offcpu"] })])).toBe(false);
  });

  it("is exit 0 and a table when record will work", async () => {
    using harness = new Harness({ binding: new FakeBinding({ probe: [probed({})] }) });
    expect(await harness.run("doctor")).toBe(0);
    expect(harness.stdout.text).toContain("/sys/kernel/btf/vmlinux");
    expect(harness.stdout.text.trimEnd().endsWith("lowflame record will work here.")).toBe(true);
    expect(harness.stdout.text).not.toContain("\u001b[");
  });

  it("is exit 1 with the exact remedy when it will not", async () => {
    const missing = probed({
      status: "missing",
      found: "not there",
      remedy: "boot a kernel with CONFIG_DEBUG_INFO_BTF=y",
    });
    using harness = new Harness({ binding: new FakeBinding({ probe: [missing] }) });
    expect(await harness.run("doctor")).toBe(1);
    expect(harness.stdout.text).toContain(
      "needed by --what cpu,offcpu; boot a kernel with CONFIG_DEBUG_INFO_BTF=y",
    );
  });

  it("names the part that works", async () => {
    const missing = probed({ status: "missing", remedy: "none", neededBy: ["offcpu"] });
    using harness = new Harness({ binding: new FakeBinding({ probe: [missing] }) });
    await harness.run("doctor");
    expect(harness.stdout.text).toContain("this part will: --what cpu,locks");
  });

  it("is yes where only locks are missing, which nobody gets unasked", async () => {
    const missing = probed({ status: "missing", remedy: "none", neededBy: ["locks"] });
    expect(canRecord([missing])).toBe(true);
    using harness = new Harness({ binding: new FakeBinding({ probe: [missing] }) });
    expect(await harness.run("doctor")).toBe(0);
    expect(harness.stdout.text).toContain("will work here, but not with --what locks");
  });

  it("is exit 1 without an addon, and the other checks are still shown", async () => {
    using harness = new Harness();
    expect(await harness.run("doctor", "--json")).toBe(1);
    const document = JSON.parse(harness.stdout.text) as DoctorJson;
    expect(document.ok).toBe(false);
    expect(document.rows.find((row) => row.id === "addon")).toMatchObject({ status: "missing" });
    expect(document.rows.length).toBeGreaterThan(5);
  });
});
