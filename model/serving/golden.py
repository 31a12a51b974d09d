"""Made pictures, the same on every machine, whose answers are compared between two roads."""

from typing import Any

import cv2
import numpy as np

from model.schema import EXPRESSIONS, Box

SIDE = 160
POINT_TOLERANCE_PX = 0.01
SHARE_TOLERANCE = 1e-5


def golden_pictures(number: int) -> list[tuple[bytes, list[Box]]]:
    """PNG pictures of a schematic head over texture, and its box; no photograph is needed to compare two roads."""
    return [_picture(np.random.default_rng(seed)) for seed in range(number)]


def differences(expected: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """What sets two answers to one picture apart by more than 0.01 px or 1e-5, a line each; empty where they agree."""
    if expected["error"] != given.get("error") or len(expected["faces"]) != len(given.get("faces", [])):
        return [f"{len(expected['faces'])} faces expected, got {given.get('error') or len(given.get('faces', []))}"]
    found = []
    for number, (left, right) in enumerate(zip(expected["faces"], given["faces"], strict=True)):
        points = np.abs(np.asarray(left["landmarks"]) - np.asarray(right["landmarks"])).max()
        shares = max(abs(left["expression"][name] - right["expression"][name]) for name in EXPRESSIONS)
        if points > POINT_TOLERANCE_PX:
            found.append(f"face {number}: points differ by {points:.4f} px, at most {POINT_TOLERANCE_PX}")
        if shares > SHARE_TOLERANCE:
            found.append(f"face {number}: expressions differ by {shares:.7f}, at most {SHARE_TOLERANCE}")
    return found


def _picture(draw: np.random.Generator) -> tuple[bytes, list[Box]]:
    image = cv2.resize(draw.integers(40, 200, (12, 12, 3), dtype=np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    x, y = (int(value) for value in draw.integers(70, 90, 2))
    width, height = (int(value) for value in draw.integers(30, 45, 2))
    skin = tuple(int(value) for value in draw.integers(120, 230, 3))
    cv2.ellipse(image, (x, y), (width, height), 0, 0, 360, skin, -1, cv2.LINE_AA)
    for side in (-1, 1):
        cv2.circle(image, (x + side * width // 2, y - height // 3), 4, (30, 20, 20), -1, cv2.LINE_AA)
    bend = int(draw.integers(-8, 9))
    cv2.ellipse(
        image, (x, y + height // 2), (width // 2, abs(bend) + 1), 0, 0, 180 if bend > 0 else -180, (120, 30, 40), 2
    )
    content = bytes(cv2.imencode(".png", image)[1])
    return content, [(float(x - width), float(y - height), float(x + width), float(y + height))]
