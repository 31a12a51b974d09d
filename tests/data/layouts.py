"""Makers of small benchmarks in the official layouts, with textured stand-ins for photographs.

Each maker writes under `data` and returns the `Source` that reads it.
"""

import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from benchmarks.tars import add_member
from model.config.data import Source, Splits
from model.data.readers.affectnet import COLUMNS
from model.data.validate.shape import mean_face
from model.schema import EXPRESSIONS, LANDMARKS_19

VOTE_COLUMNS = "neutral,happy,surprise,sad,anger,disgust,fear,contempt,unknown,nf"


def texture(seed: int, side: int = 64) -> NDArray[np.uint8]:
    """An RGB picture that no other seed resembles, also after compression, resizing or mirroring."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC))


def encoded(image_HWC: NDArray[np.uint8], suffix: str = ".jpg", quality: int = 90) -> bytes:
    """The bytes of a picture file."""
    options = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality], ".webp": [cv2.IMWRITE_WEBP_QUALITY, quality]}
    ok, content = cv2.imencode(suffix, image_HWC[..., ::-1], options.get(suffix, []))
    assert ok
    return content.tobytes()


def write(path: Path, content: bytes | str) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def make_pack(path: Path, members: dict[str, bytes]) -> None:
    """A plain tar of files by name."""
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            add_member(archive, name, content)


def face_points(seed: int = 0, side: int = 64) -> NDArray[np.float64]:
    """68 plausible points inside a picture of `side` pixels, 0-based."""
    rng = np.random.default_rng(seed)
    points = mean_face() / np.ptp(mean_face(), axis=0).max() * side * 0.6
    angle = rng.uniform(-0.2, 0.2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.round(points @ turn.T + rng.normal(0, side / 200, points.shape) + side / 2, 2)


def pts(points_K2: NDArray[np.float64]) -> str:
    """A `.pts` file for 0-based points: 1-based, with its header."""
    lines = "\n".join(f"{x + 1:.3f} {y + 1:.3f}" for x, y in points_K2)
    return f"version: 1\nn_points: {len(points_K2)}\n{{\n{lines}\n}}\n"


def make_w300(data: Path, faces: int = 4) -> Source:
    """`helen/trainset` to train, `ibug` to test, with the name that has a space."""
    for number in range(faces):
        stem = data / "w300" / "helen" / "trainset" / f"{1000 + number // 2}_{number % 2 + 1}"
        write(stem.with_suffix(".jpg"), encoded(texture(number)))
        write(stem.with_suffix(".pts"), pts(face_points(number)))
        name = "image_092 _01" if number == 0 else f"image_{number:03}"
        write(data / "w300" / "ibug" / f"{name}.png", encoded(texture(100 + number), ".png"))
        write(data / "w300" / "ibug" / f"{name}.pts", pts(face_points(100 + number)))
    splits = Splits(train=("helen/trainset",), test=("ibug",))
    return Source(name="w300", reader="w300", path="w300", restricted=True, splits=splits)


def make_aflw(data: Path, faces: int = 6) -> Source:
    """Two faces a photo; the last point of the first face is hidden; `ra` reverses the order."""
    root = data / "aflw"
    points = np.stack([face_points(200 + row)[:LANDMARKS_19] for row in range(faces)])
    names = [f"{(0, 2, 3)[row // 2 % 3]}/image{row // 2:05}.jpg" for row in range(faces)]
    for name in dict.fromkeys(names):
        write(root / "data" / "flickr" / name, encoded(texture(200 + names.index(name))))
    mask = np.ones((faces, LANDMARKS_19))
    mask[0, -1] = 0
    low, high = points.min(axis=1), points.max(axis=1)
    table = {
        "bbox": np.column_stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]]),
        "data": np.concatenate([points[..., 0], points[..., 1]], axis=1),
        "mask_new": mask,
        "nameList": np.array([[name] for name in names], dtype=object),
        "ra": np.arange(faces, 0, -1)[None],
    }
    savemat(root / "AFLWinfo_release.mat", table)
    splits = Splits(train=("train",), test=("test",))
    return Source(name="aflw", reader="aflw", path="aflw", restricted=True, splits=splits)


def affectnet_row(image: str, expression: str, *, width: float = 40, landmarks: bool = True) -> str:
    """A line of AffectNet's tables."""
    joined = ";".join(f"{value:.2f}" for value in face_points(1).ravel()) if landmarks else ""
    return f"{image},12,10,{width},42,{joined},{expression},0.25,-0.5"


