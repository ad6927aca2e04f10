from __future__ import annotations

from dataclasses import replace

from headgate.cli.lineage import DEEPEST, SHOWN_GROUPS, _dot_lines, _list_text, _tree_lines
from headgate.model.partitioning import daily
from headgate.model.version import File
from headgate.store.lineage import Visibility
from headgate.views.lineage import Direction, LineageEdge, LineageNode, LineageView

DAYS = daily("2024-01-01", "2024-01-11")


def node(version: int, dataset: str, key: str = "k", **changes: object) -> LineageNode:
    made = LineageNode(
        id=f"v{version}",
        version=version,
        dataset=dataset,
        key=key,
        distance=0,
        state=Visibility.HEAD,
        run="r1",
        made_ms=1_700_000_000_000,
        code="c0de" * 16,
        declared_version=None,
        parameters=None,
        rows=1,
        bytes=10,
        files=(),
        packed_as=None,
        confirmations=0,
        confirmed_by=None,
    )
    return replace(made, **changes)


def view(*nodes: LineageNode, edges: tuple[tuple[int, int], ...] = (), **changes: object) -> LineageView:
    told = tuple(LineageEdge(f"v{made}", f"v{source}", "made") for made, source in edges)
    return replace(LineageView(nodes[0], nodes[0].version, Direction.UP, None, nodes, told), **changes)


def lines(found: LineageView) -> list[str]:
    return list(_tree_lines(found, {"days": DAYS.grid(1_800_000_000_000)}))


def test_many_partitions_are_one_line_with_ranges():
    days = [node(n, "days", f"2024-01-{n:02}", state=Visibility.FORMER) for n in (2, 3, 4, 8)]
    days[0] = replace(days[0], state=Visibility.ROLLED_BACK, parameters={"n": 1})
    found = lines(view(node(9, "total", "all"), *days, edges=tuple((9, n) for n in (2, 3, 4, 8))))
    assert found[0] == "total/all  version 9, head"
    assert found[3:] == [
        "  made from",
        "  days  4 partitions: 2024-01-02 to 2024-01-04, 2024-01-08  (3 former, 1 rolled back)",
        "      made 2023-11-14 22:13:20 UTC by run r1",
        "      code c0dec0dec0de, parameters n=1",
    ]


def test_keys_that_the_project_does_not_know_are_told_from_the_first_to_the_last():
    found = lines(view(node(9, "a"), node(1, "gone", "x"), node(2, "gone", "y"), edges=((9, 1), (9, 2))))
    assert found[4] == "  gone  2 partitions: x to y  (2 head)"


def test_files_confirmations_and_compactions_are_told():
    file = File("landing/a\x1b.csv", -1, 3, "sha256:ab")
    landed = node(1, "landed", run="", files=(file,), code="")
    root = node(9, "a", packed_as=12, confirmations=3, confirmed_by="r7", declared_version="2")
    assert lines(view(root, landed, edges=((9, 1),))) == [
        "a/k  version 9, head",
        "    made 2023-11-14 22:13:20 UTC by run r1, attempt 9",
        "    code version 2",
        "    confirmed 3 times, by run r7",
        "    readers see it as version 12, which holds it again in other files",
        "  made from",
        "  landed/k  version 1, head",
        "      recorded 2023-11-14 22:13:20 UTC",
        "      landing/a\\x1b.csv  sha256:ab",
    ]
    assert "    version 12 holds it again in other files" in lines(view(root, landed, edges=((9, 1),), asked=12))


def test_what_was_found_again_is_no_less_told():
    again = LineageView(
        node(1, "landed"),
        1,
        Direction.DOWN,
        None,
        (node(1, "landed"), node(9, "a")),
        (LineageEdge("v9", "v1", "confirmed"),),
    )
    assert "  a/k  version 9, head, found again when it was read" in lines(again)
    assert "  v1 -> v9 [style=dotted, label=confirmed];" in list(_dot_lines(again))


def test_what_stands_alone_says_so():
    assert lines(view(node(1, "a")))[-1] == "  made from nothing else"
    assert lines(view(node(1, "a"), direction=Direction.DOWN))[-1] == "  nothing was made from it"


def test_a_diamond_is_told_once_and_a_loop_ends():
    nodes = [node(4, "d"), node(2, "b"), node(3, "c"), node(1, "a"), node(5, "d", "before")]
    found = lines(view(*nodes, edges=((4, 2), (4, 3), (2, 1), (3, 1), (4, 5), (5, 1))))
    assert [line.strip() for line in found if "version" in line] == [
        "d/k  version 4, head",
        "a/k  version 1, head",
        "b/k  version 2, head",
        "c/k  version 3, head",
        "d/before  version 5, head",
    ]


def test_a_long_chain_stays_on_the_screen():
    nodes = [node(n, f"d{n:04}", distance=1000 - n) for n in range(1000, 0, -1)]
    found = lines(view(*nodes, edges=tuple((n, n - 1) for n in range(2, 1001))))
    assert max(len(line) - len(line.lstrip()) for line in found) == 2 * DEEPEST + 4
    assert found[-1] == f"... and versions of {999 - SHOWN_GROUPS} more datasets: --all lists them, --depth bounds them"
    assert len(_list_text(view(*nodes)).splitlines()) == 1001


def test_labels_of_a_graph_are_escaped():
    (label,) = [line for line in _dot_lines(view(node(1, "a", 'x"];\\N\n evil'))) if "label" in line]
    assert label == '  v1 [label="a/x\\"];\\\\N\\n evil\\nversion 1, head"];'
