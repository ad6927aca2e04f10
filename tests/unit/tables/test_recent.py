import pyarrow as pa

from headgate.tables.recent import Recent


def table(rows):
    return pa.table({"n": pa.array(range(rows), pa.int64())})


def test_a_table_is_found_by_path_and_hash():
    recent = Recent()
    kept = table(3)
    recent.keep("a", "sha256:1", kept, 24)
    assert recent.find("a", "sha256:1") is kept
    assert recent.find("a", "sha256:2") is None
    assert recent.find("b", "sha256:1") is None


def test_the_ones_not_used_for_longest_go_first():
    recent = Recent(limit_bytes=4 * 100)
    for name in "abcd":
        recent.keep(name, "h", table(100), 100)
    assert recent.find("a", "h") is not None
    recent.keep("e", "h", table(100), 100)
    assert [name for name in "abcde" if recent.find(name, "h") is not None] == ["a", "c", "d", "e"]


def test_a_table_that_is_kept_again_counts_once():
    recent = Recent(limit_bytes=4 * 100)
    for _ in range(10):
        recent.keep("a", "h", table(100), 100)
    recent.keep("b", "h", table(100), 100)
    assert recent.find("a", "h") is not None


def test_a_large_table_is_not_kept():
    recent = Recent(limit_bytes=4 * 100)
    recent.keep("a", "h", table(101), 101)
    assert recent.find("a", "h") is None
