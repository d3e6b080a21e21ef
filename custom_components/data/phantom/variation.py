"""How much phantom subjects vary: the one table to tune how difficult a cohort is."""

from __future__ import annotations

from typing import NamedTuple


class Knob(NamedTuple):
    """A number that grows linearly from `narrow` (shift 0) to `wide` (shift 1)."""

    narrow: float
    wide: float

    def at(self, shift: float) -> float:
        """Value at a shift from 0 to 1.

        Example:
            >>> Knob(2, 10).at(0.25)
            4.0
        """
        return self.narrow + (self.wide - self.narrow) * shift


class Variation(NamedTuple):
    """Probabilities, standard deviations (sd) and ranges of everything that varies between subjects.

    What is meant to be learnable from more labelled volumes (contrast, habitus, anatomy, field of
    view) changes strongly with the shift; what nobody can learn (noise, streaks) changes moderately.
    """

    # Contrast: probability that the scan is not portal venous; how far it drifts to another phase.
    other_phase: Knob = Knob(0.0, 0.75)
    phase_blend: Knob = Knob(0.0, 0.35)
    enhancement_sd: Knob = Knob(0.06, 0.15)
    tissue_hu_sd: Knob = Knob(3.0, 9.0)
    fatty_liver: Knob = Knob(0.0, 0.30)
    oral_contrast: Knob = Knob(0.0, 0.35)

    # Habitus: log sd of the whole body's scale and of each axis; fat under the skin (mm, mean and sd).
    body_scale_sd: Knob = Knob(0.025, 0.075)
    axis_scale_sd: Knob = Knob(0.015, 0.045)
    fat_mean: Knob = Knob(14.0, 19.0)
    fat_sd: Knob = Knob(3.0, 13.0)
    visceral_sd: Knob = Knob(0.03, 0.11)

    # Position: sd of the body's rotation (degrees; about z, 0.4 of it about x and y), of the smooth
    # deformation (mm), of an organ's place (mm) and log size, of the depth of breath (mm).
    rotation_sd: Knob = Knob(1.5, 8.0)
    deformation: Knob = Knob(3.0, 6.5)
    organ_place_sd: Knob = Knob(3.0, 10.0)
    organ_size_sd: Knob = Knob(0.04, 0.10)
    surface_roughness: Knob = Knob(1.0, 1.8)
    breath_sd: Knob = Knob(5.0, 14.0)

    # Field of view: sd of its centre (mm), probability and length (mm) of a scan shorter than the grid.
    centre_xy_sd: Knob = Knob(4.0, 14.0)
    centre_z_sd: Knob = Knob(8.0, 45.0)
    short_scan: Knob = Knob(0.0, 0.35)
    arms_down: Knob = Knob(0.0, 0.35)

    # Anatomy: probabilities.
    missing_gallbladder: Knob = Knob(0.0, 0.20)
    missing_spleen: Knob = Knob(0.0, 0.10)
    missing_kidney: Knob = Knob(0.0, 0.14)
    large_liver: Knob = Knob(0.0, 0.20)
    small_liver: Knob = Knob(0.0, 0.12)
    riedel_lobe: Knob = Knob(0.0, 0.12)
    large_spleen: Knob = Knob(0.0, 0.22)
    low_kidney: Knob = Knob(0.0, 0.25)
    small_kidney: Knob = Knob(0.0, 0.10)
    renal_cysts: Knob = Knob(0.05, 0.30)
    hydronephrosis: Knob = Knob(0.0, 0.10)
    liver_lesions: Knob = Knob(0.0, 0.25)
    ascites: Knob = Knob(0.0, 0.22)
    pleural_effusion: Knob = Knob(0.0, 0.25)
    distended_bowel: Knob = Knob(0.05, 0.30)

    # Imaging: noise (HU sd on a voxel of 1 x 1 x 3 mm), in-plane and through-plane blur (mm sd),
    # low-frequency bias (HU sd), probability of streaks and their strength (HU).
    noise: Knob = Knob(14.0, 30.0)
    blur: Knob = Knob(0.6, 1.1)
    thick_slices: Knob = Knob(0.0, 0.35)
    slice_blur: Knob = Knob(4.0, 8.0)
    bias: Knob = Knob(2.0, 14.0)
    streaks: Knob = Knob(0.0, 0.20)
    streak_strength: Knob = Knob(20.0, 70.0)


VARIATION = Variation()
"""The table in use."""
