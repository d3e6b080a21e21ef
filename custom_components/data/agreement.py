"""Several raters: how far they agree, and where they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from custom_components.case_ids import CASE_ID
from custom_components.data.bootstrap import UNDEFINED, Estimate, percentile_interval
from custom_components.data.code_checks import segmentation_keys
from custom_components.data.code_values import CODES

SEGMENTATION = "segmentation"


class PairAgreement(NamedTuple):
    """Agreement of two raters over the segmentations that both rated."""

    rater_a: str
    rater_b: str
    ratings: int
    agreement: Estimate
    kappa: Estimate
    weighted_kappa: Estimate


class GroupAgreement(NamedTuple):
    """Agreement of `raters` ratings for each of `ratings` segmentations; `left_out` have another number of ratings."""

    raters: int
    ratings: int
    left_out: int
    agreement: Estimate
    kappa: Estimate


def ratings_by_rater(table: pd.DataFrame) -> pd.DataFrame:
    """Lay a table of codes out with a row for each segmentation and a column for each rater.

    Returns:
        `Int64` (`Float64` for soft codes), `<NA>` where a rater has not rated; the index is the case id and a text that
        tells a case's segmentations apart.

    Raises:
        ValueError: a rater has two ratings of one segmentation: `merge_duplicates` comes first.
    """
    keyed = table.assign(**{SEGMENTATION: segmentation_keys(table)})
    keys = [CASE_ID, SEGMENTATION, "rater"]
    if (several := keyed[keyed.duplicated(keys)]).size:
        case_id, rater = several.iloc[0][[CASE_ID, "rater"]]
        raise ValueError(f"rater {rater!r} has two ratings of a segmentation of case {case_id!r}, expected one")
    return keyed.pivot(index=keys[:2], columns="rater", values="code").astype(table["code"].dtype)


def pair_agreements(ratings: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> list[PairAgreement]:
    """Measure the agreement of each two raters: share of equal codes, Cohen's kappa, and with quadratic weights.

    Intervals are percentiles of a bootstrap over cases (all segmentations of a case together). Where all codes are one,
    kappa is not defined and nan; so is an interval if it is not defined in more than 5 % of the resamples. Full
    agreement resamples to full agreement: its interval has no width, whatever the number of cases.

    Args:
        ratings: as `ratings_by_rater` gives them.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Source: Cohen, Educ. Psychol. Meas. 20 (1960) 37; Cohen, Psychol. Bull. 70 (1968) 213, for the weights.
    """
    raters = list(ratings.columns)
    pairs = [(a, b) for number, a in enumerate(raters) for b in raters[number + 1 :]]
    return [_pair(a, b, ratings[[a, b]].dropna().astype(int), resamples, seed) for a, b in pairs]


def group_agreement(ratings: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> GroupAgreement:
    """Measure the agreement of all raters: share of agreeing pairs of ratings, and Fleiss' kappa.

    It is over the segmentations with the number of ratings, at least two, that most have; these need not be of the
    same raters. Intervals are as those of `pair_agreements`.

    Args:
        ratings: as `ratings_by_rater` gives them.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Source: Fleiss, Psychol. Bull. 76 (1971) 378.
    """
    numbers = ratings.notna().sum(axis=1)
    several = numbers[numbers >= 2]
    if several.empty:
        return GroupAgreement(0, 0, len(ratings), UNDEFINED, UNDEFINED)
    raters = int(several.mode().max())
    rated = ratings[numbers == raters]
    codes = np.array([row.dropna() for _, row in rated.iterrows()], dtype=int)
    counts, _ = aggregate_raters(codes, n_cat=len(CODES))
    pairs = (counts**2).sum(axis=1) - raters
    agreement = float(pairs.mean() / (raters * (raters - 1)))
    kappa = float(fleiss_kappa(counts)) if (counts.sum(axis=0) > 0).sum() > 1 else np.nan
    sums = _sums_of_cases(np.column_stack([pairs, np.full(len(counts), raters * (raters - 1)), counts]), rated.index)
    return GroupAgreement(
        raters,
        len(rated),
        len(ratings) - len(rated),
        Estimate(agreement, *_interval(sums, lambda s: s[:, 0] / s[:, 1], resamples, seed)),
        Estimate(kappa, *_interval(sums, _fleiss_of_sums, resamples, seed)),
    )


def disagreements(ratings: pd.DataFrame) -> pd.DataFrame:
    """List the segmentations that raters coded differently, the worst first.

    Returns:
        `case_id, segmentation`, a column for each rater, and the `spread` from best to worst code; sorted by spread,
        then by the mean code, both descending, then by case id.
    """
    spread = ratings.max(axis=1) - ratings.min(axis=1)
    table = ratings.assign(spread=spread, mean=ratings.astype("Float64").mean(axis=1))[(spread > 0).fillna(False)]
    table = table.reset_index().sort_values(
        ["spread", "mean", CASE_ID, SEGMENTATION], ascending=[False, False, True, True], ignore_index=True
    )
    return table.drop(columns="mean").rename_axis(columns=None)


def _pair(rater_a: str, rater_b: str, both: pd.DataFrame, resamples: int, seed: int) -> PairAgreement:
    if both.empty:
        return PairAgreement(rater_a, rater_b, 0, UNDEFINED, UNDEFINED, UNDEFINED)
    a, b = both[rater_a].to_numpy(), both[rater_b].to_numpy()
    is_defined = len(set(a) | set(b)) > 1
    cells = np.eye(len(CODES) ** 2)[a * len(CODES) + b]
    sums = _sums_of_cases(cells, both.index)

    def estimate(value: float, statistic: Callable[[np.ndarray], np.ndarray]) -> Estimate:
        return Estimate(float(value), *_interval(sums, statistic, resamples, seed))

    def kappa(weights: str | None) -> Estimate:
        value = cohen_kappa_score(a, b, labels=CODES, weights=weights) if is_defined else np.nan
        return estimate(value, lambda s: _cohen_of_sums(s, weights))

    matching = estimate((a == b).mean(), lambda s: s[:, :: len(CODES) + 1].sum(axis=1) / s.sum(axis=1))
    return PairAgreement(rater_a, rater_b, len(both), matching, kappa(None), kappa("quadratic"))


def _sums_of_cases(rows: np.ndarray, index: pd.MultiIndex) -> np.ndarray:
    """Add the rows of each case: `(N, F)` for the segmentations to `(cases, F)`."""
    case, _ = pd.factorize(index.get_level_values(0))
    sums = np.zeros((case.max() + 1, rows.shape[1]))
    np.add.at(sums, case, rows)
    return sums


def _interval(
    sums: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], resamples: int, seed: int
) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of a statistic of sums over resampled cases.

    Cases with the same sums are drawn as one, with their number as the probability, which is the same as drawing cases.
    """
    kinds, numbers = np.unique(sums, axis=0, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(sums), numbers / len(sums), size=resamples)
    return percentile_interval(statistic(draws @ kinds))


