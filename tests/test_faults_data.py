"""Bad benchmarks, parameters and disks through the command line: exit code, message, and nothing half-written."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.cli.recipe import write_values
from tests.command import Command, contents
from tests.data.layouts import encoded, face_points, label_line, make_class_folders, make_generic, pts, texture, write
from tests.pictures import png_header

BUDGET = "validate.budget"


@pytest.fixture
def bench(workspace: Path) -> Path:
    """A workspace that asks for a small sound benchmark."""
    source = make_generic(workspace / "data")
    write_values(workspace / "params.yaml", {"index.sources": [source.model_dump(mode="json")]})
    return workspace


def add_label(bench: Path, text: str) -> None:
    """One more line of the benchmark's labels."""
    with (bench / "data/made/labels.jsonl").open("a") as stream:
        stream.write(text + "\n")


def add_face(bench: Path, name: str, *, content: bytes | None = None, **labels: object) -> None:
    """A training face with its picture, sound but for what is given."""
    number = 3000 + sum(name.encode())
    write(bench / "data/made/train" / name, encoded(texture(number)) if content is None else content)
    add_label(bench, label_line(f"train/{name}", "train", **({"expression": "happy"} | labels)))


def plant_faults(bench: Path) -> dict[str, tuple[str, str]]:
    """One face of each fault; the rule that finds it and what the reason has to say, by picture."""
    whole, points = encoded(texture(2000)), face_points(5)
    add_label(bench, label_line("train/gone.jpg", "train", expression="happy"))
    add_face(bench, "cut.jpg", content=whole[: len(whole) // 2])
    add_face(bench, "text.jpg", content=b"Not a picture at all.")
    add_face(bench, "empty.jpg", content=b"")
    add_face(bench, "few.jpg", points=points[:67].tolist())
    add_face(bench, "swapped.jpg", points=points[:, ::-1].tolist())
    add_face(bench, "nan.jpg", points=[[float("nan"), 0.0], *points[1:].tolist()])
    add_face(bench, "bored.jpg", expression="boredom")
    add_face(bench, "contempt.jpg", expression="contempt")
    return {
        "made/train/gone.jpg": ("record_readable", "missing_picture: made/train/gone.jpg"),
        "made/train/cut.jpg": ("picture_decodes", "truncated_image"),
        "made/train/text.jpg": ("record_readable", "21 bytes that are no picture"),
        "made/train/empty.jpg": ("record_readable", "0 bytes that are no picture"),
        "made/train/few.jpg": ("points_count", "67 points, need 68"),
        "made/train/swapped.jpg": ("shape_plausible", "x and y swapped"),
        "made/train/nan.jpg": ("points_finite", "not a finite number"),
        "made/train/bored.jpg": ("record_readable", "labels.jsonl, line 50, expression `boredom` is not known"),
        "made/train/contempt.jpg": ("labelled", "label: `contempt`"),
    }


def quarantine(bench: Path) -> dict[str, tuple[str, str]]:
    """Rule and reason by picture."""
    with (bench / "artifacts/quarantine.csv").open(newline="") as stream:
        return {row["image"]: (row["rule"], row["reason"]) for row in csv.DictReader(stream)}


def broken(stdout: str) -> dict[str, str]:
    """The row of each rule in the table of broken ones, by its name, with single spaces."""
    lines = stdout.split("\n\n")[2].splitlines()
    assert lines[0].split() == ["rule", "kind", "failed", "moved", "do", "first"]
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines[1:]}


def hidden(folder: Path) -> list[Path]:
    """Temporary files and folders that a command left behind."""
    return [path for path in folder.rglob(".*") if path.name not in (".", "..")]


def limited(bench: Path, command: str, limit: int) -> subprocess.CompletedProcess[str]:
    """Run a step that can write no file of more than `limit` bytes."""
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        f"sys.argv = ['rmtl', {command!r}]\n"
        "from model.cli import main\n"
        "main()\n"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=bench, capture_output=True, text=True, check=False)


def test_bad_rows_within_the_budget_are_set_aside_with_their_reasons(rmtl: Command, bench: Path) -> None:
    """T01, T02, T03: each fault is named with its picture; the sound faces go on to the shards."""
    planted = plant_faults(bench)
    write_values(bench / "params.yaml", {BUDGET: 0.2})
    assert rmtl("index", cwd=bench).returncode == 0
    result = rmtl("validate", cwd=bench)
    assert result.returncode == 0, result.stderr
    found = quarantine(bench)
    assert {image: rule for image, (rule, _) in found.items()} == {image: rule for image, (rule, _) in planted.items()}
    assert [image for image, (_, reason) in planted.items() if reason not in found[image][1]] == []
    report = json.loads((bench / "reports/validation.json").read_text())
    assert (report["rows"], report["valid"], report["quarantined"]) == (51, 42, 9)
    table = broken(result.stdout)
    assert set(table) == {rule for rule, _ in planted.values()}, "a face that breaks two rules is told once"
    assert table["record_readable"].startswith("row 4 4 mend the file or line")
    assert "made/train/gone.jpg: missing_picture" in table["record_readable"]
    assert table["labelled"].startswith("aside 1 1 nothing, unless")
    assert rmtl("shard", cwd=bench).returncode == 0
    assert hidden(bench) == []


