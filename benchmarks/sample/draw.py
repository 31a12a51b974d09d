"""Draws one face of the benchmark from its job and its own random generator."""

from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.sample.background import draw_background
from benchmarks.sample.camera import Window, contour_edges, tight_box, to_pixels, visible_points
from benchmarks.sample.degrade import develop, encode
from benchmarks.sample.expression import Difficulty, draw_actions
from benchmarks.sample.headmesh import HeadMesh, load_head
from benchmarks.sample.identity import Identity, draw_identity
from benchmarks.sample.occluder import View, add_occluder
from benchmarks.sample.render import HeadRenderer, HeadShape
from benchmarks.sample.scene import Scene, crop_window, draw_scene, portrait_window
from benchmarks.sample.schema import Face, FaceJob, Floats, Ints

DIFFICULTY = Difficulty()
PORTRAIT_SIZES = (112, 120, 128)
MIXED_SIZE = 112
CROP_SIZE = 48
CROP_SHARE = 0.3  # of faces in the mixed style
PORTRAIT_BLOCKS, CROP_BLOCKS = 2, 1
_SUBJECT_STREAM, _FACE_STREAM = 1, 2
_SPLIT_NUMBER = {"train": 0, "val": 1, "test": 2}


@dataclass(frozen=True)
class Studio:
    """What a worker sets up once."""

    head: HeadMesh
    edges: Ints
    renderer: HeadRenderer


@dataclass(frozen=True)
class Sitting:
    """A subject in a scene, before it is drawn."""

    subject: Identity
    scene: Scene
    actions: Floats
    vertices: Floats
    plane_points: Floats


def open_studio() -> Studio:
    """Load the head and start a renderer."""
    head = load_head()
    return Studio(head, contour_edges(head), HeadRenderer(head))


def sit(job: FaceJob, seed: int, head: HeadMesh, edges: Ints) -> tuple[Sitting, np.random.Generator]:
    """Draw subject, scene and expression of `job`, and hand on the face's generator."""
    subject = draw_identity(np.random.default_rng([seed, _SUBJECT_STREAM, job.subject]), head)
    rng = np.random.default_rng([seed, _FACE_STREAM, _SPLIT_NUMBER[job.split], job.index])
    actions = draw_actions(rng, head, subject, job.shown, DIFFICULTY)
    scene = draw_scene(rng)
    moved = np.einsum("a,avc->vc", actions.astype(np.float32), head.actions)
    vertices: Floats = subject.rest + moved
    points = visible_points(scene.camera.project(vertices), head, edges, scene.camera.pose)
    return Sitting(subject, scene, actions, vertices, points), rng


def draw_face(job: FaceJob, seed: int, studio: Studio) -> Face:
    """Render, degrade, encode and label one face."""
    sitting, rng = sit(job, seed, studio.head, studio.edges)
    crop = job.style == "crop" or (job.style == "mixed" and rng.random() < CROP_SHARE)
    size = CROP_SIZE if crop else MIXED_SIZE if job.style == "mixed" else int(rng.choice(PORTRAIT_SIZES))
    window = (crop_window if crop else portrait_window)(rng, sitting.plane_points)
    clean = _compose(rng, sitting, window, size, studio)
    picture = develop(rng, clean, rough=crop or (job.style == "mixed" and rng.random() < 0.3), grey=crop)
    member = f"{job.index:06d}.webp"
    return Face(
        member=member,
        webp=encode(picture, CROP_BLOCKS if crop else PORTRAIT_BLOCKS),
        record=_record(job, member, sitting, to_pixels(sitting.plane_points, window, size)),
    )


def _compose(rng: np.random.Generator, sitting: Sitting, window: Window, size: int, studio: Studio) -> Floats:
    """Head over background with its occluder, drawn two or four times as large and averaged down."""
    scale = 4 if size <= 64 else 2
    large = size * scale
    shape = HeadShape(sitting.vertices, sitting.subject.look, _folds(sitting, studio.head), float(rng.uniform(0, 50)))
    drawn = studio.renderer.draw(shape, sitting.scene.camera, window, sitting.scene.light, large)
    cover = drawn[..., 3:]
    picture = drawn[..., :3] * cover + draw_background(rng, large) * (1 - cover)
    view = View(studio.head, sitting.vertices, sitting.scene.camera, window, sitting.subject.look.skin)
    add_occluder(rng, picture, sitting.scene.occluder, view)
    small: Floats = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return small


def _folds(sitting: Sitting, head: HeadMesh) -> tuple[float, float, float, float]:
    """Depth of forehead, frown, nose and eye folds: the actions that make them, deeper with age."""

    def strength(*names: str) -> float:
        sides = [name + side for name in names for side in ("", "Left", "Right")]
        return float(sum(sitting.actions[head.action_labels.index(s)] / 2 for s in sides if s in head.action_labels))

    age = sitting.subject.look.wrinkles
    depth = 0.6 + 0.4 * age
    mouth = 0.7 * strength("mouthSmile", "noseSneer") + 0.4 * strength("mouthUpperUp")
    return (
        min(1.0, depth * strength("browOuterUp", "browInnerUp") * 0.7 + 0.2 * age),
        min(1.0, depth * strength("browDown") * 1.1 + 0.12 * age),
        min(1.0, depth * mouth + 0.25 * age),
        min(1.0, depth * (strength("cheekSquint") + 0.4 * strength("eyeSquint")) + 0.25 * age),
    )


def _record(job: FaceJob, member: str, sitting: Sitting, points: Floats) -> dict[str, object]:
    pose = sitting.scene.camera.pose
    rounded = [[round(float(x), 2), round(float(y), 2)] for x, y in points]
    return {
        "image": f"{job.split}.tar!{member}",
        "split": job.split,
        "subset": job.subset,
        "points": rounded if job.has_points else None,
        "expression": job.label,
        "subject": f"s{job.subject:05d}",
        "box": [round(v, 2) for v in tight_box(np.asarray(rounded))] if job.has_points else None,
        "facts": {
            "yaw": round(pose.yaw),
            "pitch": round(pose.pitch),
            "roll": round(pose.roll),
            "light": sitting.scene.light.name,
            "occluder": sitting.scene.occluder,
            "age": sitting.subject.age,
            "gender": sitting.subject.gender,
            "skin": sitting.subject.tone,
        },
    }