def _cohen_of_sums(sums: np.ndarray, weights: str | None) -> np.ndarray:
    """Cohen's kappa of confusion matrices `(R, 9)`; nan where all codes are one."""
    table = sums.reshape(-1, len(CODES), len(CODES))
    apart = np.subtract.outer(CODES, CODES)
    cost = apart**2 if weights == "quadratic" else (apart != 0).astype(float)
    expected = table.sum(axis=2)[:, :, None] * table.sum(axis=1)[:, None, :] / table.sum(axis=(1, 2))[:, None, None]
    observed, by_chance = (table * cost).sum(axis=(1, 2)), (expected * cost).sum(axis=(1, 2))
    return 1 - np.divide(observed, by_chance, out=np.full(len(sums), np.nan), where=by_chance > 0)


def _fleiss_of_sums(sums: np.ndarray) -> np.ndarray:
    """Fleiss' kappa of `(R, 5)`: agreeing pairs, pairs, ratings of each code; nan where all codes are one."""
    observed = sums[:, 0] / sums[:, 1]
    shares = sums[:, 2:] / sums[:, 2:].sum(axis=1, keepdims=True)
    by_chance = (shares**2).sum(axis=1)
    is_defined = (sums[:, 2:] > 0).sum(axis=1) > 1
    return np.divide(observed - by_chance, 1 - by_chance, out=np.full(len(sums), np.nan), where=is_defined)
