"""Draws a head on the CPU through EGL: one shadow pass from the key light, one colour pass, nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import moderngl
import numpy as np

from benchmarks.sample.camera import Camera, Window
from benchmarks.sample.detail import bake_detail
from benchmarks.sample.headmesh import PARTS, HeadMesh
from benchmarks.sample.identity import Look
from benchmarks.sample.light import Light
from benchmarks.sample.scalp import cap_thickness, scalp_height
from benchmarks.sample.schema import Floats, Ints

LARGEST = 256
_SHADOW_SIZE = 512
_SHADOW_REACH = 0.24  # metres round the head that cast and receive shadows
_SHADERS = Path(__file__).parent / "shaders"
_HAIR_CAP = len(PARTS)


@dataclass(frozen=True)
class HeadShape:
    """What is drawn: deformed vertices on the head's axes, colours, the depth of folds, a seed for surface noise."""

    vertices: Floats
    look: Look
    folds: tuple[float, float, float, float]
    seed: float


class HeadRenderer:
    """One GL context with the mesh of `head`; every worker process owns one."""

    def __init__(self, head: HeadMesh) -> None:
        self.head = head
        self.scalp = scalp_height(head)
        self._context = moderngl.create_context(standalone=True, backend="egl")  # type: ignore[arg-type]
        self._colour = self._program("head.vert", "head.frag")
        self._depth = self._program("shadow.vert", "shadow.frag")
        self._target = self._context.simple_framebuffer((LARGEST, LARGEST), components=4)
        self._shadow = self._context.depth_texture((_SHADOW_SIZE, _SHADOW_SIZE))
        self._shadow.compare_func = ""
        self._shadow.repeat_x = self._shadow.repeat_y = False
        self._shadow_target = self._context.framebuffer(depth_attachment=self._shadow)
        detail = bake_detail(head)
        self._detail = self._context.texture(detail.channels.shape[:2], 4, detail.channels.tobytes(), dtype="f4")
        self._set("detail_area", detail.area)
        eye = head.template[np.unique(head.triangles[head.triangle_parts == PARTS.index("eye")])]
        left = eye[eye[:, 0] > 0]
        middle = (left.min(axis=0) + left.max(axis=0)) / 2
        self._set("eye_centre", (middle[0], left[:, 1].max() - (left[:, 2].max() - left[:, 2].min()) / 2, middle[2]))
        self._vertices = self._context.buffer(reserve=len(head.template) * 10 * 4)
        self._ranges = self._upload_triangles()

    def draw(self, shape: HeadShape, camera: Camera, window: Window, light: Light, size: int) -> Floats:
        """Picture (size, size, 4) of RGB and coverage in 0..1; `size` is at most `LARGEST`."""
        placed = camera.to_camera(shape.vertices)
        self._set_look(shape)
        self._set_light(light, float(camera.distance))
        self._load(shape, placed, cap=False)
        with self._pass(self._shadow_target, self._depth, _SHADOW_SIZE):
            self._draw_parts(self._depth, [0])
        self._set("window", (window.x, window.y, window.half, 0.0))
        self._detail.use(0)
        self._shadow.use(1)
        self._set("detail", 0)
        self._set("shadow", 1)
        with self._pass(self._target, self._colour, size):
            self._draw_parts(self._colour, [0, 1, 2, 3, 4, 5])
            if shape.look.hair_style == "long":
                self._draw_parts(self._colour, [6])
            if shape.look.hair_style in ("short", "long"):
                self._load(shape, placed, cap=True)
                self._draw_parts(self._colour, [_HAIR_CAP])
        raw = self._target.read(viewport=(0, 0, size, size), components=4)
        picture = np.frombuffer(raw, np.uint8).reshape(size, size, 4)
        return picture.astype(np.float32) / 255.0

    def _program(self, vertex: str, fragment: str) -> moderngl.Program:
        return self._context.program((_SHADERS / vertex).read_text(), fragment_shader=(_SHADERS / fragment).read_text())

    def _set(self, name: str, value: object) -> None:
        for program in (self._colour, self._depth):
            if name in program:
                program[name] = value

    def _upload_triangles(self) -> dict[int, tuple[moderngl.VertexArray, moderngl.VertexArray]]:
        """Vertex arrays (colour, depth) of each part; the hair cap reuses the skin's triangles near the scalp."""
        skin = self.head.triangles[self.head.triangle_parts == 0]
        chosen = {i: self.head.triangles[self.head.triangle_parts == i] for i in range(len(PARTS))}
        chosen[_HAIR_CAP] = skin[(self.scalp[skin] > -0.012).any(axis=1)]
        ranges = {}
        for part, triangles in chosen.items():
            index = self._context.buffer(triangles.astype("i4").tobytes())
            layout = [(self._vertices, "3f 3f 3f 1f", "in_position", "in_normal", "in_template", "in_scalp")]
            plain = [(self._vertices, "3f 28x", "in_position")]
            ranges[part] = (
                self._context.vertex_array(self._colour, layout, index),
                self._context.vertex_array(self._depth, plain, index),
            )
        return ranges

    def _load(self, shape: HeadShape, placed: Floats, *, cap: bool) -> None:
        normals = vertex_normals(placed, self.head.triangles)
        if cap:
            thickness = cap_thickness(self.head, self.scalp - shape.look.hairline, shape.look.hair_volume)
            placed = placed + normals * thickness[:, None]
            normals = vertex_normals(placed, self.head.triangles)
        block = np.concatenate([placed, normals, self.head.template, self.scalp[:, None]], axis=1)
        self._vertices.write(block.astype("f4").tobytes())

    def _set_look(self, shape: HeadShape) -> None:
        look = shape.look
        for name in ("skin", "lip", "hair", "iris"):
            self._set(name, tuple(map(float, getattr(look, name) ** 1.6)))
        self._set("brow", (look.brow_density, look.brow_width))
        self._set("surface", (look.roughness, look.freckles, look.wrinkles, look.flush))
        bald = 1.0 if look.hair_style == "bald" else look.hairline
        self._set("fur", (look.beard, look.lashes, bald))
        self._set("folds", shape.folds)
        self._set("teeth", look.teeth)
        self._set("seed", shape.seed)

    def _set_light(self, light: Light, distance: float) -> None:
        self._set("key_direction", tuple(light.key_direction))
        self._set("fill_direction", tuple(light.fill_direction))
        for name in ("key_colour", "fill_colour", "sky", "ground"):
            self._set(name, tuple(getattr(light, name)))
        self._set("to_light", tuple(_light_matrix(light.key_direction, distance).T.ravel()))

    @contextmanager
    def _pass(self, target: moderngl.Framebuffer, program: moderngl.Program, size: int) -> Iterator[None]:
        target.use()
        self._context.viewport = (0, 0, size, size)
        self._context.enable_only(moderngl.DEPTH_TEST)
        target.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
        yield

    def _draw_parts(self, program: moderngl.Program, parts: list[int]) -> None:
        for part in parts:
            colour, depth = self._ranges[part]
            if program is self._colour:
                self._set("part", part)
                colour.render()
            else:
                depth.render()


def vertex_normals(vertices: Floats, triangles: Ints) -> Floats:
    """Area-weighted unit normals (V, 3) that point out of the head in the camera's frame."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for axis in range(3):
        weights = np.repeat(face[:, axis], 3)
        total[:, axis] = np.bincount(triangles.ravel(), weights=weights, minlength=len(vertices))
    unit: Floats = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return unit


def _light_matrix(direction: Floats, distance: float) -> Floats:
    """Orthographic view (4, 4) along the key light, centred on the head."""
    forward = -np.asarray(direction)
    side = np.cross(forward, [0.0, 1.0, 0.02])
    side /= np.linalg.norm(side)
    down = np.cross(forward, side)
    rows = np.stack([side, down, forward]) / _SHADOW_REACH
    matrix = np.eye(4)
    matrix[:3, :3] = rows
    matrix[:3, 3] = -rows @ np.asarray([0.0, 0.0, distance])
    return matrix
