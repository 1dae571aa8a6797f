"""``python -m edgekit.jobs``: a worker."""

from edgekit.jobs.worker import main

main()
