"""Getting engines onto a device: look at it, resolve wheels on the host, send them, unpack, try each.

The device needs no network, no root and no package manager: a shell and Python 3.9 or newer are enough.
"""
