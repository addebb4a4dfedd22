"""The report to browse, on made-up results: its parts, and clicks in a real browser."""

import base64
import dataclasses
import functools
import gzip
import io
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser

import keras
import numpy as np
import plotly.offline
import pytest
from PIL import Image

from eval import detection, html_report, report, summary
from eval.evaluation import Evaluation, Plan
from eval.html_report import gallery
from eval.metrics import wilson_interval
from eval.store import Store
from eval.subject import Defence, Subject
from magnet_tf import MagNet, Reformer, datasets
from tests.eval import made_up

VOID = {"meta", "link", "br"}


def heal(images):
    """D+JSD heals as D does."""
    return dict.fromkeys(made_up.VARIANTS, 1 - images)


def page(results, **made_by) -> str:
    return html_report.page(results, detection.rows(results), made_by, heal)


@pytest.fixture(scope="module")
def results():
    return made_up.results()


@pytest.fixture(scope="module")
def text(results) -> str:
    return page(results, command="`python -m it`")


class Page(HTMLParser):
    """The tables' cells, the paragraphs' texts, and what elements there are."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.elements, self.scripts = [], [], {}
        self.tables, self.paragraphs, self.cell = {}, [], None
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))
        if tag == "table":
            self.lines = []
        elif tag == "tr":
            self.lines.append([])
        elif tag in ("td", "th", "caption", "p"):
            self.cell = ""

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag
        if tag in ("td", "th"):
            self.lines[-1].append(self.cell)
        elif tag == "caption":
            self.tables[self.cell] = self.lines
        elif tag == "p":
            self.paragraphs.append(" ".join(self.cell.split()))

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "script":
            self.scripts[self.open[-1][1].get("id")] = data
        elif self.cell is not None:
            self.cell += data


@pytest.fixture(scope="module")
def parsed(text) -> Page:
    return Page(text)


@pytest.fixture(scope="module")
def data(parsed) -> dict:
    return json.loads(parsed.scripts["data"])


# What stands in it


def test_it_begins_with_what_came_out(results, parsed):
    assert parsed.paragraphs[:3] == summary.sentences(results.rows())
    assert list(parsed.tables)[:2] == ["MagNet D", "MagNet D+JSD"]
    for name, [lines] in summary.grids(results.rows()).items():
        assert parsed.tables[f"MagNet {name}"] == lines


def test_a_warning_stands_in_front(results):
    variant = results.variants["D"]
    case, outcome = next(iter(variant.attacked.items()))
    attacked = {
        **variant.attacked,
        case: dataclasses.replace(outcome, right=~outcome.right),
    }
    changed = {"D": dataclasses.replace(variant, attacked=attacked)}
    warned = dataclasses.replace(results, variants=changed)
    (warning,) = report.warnings(warned)
    assert Page(page(warned)).paragraphs[3] == warning.replace("**", "")


def test_tables_have_every_row(results, parsed):
    assert len(parsed.tables["Accuracy under attack"]) == 1 + len(results.rows())
    found = parsed.tables["Detection at any threshold"]
    assert len(found) == 1 + len(detection.rows(results))
    (made,) = (of for name, of in parsed.tables.items() if name.startswith("Command"))
    assert ["command", "python -m it"] in made
    assert ["images", "12 drawn with seed 3"] in made
    heads, *lines = parsed.tables["Clean accuracy and thresholds"]
    assert heads[2:] == ["I", "II", "JSD10", "JSD40"]
    assert lines[0][2:] == ["0.1", "0.2", "–", "–"]
    assert lines[1][2:] == ["0.1", "0.2", "0.3", "0.4"]


def test_without_detectors_there_is_no_table_of_them(results):
    bare = {
        name: dataclasses.replace(
            of,
            thresholds={},
            clean=dataclasses.replace(of.clean, marks={}),
            attacked={
                case: dataclasses.replace(outcome, marks={})
                for case, outcome in of.attacked.items()
            },
        )
        for name, of in results.variants.items()
    }
    parsed = Page(page(dataclasses.replace(results, variants=bare)))
    assert "Detection at any threshold" not in parsed.tables
    assert len(parsed.tables["Clean accuracy and thresholds"][0]) == 2


def test_chance_is_shown_where_a_defence_was_trained_again(results, parsed):
    caption = "Several trainings of the same defence, the same examples"
    assert caption not in parsed.tables
    trained = {
        "D": results.variants["D"],
        "D-2": dataclasses.replace(results.variants["D+JSD"], variant="D"),
    }
    found = dataclasses.replace(results, variants=trained)
    text = html_report.page(found, detection.rows(found), {})
    assert len(Page(text).tables[caption]) == 1 + len(found.chance())


def test_curves_have_wilsons_intervals(results, data):
    rows = results.rows()
    assert len(data["curves"]) == len(rows)
    for row, drawn in zip(rows, data["curves"]):
        assert drawn["variant"] == row["variant"]
        assert drawn["attack"] == report.attack_title(row)
        for key in data["measures"]:
            expected = row[key], *wilson_interval(row[key], row["num_examples"])
            np.testing.assert_allclose(drawn[key], expected, atol=1e-5)
        expected = row["asr"], row["asr_low"], row["asr_high"]
        np.testing.assert_allclose(drawn["asr"], expected, atol=1e-5)


# The gallery


def pixels(address: str) -> np.ndarray:
    kind, content = address.split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_the_gallery_shows_images_and_what_was_said_of_them(results, data):
    shown, x = data["gallery"], results.examples.images[..., 0]
    by_name = {(case.title, case.run.setting): case for case in results.crafted}
    assert len(shown["cases"]) == len(by_name) and len(shown["images"]) == len(x)
    pictures = [pixels(address) for address in shown["pictures"]]
    for place, image in zip(shown["images"], x):
        np.testing.assert_array_equal(pictures[place], np.rint(255 * image))
    for drawn in shown["cases"]:
        case = by_name[drawn["attack"], drawn["setting"]]
        result = results.crafted[case]
        assert drawn["found"] == result.success.tolist()
        assert drawn["distances"][1].startswith(f"L1 {result.l1[1]:.3g}, ")
        adversarial = result.adversarial[..., 0]
        for i, place in enumerate(drawn["pictures"]):
            np.testing.assert_array_equal(
                pictures[place], np.rint(255 * adversarial[i])
            )
        for name, of in drawn["variants"].items():
            outcome = results.variants[name].attacked[case]
            said = np.array(of["verdicts"])
            np.testing.assert_array_equal(said == "rejected", ~outcome.passed)
            np.testing.assert_array_equal(said == "got past", outcome.got_past)
            for i, place in enumerate(of["healed"]):
                healed = np.rint(255 * (1 - adversarial[i]))
                np.testing.assert_array_equal(pictures[place], healed)
            for detector, threshold, marks in of["marks"]:
                limit = results.variants[name].thresholds[detector]
                assert float(threshold) == pytest.approx(limit, rel=1e-3)
                for (mark, passes), exact in zip(marks, outcome.marks[detector]):
                    assert mark == f"{exact:.4g}" and passes == (exact < limit)


def test_a_picture_is_kept_once(results, data):
    shown = data["gallery"]
    assert len(set(shown["pictures"])) == len(shown["pictures"])
    for drawn in shown["cases"]:
        healed = [of["healed"] for of in drawn["variants"].values()]
        assert healed[0] == healed[1]  # two variants, one reformer


def test_healed_images_may_be_missing(results):
    shown = gallery.content(results, None)
    assert shown["cases"][0]["variants"]["D"]["healed"] == []


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_of_any_size(channels):
    image = np.random.default_rng(0).uniform(size=(100, 200, channels))
    picture = pixels(gallery.address(image))
    assert picture.shape[:2] == (32, 64) and picture.ndim == (3 if channels == 3 else 2)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (224, 224, 3)])
@pytest.mark.parametrize("betas", [(0.01,), tuple(np.linspace(0.01, 1, 200))])
def test_the_gallery_stays_small(shape, betas, results):
    case, result = next(iter(results.crafted.items()))
    runs = [
        dataclasses.replace(case.run, attack="ead", confidence=kappa, beta=beta)
        for kappa in range(0, 101, 5)
        for beta in betas
    ]
    crafted = {case._replace(run=run): result for run in runs}
    images = np.broadcast_to(np.float32(0), (1000, *shape))
    examples = datasets.Split(images, np.zeros(1000, int))
    large = dataclasses.replace(results, examples=examples, crafted=crafted)
    cases, count = gallery.sample(large)
    height, width, channels = np.minimum(shape, gallery.MOST_SIDE)
    shown = len(cases) * count * (1 + len(large.variants))
    assert 0 < shown * height * width * channels <= gallery.MOST_PIXELS
    assert count <= gallery.MOST_IMAGES


def test_healed_images_come_from_the_store(tmp_path):
    x = made_up.images()
    inputs = keras.Input(x.shape[1:])
    classifier = keras.Model(inputs, keras.layers.Flatten()(inputs))
    half = keras.Model(inputs, inputs / 2)
    magnet = MagNet(classifier, Reformer(half), {})
    labels = x.reshape(len(x), -1).argmax(axis=1)
    split = datasets.Split(x, labels)
    dataset = datasets.Dataset("made up", split, split, split, num_classes=36)
    asked = []
    defence = Defence("D", [], {"of": "D"}, lambda: asked.append(1) or magnet)
    subject = Subject(dataset, classifier, "fingerprint", {"D": defence}, {})
    with Store(tmp_path, {}) as store:
        evaluation = Evaluation(subject, Plan([], {}, 4, 0, {}), store)
        for _ in range(2):
            healed = evaluation.healed(x)
            np.testing.assert_array_equal(
                healed["D"], np.rint(255 * (x / 2)) / np.float32(255)
            )
        assert len(asked) == 1
        evaluation.healed(x[:3])
        assert len(asked) == 2


# A file that works alone, and shows what users named


def test_nothing_comes_from_elsewhere(parsed):
    for tag, attributes in parsed.elements:
        for name in ("src", "href"):
            place = attributes.get(name, "#")
            assert place.startswith(("#", "data:")), (tag, place)
    (policy,) = (a["content"] for _, a in parsed.elements if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_ids_are_single_and_links_lead_somewhere(parsed):
    ids = Counter(a["id"] for _, a in parsed.elements if "id" in a)
    assert set(ids.values()) == {1}
    for _, attributes in parsed.elements:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    script = parsed.scripts[None]
    assert set(re.findall(r'byId\("([a-z-]+)"\)', script)) <= set(ids)


def test_plotly_is_inside_and_whole(parsed):
    packed = base64.b64decode(parsed.scripts["plotly"])
    assert gzip.decompress(packed).decode() == plotly.offline.get_plotlyjs()


def test_names_are_no_html(results):
    evil = "</script><img src=x onerror=alert(1)>{{ data }}"
    variants = {evil: results.variants["D"]}
    named = dataclasses.replace(results, dataset=evil, variants=variants)
    text = html_report.page(named, detection.rows(named), {evil: evil})
    assert "<img" not in text
    assert (
        "<td>&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;{{ data }}</td>" in text
    )
    data = json.loads(Page(text).scripts["data"])
    assert data["curves"][0]["variant"] == evil


def test_the_file_is_the_same_again(results, text):
    assert page(results, command="`python -m it`") == text


# In a browser


@pytest.fixture(scope="module")
def browser(text, tmp_path_factory):
    selenium = pytest.importorskip("selenium", reason="clicks need selenium")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("clicks need chromium and its chromedriver")
    from selenium.webdriver.support.ui import WebDriverWait

    folder = tmp_path_factory.mktemp("browser")
    (folder / "report.html").write_text(text, encoding="utf-8")
    options = selenium.webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        f"user-data-dir={folder / 'profile'}",
        "window-size=1200,1000",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = selenium.webdriver.chrome.service.Service(driver)
    with selenium.webdriver.Chrome(options=options, service=service) as found:
        found.get((folder / "report.html").as_uri())
        drawn = ".panel .main-svg"
        WebDriverWait(found, 60).until(
            lambda of: of.find_elements("css selector", drawn)
        )
        yield found
        assert found.get_log("browser") == []


def elements(browser, css: str) -> list:
    return browser.find_elements("css selector", css)


def element(browser, css: str):
    (found,) = elements(browser, css)
    return found


def lines(browser, variant: str) -> int:
    return len(elements(browser, f"[data-variant='{variant}'] .scatterlayer .trace"))


def test_a_click_shows_and_hides_curves(browser, results):
    attacks = {row["attack"] + row["rule"] + str(row["beta"]) for row in results.rows()}
    click = functools.partial(element, browser)
    assert lines(browser, "D") == lines(browser, "D+JSD") == len(attacks)
    click("#attacks [value='C&W L2']").click()
    assert lines(browser, "D") == lines(browser, "D+JSD") == len(attacks) - 1
    click("#none").click()
    assert lines(browser, "D") == 0
    click("#all").click()
    assert lines(browser, "D") == len(attacks)
    click("#variants [value='D+JSD']").click()
    assert not element(browser, "[data-variant='D+JSD']").is_displayed()
    click("#measures [value='accuracy_both']").click()
    (title,) = elements(browser, "[data-variant='D'] .ytitle")
    assert title.text == "accuracy, both"


def test_a_table_filters_and_sorts(browser, results):
    summary = element(browser, "#accuracy summary")
    summary.send_keys("\n")  # by key, as all of it can be done
    variant, attack, _ = elements(browser, "#accuracy select")
    variant.send_keys("D+JSD")
    attack.send_keys("EAD L1, β=0.1")
    shown = "#accuracy tbody tr:not([hidden])"
    rows = [row for row in results.rows() if row["variant"] == "D+JSD"]
    rows = [row for row in rows if (row["rule"], row["beta"]) == ("L1", 0.1)]
    assert len(elements(browser, shown)) == len(rows) == 2
    assert element(browser, "#accuracy output").text == "2 of 20 rows"
    head = elements(browser, "#accuracy thead th")[8]
    for order, sign in (("ascending", 1), ("descending", -1)):
        element_in = head.find_element("css selector", "button")
        element_in.send_keys("\n")
        assert head.get_attribute("aria-sort") == order
        cells = [
            row.find_elements("css selector", "td")[7].text
            for row in elements(browser, shown)
        ]
        rates = [float(cell.split(" %")[0]) * sign for cell in cells]
        assert rates == sorted(rates)


def test_an_image_opens_its_marks_and_verdicts(browser, data):
    case = data["gallery"]["cases"][0]
    element(browser, "#case").send_keys("C&W L2, κ = 0")
    buttons = elements(browser, "#gallery button")
    assert len(buttons) == made_up.COUNT
    buttons[1].send_keys("\n")
    dialog = element(browser, "#example")
    assert dialog.is_displayed()
    assert "Image 2, class 0: C&W L2, κ = 0" in dialog.text
    assert "healed by D, D+JSD" in dialog.text
    for name, of in case["variants"].items():
        (row,) = (
            row
            for row in elements(browser, "#example tbody tr")
            if row.find_element("css selector", "th").text == name
        )
        assert of["verdicts"][1] in row.text
        for detector, _, marks in of["marks"]:
            assert f"{detector}: {marks[1][0]} " in row.text
    for image in elements(browser, "#example img"):
        assert image.get_property("naturalWidth") == made_up.SIDE
    browser.switch_to.active_element.send_keys("\ue00c")  # escape
    assert not dialog.is_displayed()
