"""Where engines run: device specs, and what this machine has."""

from edgekit.devices.base import Device, DeviceSpec
from edgekit.devices.registry import DEVICES, DeviceRow, open_device, opened_devices, parse_device

__all__ = ["DEVICES", "Device", "DeviceRow", "DeviceSpec", "open_device", "opened_devices", "parse_device"]
