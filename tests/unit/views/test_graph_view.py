from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.drivers.clock import now_ms
from headgate.views.explain import explain
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


def test_gates_are_listed_with_what_follows_from_them(shop: Shop) -> None:
    gates = "gates=[headgate.not_null('name'), headgate.moves(rows=0.5), headgate.unique('name', severity='warn')]"
    shop.edit(
        "@headgate.dataset(partitions=DAYS)\ndef sales", f"@headgate.dataset(partitions=DAYS, {gates})\ndef sales"
    )
    nodes = {node.name: node for node in graph(shop.project(), now_ms()).datasets}
    assert [(one.gate, one.severity) for one in nodes["sales"].gates] == [
        ("not_null(name)", "block"),
        ("moves(rows)", "approve"),
        ("unique(name)", "warn"),
    ]
    assert nodes["trend"].gates == nodes["landed"].gates == ()
    store = shop.store()
    try:
        found = explain(shop.project(), store, shop.snapshot(store), "sales", "2024-01-02")
    finally:
        store.close()
    assert found.gates == nodes["sales"].gates
