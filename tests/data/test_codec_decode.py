import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.data.codec import BACKGROUND, decode_image, decode_known
from model.errors import ImageError
from tests.data.layouts import texture
from tests.pictures import lying

LIMIT = 1_000_000


def blob(height=40, width=60):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 4, y * 6, (x + y) * 2], axis=2).astype(np.uint8)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width, height, *, depth=8, colour=2, rows=b""):
    """A PNG with any header, for sizes and depths that Pillow does not write."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    magic = b"\x89PNG\r\n\x1a\n"
    return magic + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_gives_the_upright_picture(kind, orientation):
    """T09: the file holds the picture turned; EXIF says how to turn it back."""
    options = {"PNG": {}, "JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}[kind]
    decoded = decode_image(lying(Image.fromarray(blob()), orientation, kind, **options), max_pixels=LIMIT)
    assert decoded.flags.c_contiguous
    assert np.abs(decoded.astype(int) - blob()).max() <= (3 if kind == "JPEG" else 0)


def test_damaged_exif_leaves_the_picture_as_stored():
    content = encoded(Image.fromarray(blob()), "PNG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff")
    assert (decode_image(content, max_pixels=LIMIT) == blob()).all()


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3)])
def test_sixteen_bits_are_scaled_to_eight_not_clipped(colour, channels):
    """T09: both kinds of 16-bit PNG keep their high byte."""
    samples = np.linspace(0, 65535, 8 * 8 * channels).astype(">u2").reshape(8, 8 * channels)
    rows = b"".join(b"\x00" + row.tobytes() for row in samples)
    decoded = decode_image(png(8, 8, depth=16, colour=colour, rows=rows), max_pixels=LIMIT)
    expected = (samples >> 8).reshape(8, 8, channels)
    assert (decoded == np.broadcast_to(expected, (8, 8, 3))).all()


def test_cmyk_becomes_rgb():
    """T09: pure cyan ink is (0, 255, 255)."""
    content = encoded(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=95)
    assert np.abs(decode_image(content, max_pixels=LIMIT).astype(int) - [0, 255, 255]).max() <= 3


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_show_the_background(mode):
    """T09: half of the picture is transparent."""
    image = Image.new("RGBA", (8, 8), (200, 200, 200, 255))
    image.paste((200, 200, 200, 0), (0, 0, 4, 8))
    if mode == "P":
        image = Image.new("P", (8, 8), 1)
        image.putpalette([0, 0, 0, 200, 200, 200])
        image.paste(0, (0, 0, 4, 8))
        content = encoded(image, "PNG", transparency=0)
    else:
        content = encoded(image.convert(mode), "PNG")
    decoded = decode_image(content, max_pixels=LIMIT)
    assert (decoded[:, :4] == BACKGROUND).all()
    assert (decoded[:, 4:] == 200).all()


@pytest.mark.parametrize(("mode", "kind"), [("L", "JPEG"), ("L", "PNG"), ("1", "PNG"), ("L", "BMP")])
def test_grey_is_repeated_in_three_channels(mode, kind):
    decoded = decode_image(encoded(Image.fromarray(blob()).convert(mode), kind), max_pixels=LIMIT)
    assert decoded.shape == (40, 60, 3)
    assert (decoded == decoded[:, :, :1]).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation_counts(kind):
    """T09: GIF, animated WebP and APNG."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert np.abs(decode_image(content, max_pixels=LIMIT).astype(int) - [255, 0, 0]).max() <= 4


def test_icc_profile_changes_nothing():
    """T09: profiles are ignored by rule."""
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    content = encoded(Image.fromarray(blob()), "PNG", icc_profile=profile)
    assert (decode_image(content, max_pixels=LIMIT) == blob()).all()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, I am text",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='http://127.0.0.1/x'/></svg>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file",
        b"%PDF-1.4",
        b"II*\x00\x08\x00\x00\x00",
        b"PK\x03\x04" + encoded(Image.fromarray(blob()), "JPEG"),
        b" " + encoded(Image.fromarray(blob()), "PNG"),
        b"RIFF\x00\x00\x00\x00AVI ",
    ],
)
def test_what_does_not_start_as_a_picture_is_not_an_image(content):
    """T01, T37: nothing is guessed from names or found further in, and vector formats never reach an interpreter."""
    with pytest.raises(ImageError, match="need JPEG, PNG, WebP, BMP or GIF") as caught:
        decode_image(content, max_pixels=LIMIT)
    assert caught.value.code == "not_an_image"


def test_bytes_behind_a_picture_are_ignored():
    """T37: a JPEG with an archive appended is a JPEG."""
    content = encoded(Image.fromarray(blob()), "JPEG")
    with_more = decode_image(content + b"PK\x03\x04<script>", max_pixels=LIMIT)
    assert (with_more == decode_image(content, max_pixels=LIMIT)).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_cut_off_picture_is_truncated(kind, share):
    """T01, T37."""
    generator = np.random.default_rng(0)
    content = encoded(Image.fromarray(generator.integers(0, 255, (64, 64, 3), dtype=np.uint8)), kind)
    with pytest.raises(ImageError, match="cut off or damaged") as caught:
        decode_image(content[: int(len(content) * share)], max_pixels=LIMIT)
    assert caught.value.code == "truncated_image"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_picture_beyond_the_limit_is_refused(kind):
    content = encoded(Image.fromarray(blob()), kind)
    assert decode_image(content, max_pixels=2400).shape == (40, 60, 3)
    with pytest.raises(ImageError, match="2399") as caught:
        decode_image(content, max_pixels=2399)
    assert caught.value.code == "image_too_large"


