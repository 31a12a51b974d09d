"""The sample benchmark: its plan, layout and geometry without rendering, then a few rendered faces."""

import importlib.util
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.sample.camera import Camera, Window, tight_box, to_pixels
from benchmarks.sample.degrade import TAR_BLOCK, encode
from benchmarks.sample.expression import Difficulty
from benchmarks.sample.pack import write_benchmark
from benchmarks.sample.plan import FLIP_SHARE, Sizes, plan_faces
from benchmarks.sample.probe import align
from benchmarks.sample.schema import EXPRESSIONS, Face, Pose

SIZES = Sizes(train_landmarks=60, train_expressions=140, val=35, test=70)


def _why_no_rendering() -> str:
    """Empty where faces can be rendered."""
    for package in ("anny", "moderngl"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed (pip install residual-mtl[synth])"
    import moderngl

    try:
        moderngl.create_context(standalone=True, backend="egl").release()
    except Exception as error:  # noqa: BLE001 - any driver failure means the same here
        return f"no EGL context: {error} (install libegl1 and libgl1-mesa-dri)"
    return ""


@pytest.fixture(scope="module")
def studio():
    reason = _why_no_rendering()
    if reason:
        pytest.skip(reason)
    from benchmarks.sample.draw import open_studio

    return open_studio()


def test_plan_is_a_function_of_the_seed():
    assert plan_faces(SIZES, 3) == plan_faces(SIZES, 3)
    assert plan_faces(SIZES, 3) != plan_faces(SIZES, 4)


def test_no_subject_is_shared_between_splits_or_sources():
    seen: dict[int, tuple[str, str]] = {}
    for job in plan_faces(SIZES, 0):
        assert seen.setdefault(job.subject, (job.split, job.subset)) == (job.split, job.subset)


def test_members_of_a_pack_are_numbered_once():
    names = [(job.split, job.index) for job in plan_faces(SIZES, 0)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_faces_are_balanced_and_never_flipped(split):
    jobs = [job for job in plan_faces(SIZES, 0) if job.split == split]
    counts = [sum(job.shown == name for job in jobs) for name in EXPRESSIONS]
    assert max(counts) - min(counts) <= 1
    assert all(job.label == job.shown for job in jobs)


def test_a_tenth_of_the_expression_source_is_mislabelled():
    jobs = [job for job in plan_faces(SIZES, 0) if job.subset == "expressions"]
    assert sum(job.label != job.shown for job in jobs) == round(FLIP_SHARE * len(jobs))


def test_landmark_source_is_mostly_neutral_and_happy_and_gives_no_expression():
    jobs = [job for job in plan_faces(SIZES, 0) if job.subset == "landmarks"]
    assert sum(job.shown in ("neutral", "happy") for job in jobs) > 0.6 * len(jobs)
    assert all(job.label is None and job.has_points for job in jobs)


def test_iid_removes_the_gap_and_the_flips():
    train = [job for job in plan_faces(Sizes(70, 70, 7, 7, iid=True), 0) if job.split == "train"]
    assert {job.style for job in train} == {"mixed"}
    assert all(job.label in (None, job.shown) for job in train)


def test_pixel_centres_count_from_zero():
    corners = np.asarray([[-1.0, -1.0], [1.0, 1.0]])
    assert to_pixels(corners, Window(0.0, 0.0, 1.0), 10).tolist() == [[-0.5, -0.5], [9.5, 9.5]]


@pytest.mark.parametrize(
    ("pose", "axis", "sign"), [(Pose(30, 0, 0), 0, 1), (Pose(0, 20, 0), 1, 1), (Pose(-30, 0, 0), 0, -1)]
)
def test_nose_moves_where_the_pose_says(pose, axis, sign):
    nose = np.asarray([[0.0, -0.165, 0.715]])
    assert sign * Camera(pose, 1.0).project(nose)[0, axis] > 0.03


def test_roll_turns_the_head_clockwise():
    left_ear = np.asarray([[0.07, -0.045, 0.715]])
    assert Camera(Pose(0, 0, 20), 1.0).project(left_ear)[0, 1] > 0.02


def test_alignment_ignores_similarity():
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(68, 2))
    turn = np.asarray([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    aligned = align(np.stack([shape, 3 * shape @ turn.T + 5]))
    np.testing.assert_allclose(aligned[0], aligned[1], atol=1e-12)


def test_encoded_picture_fits_its_tar_blocks():
    ramp = np.tile(np.linspace(0, 255, 112).astype(np.uint8)[:, None, None], (1, 112, 3))
    assert len(encode(ramp, blocks=2)) <= 2 * TAR_BLOCK


def test_packs_do_not_depend_on_time_or_order_of_folders(tmp_path):
    faces = [Face(f"{i:06d}.webp", bytes([i]) * 40, {"split": s}) for s in ("train", "val") for i in range(3)]
    first, second = (write_benchmark(faces, tmp_path / name) for name in ("a", "b"))
    assert [p.name for p in sorted(first.iterdir())] == ["labels.jsonl", "train.tar", "val.tar"]
    assert all(path.read_bytes() == (second / path.name).read_bytes() for path in first.iterdir())


@pytest.mark.synth
def test_stronger_expressions_move_more_points(studio):
    from benchmarks.sample.expression import draw_actions
    from benchmarks.sample.identity import draw_identity

    subject = draw_identity(np.random.default_rng(1), studio.head)
    calm, loud = (
        draw_actions(np.random.default_rng(2), studio.head, subject, "happy", Difficulty(alpha, beta)).sum()
        for alpha, beta in ((1.0, 60.0), (60.0, 1.0))
    )
    assert loud > 2 * calm


@pytest.fixture(scope="module")
def drawn(studio, tmp_path_factory) -> list[Path]:
    """The same small benchmark, drawn twice."""
    from benchmarks.sample.draw import draw_face

    jobs = plan_faces(Sizes(3, 3, 2, 2), 11)
    root = tmp_path_factory.mktemp("sample")
    return [write_benchmark((draw_face(job, 11, studio) for job in jobs), root / name) for name in ("a", "b")]


@pytest.mark.synth
def test_same_seed_same_bytes(drawn):
    first, second = drawn
    assert all(path.read_bytes() == (second / path.name).read_bytes() for path in first.iterdir())


@pytest.mark.synth
def test_layout_and_points(drawn):
    folder = drawn[0]
    rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    assert len(rows) == 10
    for row in rows:
        pack, member = row["image"].split("!")
        with tarfile.open(folder / pack) as tar:
            picture = Image.open(io.BytesIO(tar.extractfile(member).read()))
        assert picture.format == "WEBP"
        assert pack == f"{row['split']}.tar"
        if row["subset"] == "expressions":
            assert picture.size == (48, 48)
            assert row["points"] is None
            assert row["box"] is None
            assert row["expression"] in EXPRESSIONS
            continue
        points = np.asarray(row["points"])
        assert points.shape == (68, 2)
        assert (points >= -0.5).all()
        assert (points <= picture.width - 0.5).all()
        assert row["box"] == pytest.approx(tight_box(points))


@pytest.mark.synth
def test_far_jaw_reaches_the_outline_and_the_near_one_stays(studio):
    from benchmarks.sample.camera import visible_points

    camera = Camera(Pose(40, 0, 0), 0.9)
    plane = camera.project(studio.head.template)
    points = visible_points(plane, studio.head, studio.edges, camera.pose)
    mesh = plane[studio.head.landmarks]
    np.testing.assert_array_equal(points[:9], mesh[:9])
    assert (points[10:16, 0] > mesh[10:16, 0]).all()
