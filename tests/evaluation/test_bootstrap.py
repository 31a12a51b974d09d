import time

import numpy as np

from model.evaluation.bootstrap import Resampler
from model.evaluation.expression import macro_f1_of
from model.schema import FaceRecord


def mean_of(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / np.where(sums[..., 1] > 0, sums[..., 1], np.nan)


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(200):
        values = rng.exponential(1.0, 80)
        resampler = Resampler(range(80), resamples=200, seed=trial, level=0.9)
        low, high = resampler.interval(np.stack([values, np.ones(80)], 1), mean_of, np.ones(80, bool))
        inside += bool(low <= 1.0 <= high)
    assert 0.82 <= inside / 200 <= 0.95


def test_one_person_with_many_pictures_widens_the_interval():
    values = np.repeat(np.random.default_rng(1).normal(0, 1, 20), 10)
    terms = np.stack([values, np.ones(200)], 1)
    single = Resampler(range(200), resamples=500, seed=0, level=0.95).interval(terms, mean_of, np.ones(200, bool))
    grouped = Resampler(list(np.arange(200) // 10), resamples=500, seed=0, level=0.95)
    low, high = grouped.interval(terms, mean_of, np.ones(200, bool))
    assert high - low > 2 * (single[1] - single[0])


def test_one_person_of_two_sources_is_drawn_as_a_whole(config):
    def faces(people):
        names = [(source, number) for source in "ab" for number in range(30)]
        return [
            FaceRecord(f"{source}/{n}", source, "test", "", f"{n}.png", group=f"{people or source}/{n}")
            for source, n in names
        ]

    terms = np.stack([np.tile(np.random.default_rng(4).normal(0, 1, 30), 2), np.ones(60)], 1)
    widths = []
    for people in ("", "town"):
        resampler = Resampler.of_faces(faces(people), config.evaluate, seed=0)
        low, high = resampler.interval(terms, mean_of, np.ones(60, bool))
        widths.append(float(high - low))
    assert widths[1] > 1.2 * widths[0]


def test_same_seed_same_interval_and_empty_slice_is_nan():
    terms = np.random.default_rng(2).random((30, 2))
    one, two = (
        Resampler(range(30), resamples=100, seed=5, level=0.95).interval(terms, mean_of, np.ones(30, bool))
        for _ in range(2)
    )
    assert one == two
    resampler = Resampler(range(30), resamples=100, seed=5, level=0.95)
    assert np.isnan(resampler.interval(terms, mean_of, np.zeros(30, bool))).all()
    assert np.isnan(
        Resampler([], resamples=10, seed=0, level=0.95).interval(np.zeros((0, 2)), mean_of, np.zeros(0, bool))
    ).all()


def test_thousand_resamples_of_ten_metrics_and_twenty_slices_take_seconds():
    rng = np.random.default_rng(3)
    start = time.process_time()
    resampler = Resampler(range(3500), resamples=1000, seed=0, level=0.95)
    cells = np.eye(49)[rng.integers(0, 49, 3500)]
    for _ in range(20):
        faces = rng.random(3500) < 0.3
        resampler.interval(cells, lambda sums: macro_f1_of(sums.reshape(-1, 7, 7)), faces)
    assert time.process_time() - start < 20
