import math

import numpy as np
import pytest
import torch

from model.evaluation.metrics import macro_f1
from model.schema import NO_LABEL
from model.train.loop import train
from model.train.validation import chance_macro_f1, score
from model.weights import load_weights


def test_chance_is_what_a_uniform_guesser_reaches():
    """Oracle: many guesses."""
    generator = np.random.default_rng(0)
    label = generator.choice(7, 200_000, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05])
    guessed = macro_f1(generator.integers(0, 7, len(label)), label)
    assert chance_macro_f1(label) == pytest.approx(guessed, abs=0.003)
    assert chance_macro_f1(np.arange(70) % 7) == pytest.approx(1 / 7)


def test_chance_of_nobody_is_zero():
    assert chance_macro_f1(np.array([NO_LABEL, NO_LABEL])) == 0


def test_score_values_relative_gains_of_both_tasks_alike():
    base = score({"val/macro_f1": 40.0, "val/nme_interocular": 5.0})
    more_f1 = score({"val/macro_f1": 44.0, "val/nme_interocular": 5.0})
    less_nme = score({"val/macro_f1": 40.0, "val/nme_interocular": 5.0 / 1.1})
    assert more_f1 - base == pytest.approx(less_nme - base)
    assert more_f1 > base


def test_score_of_one_task_is_that_of_the_other_left_out():
    assert score({"val/nme_interocular": 5.0}) == pytest.approx(-math.log(5))
    assert score({"val/macro_f1": 40.0}) == pytest.approx(math.log(40))
    assert math.isfinite(score({"val/macro_f1": 0.0}))


def test_kept_weights_are_those_of_the_best_epoch(tiny, tiny_shards, tmp_path):
    told = {}

    def listen(epoch, metrics):
        told[epoch] = metrics
        return False

    result = train(tiny(**{"train.epochs": 3}), shards=tiny_shards, out=tmp_path, stop=listen)
    best = max(told, key=lambda epoch: score(told[epoch]))
    assert result.epoch == best
    assert result.metrics == told[best] == load_weights(tmp_path)[1].metrics


def test_val_every_skips_epochs_but_never_the_last(tiny, tiny_shards, tmp_path):
    asked = []
    config = tiny(**{"train.epochs": 3, "train.val_every": 2})
    train(config.run, shards=tiny_shards, out=tmp_path, stop=lambda epoch, _: bool(asked.append(epoch)))
    assert asked == [1, 2]


def test_training_gives_back_the_threads_it_took(tiny, tiny_shards, tmp_path):
    before = torch.get_num_threads()
    seen = []
    config = tiny(**{"train.epochs": 1, "train.threads": before + 1})
    train(config.run, shards=tiny_shards, out=tmp_path, stop=lambda *_: bool(seen.append(torch.get_num_threads())))
    assert seen == [before + 1]
    assert torch.get_num_threads() == before
