"""Plots, tables and the page, from a real evaluation of the made benchmark."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from PIL import Image

from model.data.manifest import write_manifest
from model.data.restricted import Restricted
from model.evaluation.drawn import choose_faces, draw_faces
from model.evaluation.plots import draw_ced, draw_confusion, draw_histogram, draw_reliability, draw_slices, to_png
from model.schema import Measure


@pytest.fixture
def made(evaluated):
    """The findings of one run, and the folder that it wrote."""
    return evaluated.findings, evaluated.out / "reports"


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.names = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_well_formed_and_needs_no_other_file(made):
    tags = Tags()
    tags.feed((made[1] / "evaluation.html").read_text())
    assert tags.open == []
    assert all(address.startswith("data:image/png;base64,") for address in tags.addresses)
    assert len(tags.addresses) == 7
    assert not tags.names & {"script", "link", "iframe"}


def test_page_says_what_the_numbers_are_and_what_they_are_not_for(made):
    page = (made[1] / "evaluation.html").read_text()
    for text in ("Intended use", "Not for emotion inference at work or in education", "apparent expression"):
        assert text in page
    for head in ("Metric", "Value", "Interval", "n", "Normaliser", "Threshold"):
        assert re.search(rf"<th[^>]*>{head}</th>", page)
    assert "inter-ocular" in page
    assert "before the residual exchange" in page


def test_names_from_data_are_escaped(made):
    page = (made[1] / "evaluation.html").read_text()
    assert "<b>odd</b>" not in page
    assert "subset=&lt;b&gt;odd&lt;/b&gt;" in page


def test_restricted_faces_are_never_drawn(made):
    """Not even where `drawn` asks for more faces than are free."""
    findings, _ = made
    many = replace(findings, config=findings.config.model_copy(update={"drawn": 500}))
    chosen = choose_faces(many)
    assert sorted(chosen) == [place for place, record in enumerate(findings.records) if record.source == "made_points"]
    hidden = [replace(record, restricted=True) for record in findings.records]
    assert choose_faces(replace(many, records=hidden)) == []
    assert draw_faces(findings, []) is None


@pytest.mark.parametrize("field", ["image", "sha256"])
def test_pictures_of_restricted_faces_are_never_drawn(made, field):
    """Nor is a face whose picture, by its address or by its bytes, is a restricted one of another split."""
    findings, _ = made
    everything = replace(findings, config=findings.config.model_copy(update={"drawn": 500}))
    first = choose_faces(findings)[0]
    other = replace(next(record for record in findings.records if record.restricted), split="train")
    copy = replace(other, **{field: getattr(findings.records[first], field)})
    hiding = replace(everything, restricted=Restricted([*findings.records, copy]))
    assert set(choose_faces(hiding)) == set(choose_faces(everything)) - {first}


def test_restricted_set_makes_a_report_without_a_sheet_of_faces(bench, tmp_path):
    manifest = tmp_path / "manifest.parquet"
    write_manifest(manifest, [replace(record, restricted=True) for record in bench.records])
    replace(bench, manifest=manifest).run(tmp_path, bootstrap=2)
    assert not (tmp_path / "reports" / "plots" / "faces.png").exists()
    assert "Best, median and worst" not in (tmp_path / "reports" / "evaluation.html").read_text()


def test_sheet_holds_the_best_the_middle_and_the_worst(made):
    findings, _ = made
    errors = findings.errors["landmarks", "inter_ocular"]
    chosen = choose_faces(findings)
    free = [place for place, record in enumerate(findings.records) if not record.restricted and errors[place] >= 0]
    ranks = [sorted(free, key=lambda place: errors[place]).index(place) for place in chosen]
    assert ranks == [0, 1, 5, 6, 10, 11]


def test_without_landmark_truth_faces_are_ordered_by_the_probability_of_their_class(made):
    findings, _ = made
    blind = replace(findings, errors={})
    chosen = choose_faces(blind)
    shares = [findings.answers.probabilities_NE[place, findings.truth.expression_N[place]] for place in chosen]
    assert shares == sorted(shares, reverse=True)
    assert all(findings.records[place].source == "made_class" for place in chosen)


def test_tables_can_be_drawn_by_dvc(made):
    findings, reports = made
    ced = pd.read_csv(reports / "plots" / "ced.csv")
    assert list(ced)[:3] == ["error", "all", "before the residual"]
    assert (ced.drop(columns="error").diff().dropna() >= 0).all().all()
    errors = findings.errors["landmarks", "inter_ocular"]
    row = ced[np.isclose(ced["error"], 10)].iloc[0]
    assert row["all"] == pytest.approx(100 * (errors[errors >= 0] <= 0.1).mean(), abs=1e-3)
    confusion = pd.read_csv(reports / "plots" / "confusion.csv")
    assert list(confusion) == ["actual", "predicted"]
    assert len(confusion) == 24
    measures = pd.read_csv(reports / "plots" / "measures.csv")
    assert len(measures) == len(findings.report.measures)


def test_plots_are_pictures_and_leave_no_figure_open(made):
    plots = sorted((made[1] / "plots").glob("*.png"))
    names = ["ced", "confusion", "faces", "nme_histogram", "reliability", "slices_f1", "slices_nme"]
    assert [path.stem for path in plots] == names
    for path in plots:
        with Image.open(path) as image:
            assert min(image.size) > 300
            assert "Software" not in image.info
    assert pyplot.get_fignums() == []


def test_an_older_plot_does_not_outlive_a_run_without_it(bench, random_weights, tmp_path):
    random_weights(tmp_path / "weights", tasks=["expression"], **{"residual.kind": "none"})
    (tmp_path / "reports" / "plots").mkdir(parents=True)
    (tmp_path / "reports" / "plots" / "ced.png").write_bytes(b"old")
    replace(bench, weights=tmp_path / "weights").run(tmp_path, bootstrap=2)
    assert not (tmp_path / "reports" / "plots" / "ced.png").exists()
    assert (tmp_path / "reports" / "plots" / "confusion.png").exists()


def test_a_network_that_fails_everywhere_is_still_drawn_whole():
    errors = np.linspace(0.9, 1.1, 30)
    curve, bars = draw_ced({"all": errors}, (0.08, 0.1)).axes[0], draw_histogram(errors, 0.08).axes[0]
    assert curve.get_xlim()[1] > 100
    assert bars.get_xlim()[1] > 100


def test_one_face_is_enough_for_every_plot():
    one = np.array([0.05])
    totals = np.zeros((3, 15))
    totals[:, 4] = 1, 0.3, 1
    row = Measure("test", "landmarks", "nme", "all", 5.0, None, None, 1)
    figures = [
        draw_ced({"all": one}, (0.08,)),
        draw_histogram(one, 0.08),
        draw_confusion(np.eye(7, dtype=int)),
        draw_reliability({"as trained": totals}),
        draw_slices([row], "NME, %"),
    ]
    assert all(to_png(figure).startswith(b"\x89PNG") for figure in figures)
