import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from model.config import AugmentConfig
from model.data.codec import encode_points
from model.data.faces import read_faces
from model.data.loader import make_loader
from model.data.shards import write_shards
from model.data.transforms import crop_face
from model.errors import ConfigError, DataContractError, FaceError
from model.schema import EXPRESSIONS, FLIP_19, FLIP_68, NO_LABEL

MIXED = [
    *[("train", "photos", "points", 40)] * 11,
    *[("train", "faces", "class", 24)] * 9,
    *[("train", "profiles", "points19", 40)] * 3,
]


@pytest.fixture
def shards(config, made_set, tmp_path) -> Path:
    made = made_set(MIXED)
    write_shards(config.shard, manifest=made.manifest, data=made.data, out=tmp_path / "shards")
    return tmp_path / "shards"


@pytest.fixture
def train(config):
    """Small batches, small crops."""
    net = config.train.net.model_copy(update={"input_size": 32})
    return config.train.model_copy(update={"batch_size": 8, "net": net})


@pytest.fixture
def still(train):
    """No augmentation."""
    return train.model_copy(update={"augment": AugmentConfig(**dict.fromkeys(AugmentConfig.model_fields, 0.0))})


def open_loader(shards, config, *, training=True, rank=0, world=1, seed=0):
    return make_loader(shards, "train", config, training=training, rank=rank, world=world, seed=seed)


def equal(one, other):
    return all(map(torch.equal, one, other))


def damage(shards, rows):
    """Flip a bit in the picture of each row, in place."""
    faces = read_faces(shards, "train")
    path = shards / "train-000000.tar"
    content = bytearray(path.read_bytes())
    for row in rows:
        content[int(faces._place_N4[row, 1]) + 30] ^= 1
    path.write_bytes(content)


def test_evaluation_sees_exactly_the_crop_of_the_stored_picture(shards, train):
    faces = read_faces(shards, "train")
    for batch in open_loader(shards, train, training=False):
        for number, row in enumerate(batch.row_B.tolist()):
            box = tuple(faces.box_N4[row].tolist())
            expected, matrix = crop_face(faces.read_picture(row), box, size=32, crop_scale=train.net.crop_scale)
            assert (batch.image_BCHW[number].permute(1, 2, 0).numpy() == expected).all()
            if batch.landmarks_mask_BK[number].any():
                points = encode_points(faces.landmarks_NK2[row], matrix)
                assert np.allclose(batch.landmarks_BK2[number], points, atol=1e-6)
            if batch.points19_mask_BM[number].any():
                points = encode_points(faces.points19_NM2[row], matrix)
                assert np.allclose(batch.points19_BM2[number], points, atol=1e-6)


def test_training_without_augmentation_sees_what_evaluation_sees(shards, still):
    by_row = {}
    for batch in open_loader(shards, still, training=False):
        for number, row in enumerate(batch.row_B.tolist()):
            by_row[row] = [field[number] for field in batch]
    for batch in open_loader(shards, still):
        for number, row in enumerate(batch.row_B.tolist()):
            assert equal([field[number] for field in batch], by_row[row])


@pytest.mark.parametrize("world", [1, 2, 4, 8])
def test_evaluation_covers_each_face_once(shards, train, world):
    """T28: 23 faces in batches of 8, so that the last batch is uneven."""
    rows = []
    for rank in range(world):
        loader = open_loader(shards, train, training=False, rank=rank, world=world)
        batches = list(loader)
        assert len(batches) == len(loader)
        assert all(len(batch.row_B) for batch in batches)
        rows += [row for batch in batches for row in batch.row_B.tolist()]
    assert sorted(rows) == list(range(23))


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_together_see_the_batches_of_one_process(shards, train, world):
    """T28: same faces, same order, same augmented bytes."""
    ranks = [list(open_loader(shards, train, rank=rank, world=world, seed=5)) for rank in range(world)]
    for step, batch in enumerate(open_loader(shards, train, seed=5)):
        for name, whole in zip(batch._fields, batch, strict=True):
            parts = torch.empty_like(whole)
            for rank in range(world):
                parts[rank::world] = getattr(ranks[rank][step], name)
            assert torch.equal(whole, parts)