def make_affectnet(data: Path) -> Source:
    """A table with header to train, one without to validate; each class of AffectNet once in training."""
    root = data / "affectnet"
    for table, shift, classes in (("training", 300, range(11)), ("validation", 350, range(7))):
        rows = [",".join(COLUMNS)] if table == "training" else []
        for number in classes:
            image = f"{number}/{shift + number:032x}.jpg"
            write(root / "Manually_Annotated_Images" / image, encoded(texture(shift + number)))
            rows.append(affectnet_row(image, str(number)))
        write(root / f"{table}.csv", "\n".join(rows) + "\n")
    splits = Splits(train=("training.csv",), val=("validation.csv",))
    return Source(name="affectnet", reader="affectnet", path="affectnet", restricted=True, splits=splits)


def make_affectnet2021(data: Path, faces: int = 7) -> Source:
    """Labels as string scalars in training, as integers in validation."""
    for folder, shift in (("train_set", 400), ("val_set", 450)):
        root = data / "affectnet2021" / folder
        (root / "annotations").mkdir(parents=True)
        for number in range(faces):
            write(root / "images" / f"{number}.jpg", encoded(texture(shift + number)))
            label = np.array(str(number)) if folder == "train_set" else np.array(number)
            values = {"exp": label, "val": np.array("0.5"), "aro": np.array(-0.25), "lnd": face_points(1).ravel()}
            for kind, value in values.items():
                np.save(root / "annotations" / f"{number}_{kind}.npy", value)
    splits = Splits(train=("train_set",), test=("val_set",))
    return Source(name="affectnet2021", reader="affectnet2021", path="affectnet2021", restricted=True, splits=splits)


def make_rafdb(data: Path, *, aligned: bool = True, spelling: str = "patition") -> Source:
    """One training and one test picture a class, with attributes."""
    root = data / "rafdb"
    lines = []
    points = face_points(1)
    five = [points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]]
    for part, shift in (("train", 500), ("test", 550)):
        for number in range(1, 8):
            stem = f"{part}_{number:05}"
            name = f"aligned/{stem}_aligned.jpg" if aligned else f"original/{stem}.jpg"
            write(root / "Image" / name, encoded(texture(shift + number)))
            lines.append(f"{stem}.jpg {number}")
            attributes = "\n".join(f"{x:.2f}\t{y:.2f}" for x, y in five) + "\n1\n2\n3\n"
            write(root / "Annotation" / "manual" / f"{stem}_manu_attri.txt", attributes)
    write(root / "EmoLabel" / f"list_{spelling}_label.txt", "\n".join(lines) + "\n")
    splits = Splits(train=("train",), test=("test",))
    return Source(name="rafdb", reader="rafdb", path="rafdb", restricted=True, splits=splits)


def make_class_folders(data: Path, faces: int = 2) -> Source:
    """Seven class folders in two spellings, suffixes in either case, and a FER+ table in its own column order."""
    lines = [f"image,{VOTE_COLUMNS}"]
    spelling = {"anger": "angry", "sad": "Sadness"}
    for part, shift in (("train", 600), ("publictest", 700)):
        for number in range(7 * faces):
            folder = spelling.get(EXPRESSIONS[number % 7], EXPRESSIONS[number % 7])
            name = f"{part}/{folder}/{number}{'.PNG' if number % 2 else '.webp'}"
            write(data / "fer" / name, encoded(texture(shift + number, 48), ".png" if number % 2 else ".webp"))
            lines.append(f"{name},0,8,0,1,0,0,0,0,1,0")
    write(data / "fer" / "votes.csv", "\n".join(lines) + "\n")
    splits = Splits(train=("train",), test=("publictest",))
    return Source(name="fer", reader="class_folders", path="fer", restricted=True, splits=splits, votes="votes.csv")


def label_line(image: str, split: str, **values: object) -> str:
    """A line of `labels.jsonl`."""
    return json.dumps({"image": image, "split": split, **values})


def make_generic(data: Path, faces: int = 14) -> Source:
    """Train faces with points or an expression in turn, val and test faces with both; a subject for each pair."""
    lines = []
    for index, split in enumerate(("train", "val", "test")):
        for number in range(faces):
            seed = 800 + 50 * index + number
            image = f"{split}/{number:03}.webp"
            write(data / "made" / image, encoded(texture(seed), ".webp"))
            both = split != "train"
            points = face_points(seed).tolist() if both or number % 2 else None
            expression = EXPRESSIONS[number // (1 if both else 2) % 7] if both or number % 2 == 0 else None
            subject = f"{split}{number // 2}"
            lines.append(label_line(image, split, points=points, expression=expression, subject=subject))
    write(data / "made" / "labels.jsonl", "\n".join(lines) + "\n")
    splits = Splits(train=("train",), val=("val",), test=("test",))
    return Source(name="made", reader="generic", path="made", restricted=False, splits=splits)


def make_all(data: Path) -> list[Source]:
    """Every layout, side by side."""
    makers = (
        make_w300,
        make_aflw,
        make_affectnet,
        make_affectnet2021,
        make_rafdb,
        make_class_folders,
        make_generic,
    )
    return [make(data) for make in makers]
