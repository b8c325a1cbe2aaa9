"""A slider over the instants of a timeline, for ``interact``."""

from __future__ import annotations

from typing import Any

import ipywidgets

from branchpoint.clock import SECOND
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.recording import Recording


class MomentSlider(ipywidgets.FloatSlider):
    """A slider made by ``run.slider()`` or ``branch.slider()``; ``value`` is in virtual seconds.

    ``slider.moment`` is the moment it points to. ``interact(look, at=run.slider())`` calls ``look``
    with that moment whenever the user lets go of the slider.
    """

    def __init__(self, subject: Recording | Branch, **options: Any) -> None:
        """``options`` are those of a FloatSlider: ``min``, ``max``, ``step``, ``value``, ... The
        slider begins at the recorded failure; without one, and for a branch, at the end.
        """
        run = subject.run if isinstance(subject, Branch) else subject
        end = subject.end
        failure = run.manifest.failure
        at = failure if failure is not None and subject is run else end.at
        self._end: Moment = end
        given = {
            "min": 0.0,
            "max": end.vtime,
            "value": (at - run.origin) / SECOND,
            "step": 0.001,
            "readout_format": ".3f",
            "continuous_update": False,
            "description": "vtime (s)",
        }
        super().__init__(**{**given, **options})

    @property
    def moment(self) -> Moment:
        """The moment it points to: exact to the ns at both ends, elsewhere to its ``step``."""
        if self.value >= self._end.vtime:
            return self._end
        return self._end._at(self._end.run.origin + round(self.value * SECOND))

    def get_interact_value(self) -> Moment:
        """The argument that ``interact`` passes to its function."""
        return self.moment