def test_worker_processes_change_nothing(shards, train):
    """Across epochs, and after breaking off in the middle of one."""
    threads, processes = (open_loader(shards, train.model_copy(update={"loader_workers": n})) for n in (0, 2))
    for epoch in (0, 1):
        threads.set_epoch(epoch)
        processes.set_epoch(epoch)
        assert all(equal(one, other) for one, other in zip(threads, processes, strict=True))
    next(iter(processes))
    assert equal(next(iter(threads)), next(iter(processes)))


def test_epochs_differ_and_repeat(shards, train):
    loader = open_loader(shards, train)
    first = list(loader)
    loader.set_epoch(1)
    assert not equal(first[0], next(iter(loader)))
    loader.set_epoch(0)
    assert all(equal(one, other) for one, other in zip(first, loader, strict=True))


def test_the_global_random_stream_is_left_alone(shards, train):
    for workers in (0, 1):
        torch.manual_seed(0)
        before = torch.get_rng_state()
        list(open_loader(shards, train.model_copy(update={"loader_workers": workers})))
        assert torch.equal(before, torch.get_rng_state())


def test_loader_tells_what_it_holds(shards, train):
    loader = open_loader(shards, train)
    assert loader.sources == ("faces", "photos", "profiles")
    assert loader.faces == 23
    assert len(loader) == 3
    assert loader.data_digest == read_faces(shards, "train").data_digest
    assert loader.restricted is False


def test_missing_labels_have_false_masks_and_zeros(shards, train):
    for batch in open_loader(shards, train):
        faces, photos, profiles = (batch.source_B == number for number in range(3))
        assert torch.equal(batch.expression_mask_B, faces)
        assert torch.equal(batch.label_B != NO_LABEL, faces)
        assert torch.equal(batch.landmarks_mask_BK.all(dim=1), photos)
        assert torch.equal(batch.points19_mask_BM.any(dim=1), profiles)
        assert not batch.landmarks_BK2[~photos].any()
        assert not batch.points19_BM2[~batch.points19_mask_BM].any()
        assert torch.equal(batch.expression_BE.sum(dim=1), faces.float())


def test_batch_has_the_documented_types(shards, train):
    batch = next(iter(open_loader(shards, train)))
    assert batch.image_BCHW.shape == (8, 3, 32, 32)
    assert batch.image_BCHW.dtype == torch.uint8
    assert batch.image_BCHW.is_contiguous(memory_format=torch.channels_last)
    assert batch.landmarks_BK2.dtype == batch.points19_BM2.dtype == batch.expression_BE.dtype == torch.float32
    assert batch.landmarks_mask_BK.dtype == batch.expression_mask_B.dtype == torch.bool
    assert batch.label_B.dtype == batch.source_B.dtype == batch.row_B.dtype == torch.int64


def test_mirrored_faces_have_left_and_right_renamed(shards, still):
    """Point k of the mirrored face is its partner's point at 1 - u; masks move along."""
    mirrored = still.model_copy(update={"augment": still.augment.model_copy(update={"flip": 1.0})})
    plain = {}
    for batch in open_loader(shards, still, training=False):
        for number, row in enumerate(batch.row_B.tolist()):
            plain[row] = [field[number] for field in batch[1:5]]
    for batch in open_loader(shards, mirrored):
        for number, row in enumerate(batch.row_B.tolist()):
            landmarks, mask, points19, mask19 = plain[row]
            partner, partner19 = torch.from_numpy(FLIP_68), torch.from_numpy(FLIP_19)
            assert torch.equal(batch.landmarks_mask_BK[number], mask[partner])
            assert torch.equal(batch.points19_mask_BM[number], mask19[partner19])
            one_minus_u = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
            flipped = (one_minus_u[0] + landmarks * one_minus_u[1]) * mask[:, None]
            assert torch.allclose(batch.landmarks_BK2[number], flipped[partner], atol=1e-6)
            flipped = (one_minus_u[0] + points19 * one_minus_u[1]) * mask19[:, None]
            assert torch.allclose(batch.points19_BM2[number], flipped[partner19], atol=1e-6)


