"""Laws of the comparison."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from benchmarks.method.statistics import (
    Values,
    draw_subjects,
    f1_values,
    gain_estimate,
    holm,
    mean_estimate,
    nme_values,
    subject_means,
)
from tests.benchmarks.method.made import made_faces

LEVEL = 0.95
FACES = made_faces(300)
DRAWN = draw_subjects(FACES.count_G, 1000, np.random.default_rng(0))


def errors_of(seeds: int, *, scale: float = 1.0, noise: int = 0) -> list[Values]:
    """NME of rows that share the hard faces of a seed."""
    runs = []
    for seed in range(seeds):
        shared = np.random.default_rng(seed).gamma(8, 0.05 / 8, len(FACES.label_N))
        own = np.random.default_rng([seed, noise]).normal(1, 0.02, len(shared))
        runs.append(nme_values(subject_means(scale * shared * own, FACES.subject_N), FACES.count_G, DRAWN))
    return runs


def compare(ones: list[Values], others: list[Values], *, relative: bool = True):
    return gain_estimate(ones, others, relative=relative, level=LEVEL, seed=0)


def test_equal_rows_show_no_difference():
    gain = compare(errors_of(5), errors_of(5))
    assert gain == (0.0, 0.0, 0.0, 1.0)


def test_rows_that_differ_by_chance_have_an_interval_that_covers_zero():
    gain = compare(errors_of(5, noise=1), errors_of(5, noise=2))
    assert gain.low < 0 < gain.high
    assert gain.p > 0.05


def drawn_by_chance(generator: np.random.Generator, seeds: int) -> list[Values]:
    """Runs of one row: seeds differ by 0.1, and the subjects move each mean by 0.03."""
    moved, moved_R = generator.normal(0, 0.03), generator.normal(0, 0.03, 500)
    return [Values(mean + moved, mean + moved + moved_R) for mean in generator.normal(5, 0.1, seeds)]


@pytest.mark.parametrize(("seeds", "most"), [(2, 0.075), (3, 0.075), (4, 0.075), (5, 0.15), (10, 0.1)])
def test_under_no_difference_few_comparisons_are_significant(seeds: int, most: float):
    """At a nominal 5 %: a bootstrap of five seeds is somewhat liberal, one of three would say so in a case of six."""
    generator = np.random.default_rng(0)
    pairs = [(drawn_by_chance(generator, seeds), drawn_by_chance(generator, seeds)) for _ in range(600)]
    gains = [compare(*pair, relative=False) for pair in pairs]
    assert np.mean([gain.p <= 0.05 for gain in gains]) <= most
    assert np.mean([not gain.low <= 0 <= gain.high for gain in gains]) <= most


@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_of_few_seeds_the_p_value_is_the_level_at_which_the_interval_ends_at_zero(seeds: int):
    ones, others = errors_of(seeds, noise=1), errors_of(seeds, scale=1.004, noise=2)
    p = compare(ones, others).p
    at_p = gain_estimate(ones, others, relative=True, level=1 - p, seed=0)
    assert min(abs(at_p.low), abs(at_p.high)) == pytest.approx(0, abs=1e-6)


def test_one_pair_has_a_gain_and_no_interval():
    gain = compare(errors_of(1), errors_of(1, scale=1.1))
    assert gain.value > 0
    assert (gain.low, gain.high, gain.p) == (None, None, 1.0)


def test_a_planted_shift_is_found_with_its_size():
    gain = compare(errors_of(5, scale=0.97, noise=1), errors_of(5, noise=2))
    assert gain.value == pytest.approx(3.0, abs=0.3)
    assert 2 < gain.low < 3 < gain.high < 4
    assert gain.p < 0.01


def test_a_gain_turns_its_sign_with_the_rows():
    ones, others = errors_of(4), errors_of(4, scale=1.1)
    forth, back = compare(ones, others, relative=False), compare(others, ones, relative=False)
    assert forth.value == pytest.approx(-back.value)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low), rel=0.01)
    assert forth.p == back.p


def test_numbering_of_the_seeds_does_not_matter():
    ones, others = errors_of(6, scale=0.99, noise=1), errors_of(6, noise=2)
    order = [3, 0, 5, 1, 4, 2]
    assert compare([ones[i] for i in order], [others[i] for i in order]) == pytest.approx(compare(ones, others))
    assert mean_estimate([ones[i] for i in order], LEVEL, 0) == pytest.approx(mean_estimate(ones, LEVEL, 0))


def test_the_interval_of_a_mean_holds_what_seeds_and_subjects_bring():
    same_seeds = [errors_of(1)[0]] * 5
    subjects_only = mean_estimate(same_seeds, LEVEL, 0)
    spread = [Values(value, np.full(1000, value)) for value in (4.0, 4.5, 5.0, 5.5, 6.0)]
    seeds_only = mean_estimate(spread, LEVEL, 0)
    error = np.std(errors_of(1)[0].drawn_R)
    assert subjects_only.high - subjects_only.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert seeds_only.high - seeds_only.low == pytest.approx(2 * 1.96 * np.std([4, 4.5, 5, 5.5, 6]) / 5**0.5, rel=0.15)


def test_macro_f1_of_a_resample_is_that_of_its_faces():
    rng = np.random.default_rng(1)
    class_N = np.where(rng.random(len(FACES.label_N)) < 0.6, FACES.label_N, rng.integers(0, 7, len(FACES.label_N)))
    values = f1_values(class_N, FACES.label_N, FACES.subject_N, DRAWN)
    assert values.point == pytest.approx(100 * f1_score(FACES.label_N, class_N, average="macro"))
    times = DRAWN[7].astype(int)[FACES.subject_N]
    expected = f1_score(np.repeat(FACES.label_N, times), np.repeat(class_N, times), average="macro")
    assert values.drawn_R[7] == pytest.approx(100 * expected)


def test_nme_of_a_resample_is_that_of_its_faces():
    errors_N = np.random.default_rng(2).gamma(8, 0.01, len(FACES.label_N))
    values = nme_values(subject_means(errors_N, FACES.subject_N), FACES.count_G, DRAWN)
    assert values.point == pytest.approx(100 * errors_N.mean())
    times = DRAWN[3].astype(int)[FACES.subject_N]
    assert values.drawn_R[3] == pytest.approx(100 * np.repeat(errors_N, times).mean())


def test_holm_against_values_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04 -> not below the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.001]) == [0.001]
    assert holm([]) == []
