"""Two weeks of a small shop: orders land as one CSV file a day; out come clean orders and revenue."""

import polars as pl

import headgate

DAYS = headgate.daily("2024-01-01", "2024-01-15")
WEEKS = headgate.weekly("2024-01-01", "2024-01-15")
SHIPPING_EUR = 4.90

headgate.source("landed_orders", path="landing/{start:%Y-%m-%d}.csv", partitions=DAYS)


@headgate.dataset(partitions=DAYS)
def orders(landed_orders: pl.LazyFrame) -> pl.LazyFrame:
    """Orders with their types; an order that was sent twice counts once."""
    return (
        landed_orders.unique("order_id")
        .select(
            pl.col("order_id").cast(pl.Int64),
            pl.col("ordered_at").str.to_datetime("%Y-%m-%dT%H:%M:%S", time_zone="UTC"),
            pl.col("country").str.to_uppercase(),
            pl.col("amount_eur").cast(pl.Float64),
        )
        .sort("order_id")
    )


@headgate.dataset(partitions=DAYS)
def revenue(ctx: headgate.Context, orders: pl.LazyFrame) -> pl.LazyFrame:
    """Revenue of a day by country, shipping included."""
    return orders.group_by("country").agg(
        pl.lit(ctx.key).str.to_date().alias("day"),
        pl.len().alias("orders"),
        (pl.col("amount_eur") + SHIPPING_EUR).sum().round(2).alias("revenue_eur"),
    )


@headgate.dataset(partitions=WEEKS)
def revenue_weekly(ctx: headgate.Context, revenue: pl.LazyFrame) -> pl.LazyFrame:
    """Revenue of a week by country: reads the seven days of `revenue`."""
    return revenue.group_by("country").agg(
        pl.lit(ctx.key).str.to_date().alias("week"),
        pl.col("orders").sum(),
        pl.col("revenue_eur").sum().round(2),
    )
