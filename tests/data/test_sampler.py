import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import BalanceConfig
from model.data.sampler import draw_epoch, epoch_length, make_groups, rank_positions
from model.errors import ConfigError, DataContractError
from model.schema import NO_LABEL

EVEN = BalanceConfig(sources=1, classes=1)
BY_SIZE = BalanceConfig(sources=0, classes=0)


def faces(*parts):
    """(source, expression, count) parts as two columns."""
    source = np.repeat([part[0] for part in parts], [part[2] for part in parts])
    expression = np.repeat([part[1] for part in parts], [part[2] for part in parts])
    return source, expression


def draw(columns, balance, length, *, seed=0, epoch=0):
    return draw_epoch(make_groups(*columns, balance), length, seed=seed, epoch=epoch)


@given(st.integers(1, 300), st.integers(1, 64), st.integers(0, 99))
def test_unbalanced_epoch_draws_every_face_before_any_twice(count, batch_size, seed):
    length = epoch_length(count, batch_size, 0)
    order = draw(faces((0, NO_LABEL, count)), BY_SIZE, length, seed=seed)
    assert length % batch_size == 0
    assert sorted(order[:count]) == list(range(count))


def test_steps_per_epoch_sets_the_length():
    assert epoch_length(1000, 64, 0) == 16 * 64
    assert epoch_length(1000, 64, 3) == 3 * 64


def test_sources_get_the_same_share_of_every_stretch():
    columns = faces((0, NO_LABEL, 900), (1, 0, 100))
    source = columns[0][draw(columns, EVEN, 640)]
    for start in range(0, 640, 64):
        assert 29 <= np.count_nonzero(source[start : start + 64] == 0) <= 35


def test_classes_of_a_labelled_source_get_the_same_share():
    columns = faces((0, NO_LABEL, 50), (1, 0, 500), (1, 1, 20), (1, 6, 7))
    expression = columns[1][draw(columns, EVEN, 1200)]
    counts = [np.count_nonzero(expression == label) for label in (NO_LABEL, 0, 1, 6)]
    assert np.abs(np.subtract(counts, [600, 200, 200, 200])).max() <= 1


def test_faces_without_label_keep_their_proportion_within_a_source():
    columns = faces((0, NO_LABEL, 300), (0, 2, 90), (0, 3, 10))
    expression = columns[1][draw(columns, EVEN, 400)]
    assert np.abs(np.subtract([np.count_nonzero(expression == e) for e in (NO_LABEL, 2, 3)], [300, 50, 50])).max() <= 1


def test_by_size_large_sources_come_more_often():
    columns = faces((0, 0, 900), (1, 1, 100))
    source = columns[0][draw(columns, BY_SIZE, 1000)]
    assert np.count_nonzero(source == 1) == 100


def test_half_way_shares_follow_the_root_of_the_sizes():
    columns = faces((0, NO_LABEL, 100), (1, 0, 810), (1, 1, 90))
    order = draw(columns, BalanceConfig(sources=0.5, classes=0.5), 1600)
    counts = [np.count_nonzero(columns[0][order] == 0), *(np.count_nonzero(columns[1][order] == e) for e in (0, 1))]
    assert np.abs(np.subtract(counts, [400, 900, 300])).max() <= 1


def test_a_small_class_is_repeated_evenly():
    columns = faces((0, 0, 90), (0, 1, 10))
    order = draw(columns, EVEN, 100)
    times = np.bincount(order[columns[1][order] == 1], minlength=100)[90:]
    assert set(times) == {5}


def test_epochs_and_seeds_differ_and_repeat():
    columns = faces((0, 0, 50), (1, NO_LABEL, 50))
    first = draw(columns, EVEN, 100, seed=3, epoch=1)
    assert (first == draw(columns, EVEN, 100, seed=3, epoch=1)).all()
    assert (first != draw(columns, EVEN, 100, seed=3, epoch=2)).any()
    assert (first != draw(columns, EVEN, 100, seed=4, epoch=1)).any()


def test_a_group_below_one_draw_an_epoch_is_not_forgotten():
    columns = faces((0, 0, 996), (1, 0, 4))
    balance = BalanceConfig(sources=0, classes=1)
    drawn = sum(np.count_nonzero(columns[0][draw(columns, balance, 64, epoch=epoch)] == 1) for epoch in range(200))
    assert 0.5 < drawn / (200 * 64 * 0.004) < 1.5


@settings(max_examples=60)
@given(st.integers(1, 400), st.sampled_from([1, 2, 3, 4]), st.integers(1, 12))
def test_ranks_together_cover_each_position_once_and_keep_the_global_batches(length, world, per_rank):
    """T28: with an uneven last batch too."""
    batch_size = world * per_rank
    ranks = [rank_positions(length, batch_size, rank=rank, world=world) for rank in range(world)]
    one = rank_positions(length, batch_size, rank=0, world=1)
    assert sorted(np.concatenate([p for rank in ranks for p in rank]).tolist()) == list(range(length))
    for step, batch in enumerate(one):
        parts = [rank[step] for rank in ranks if step < len(rank)]
        together = sorted(np.concatenate(parts).tolist())
        assert together == batch.tolist()
        assert all((part % world == part[0] % world).all() for part in parts)


def test_batch_that_cannot_be_divided_is_a_configuration_error():
    with pytest.raises(ConfigError, match=r"train\.batch_size: 64 cannot be divided over 3 processes"):
        rank_positions(100, 64, rank=0, world=3)


def test_no_face_at_all_is_a_data_error():
    with pytest.raises(DataContractError, match="split train holds no face"):
        make_groups(np.array([], dtype=np.int64), np.array([], dtype=np.int64), EVEN)
