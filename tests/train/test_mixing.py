import numpy as np
import pytest
import torch

from model.config import AugmentConfig
from model.errors import ConfigError
from model.schema import EXPRESSIONS, NO_LABEL
from model.storage import read_json
from model.train.association import Transfer, association_loss, pseudo_terms
from model.train.loop import train
from model.train.losses import multitask_loss
from model.train.mixing import draw_shares, mix_faces

CUT, BLEND = {"cutmix": 1.0}, {"mixup": 1.0}


def augmentation(**chances: float) -> AugmentConfig:
    return AugmentConfig(**dict.fromkeys(AugmentConfig.model_fields, 0.0) | chances)


def mixed(batch, seed=0, **chances):
    return mix_faces(batch, augmentation(**chances), np.random.default_rng(seed))


@pytest.fixture
def named(faces):
    """Eight flat faces of a brightness of their own: six with an expression alone, one with points, one with both."""
    batch = faces(8)
    points, names = torch.arange(8) >= 6, torch.arange(8) != 6
    return batch._replace(
        image_BCHW=(torch.arange(8) * 30).to(torch.uint8)[:, None, None, None].expand(8, 3, 32, 32).clone(),
        landmarks_mask_BK=batch.landmarks_mask_BK & points[:, None],
        points19_mask_BM=batch.points19_mask_BM & points[:, None],
        expression_BE=batch.expression_BE * names[:, None],
        expression_mask_B=names,
        label_B=batch.label_B.where(names, NO_LABEL),
    )


def test_without_mixing_the_batch_is_the_same(named):
    assert mixed(named) is named


@pytest.mark.parametrize("chances", [CUT, BLEND])
def test_a_face_with_points_or_without_a_name_is_never_mixed(named, chances):
    result = mixed(named, **chances)
    for name, before, after in zip(named._fields, named, result, strict=True):
        assert torch.equal(before[6:], after[6:]), name
    for name in ("landmarks_mask_BK", "points19_mask_BM", "expression_mask_B", "source_B", "row_B"):
        assert torch.equal(getattr(named, name), getattr(result, name))


@pytest.mark.parametrize("chances", [CUT, BLEND])
def test_picture_and_target_are_mixed_by_the_same_share(named, chances):
    """Flat faces: the mean brightness of a mixture gives its share away."""
    result = mixed(named, **chances)
    for number in range(6):
        target = result.expression_BE[number]
        assert float(target.sum()) == pytest.approx(1, abs=1e-6)
        share = float(target[number])
        others = [int(index) for index in target.nonzero().flatten() if index != number]
        assert len(others) <= 1
        expected = 30 * (number * share + (1 - share) * (others[0] if others else number))
        assert float(result.image_BCHW[number].float().mean()) == pytest.approx(expected, abs=0.6)


def test_a_cut_is_one_rectangle_of_the_other_face(named):
    result = mixed(named, **CUT)
    for number in range(6):
        foreign = (result.image_BCHW[number] != named.image_BCHW[number]).any(dim=0)
        rows, columns = foreign.any(dim=1), foreign.any(dim=0)
        assert torch.equal(foreign, rows[:, None] & columns[None, :])
        assert len(result.image_BCHW[number].unique()) <= 2


def test_a_cut_covers_any_share_of_the_face_and_is_as_large_as_drawn():
    """An even draw of the area, of which the border cuts off a part: all sizes occur, about a third is covered."""
    kept, chosen = draw_shares(2000, 32, augmentation(**CUT), np.random.default_rng(0))
    share = 1 - kept.mean(axis=(1, 2))
    assert chosen.all()
    assert share.min() < 0.02
    assert share.max() > 0.9
    assert 0.25 < share.mean() < 0.45


def test_chances_are_kept():
    _, chosen = draw_shares(4000, 8, augmentation(cutmix=0.2, mixup=0.3), np.random.default_rng(0))
    assert chosen.mean() == pytest.approx(0.5, abs=0.03)


def test_one_draw_gives_one_mixture(named):
    first, again, other = (mixed(named, seed, cutmix=0.5, mixup=0.5) for seed in (3, 3, 4))
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first.image_BCHW, other.image_BCHW)


@pytest.mark.parametrize("number", [0, 1])
def test_a_face_without_company_stays_itself(named, number):
    alone = type(named)(*(item[6 - number :] for item in named))
    assert torch.equal(mixed(alone, **CUT).image_BCHW, alone.image_BCHW)


def test_mixtures_teach_the_expression_head_and_no_association(named, make_net, tiny):
    config = tiny(**{"train.association.pseudo_confidence": 0.0}).train
    batch = mixed(named, **BLEND)
    batch = type(batch)(*(item[:6] for item in batch))
    net = make_net()
    output = net(batch.image_BCHW)
    assert int(multitask_loss(output, batch, config.loss)["expression"].number) == 6
    noise = Transfer(strength=1.0, margin=0.0, noise_BK2=torch.zeros(6, 68, 2))
    terms = association_loss(net.association, output, batch, noise, config.association)
    terms |= pseudo_terms(output, output, torch.full((6, len(EXPRESSIONS)), 1 / 7), batch, config)
    assert len(terms) > 4
    assert {name: float(term.number) for name, term in terms.items()} == dict.fromkeys(terms, 0.0)


def test_more_mixtures_than_faces_are_refused(tiny):
    with pytest.raises(ConfigError, match=r"train\.augment: .*cutmix 0\.7 and mixup 0\.5 add up to more than 1"):
        tiny(**{"train.augment.cutmix": 0.7, "train.augment.mixup": 0.5})


def test_training_with_mixtures_repeats_itself(tiny, tiny_shards, tmp_path):
    chances = {"train.augment.cutmix": 0.5, "train.augment.mixup": 0.5, "train.epochs": 1}
    for name in ("first", "again"):
        train(tiny(**chances).run, shards=tiny_shards, out=tmp_path / name)
    train(tiny(**{"train.epochs": 1}).run, shards=tiny_shards, out=tmp_path / "plain")
    digests = [read_json(tmp_path / name / "meta.json")["weights_digest"] for name in ("first", "again", "plain")]
    assert digests[0] == digests[1] != digests[2]