@pytest.mark.long
def test_bad_pictures_take_no_more_memory_than_sound_ones(
    bench: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """T01: with a header bomb among them; each step in a process of its own."""
    sound = tmp_path_factory.mktemp("sound") / "bench"
    shutil.copytree(bench, sound, symlinks=True)
    plant_faults(bench)
    add_face(bench, "bomb.png", content=png_header(20_000, 20_000))
    write_values(bench / "params.yaml", {BUDGET: 0.3})
    for step in ("index", "validate"):
        assert peak_mb(bench, step) - peak_mb(sound, step) < 300
    assert quarantine(bench)["made/train/bomb.png"][0] == "record_readable"


def peak_mb(bench: Path, command: str) -> float:
    """Largest resident size of a step that ends well."""
    code = f"import sys; sys.argv = ['rmtl', {command!r}]; from model.cli import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=bench, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1024


def test_bad_rows_above_the_budget_end_with_exit_code_3(rmtl: Command, bench: Path) -> None:
    """T01: told with share, budget and the first pictures; what was set aside can be read."""
    planted = plant_faults(bench)
    assert rmtl("index", cwd=bench).returncode == 0
    result = rmtl("validate", cwd=bench)
    assert result.returncode == 3
    assert "8 of 51 rows are bad (15.7 %, validate.budget is 1.0 %)" in result.stderr
    assert "artifacts/quarantine.csv" in result.stderr
    assert "train/gone.jpg (record_readable: missing_picture" in result.stderr
    assert set(broken(result.stdout)) == {rule for rule, _ in planted.values()}
    assert set(quarantine(bench)) == set(planted)
    assert hidden(bench) == []


def test_rules_that_failed_are_listed_with_what_to_do_for_people_and_for_machines(rmtl: Command, bench: Path) -> None:
    """T08, T05: a person in two splits stops, an expression that a split lacks is told with all counts."""
    labels = bench / "data/made/labels.jsonl"
    lines = [line for line in labels.open() if '"val"' not in line or '"fear"' not in line]
    labels.write_text("".join(lines).replace('"train3"', '"test2"'))
    assert rmtl("index", cwd=bench).returncode == 0
    result = rmtl("validate", cwd=bench)
    assert result.returncode == 3
    table = broken(result.stdout)
    assert set(table) == {"groups_apart", "classes_present_train", "classes_present_val"}
    assert table["groups_apart"].startswith("stop 2 2 put all faces of the group into one split made/train/006.webp: ")
    assert "add faces of it to val, or raise index.holdout val has no face of fear" in table["classes_present_val"]
    assert "surprise 2, fear 0, disgust 2" in table["classes_present_val"]
    result = rmtl("validate", "--json", cwd=bench)
    assert result.returncode == 3
    report = json.loads(result.stdout)
    assert report == json.loads((bench / "reports/validation.json").read_text())
    rules = {rule["rule"]: rule for rule in report["rules"]}
    told = rules["groups_apart"]
    assert (told["kind"], told["failed"], told["quarantined"]) == ("stop", 2, 2)
    assert told["first"][0]["record_id"] == "made/train/006.webp"
    assert told["action"] == "put all faces of the group into one split"
    assert rules["classes_present_val"]["first"][0]["image"] is None


def test_a_point_that_is_no_number_is_named_by_file_and_line(rmtl: Command, workspace: Path) -> None:
    """T02: `.pts` files with a NaN, a comma for the decimal point, and too few points."""
    sound = pts(face_points(0)).splitlines(keepends=True)
    faults = {
        "nan": ("".join([*sound[:5], "nan 12.0\n", *sound[6:]]), "points_finite"),
        "comma": ("".join([*sound[:5], "11,5 12,0\n", *sound[6:]]), "comma.pts, line 6"),
        "short": ("".join([*sound[:-2], "}\n"]), "67 points"),
    }
    folders = {"sound": "helen/trainset", "held_out": "afw", "test": "ibug"}
    for number, name in enumerate([*faults, *folders]):
        folder = workspace / "data/faces" / folders.get(name, "helen/trainset")
        write(folder / f"{name}.png", encoded(texture(4000 + number), ".png"))
        write(folder / f"{name}.pts", faults[name][0] if name in faults else pts(face_points(number)))
    splits = {"train": ["helen/trainset"], "val": ["afw"], "test": ["ibug"]}
    source = {"name": "faces", "reader": "w300", "path": "faces", "restricted": True, "splits": splits}
    write_values(workspace / "params.yaml", {"index.sources": [source], BUDGET: 0.5})
    assert rmtl("index", cwd=workspace).returncode == 0
    result = rmtl("validate", cwd=workspace)
    assert result.returncode == 0, result.stderr
    found = quarantine(workspace)
    for name, (_, expected) in faults.items():
        assert expected in ": ".join(found[f"faces/helen/trainset/{name}.png"])


def test_an_unknown_class_folder_ends_index_with_exit_code_3(rmtl: Command, workspace: Path) -> None:
    """T03: the folder is named, and what earlier runs wrote stays."""
    source = make_class_folders(workspace / "data")
    write_values(workspace / "params.yaml", {"index.sources": [source.model_dump(mode="json")]})
    assert rmtl("index", cwd=workspace).returncode == 0
    before = contents(workspace / "artifacts")
    write(workspace / "data/fer/train/boredom/1.png", encoded(texture(1), ".png"))
    result = rmtl("index", cwd=workspace)
    assert result.returncode == 3
    assert "data/fer/train: unknown class folder boredom" in result.stderr
    assert contents(workspace / "artifacts") == before


def test_an_empty_split_ends_validate_with_exit_code_3(rmtl: Command, bench: Path) -> None:
    """T08: the split and the keys to look at are named."""
    labels = bench / "data/made/labels.jsonl"
    labels.write_text("".join(line for line in labels.open() if '"split": "val"' not in line))
    assert rmtl("index", cwd=bench).returncode == 0
    result = rmtl("validate", cwd=bench)
    assert result.returncode == 3
    assert "splits_filled: a split is empty: val; see index.sources and index.holdout" in result.stderr


def test_a_picture_changed_after_validation_ends_shard_with_exit_code_3(rmtl: Command, bench: Path) -> None:
    """T14: the earlier shards stay whole."""
    for step in ("index", "validate", "shard"):
        assert rmtl(step, cwd=bench).returncode == 0
    before = contents(bench / "artifacts")
    write(bench / "data/made/train/003.webp", encoded(texture(9), ".webp"))
    result = rmtl("shard", cwd=bench)
    assert result.returncode == 3
    assert "made/train/003.webp): picture changed since it was validated; run `rmtl index`" in result.stderr
    assert contents(bench / "artifacts") == before


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({BUDGET: 2}, ["validate.budget", "2"]),
        ({"index.sources": []}, ["index.sources"]),
        ({"train.net.size": "huge", "train.lr": "fast"}, ["train.net.size", "'huge'", "train.lr", "'fast'"]),
        ({"train.net.aflw_hed": True}, ["train.net.aflw_hed"]),
        ({"shard": {"faces_per_shard": 4}}, ["shard.max_side", "shard.window"]),
    ],
    ids=["range", "empty list", "two at once", "unknown key", "missing keys"],
)
def test_wrong_parameters_are_named_by_dotted_key(
    rmtl: Command, bench: Path, wrong: dict[str, object], told: list[str]
) -> None:
    write_values(bench / "params.yaml", wrong)
    result = rmtl("index", cwd=bench)
    assert result.returncode == 2
    assert [part for part in told if part not in result.stderr] == []
    assert not (bench / "artifacts").exists()