def webp_canvas(width, height):
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0]) + sides + b"ANIM" + bytes(10)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def with_size(kind, layout, offset, *sides):
    """A tiny file whose header promises other sides."""
    content = bytearray(encoded(Image.new("RGB", (8, 8)), kind))
    at = content.index(offset) if isinstance(offset, bytes) else offset
    struct.pack_into(layout, content, at, *sides)
    return bytes(content)


BOMBS = {
    "png": png(20_000, 20_000),
    "huge_png": png(60_000, 60_000),
    "png_64_mp": png(8_000, 8_000),
    "webp_canvas": webp_canvas(16_000, 16_000),
    "webp": with_size("WEBP", "<HH", 26, 16_383, 16_383),
    "gif_screen": with_size("GIF", "<HH", 6, 60_000, 60_000),
    "gif_frame": with_size("GIF", "<BHHHH", b",\x00\x00\x00\x00\x08", 0x2C, 0, 0, 12_000, 8_000),
    "bmp": with_size("BMP", "<ii", 18, 60_000, 60_000),
    "jpeg": with_size("JPEG", ">HHBHH", b"\xff\xc0\x00\x11", 0xFFC0, 17, 8, 65_500, 65_500),
    "strip": png(1_000_000, 1),
    "pillar": png(1, 1_000_000),
}
"""A few bytes that promise gigabytes."""


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_header_bomb_is_refused(name):
    """T01, T37."""
    with pytest.raises(ImageError, match="pixels") as caught:
        decode_image(BOMBS[name], max_pixels=40_000_000)
    assert caught.value.code == "image_too_large"


def test_header_bombs_cost_neither_time_nor_memory(tmp_path):
    """T01, T37: in a process of its own, whose peak no other test has raised."""
    code = """
import resource, sys, time
from contextlib import suppress
from pathlib import Path
from model.data.codec import decode_image
from model.errors import ImageError

decode_image(Path(sys.argv[1]).read_bytes(), max_pixels=40_000_000)
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
for name in sys.argv[2:]:
    with suppress(ImageError):
        decode_image(Path(name).read_bytes(), max_pixels=40_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.process_time() - began)
"""
    contents = {"plain": encoded(Image.fromarray(blob()), "PNG"), **BOMBS}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-W", "ignore", "-c", code, *(str(tmp_path / name) for name in contents)]
    kilobytes, seconds = map(float, subprocess.run(command, capture_output=True, check=True).stdout.split())
    assert kilobytes < 50_000
    assert seconds < 1


@given(st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "GIF"]), st.data())
def test_damaged_bytes_give_a_picture_or_an_image_error(kind, data):
    """T37: no other exception ever leaves the decoder."""
    content = bytearray(encoded(Image.fromarray(blob(16, 16)), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert decode_image(bytes(content), max_pixels=LIMIT).dtype == np.uint8
    except ImageError as error:
        assert error.code in {"not_an_image", "truncated_image", "image_too_large"}


PICTURES = st.fixed_dictionaries(
    {
        "size": st.tuples(st.integers(1, 70), st.integers(1, 70)),
        "kind": st.sampled_from(["JPEG", "WEBP", "PNG"]),
        "mode": st.sampled_from(["RGB", "L", "CMYK"]),
        "quality": st.integers(20, 98),
        "subsampling": st.integers(0, 2),
        "progressive": st.booleans(),
        "orientation": st.sampled_from([None, 1, 6]),
        "seed": st.integers(0, 9),
    }
)


@settings(max_examples=40)
@given(PICTURES)
def test_known_bytes_are_decoded_to_the_same_pixels(given):
    """T09: training reads shards the quick way, evaluation and serving the careful one."""
    jpeg = given["kind"] == "JPEG"
    image = Image.fromarray(texture(given["seed"], 70)).resize(given["size"]).convert(given["mode"] if jpeg else "RGB")
    options = {name: given[name] for name in ("subsampling", "progressive")} if jpeg else {}
    if given["orientation"] is not None:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = given["orientation"]
    content = encoded(image, given["kind"], quality=given["quality"], **options)
    assert np.array_equal(decode_known(content, max_pixels=LIMIT), decode_image(content, max_pixels=LIMIT))
    if given["size"] != (1, 1):
        with pytest.raises(ImageError, match="pixels"):
            decode_known(content, max_pixels=1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damage_is_told_of_known_bytes_too(kind):
    content = encoded(Image.fromarray(blob()), kind)
    for damaged in (content[: len(content) // 2], b"", b"hello"):
        with pytest.raises(ImageError):
            decode_known(damaged, max_pixels=LIMIT)
