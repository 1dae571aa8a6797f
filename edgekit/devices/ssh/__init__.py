"""Boards over SSH: the connection, what it refuses, and the device.

edgekit keeps its files there in one folder, ``~/.cache/edgekit`` or what ``folder=`` says::

    agent-<digest>.pyz    the device core, once per content
    blobs/<digest>        models and samples, once per content; the longest unused ones go first
    jobs/<process>/       what runs now, with a home of its own; removed at its end
    site/                 (a folder, or a link to one) Python packages that ``edgekit devices prepare`` put there
    lock                  held while a job runs or packages are exchanged, and who holds it
    sending               held while the agent or packages arrive

The device as a whole has a lock too, for all accounts: ``edgekit-device.lock`` in its temporary folder.

The interpreter is ``python=``, and what is in ``site/`` comes before its own packages.
"""
