"""The CPU cores that an emulated board may have, and what a kernel shows of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import MissingError, UsageError

#: Bits of AT_HWCAP (Linux, arch/arm64/include/uapi/asm/hwcap.h) by the names of ``/proc/cpuinfo``.
HWCAP_BITS = {
    "fp": 0, "asimd": 1, "evtstrm": 2, "aes": 3, "pmull": 4, "sha1": 5, "sha2": 6, "crc32": 7, "atomics": 8,
    "fphp": 9, "asimdhp": 10, "cpuid": 11, "asimdrdm": 12, "jscvt": 13, "fcma": 14, "lrcpc": 15, "dcpop": 16,
    "sha3": 17, "sm3": 18, "sm4": 19, "asimddp": 20, "sha512": 21, "sve": 22, "asimdfhm": 23,
}  # fmt: skip

#: Capabilities that choose the kernels of engines: these have to be those of the core, neither fewer nor more.
DECISIVE = ("atomics", "fphp", "asimdhp", "asimdrdm", "asimddp", "sve", "asimdfhm")

_V80 = ("fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "cpuid")
_V82 = (*_V80, "atomics", "fphp", "asimdhp", "asimdrdm", "lrcpc", "dcpop", "asimddp")


@dataclass(frozen=True, slots=True)
class Core:
    """A CPU core that QEMU emulates faithfully enough.

    Attributes:
        name: as QEMU calls it.
        midr: main ID register (the core's technical reference manual): implementer, variant, part, revision.
        features: as ``/proc/cpuinfo`` lists them.
        max_khz, min_khz: clock of a board with this core; shown, never reached.
        like: boards of this class.
    """

    name: str
    midr: int
    features: tuple[str, ...]
    max_khz: int
    min_khz: int
    like: str

    def cpuinfo(self, count: int) -> str:
        """``/proc/cpuinfo`` of a machine with so many of these cores."""
        fields = {
            "BogoMIPS": "108.00",
            "Features": " ".join(self.features),
            "CPU implementer": f"{self.midr >> 24:#x}",
            "CPU architecture": "8",
            "CPU variant": f"{self.midr >> 20 & 0xF:#x}",
            "CPU part": f"{self.midr >> 4 & 0xFFF:#x}",
            "CPU revision": str(self.midr & 0xF),
        }
        lines = "".join(f"{name}\t: {value}\n" for name, value in fields.items())
        return "".join(f"processor\t: {number}\n{lines}\n" for number in range(count))

    def write_sysfs(self, folder: Path, count: int) -> None:
        """The part of ``/sys`` that engines read; without it they lose feature detection or complain."""
        everyone = f"0-{count - 1}" if count > 1 else "0"
        cpus = Path("devices/system/cpu")
        files = {cpus / name: everyone for name in ("possible", "present", "online")} | {cpus / "kernel_max": "255"}
        for number in range(count):
            cpu = cpus / f"cpu{number}"
            files |= {
                cpu / "regs/identification/midr_el1": f"{self.midr:#018x}",
                cpu / "regs/identification/revidr_el1": f"{0:#018x}",
                cpu / "topology/physical_package_id": "0",
                cpu / "topology/cluster_id": "0",
                cpu / "topology/core_id": str(number),
                cpu / "topology/core_siblings": f"{(1 << count) - 1:x}",
                cpu / "topology/core_siblings_list": everyone,
                cpu / "topology/core_cpus_list": str(number),
                cpu / "topology/thread_siblings": f"{1 << number:x}",
                cpu / "topology/thread_siblings_list": str(number),
                cpu / "cpufreq/cpuinfo_max_freq": str(self.max_khz),
                cpu / "cpufreq/cpuinfo_min_freq": str(self.min_khz),
                cpu / "cpu_capacity": "1024",
                cpu / "online": "1",
            }
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            put(target, f"{text}\n")


def put(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file that a running board may be reading in one step: the old text or the new one is there."""
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(text)
    aside.chmod(mode)
    aside.replace(path)


CORES = {
    core.name: core
    for core in (
        Core("cortex-a53", 0x410FD034, _V80, 1_400_000, 600_000, "Raspberry Pi 3"),
        Core("cortex-a72", 0x410FD083, _V80, 1_800_000, 600_000, "Raspberry Pi 4"),
        Core("cortex-a76", 0x414FD0B1, _V82, 2_400_000, 1_500_000, "Raspberry Pi 5"),
    )
}


def core_named(name: str | None, spec: str) -> Core:
    """The core that a spec asks for.

    Args:
        name: the value of ``cpu=``; None where it is left out.
        spec: the whole spec, for the message.

    Raises:
        UsageError: there is none, or not that one; ``max`` is refused with its reason.
    """
    hint = f"Choose one of: {', '.join(f'cpu={known}' for known in CORES)}."
    if name in CORES:
        return CORES[name]
    if name is None:
        message = "an emulated board needs to be told which CPU core it has."
    elif name == "max":
        message = (
            "QEMU's CPU max is no core that anybody sells, and QEMU 7.2 computes INT8 wrongly on it: 0 % of the "
            "answers of a LiteRT INT8 model agreed, without any error."
        )
    else:
        message = f"there is no emulated core {name!r} whose capabilities edgekit knows, so it could not be checked."
    raise UsageError("bad-emulated-cpu", message, received=spec, hint=hint)


def assert_core(core: Core, hwcap: int | None) -> None:
    """Make sure that an emulated board has the core that was asked for, by its hardware capabilities.

    QEMU falls back to ``max`` silently where its settings get lost between processes.

    Args:
        core: that was asked for.
        hwcap: AT_HWCAP of a process on the board; None where it does not tell.

    Raises:
        MissingError: another core answers, or none that can be known.
    """
    if hwcap is None:
        raise MissingError(
            "wrong-emulated-cpu",
            "the emulated board does not tell the capabilities of its CPU, so they cannot be checked.",
            hint="Use the default release, or report this as a bug.",
        )
    found = capabilities(hwcap)
    wrong = [name for name in DECISIVE if (name in found) != (name in core.features)]
    if wrong:
        listed = ", ".join(f"{name} {'present' if name in found else 'missing'}" for name in wrong)
        raise MissingError(
            "wrong-emulated-cpu",
            f"the emulated board does not have the capabilities of {core.name}: {listed}.",
            received=f"AT_HWCAP {hwcap:#x}",
            hint="Report this as a bug, with the version of QEMU; until then use a real board over ssh://.",
        )


def capabilities(hwcap: int) -> Collection[str]:
    """Names of the bits of AT_HWCAP."""
    return {name for name, bit in HWCAP_BITS.items() if hwcap >> bit & 1}
