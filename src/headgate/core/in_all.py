"""The bound of all attempts together, over all lanes: classes share it as they share the slots of one lane."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.core.admission import LaneQueue
    from headgate.core.ceilings import Ceilings
    from headgate.model.policy import ServiceClass


class InAll:
    """How many attempts may run at a time, in all lanes.

    Args:
        most: That; None for no bound.
        classes: The service classes.
        ceilings: Their shares as the time is.
    """

    def __init__(self, most: int | None, classes: Sequence[ServiceClass], ceilings: Ceilings) -> None:
        self.most = most
        self.lanes: Sequence[LaneQueue] = ()
        self._classes = classes
        self._ceilings = ceilings

    def lets_in(self, service_class: ServiceClass) -> bool:
        """Return whether a class is below its ceiling in all."""
        return self.most is None or self._used(service_class) < self.allowed(service_class)

    def allowed(self, service_class: ServiceClass) -> int:
        """Return how many attempts of a class may run at a time, where there is a bound."""
        share, most = self._ceilings.shares[service_class.name], self.most or 0
        # As in a lane, a share that is not nothing is at least one.
        return max(1, int(share * most + 1e-9)) if share > 0 else 0

    def leaves_reserved(self, service_class: ServiceClass) -> bool:
        """Return whether a class could start something without taking what is reserved for higher ones."""
        if self.most is None:
            return True
        higher = [one for one in self._classes if one.priority > service_class.priority]
        reserved = sum(max(0, one.reserved - self._used(one)) for one in higher)
        return reserved == 0 or sum(map(self._used, self._classes)) < max(1, self.most - reserved)

    def _used(self, service_class: ServiceClass) -> int:
        return sum(lane.by_name[service_class.name].used for lane in self.lanes)