def test_sources_share_the_epoch_evenly(shards, train):
    sources = torch.cat([batch.source_B for batch in open_loader(shards, train)])
    assert torch.bincount(sources).tolist() == [8, 8, 8]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_votes_make_up_their_share_of_the_target_and_never_of_the_label(config, made_set, train, tmp_path, share):
    made = made_set([("train", "faces", "class", 24)] * 8, votes=[3, 1, 0, 0, 0, 0, 0, 5, 1, 0])
    write_shards(config.shard, manifest=made.manifest, data=made.data, out=tmp_path / "shards")
    chosen = train.model_copy(update={"loss": train.loss.model_copy(update={"vote_share": share})})
    batch = next(iter(open_loader(tmp_path / "shards", chosen, training=False)))
    expected = torch.tensor([EXPRESSIONS.index(record.expression) for record in made.records])
    assert torch.equal(batch.label_B, expected)
    voted = torch.tensor([0.75, 0.25, 0, 0, 0, 0, 0])
    assert torch.allclose(batch.expression_BE, (1 - share) * torch.eye(7)[expected] + share * voted)


def test_labelled_faces_without_votes_for_our_classes_keep_their_label(config, made_set, train, tmp_path):
    made = made_set([("train", "faces", "class", 24)] * 8, votes=[0, 0, 0, 0, 0, 0, 0, 5, 1, 0])
    write_shards(config.shard, manifest=made.manifest, data=made.data, out=tmp_path / "shards")
    chosen = train.model_copy(update={"loss": train.loss.model_copy(update={"vote_share": 1.0})})
    batch = next(iter(open_loader(tmp_path / "shards", chosen, training=False)))
    assert torch.equal(batch.expression_BE, torch.eye(7)[batch.label_B])


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_face_is_replaced_by_the_next_draw_and_counted(shards, still, workers, caplog):
    """T15, T27: damaged bytes never reach the network, and the epoch goes on."""
    order = torch.cat([batch.row_B for batch in open_loader(shards, still)]).tolist()
    damage(shards, [order[0]])
    loader = open_loader(shards, still.model_copy(update={"loader_workers": workers}))
    rows = torch.cat([batch.row_B for batch in loader]).tolist()
    readable = [row if row != order[0] else order[(at + 1) % len(order)] for at, row in enumerate(order)]
    assert rows == readable
    assert loader.replaced == order.count(order[0])
    if workers == 0:
        assert "the next draw takes its place" in caplog.text


@pytest.mark.parametrize("workers", [0, 1])
def test_evaluation_stops_at_an_unreadable_face(shards, train, workers):
    damage(shards, [4])
    with pytest.raises(DataContractError, match="record photos/4"):
        list(open_loader(shards, train.model_copy(update={"loader_workers": workers}), training=False))


def test_nothing_but_unreadable_faces_stops_training(shards, train):
    damage(shards, range(23))
    with pytest.raises(DataContractError, match="16 records in a row cannot be read"):
        list(open_loader(shards, train))


def test_killed_worker_raises_instead_of_hanging(shards, train):
    """T27: as the kernel does when memory runs out; torch may raise its own error the moment the worker dies."""
    loader = open_loader(shards, train.model_copy(update={"loader_workers": 1, "steps_per_epoch": 50}))
    batches = iter(loader)
    next(batches)
    (worker,) = loader._workers._iterator._workers
    with pytest.raises((FaceError, RuntimeError), match=r"a loader process failed|is killed by signal"):
        os.kill(worker.pid, signal.SIGKILL)
        list(batches)


def test_batch_that_cannot_be_divided_over_the_processes_is_refused(shards, train):
    with pytest.raises(ConfigError, match="cannot be divided over 3 processes"):
        open_loader(shards, train, world=3)


def test_crop_wider_than_what_the_shards_keep_is_refused(shards, train):
    wide = train.model_copy(update={"net": train.net.model_copy(update={"crop_scale": 2.5})})
    with pytest.raises(ConfigError, match=r"keep 2\.0 box sides, train\.net\.crop_scale asks for 2\.5"):
        open_loader(shards, wide)