@pytest.mark.parametrize("content", [b"train: [", b"\x89PNG\r\n\x1a\n\0", b""], ids=["yaml", "picture", "empty"])
def test_a_params_file_that_is_no_yaml_is_named(rmtl: Command, bench: Path, content: bytes) -> None:
    (bench / "params.yaml").write_bytes(content)
    result = rmtl("index", cwd=bench)
    assert result.returncode == 2
    assert "params.yaml: " in result.stderr


def test_an_override_that_is_no_yaml_is_named(rmtl: Command, bench: Path) -> None:
    result = rmtl("index", "--set", "index.exclude=[a", cwd=bench)
    assert result.returncode == 2
    assert "--set index.exclude=[a: " in result.stderr


def test_an_unknown_log_level_ends_with_exit_code_2(
    rmtl: Command, bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RMTL_LOG_LEVEL", "loud")
    result = rmtl("index", cwd=bench)
    assert result.returncode == 2
    assert "RMTL_LOG_LEVEL=loud" in result.stderr


@pytest.mark.parametrize(("step", "missing"), [("validate", "manifest.parquet"), ("shard", "manifest.valid.parquet")])
def test_a_step_before_its_input_names_the_step_to_run(rmtl: Command, bench: Path, step: str, missing: str) -> None:
    result = rmtl(step, cwd=bench)
    assert result.returncode == 3
    assert missing in result.stderr
    assert "run `rmtl index`, then `rmtl validate`" in result.stderr


def test_a_full_disk_ends_index_and_shard_with_the_place_and_the_bytes(rmtl: Command, bench: Path) -> None:
    """T19: a limit on the size of a file stands for the full disk; what was there before is unchanged."""
    for step in ("index", "validate", "shard"):
        assert rmtl(step, cwd=bench).returncode == 0
    before = contents(bench / "artifacts")
    for step, name in (("index", "manifest.parquet"), ("shard", "shards")):
        result = limited(bench, step, 4096)
        assert result.returncode == 1, result.stderr
        assert f"artifacts/{name}: cannot be written after " in result.stderr
        assert "Traceback" not in result.stderr
        assert contents(bench / "artifacts") == before
    assert hidden(bench) == []
