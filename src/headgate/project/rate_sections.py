"""`[rates]` of headgate.toml: what forecasts turn into money."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from headgate.project.section import Section

_Price = Annotated[float, Field(ge=0, le=1e9)]


class PoolRatesSection(Section):
    """`[rates.pools.NAME]`: money for an hour of a slot, and for each GB (10^9 bytes) of datasets that take from it."""

    slot_hour: _Price = 0.0
    gb_read: _Price = 0.0
    gb_written: _Price = 0.0

    @property
    def is_free(self) -> bool:
        """Whether nothing costs anything."""
        return not (self.slot_hour or self.gb_read or self.gb_written)


class RatesSection(PoolRatesSection):
    """`[rates]`: money for an hour of a worker's slot, and for each GB that is read or written."""

    currency: str = Field(default="", max_length=10)
    pools: dict[str, PoolRatesSection] = Field(default_factory=dict)

    @property
    def is_free(self) -> bool:
        """Whether nothing costs anything, of no pool either."""
        return super().is_free and all(pool.is_free for pool in self.pools.values())
