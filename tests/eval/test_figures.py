"""The figures of made-up results: what they show, and that it can be told apart."""

import dataclasses
import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from eval import figures, summary
from eval.grid import ATTACKS, Attack, Case, Run
from magnet_tf.datasets import Split
from tests.eval import made_up

TITLES = ["C&W L2", *(f"EAD {r}, β={b}" for b in (0.01, 0.1) for r in ("EN", "L1"))]


def panels(figure) -> list:
    return [axis for axis in figure.axes if axis.get_visible()]


def rows_of(variant: str) -> list[dict]:
    return [row for row in made_up.results().rows() if row["variant"] == variant]


def legend_texts(figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def labelled(axis) -> dict:
    """The curves of a panel by their labels."""
    lines = {line.get_label(): line for line in axis.get_lines()}
    return {label: line for label, line in lines.items() if label[0] != "_"}


def all_figures() -> dict:
    results = made_up.results()
    with matplotlib.rc_context(figures.STYLE):
        drawn = {
            "accuracy": figures.accuracy(rows_of("D")),
            "asr": figures.asr(results.rows()),
            "examples": figures.examples(results),
            "marks": figures.marks_above("D+JSD", results.variants["D+JSD"]),
            "roc": figures.roc("D+JSD", results),
        }
        for figure in drawn.values():
            FigureCanvasAgg(figure).draw()
    return drawn


@pytest.fixture(scope="module")
def drawn():
    return all_figures()


def test_accuracy_has_a_panel_for_each_attack_with_four_curves(drawn):
    figure = drawn["accuracy"]
    assert [axis.get_title() for axis in panels(figure)] == TITLES
    assert legend_texts(figure) == ["no defence", "detectors", "reformer", "both"]
    keys = ["accuracy_none", "accuracy_detector", "accuracy_reformer", "accuracy_both"]
    for axis, title in zip(panels(figure), TITLES):
        lines = axis.get_lines()
        assert len(lines) == 4
        for line, key in zip(lines, keys):
            points = [
                (row["confidence"], row[key])
                for row in rows_of("D")
                if title == figures.attack_title(row)
            ]
            np.testing.assert_allclose(line.get_xydata(), points)


def test_asr_has_a_panel_for_each_variant_with_a_curve_for_each_attack(drawn):
    figure = drawn["asr"]
    assert [axis.get_title() for axis in panels(figure)] == ["MagNet D", "MagNet D+JSD"]
    assert legend_texts(figure) == TITLES
    for axis, variant in zip(panels(figure), ("D", "D+JSD")):
        assert len(axis.containers) == len(TITLES)
        for container, title in zip(axis.containers, TITLES):
            own = [r for r in rows_of(variant) if figures.attack_title(r) == title]
            line, _, (bars,) = container
            np.testing.assert_allclose(line.get_ydata(), [r["asr"] for r in own])
            # set off a little, by less than half the way to the next confidence
            offset = line.get_xdata() - [row["confidence"] for row in own]
            assert np.abs(offset).max() < 2
            ends = np.array([segment[:, 1] for segment in bars.get_segments()])
            low, high = ([row[f"asr_{e}"] for row in own] for e in ("low", "high"))
            np.testing.assert_allclose(ends, np.transpose([low, high]))


def test_examples_show_images_examples_and_changes(drawn):
    figure = drawn["examples"]
    grid = np.reshape(panels(figure), (1 + 2 * len(TITLES), 8))
    labels = [axis.get_ylabel() for axis in grid[:, 0]]
    assert labels == ["clean", *itertools.chain(*([t, "change"] for t in TITLES))]
    crafted = made_up.crafted()
    result = crafted[
        Case(Run("ead", 10.0, 0.01), "EN")
    ]  # the middle one of two is the upper

    def shown(row, column):
        (image,) = grid[row, column].get_images()
        return image.get_array()

    np.testing.assert_array_equal(shown(0, 3), made_up.images()[3].squeeze())
    np.testing.assert_array_equal(shown(3, 3), result.adversarial[3].squeeze())
    change = (result.adversarial[3] - made_up.images()[3]).squeeze()
    largest = max(r.linf[:8].max() for r in crafted.values())
    correlation = np.corrcoef(shown(4, 3).ravel(), change.ravel())[0, 1]
    assert correlation > 0.999 and f"{largest:.1f}"[:3] in figure._suptitle.get_text()
    assert grid[3, 0].get_title() == "failed" and grid[3, 1].get_title() == ""


def test_marks_have_a_panel_for_each_detector_with_its_threshold(drawn):
    figure = drawn["marks"]
    detectors = made_up.VARIANTS["D+JSD"]
    titles = [axis.get_title() for axis in panels(figure)]
    assert titles == [f"detector {name}" for name in detectors]
    variant = made_up.results().variants["D+JSD"]
    for axis, name in zip(panels(figure), detectors):
        curves = labelled(axis)
        assert list(curves)[:-1] == TITLES and list(curves)[-1] == "threshold"
        assert set(curves["threshold"].get_xdata()) == {variant.thresholds[name]}
        case = Case(Run("ead", 10.0, 0.1), "L1")
        values = variant.attacked[case].marks[name]
        x, y = curves["EAD L1, β=0.1"].get_data()
        np.testing.assert_allclose(np.sort(x), np.sort(values))
        # the curve's height: the share that is marked so or higher, to within one image
        share = (values >= x[:, None]).mean(axis=1)
        assert np.abs(y - share).max() <= 1 / len(values) + 1e-9


def test_roc_has_a_panel_for_each_detector_and_for_all(drawn):
    figure = drawn["roc"]
    titles = [axis.get_title() for axis in panels(figure)]
    names = [f"detector {name}" for name in made_up.VARIANTS["D+JSD"]]
    assert titles == [*names, "all detectors"]
    for axis in panels(figure):
        curves = labelled(axis)
        assert list(curves) == TITLES[1:]  # C&W failed
        for line in curves.values():
            x, y = line.get_data()
            assert (x[0], y[0]) == (0, 0) and (x[-1], y[-1]) == (1, 1)
            assert (np.diff(x) >= 0).all() and (np.diff(y) >= 0).all()


@pytest.mark.parametrize("name", ["accuracy", "asr", "marks", "roc"])
def test_axes_are_labelled(name, drawn):
    shown = panels(drawn[name])
    assert any(axis.get_xlabel() for axis in shown)
    assert shown[0].get_ylabel() and all(axis.get_title() for axis in shown)


@pytest.mark.parametrize("name", ["accuracy", "asr", "marks", "roc"])
def test_curves_can_be_told_apart_in_grey(name, drawn):
    """By dashes or markers, or by a grey that is clearly another."""

    def grey(line):
        return np.dot(to_rgb(line.get_color()), [0.299, 0.587, 0.114])

    for axis in panels(drawn[name]):
        if name == "asr":
            curves = [container[0] for container in axis.containers]
        else:
            curves = list(labelled(axis).values())
        for one, other in itertools.combinations(curves, 2):
            same_line = one.get_linestyle() == other.get_linestyle()
            same_marker = one.get_marker() == other.get_marker()
            same_width = one.get_linewidth() == other.get_linewidth()
            if same_line and same_marker and same_width:
                assert abs(grey(one) - grey(other)) > 0.15, (one, other)


def texts_of(figure) -> list[tuple[str, matplotlib.transforms.Bbox]]:
    """What is written in a figure, and where."""
    hidden = set()
    for axis in figure.axes:
        if not axis.get_visible():
            hidden.update(axis.findobj(matplotlib.text.Text))
        for own in (axis.xaxis, axis.yaxis):
            low, high = sorted(own.get_view_interval())
            for tick in own.get_major_ticks() + own.get_minor_ticks():
                if not low <= tick.get_loc() <= high:
                    hidden.update((tick.label1, tick.label2))
    texts = set(figure.findobj(matplotlib.text.Text)) - hidden
    return [
        (text.get_text(), text.get_window_extent())
        for text in texts
        if text.get_visible() and text.get_text()
    ]


def assert_no_overlap(figure) -> None:
    """No text overlaps another or leaves the figure."""
    texts = texts_of(figure)
    width, height = figure.canvas.get_width_height()
    for content, box in texts:
        assert box.x0 >= 0 and box.y0 >= 0, content
        assert box.x1 <= width and box.y1 <= height, content
    for (one, a), (other, b) in itertools.combinations(texts, 2):
        assert not a.padded(-1).overlaps(b.padded(-1)), (one, other)


@pytest.mark.parametrize("name", ["accuracy", "asr", "examples", "marks", "roc"])
def test_no_text_overlaps_another(name, drawn):
    assert len(texts_of(drawn[name])) > 10
    assert_no_overlap(drawn[name])


@pytest.mark.parametrize("decades", [1, 2, 3, 5, 9])
def test_marks_of_several_decades_have_legible_ticks(decades):
    variant = made_up.results().variants["D"]
    random = np.random.RandomState(0)
    for outcome in (variant.clean, *variant.attacked.values()):
        size = len(outcome.passed)
        outcome.marks["I"] = 0.3 * 10 ** random.uniform(-decades, 0, size)
    with matplotlib.rc_context(figures.STYLE):
        figure = figures.marks_above("D", variant)
        FigureCanvasAgg(figure).draw()
    assert_no_overlap(figure)
    first = panels(figure)[0].xaxis
    low, high = first.get_view_interval()
    ticks = zip(first.get_majorticklocs(), first.get_majorticklabels())
    assert sum(low <= at <= high and bool(t.get_text()) for at, t in ticks) >= 2


@pytest.mark.filterwarnings("error")
def test_marks_of_zero_are_drawn():
    variant = made_up.results().variants["D"]
    variant.clean.marks["I"][:20] = 0
    with matplotlib.rc_context(figures.STYLE):
        figure = figures.marks_above("D", variant)
        FigureCanvasAgg(figure).draw()
    low, high = panels(figure)[0].get_xlim()
    assert low <= 0 < variant.clean.marks["I"].max() < high


def test_every_curve_is_drawn_where_there_are_many_betas():
    results = made_up.results([0.001, 0.005, 0.01, 0.05, 0.1])
    marks = figures.marks_above("D", results.variants["D"])
    assert len(labelled(panels(marks)[0])) == 11 + 1
    assert len(labelled(panels(figures.roc("D", results))[0])) == 10
    assert len(panels(figures.asr(results.rows()))[0].containers) == 11


@pytest.mark.parametrize("figure", [figures.asr, figures.accuracy])
def test_long_names_and_several_axes_are_legible(figure, monkeypatch):
    """A row of panels for each variant; names beside and below each other."""
    rows = results_of_other_libraries(monkeypatch)
    if figure is figures.accuracy:
        rows = [row for row in rows if row["variant"] == "D"]
    with matplotlib.rc_context(figures.STYLE):
        drawn = figure(rows)
        FigureCanvasAgg(drawn).draw()
    assert_no_overlap(drawn)
    if figure is figures.asr:
        shown = [(axis.get_title(), axis.get_xlabel()) for axis in panels(drawn)]
        assert [title for title, _ in shown] == 3 * ["MagNet D"] + 3 * ["MagNet D+JSD"]
        labels = ["confidence κ", " ", "epsilon (Linf)"]
        assert [label for _, label in shown][3:] == labels


def test_bounds_by_different_norms_have_axes_of_their_own(monkeypatch):
    """An epsilon of 0.01 by Linf cannot be seen beside one of 1 by L2."""
    [row, *_] = made_up.results().rows()
    rows = []
    for name, rule, values in (
        ("A", "Linf", (0.01, 0.03)),
        ("B", "Linf", (0.02,)),
        ("C", "L2", (0.5, 1)),
    ):
        monkeypatch.setitem(
            ATTACKS, name, Attack(len, False, name, parameter="epsilon")
        )
        own = {"attack": name, "rule": rule, "beta": None, "parameter": "epsilon"}
        rows += [{**row, **own, "value": value} for value in values]
    near, far = panels(figures.asr(rows))
    [(one, other)] = summary.grids(rows).values()
    assert one[0] == ["ASR [95 %]", *(f"epsilon = 0.0{i}" for i in (1, 2, 3))]
    assert other[0] == ["ASR [95 %]", "epsilon = 0.5", "epsilon = 1"]
    assert [axis.get_xlabel() for axis in (near, far)] == [
        "epsilon (Linf)",
        "epsilon (L2)",
    ]
    np.testing.assert_allclose(near.get_xticks(), [0.01, 0.02, 0.03])
    np.testing.assert_allclose(far.get_xticks(), [0.5, 1])


def test_values_near_each_other_have_one_label(monkeypatch):
    [row, *_] = made_up.results().rows()
    monkeypatch.setitem(ATTACKS, "A", Attack(len, False, "A", parameter="epsilon"))
    own = {**row, "attack": "A", "rule": "L2", "beta": None, "parameter": "epsilon"}
    values = (0.25, 0.3, 0.5, 1, 3)
    [panel] = panels(figures.asr([{**own, "value": value} for value in values]))
    np.testing.assert_allclose(panel.get_xticks(), values)
    labels = [label.get_text() for label in panel.get_xticklabels()]
    assert labels == ["0.25", "", "0.5", "1", "3"]
    _, (narrow, *_) = figures.panels(1, 3, 2.7, 2.5, True)
    figures.name_axis(narrow, [{**own, "value": value} for value in values])
    labels = [label.get_text() for label in narrow.get_xticklabels()]
    assert labels == ["0.25", "", "", "1", "3"]


def test_panel_above_one_over_something_else_names_its_own_axis():
    figure, axes = figures.panels(2, 3, 2.7, 2.5, True)
    axes[4].set_xlabel("epsilon (L2)")
    figures.finish(figure, axes, 5, 3, "rate")
    kappa = "confidence κ"
    labels = [axis.get_xlabel() for axis in axes[:5]]
    assert labels == ["", kappa, kappa, kappa, "epsilon (L2)"]


def results_of_other_libraries(monkeypatch) -> list[dict]:
    """Rows of an attack with an epsilon, and of one without anything, beside the others."""
    rows = made_up.results().rows()
    names = {"LinfFastGradientAttack", "LinfBasicIterativeAttack", "L2DeepFoolAttack"}
    for name in sorted(names):
        parameter = None if "DeepFool" in name else "epsilon"
        attack = Attack(len, False, f"Foolbox {name}", parameter=parameter)
        monkeypatch.setitem(ATTACKS, name, attack)
        own = {"attack": name, "rule": "Linf", "beta": None, "parameter": parameter}
        for row in [row for row in rows if row["attack"] == "cw"]:
            if parameter:
                rows.append({**row, **own, "value": row["value"] / 100 + 0.1})
            elif row["value"] == 0:
                rows.append({**row, **own, "value": None})
    return sorted(rows, key=lambda row: row["variant"])  # as they are written


def test_where_every_attack_failed():
    results, case = made_up.results(), Case(made_up.FAILED, "L2")
    results = dataclasses.replace(results, crafted={case: results.crafted[case]})
    rows = [row for row in results.rows() if row["variant"] == "D"]
    assert [row["mean_l1"] for row in rows] == [None]
    assert len(panels(figures.accuracy(rows))) == 1
    assert len(panels(figures.asr(rows))) == 1
    assert len(panels(figures.roc("D", results))) == 3
    grid = panels(figures.examples(results))
    assert [axis.get_title() for axis in grid[8:16]] == ["failed"] * 8


def test_colour_images_are_shown_in_colour():
    results = made_up.results()
    in_colour = {
        case: result._replace(adversarial=result.adversarial.repeat(3, axis=3))
        for case, result in results.crafted.items()
    }
    images, labels = results.examples
    examples = Split(images.repeat(3, axis=3), labels)
    figure = figures.examples(
        dataclasses.replace(results, crafted=in_colour, examples=examples)
    )
    (image,) = figure.axes[0].get_images()
    assert image.get_array().shape == (made_up.SIDE, made_up.SIDE, 3)


def test_every_figure_is_written_whole(tmp_path):
    figures.write(tmp_path, made_up.results())
    names = {"asr.png", "examples.png"}
    for variant in made_up.VARIANTS:
        names |= {f"{stem}_{variant}.png" for stem in ("accuracy", "marks", "roc")}
    assert {path.name for path in tmp_path.iterdir()} == names
    for name in names:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
