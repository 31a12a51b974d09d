import numpy as np
import pytest

from model.schema import FLIP_68
from model.train.mean_shape import mean_shape, template


def similar(points, angle, scale, shift):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * (points - points.mean(axis=0)) @ turn.T + shift


def test_template_is_its_own_mirror_image():
    mirrored = template()[FLIP_68] * [-1, 1] + [1, 0]
    assert np.allclose(mirrored, template())


def test_mean_of_turned_and_scaled_copies_is_the_shape():
    """Copies turned to both sides alike: the mean has no turn, and their mean size and place."""
    copies = np.stack(
        [
            similar(template(), angle, scale, [0.5 + 0.1 * angle, 0.5])
            for angle, scale in ((-0.5, 0.8), (0.5, 0.8), (-0.2, 1.2), (0.2, 1.2), (0, 1), (0, 1), (0, 1), (0, 1))
        ]
    )
    mean = mean_shape(copies, np.ones(copies.shape[:2], bool))
    expected = template() - template().mean(axis=0) + 0.5
    assert np.allclose(mean, expected, atol=1e-6)


def test_mean_is_closer_to_the_shape_than_plain_averaging():
    generator = np.random.default_rng(0)
    turned = [similar(template(), angle, 1.0, [0.5, 0.5]) for angle in generator.uniform(-1, 1, 50)]
    faces = np.stack(turned) + generator.normal(0, 0.005, (50, 68, 2))
    mean = mean_shape(faces, np.ones((50, 68), bool))
    size = np.linalg.norm(mean - mean.mean(axis=0))
    true_size = np.linalg.norm(template() - template().mean(axis=0))
    assert size == pytest.approx(true_size, rel=0.01)
    assert np.linalg.norm(faces.mean(axis=0) - 0.5) < 0.95 * true_size


def test_too_few_whole_faces_give_the_template():
    faces = np.zeros((20, 68, 2))
    mask = np.ones((20, 68), bool)
    mask[:, 3] = False
    assert np.array_equal(mean_shape(faces, mask), template())
    assert np.array_equal(mean_shape(faces[:0], mask[:0]), template())
