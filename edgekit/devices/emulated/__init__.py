"""Emulated Arm boards: a Debian userland of that architecture, run by QEMU's user mode behind a real SSH server.

A board only provisions: what runs jobs on it is the ssh device, as on a real one. Nothing here needs root, changes
the machine, or outlives the command.
"""
