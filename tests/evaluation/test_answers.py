from dataclasses import replace

import numpy as np
import pytest

from model.data.codec import decode_image
from model.data.transforms import crop_face
from model.errors import DataContractError, ImageError
from model.evaluation.answers import answer_faces, face_box, open_picture, read_truth
from model.net.inference import FaceNet
from model.schema import NO_LABEL


def test_truth_of_masked_points_and_missing_labels_is_unknown(bench):
    truth = read_truth(bench.records)
    assert np.isnan(truth.landmarks_NK2[0, 5]).all()
    assert np.isfinite(np.delete(truth.landmarks_NK2[0], 5, axis=0)).all()
    assert np.isnan(truth.landmarks_NK2[2]).all()
    assert truth.expression_N[1] == NO_LABEL
    assert (truth.votes_N[2::3] == 1).all()
    assert (truth.votes_N[1::3] == NO_LABEL).all()


def test_an_eighth_class_has_no_label_among_the_seven(bench):
    record = replace(bench.records[0], expression="contempt")
    assert read_truth([record]).expression_N.tolist() == [NO_LABEL]


def test_a_face_without_a_box_is_its_whole_picture(bench):
    assert face_box(bench.records[2]) == (0, 0, 95, 95)
    with pytest.raises(DataContractError, match=r"made-002 .*no box and no size"):
        face_box(replace(bench.records[2], width=None))


def test_an_answer_is_that_of_the_net_about_the_one_crop_of_the_face(bench):
    """T31: decoded, cut and answered by the functions that the predictor calls, one face at a time."""
    net = FaceNet.load(bench.weights)
    answers = answer_faces(net, bench.records[:7], data=bench.data, batch_size=3)
    for place, record in enumerate(bench.records[:7]):
        picture = decode_image((bench.data / record.image).read_bytes(), max_pixels=10**6)
        crop, matrix = crop_face(
            picture, face_box(record), size=net.meta.net.input_size, crop_scale=net.meta.net.crop_scale
        )
        alone = net.answer(crop[None])
        units = answers.landmarks_NK2[place] @ matrix[:, :2].T + matrix[:, 2]
        np.testing.assert_allclose(units, alone.points_BK2[0], atol=1e-5)
        np.testing.assert_allclose(answers.probabilities_NE[place], alone.probabilities_BE[0], atol=1e-5)


def test_hard_sharing_has_no_base_answer_of_its_own(bench, random_weights, tmp_path):
    random_weights(tmp_path, **{"residual.kind": "none"})
    net = FaceNet.load(tmp_path)
    answers = answer_faces(net, bench.records[:2], data=bench.data, batch_size=2)
    assert answers.base_landmarks_NK2 is None


def test_base_answers_leave_out_what_the_exchange_adds(bench):
    net = FaceNet.load(bench.weights)
    for name, tensor in net.net.named_parameters():
        if name.startswith("exchange."):
            tensor.data.normal_(0, 0.05)
    answers = answer_faces(net, bench.records[:3], data=bench.data, batch_size=3)
    fresh = FaceNet.load(bench.weights)
    untouched = answer_faces(fresh, bench.records[:3], data=bench.data, batch_size=3)
    np.testing.assert_allclose(answers.base_landmarks_NK2, untouched.landmarks_NK2)
    assert np.abs(answers.landmarks_NK2 - answers.base_landmarks_NK2).max() > 1e-3
    assert np.abs(answers.probabilities_NE - answers.base_probabilities_NE).max() > 1e-5


def test_a_picture_larger_than_the_manifest_says_is_not_decoded(bench):
    with pytest.raises(ImageError, match="at most 100"):
        open_picture(replace(bench.records[0], width=10, height=10), bench.data)


def test_no_face_has_no_answer(bench):
    answers = answer_faces(FaceNet.load(bench.weights), [], data=bench.data, batch_size=3)
    assert answers.landmarks_NK2 is None
