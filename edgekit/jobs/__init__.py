"""Isolated execution: one job is one message in, events out, one result.

``codec``, ``protocol`` and ``worker`` are part of the device core; the rest is the host's.
"""
