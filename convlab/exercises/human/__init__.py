"""Lección 11: personas y redes, comparadas con los mismos ensayos."""

from __future__ import annotations

from convlab.exercises.human import (
    accuracy_by_condition,
    bootstrap_interval,
    error_consistency,
    map_to_coarse,
    shape_bias,
)

EXERCISES = (
    accuracy_by_condition.EXERCISE,
    shape_bias.EXERCISE,
    error_consistency.EXERCISE,
    bootstrap_interval.EXERCISE,
    map_to_coarse.EXERCISE,
)
