"""The report's gallery: some images, what each attack made of them, what each defence said."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from eval.grid import Case
from eval.results import Results, VariantResults

MOST_IMAGES, FEW_IMAGES = 12, 6
MOST_PIXELS = 2_500_000  # of all pictures together: what bounds the report's size
MOST_SIDE = 64  # larger images are shown reduced

Heal = Callable[[np.ndarray], Mapping[str, np.ndarray]]


def content(results: Results, heal: Heal | None) -> dict:
    """The gallery, ready for JSON.

    Args:
        results: of an evaluation.
        heal: from images [N, H, W, C] to what each variant's reformer makes of them, by
            name; None where that is not to be shown.

    Returns:
        `pictures`, the addresses of PNG files, each once; `images` and `cases`, which
        name pictures by their place.
    """
    cases, count = sample(results)
    pictures = _Pictures()
    originals = results.examples.images[:count]
    adversarial = [results.crafted[case].adversarial[:count] for case in cases]
    healed = heal(np.concatenate(adversarial)) if heal else {}
    found = []
    for i, case in enumerate(cases):
        result = results.crafted[case].first(count)
        found.append(
            {
                "attack": case.title,
                "setting": case.run.setting,
                "pictures": pictures.of(result.adversarial),
                "found": result.success.tolist(),
                "distances": [
                    f"L1 {one:.3g}, L2 {two:.3g}, L∞ {most:.3g}"
                    for one, two, most in zip(result.l1, result.l2, result.linf)
                ],
                "variants": {
                    name: {
                        "verdicts": _verdicts(variant, case, count),
                        "marks": _marks(variant, case, count),
                        "healed": pictures.of(healed[name][i * count : (i + 1) * count])
                        if name in healed
                        else [],
                    }
                    for name, variant in results.variants.items()
                },
            }
        )
    return {
        "images": pictures.of(originals),
        "labels": results.examples.labels[:count].tolist(),
        "cases": found,
        "pictures": list(pictures.places),
    }


def sample(results: Results) -> tuple[list[Case], int]:
    """The cases that are shown, and of how many images, so that the pictures stay few.

    Every second run of an attack is left out, again and again, until there is room for a
    few images.
    """
    cases = list(results.crafted)
    count, height, width, channels = results.examples.images.shape
    scale = min(1, MOST_SIDE / max(height, width))
    pixels = height * width * channels * scale**2
    room = int(MOST_PIXELS / pixels / (1 + len(results.variants)))
    values = {
        attack: sorted({c.run.confidence for c in cases if c.run.attack == attack})
        for attack in {case.run.attack for case in cases}
    }
    while room // len(cases) < min(FEW_IMAGES, count) and any(
        len(of) > 2 for of in values.values()
    ):
        values = {attack: of[::2] for attack, of in values.items()}
        cases = [c for c in cases if c.run.confidence in values[c.run.attack]]
    cases = cases[:room]
    return cases, min(room // len(cases), MOST_IMAGES, count)


def _verdicts(variant: VariantResults, case: Case, count: int) -> list[str]:
    """Of each image "rejected", "healed" or "got past"."""
    outcome = variant.attacked[case]
    return [
        "rejected" if not passed else "healed" if right else "got past"
        for passed, right in zip(outcome.passed[:count], outcome.right_healed[:count])
    ]


def _marks(variant: VariantResults, case: Case, count: int) -> list[list]:
    """For each detector its name, threshold, and each image's mark and whether it passes."""
    return [
        [
            detector,
            f"{variant.thresholds[detector]:.4g}",
            [
                [f"{m:.4g}", bool(m < variant.thresholds[detector])]
                for m in marks[:count]
            ],
        ]
        for detector, marks in variant.attacked[case].marks.items()
    ]


class _Pictures:
    """Images as data addresses of PNG files; `places` has each once."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def of(self, images: np.ndarray) -> Sequence[int]:
        """The places of images [N, H, W, C] in [0, 1]."""
        return [
            self.places.setdefault(address(image), len(self.places)) for image in images
        ]


def address(image: np.ndarray) -> str:
    """An image [H, W, C] in [0, 1] as the address of an 8-bit PNG file.

    Other than three channels are shown as their mean.
    """
    if image.shape[-1] != 3:
        image = image.mean(axis=-1)
    picture = Image.fromarray(np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8))
    picture.thumbnail((MOST_SIDE, MOST_SIDE))
    file = io.BytesIO()
    picture.save(file, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
