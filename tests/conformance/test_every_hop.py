"""No hop without a test: each is on a route that a conformance module converts, runs and compares."""

from __future__ import annotations

import itertools

from edgekit.exporter.graph import HOPS
from tests.conformance import test_format_hops, test_hops, test_jax_hops, test_torch_hops


def test_every_hop_is_on_a_route_that_is_tested() -> None:
    suites = vars(test_hops).values()
    routes = [suite.route for suite in suites if isinstance(getattr(suite, "route", None), str)]
    routes += [*test_jax_hops.ROUTES, *test_jax_hops.FILE_ROUTES, *test_torch_hops.ROUTES]
    listed = [getattr(suite, "hops", None) for suite in vars(test_format_hops).values()]
    tested = {hop for hops in listed if isinstance(hops, tuple) for hop in hops}
    for route in routes:
        nodes = route.split(">")
        tested |= {f"{start}>{end}" for start, end in itertools.pairwise(nodes)}
    assert {hop.name for hop in HOPS} <= tested
