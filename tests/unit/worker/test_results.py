import polars as pl
import pytest

from headgate.errors import UsageError
from headgate.worker.results import open_result


def test_a_column_that_arrow_does_not_know_is_refused():
    with pytest.raises(UsageError, match=r"shop returned a table that cannot be stored: .*i128"):
        open_result(pl.DataFrame({"a": pl.Series([1], dtype=pl.Int128)}), "shop")
