"""A GPU in software: a Vulkan driver that computes on the CPU, for tests of the path to a real one.

Chromium carries SwiftShader and a Vulkan loader; Mesa has lavapipe. Engines find either by the environment of their
process, so this belongs to the device that a command names, and not to the user's shell.
"""

from __future__ import annotations

import os
from pathlib import Path

from edgekit.errors import MissingError
from edgekit.runtimes.environment import SOFTWARE_GPU_VARIABLE

#: Where distributions put such drivers, the best known first.
DRIVERS = (
    "/usr/lib/chromium/vk_swiftshader_icd.json",
    "/usr/lib/chromium-browser/vk_swiftshader_icd.json",
    "/opt/google/chrome/vk_swiftshader_icd.json",
    "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
    "/usr/share/vulkan/icd.d/lvp_icd.aarch64.json",
)

_LOADER = "libvulkan.so.1"


def software_gpu() -> dict[str, str]:
    """The variables under which an engine's GPU is the first driver of `DRIVERS` that is here.

    Its latency says nothing about a GPU.

    Raises:
        MissingError: none is installed.
    """
    driver = next((Path(path) for path in DRIVERS if Path(path).is_file()), None)
    if driver is None:
        raise MissingError(
            "no-software-gpu",
            "there is no Vulkan driver that computes on the CPU.",
            received=f"none of {', '.join(DRIVERS)}",
            hint="On Debian or Ubuntu: apt-get install chromium",
        )
    found = {SOFTWARE_GPU_VARIABLE: "1", "VK_DRIVER_FILES": str(driver)}
    if (driver.parent / _LOADER).is_file():  # the system may have no loader of its own
        inherited = os.environ.get("LD_LIBRARY_PATH")
        found["LD_LIBRARY_PATH"] = f"{inherited}:{driver.parent}" if inherited else str(driver.parent)
    return found
