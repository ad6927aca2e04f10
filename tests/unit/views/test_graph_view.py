from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.drivers.clock import now_ms
from headgate.views.graph import Link, graph

if TYPE_CHECKING:
    from view_scene import Shop


def test_the_graph_has_every_node_in_order_and_every_edge(shop: Shop) -> None:
    found = graph(shop.project(), now_ms())
    assert [(node.name, node.kind, node.partitions) for node in found.datasets] == [
        ("landed", "source", 5),
        ("sales", "dataset", 5),
        ("trend", "dataset", 5),
        ("total", "dataset", 1),
        ("told", "dataset", 1),
    ]
    landed, sales = found.datasets[:2]
    assert (landed.path, landed.code) == ("landing/{key}.csv", "")
    assert (sales.first, sales.last, sales.description) == ("2024-01-01", "2024-01-05", "Sales of a day.")
    assert sales.code
    assert found.edges == (
        Link("sales", "landed", "landed", "overlapping windows", allow_missing=False),
        Link("trend", "sales", "sales", "last 2 windows", allow_missing=False),
        Link("total", "trend", "trend", "overlapping windows", allow_missing=False),
        Link("told", "total", "total", "overlapping windows", allow_missing=False),
    )
