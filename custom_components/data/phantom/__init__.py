"""A synthetic cohort of abdominal CTs with organ labels: make one phantom, or write a whole cohort."""

from custom_components.data.phantom.cohort import write_cohort
from custom_components.data.phantom.grid import GRIDS, Grid, RawForm
from custom_components.data.phantom.scan import Phantom, make_phantom
from custom_components.data.phantom.variation import VARIATION, Knob, Variation

__all__ = ["GRIDS", "VARIATION", "Grid", "Knob", "Phantom", "RawForm", "Variation", "make_phantom", "write_cohort"]
