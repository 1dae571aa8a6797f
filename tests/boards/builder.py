"""Made-up ``/proc`` and ``/sys`` trees of real kinds of boards: what their kernels show of cores, clocks and heat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ONDEMAND = "conservative ondemand userspace powersave performance schedutil"


@dataclass(frozen=True)
class Cores:
    """Cores of one kind that share a clock.

    Attributes:
        cpus: their numbers.
        max_khz: highest clock.
        capacity: the kernel's measure of speed; None on x86.
        governors: that the clock's driver offers, the one that is set first.
    """

    cpus: Sequence[int]
    max_khz: int
    capacity: int | None = None
    governors: str = f"ondemand {ONDEMAND}"


@dataclass(frozen=True)
class Board:
    """A made-up machine."""

    root: Path

    @property
    def proc(self) -> Path:
        return self.root / "proc"

    @property
    def sys(self) -> Path:
        return self.root / "sys"

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")

    def governors(self) -> list[str]:
        """Of every policy, in order."""
        folder = self.sys / "devices" / "system" / "cpu" / "cpufreq"
        return [path.read_text().strip() for path in sorted(folder.glob("policy*/scaling_governor"))]

    def heat(self, degrees: float) -> None:
        self.write({"sys/class/thermal/thermal_zone0/temp": str(int(degrees * 1000))})


def build(root: Path, clusters: Sequence[Cores], model: str | None = None) -> Board:
    """A machine with these cores, and a thermal zone at 48 °C."""
    board, count = Board(root), sum(len(cores.cpus) for cores in clusters)
    board.write(
        {
            "sys/devices/system/cpu/online": f"0-{count - 1}",
            "sys/devices/system/cpu/present": f"0-{count - 1}",
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
            "sys/class/thermal/thermal_zone0/temp": "48312",
            "proc/stat": "cpu  1000 10 500 99999 70 0 20 0 0 0",
            **({"proc/device-tree/model": f"{model}\0"} if model else {}),
        }
    )
    for cores in clusters:
        _add(board, cores)
    return board


def _add(board: Board, cores: Cores) -> None:
    current, _, offered = cores.governors.partition(" ")
    policy = f"sys/devices/system/cpu/cpufreq/policy{cores.cpus[0]}"
    clock = {
        "affected_cpus": " ".join(map(str, cores.cpus)),
        "cpuinfo_max_freq": str(cores.max_khz),
        "scaling_cur_freq": str(cores.max_khz),
        "scaling_available_governors": offered,
        "scaling_governor": current,
    }
    board.write({f"{policy}/{name}": text for name, text in clock.items()})
    for cpu in cores.cpus:
        folder = f"sys/devices/system/cpu/cpu{cpu}"
        board.write({f"{folder}/topology/core_id": str(cpu)})
        (board.root / folder / "cpufreq").symlink_to(board.root / policy)  # as in a kernel's tree
        if cores.capacity is not None:
            board.write({f"{folder}/cpu_capacity": str(cores.capacity)})


def raspberry_pi_4(root: Path) -> Board:
    """Four Cortex-A72 with one clock."""
    board = build(root, [Cores(range(4), 1_800_000, 1024)], "Raspberry Pi 4 Model B Rev 1.4")
    board.write({"sys/class/thermal/cooling_device0/type": "cpufreq-cpu0"})
    return board


def raspberry_pi_5(root: Path) -> Board:
    """Four Cortex-A76 with one clock and a fan."""
    board = build(root, [Cores(range(4), 2_400_000, 1024)], "Raspberry Pi 5 Model B Rev 1.0")
    board.write({"sys/class/thermal/cooling_device0/type": "pwm-fan"})
    return board


def big_little(root: Path) -> Board:
    """Four Cortex-A55 and, in two groups with clocks that differ a little, four Cortex-A76, as in an RK3588."""
    little, first, second = (
        Cores(range(4), 1_800_000, 530),
        Cores((4, 5), 2_400_000, 1024),
        Cores((6, 7), 2_352_000, 1024),
    )
    return build(root, [little, first, second], "Radxa ROCK 5 Model B")


def phone(root: Path) -> Board:
    """Four efficiency cores, three performance cores and one prime core."""
    return build(
        root, [Cores(range(4), 2_016_000, 325), Cores((4, 5, 6), 2_803_000, 828), Cores((7,), 3_187_000, 1024)]
    )


def mini_pc(root: Path) -> Board:
    """Four equal x86 cores with a clock each, and the kernel's counters of throttling."""
    governors = "powersave performance powersave"
    board = build(root, [Cores((cpu,), 3_400_000, None, governors) for cpu in range(4)])
    counts = {f"sys/devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count": "0" for cpu in range(4)}
    board.write(counts)
    return board


def hybrid_laptop(root: Path) -> Board:
    """Two x86 performance cores, one of them favoured by its clock, and four efficiency cores."""
    governors = "powersave performance powersave"
    clocks = [4_800_000, 4_700_000, 3_600_000, 3_600_000, 3_600_000, 3_600_000]
    board = build(root, [Cores((cpu,), khz, None, governors) for cpu, khz in enumerate(clocks)])
    board.write({"sys/devices/cpu_core/cpus": "0-1", "sys/devices/cpu_atom/cpus": "2-5"})
    return board
