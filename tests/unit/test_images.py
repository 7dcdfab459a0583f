"""Glyph images: exact pixels, an exact law, a wanted ceiling, and a model that learns them."""

import hashlib
import io
import itertools
import math
import time
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from tasks.datasets import glyphs, image_files, images
from tasks.datasets.images import Alphabet
from tasks.errors import InvalidTask
from tasks.families import ImageClassification
from tasks.instance import Streams

SMALL = ImageClassification(
    n_samples=300, n_test=200, image_size=(14, 16), n_classes=4, shift=1, ceiling=0.9
)
KNOBS = {
    "scales": {"scales": (0.9, 1.0)},
    "rotations": {"rotations": (-20, 0, 20)},
    "occlusion": {"occlusion": 0.35},
    "colour": {"channels": 3},
    "all": {"scales": (1.0,), "rotations": (0, 90), "occlusion": 0.3, "channels": 3},
}
EACH_KNOB = pytest.mark.parametrize("knobs", KNOBS.values(), ids=KNOBS)


def pixels(instance, part, folder):
    path = folder / f"{part}.npz"
    instance.public[f"{part}.npz"].write(path)
    with np.load(path) as stored:
        return stored["images"]


def digest(instance, folder):
    digest = hashlib.sha256()
    for part in ("train", "test"):
        digest.update(pixels(instance, part, folder).tobytes())
        for column in instance.public[part].columns().values():
            digest.update(np.ascontiguousarray(column).tobytes())
    digest.update(np.ascontiguousarray(instance.answers.labels).tobytes())
    return digest.hexdigest()[:16]


@pytest.fixture
def known_noise(monkeypatch):
    """Spare the root find where the noise does not matter."""
    monkeypatch.setattr(Alphabet, "noise_for", lambda *_: 40.0)


def small_alphabet(seed, n_classes=3, image_size=(12, 12), shift=1, **knobs):
    rng = Streams(seed).stream("structure")
    return Alphabet.random(rng, n_classes=n_classes, image_size=image_size, shift=shift, **knobs)


# --- the same and other bits -------------------------------------------------------------------


def test_the_bits_of_a_version_never_change(tmp_path):
    """A golden hash: whoever changes it raises the family's `version` too."""
    assert digest(SMALL.draw(Streams(b"golden")), tmp_path) == "97866493bf2b1662"


def test_the_same_seed_gives_the_same_data_and_another_seed_other_data(tmp_path):
    first = digest(SMALL.draw(Streams(b"a")), tmp_path)
    assert first == digest(SMALL.draw(Streams(b"a")), tmp_path)
    assert first != digest(SMALL.draw(Streams(b"b")), tmp_path)


@pytest.mark.usefixtures("known_noise")
def test_a_file_has_the_same_bytes_whatever_the_clock_says(tmp_path, monkeypatch):
    blob = SMALL.draw(Streams(b"clock")).public["train.npz"]
    blob.write(tmp_path / "now.npz")
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    blob.write(tmp_path / "later.npz")
    assert (tmp_path / "now.npz").read_bytes() == (tmp_path / "later.npz").read_bytes()


@pytest.mark.usefixtures("known_noise")
def test_the_files_fit_the_tables_and_tell_no_hidden_class(tmp_path):
    instance = SMALL.draw(Streams(b"files"))
    train, test = (instance.public[name].columns() for name in ("train", "test"))
    assert pixels(instance, "train", tmp_path).shape == (300, 14, 16)
    assert pixels(instance, "test", tmp_path).dtype == np.uint8
    assert list(train) == ["id", "target"]
    assert list(test) == ["id"]
    assert list(test["id"]) == list(instance.contract.ids) == list(range(300, 500))
    assert np.bincount(train["target"]).tolist() == [75, 75, 75, 75]
    assert abs(np.corrcoef(train["id"], train["target"])[0, 1]) < 4.5 / math.sqrt(300)


@pytest.mark.usefixtures("known_noise")
def test_more_training_images_change_nothing_of_the_test(tmp_path):
    few, many = (
        SMALL.model_copy(update={"n_samples": n}).draw(Streams(b"more")) for n in (300, 600)
    )
    assert np.array_equal(pixels(few, "test", tmp_path), pixels(many, "test", tmp_path))
    assert np.array_equal(few.answers.law.p, many.answers.law.p)


# --- files -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("known_noise")
@pytest.mark.parametrize("channels", [1, 3])
def test_png_files_hold_the_pixels_of_the_array(channels, tmp_path):
    given = {"n_samples": 110, "n_test": 20, "channels": channels}
    array, files = (
        SMALL.model_copy(update={**given, "files": kind}).draw(Streams(b"png"))
        for kind in ("npz", "png")
    )
    assert set(files.public) == {"train", "test", "train.zip", "test.zip"}
    for part in ("train", "test"):
        files.public[f"{part}.zip"].write(tmp_path / "images.zip")
        names = files.public[part].columns()["file"]
        with zipfile.ZipFile(tmp_path / "images.zip") as archive:
            assert archive.namelist() == list(names)
            read = [Image.open(archive.open(name)) for name in names]
            assert {image.mode for image in read} == {"L" if channels == 1 else "RGB"}
            assert np.array_equal(np.array(read), pixels(array, part, tmp_path))
    assert list(files.public["train"].columns()) == ["id", "file", "target"]
    assert files.public["test"].columns()["file"][0] == "110.png"


@pytest.mark.usefixtures("known_noise")
def test_a_zip_has_the_same_bytes_for_the_same_seed(tmp_path):
    """Golden too: nothing in it comes from zlib's choices or the clock."""
    params = SMALL.model_copy(update={"files": "png", "n_samples": 100, "n_test": 5})
    for name in ("first.zip", "again.zip"):
        params.draw(Streams(b"zip")).public["test.zip"].write(tmp_path / name)
    first = (tmp_path / "first.zip").read_bytes()
    assert first == (tmp_path / "again.zip").read_bytes()
    assert hashlib.sha256(first).hexdigest()[:16] == "0b82db522b3d1ad2"


def test_a_png_of_more_than_a_block_of_deflate_is_whole():
    image = np.random.default_rng(0).integers(256, size=(200, 150, 3), dtype=np.uint8)
    assert np.array_equal(np.array(Image.open(io.BytesIO(image_files.png(image)))), image)


# --- the law -----------------------------------------------------------------------------------


@given(sd=st.floats(6, 1536), level=st.sampled_from([104, 128, 136, 144]))
@settings(max_examples=30, deadline=None)
def test_a_pixels_law_sums_to_one_with_all_its_tails(sd, level):
    mass = np.exp(images._log_masses(sd, level))
    assert mass.sum() == pytest.approx(1, abs=1e-12)
    assert (mass > 0).all()
    assert mass[0] == pytest.approx(math.erfc((level - 0.5) / sd / math.sqrt(2)) / 2, rel=1e-9)


def test_stored_pixels_follow_their_law_at_the_clipped_ends_too():
    """Of 256 grey levels none is off by 5 standard errors in a million background pixels."""
    alphabet = small_alphabet(b"law", image_size=(34, 34), shift=1)
    codes = np.zeros(4096, dtype=np.int64)
    stack = np.concatenate(list(alphabet.images(Streams(b"law"), "x", codes, 60.0)))
    ever = alphabet.masks[0].any(axis=(0, 1))
    never = ~ever
    for y, x in np.ndindex(3, 3):  # inked at no place
        never[: 34 - 2, : 34 - 2] &= ~np.roll(ever, (y - 1, x - 1), (0, 1))
    background = stack[:, 1:-1, 1:-1][:, never]
    counts = np.bincount(background.ravel(), minlength=256)
    expected = np.exp(images._log_masses(60.0, images.BACKGROUND)) * background.size
    assert background.size > 500_000
    assert expected[0] > 10_000
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected) + 1).all()


def everything_it_can_show(alphabet, k):
    """Yield the levels above the background of each image of class k, (…, channels)."""
    height, width = alphabet.image_size
    room = alphabet.masks.shape[-2:]
    whole = [(slice(0, 0), slice(0, 0))]
    for mask, (y, x), contrast, ink, block in itertools.product(
        alphabet.masks[k].reshape(-1, *room),
        np.ndindex(height - room[0] + 1, width - room[1] + 1),
        images.CONTRASTS,
        alphabet.inks,
        alphabet.blocks or whole,
    ):
        inked = np.zeros((height, width), dtype=np.int64)
        inked[y : y + room[0], x : x + room[1]] = mask
        inked[block] = 0
        yield inked[..., None] * np.array(ink) * contrast


@pytest.mark.parametrize("knobs", [{}, *KNOBS.values()], ids=["default", *KNOBS])
def test_the_likelihood_is_the_mean_over_everything_an_image_can_show(knobs):
    """Against a plain loop over the nuisances and pixels of the definition."""
    alphabet, sd = small_alphabet(b"loop", n_classes=2, **knobs), 40.0
    stack = next(alphabet.images(Streams(b"loop"), "x", np.array([0, 1, 0]), sd))
    found = alphabet.log_likelihood(stack, sd)
    blank = images._log_masses(sd, images.BACKGROUND)
    ratio = {0: np.zeros(256)}
    ratio |= {c: images._log_masses(sd, images.BACKGROUND + c) - blank for c in images.CONTRASTS}
    terms = {n: [] for n in np.ndindex(found.shape)}
    for k in range(2):
        for shown in everything_it_can_show(alphabet, k):
            for n, image in enumerate(stack.reshape(3, *shown.shape)):
                log = sum(ratio[c][image[shown == c]].sum() for c in np.unique(shown))
                terms[n, k].append(math.exp(log))
    slow = np.array([math.log(np.mean(terms[n])) for n in np.ndindex(found.shape)])
    assert np.allclose(found.ravel(), slow, atol=1e-4)


@pytest.mark.parametrize(
    ("ceiling", "given"),
    [
        (0.6, {}),
        (0.99, {}),
        (0.9, {"image_size": (32, 32), "n_classes": 10, "shift": 2}),
        (0.9, {"image_size": (24, 24), "channels": 3, "occlusion": 0.4}),
    ],
)
def test_single_precision_moves_no_posterior_by_a_ten_thousandth(ceiling, given, monkeypatch):
    law = SMALL.model_copy(update={"ceiling": ceiling, "n_test": 256, **given})
    single = law.draw(Streams(b"single"))
    monkeypatch.setattr(images, "PRECISION", np.float64)
    monkeypatch.setattr(Alphabet, "noise_for", lambda *_: single.details["noise_sd"])
    double = law.draw(Streams(b"single"))
    assert np.abs(single.answers.law.p - double.answers.law.p).max() < 1e-4


def test_classes_taken_in_groups_give_the_same_likelihood(monkeypatch):
    alphabet = small_alphabet(b"groups", n_classes=5)
    stack = next(alphabet.images(Streams(b"groups"), "x", np.arange(5), 40.0))
    whole = alphabet.log_likelihood(stack, 40.0)
    monkeypatch.setattr(images, "MOST_CELLS", 2500)
    assert alphabet._parts() == 3
    assert np.allclose(alphabet.log_likelihood(stack, 40.0), whole, atol=1e-9)


@EACH_KNOB
def test_rough_posteriors_are_good_enough_to_correct_their_mean_by_few_exact_ones(knobs):
    alphabet = small_alphabet(b"rough", **knobs)
    codes = np.arange(1000) % alphabet.n_classes
    exact, rough = (
        alphabet.posteriors(Streams(b"rough"), "x", codes, 40.0, rough=rough)
        for rough in (False, True)
    )
    off = np.abs(exact - rough).max(axis=1)
    assert 0 < off.max() < 0.05
    assert (exact - rough).max(axis=1).std() / math.sqrt(images.CORRECTING_ROWS) < 2e-4


@pytest.mark.parametrize("ceiling", [0.6, 0.9, 0.99])
def test_the_bayes_accuracy_of_fresh_images_is_the_wanted_ceiling(ceiling):
    """Within 4.5 standard errors of the test images and three of the pilot."""
    params = SMALL.model_copy(update={"ceiling": ceiling, "n_test": 4000})
    best = params.draw(Streams(b"c")).answers.law.p.max(axis=1)
    assert abs(best.mean() - ceiling) < 4.5 * best.std() / math.sqrt(4000) + 0.002


def test_labels_follow_the_law_they_are_graded_by():
    """Leak z of the Bayes predictor within 4, and each class's surplus, for 5 seeds."""
    for seed in range(5):
        answers = (
            SMALL.model_copy(update={"n_test": 3000, "ceiling": 0.8})
            .draw(Streams(f"z {seed}".encode()))
            .answers
        )
        p, y = answers.law.p, answers.labels
        assert np.allclose(p.sum(axis=1), 1)
        best = p.max(axis=1)
        z = ((p.argmax(axis=1) == y) - best).sum() / math.sqrt((best * (1 - best)).sum())
        assert abs(z) < 4
        for k in range(4):
            surplus = ((y == k) - p[:, k]).sum()
            assert abs(surplus) < 4.5 * math.sqrt((p[:, k] * (1 - p[:, k])).sum())


@EACH_KNOB
def test_with_every_knob_the_ceiling_is_hit_and_labels_follow_the_law(knobs):
    params = SMALL.model_copy(update={"n_test": 2000, "image_size": (18, 18), **knobs})
    answers = params.draw(Streams(b"knobs")).answers
    p, y = answers.law.p, answers.labels
    best = p.max(axis=1)
    z = ((p.argmax(axis=1) == y) - best).sum() / math.sqrt((best * (1 - best)).sum())
    assert abs(z) < 4
    assert abs(best.mean() - 0.9) < 4.5 * best.std() / math.sqrt(2000) + 0.002


def test_the_law_is_calibrated_where_it_is_unsure():
    """In each of 8 bins the frequency is within 4.5 standard errors of the mean probability."""
    answers = SMALL.model_copy(update={"n_test": 8000, "ceiling": 0.65}).draw(Streams(b"u")).answers
    p, hit = answers.law.p[:, 1], answers.labels == 1
    for low in np.arange(0, 1, 0.125):
        inside = (p >= low) & (p < low + 0.125)
        if inside.sum() > 100:
            error = math.sqrt((p[inside] * (1 - p[inside])).sum()) / inside.sum()
            assert abs(hit[inside].mean() - p[inside].mean()) < 4.5 * error


# --- glyphs and parameters ---------------------------------------------------------------------


@given(
    n_classes=st.integers(2, 12),
    height=st.integers(12, 40),
    width=st.integers(12, 40),
    shift=st.integers(0, 2),
    seed=st.binary(min_size=1, max_size=4),
)
@settings(max_examples=25, deadline=None)
def test_every_glyph_has_ink_of_its_own_at_every_size(n_classes, height, width, shift, seed):
    alphabet = small_alphabet(seed, n_classes, (height, width), shift)
    assert alphabet.image_size == (height, width)
    flat = alphabet.masks.reshape(n_classes * len(images.SCALES), -1)
    assert (flat.sum(axis=1) >= 3).all()
    largest = alphabet.masks[:, -1].reshape(n_classes, -1)
    assert len(np.unique(largest, axis=0)) == n_classes


def test_a_glyph_turned_by_a_quarter_is_the_turned_picture_of_it():
    (glyph,) = small_alphabet(b"turn", n_classes=1).glyphs
    upright = glyphs.ink(glyph, (21, 21))
    assert not np.array_equal(upright, np.rot90(upright))
    for quarters in range(-2, 3):
        turned = glyphs.ink(glyph, (21, 21), degrees=90 * quarters)
        assert np.array_equal(turned, np.rot90(upright, quarters))


@given(rotations=st.lists(st.integers(-180, 180), min_size=1, max_size=5).map(tuple))
def test_no_corner_of_a_glyph_leaves_the_room_when_it_turns(rotations):
    corners = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    room = glyphs.turning_room(rotations)
    assert all(np.abs(glyphs.turned(corners, by) * room).max() <= 1 + 1e-9 for by in rotations)
    assert glyphs.turning_room((0,)) == 1.0


def test_a_block_without_ink_hides_a_part_of_every_image():
    alphabet = small_alphabet(b"hide", image_size=(20, 20), occlusion=0.45)
    assert len(alphabet.blocks) == 9
    shown = alphabet._clean(Streams(b"hide"), "x", 0, np.arange(250) % 3) - images.BACKGROUND
    hidden = np.array([(shown[:, *block] == 0).all(axis=(1, 2)) for block in alphabet.blocks])
    assert hidden.any(axis=0).all()
    assert (np.bincount(hidden.argmax(axis=0), minlength=9) > 0).all()
    assert alphabet.blocks[0][0] == slice(0, 9)
    assert alphabet.blocks[-1][1] == slice(11, 20)


def test_coloured_ink_differs_from_the_background_in_one_or_two_channels():
    alphabet = small_alphabet(b"ink", channels=3)
    shown = alphabet._clean(Streams(b"ink"), "x", 0, np.zeros(200, dtype=np.int64))
    inked = (shown > images.BACKGROUND).any(axis=(1, 2))
    assert {tuple(map(int, row)) for row in inked} == set(images.COLOURED_INKS)


def test_a_shifted_copy_of_a_glyph_counts_as_the_same_glyph():
    ink = np.zeros((10, 10), dtype=bool)
    ink[2:5, 2:5] = True
    moved = np.roll(ink, (2, -2), axis=(0, 1))
    assert glyphs.overlap(moved, [ink], shift=1) == 1.0
    assert glyphs.overlap(np.roll(ink, (4, 4), axis=(0, 1)), [ink], shift=1) < 0.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_classes": 50, "n_samples": 100, "ceiling": 0.01}, "must exceed"),
        ({"image_size": (12, 12), "shift": 4}, "need at least 16 pixels"),
        ({"image_size": (16, 16), "scales": (0.4,)}, "need at least 18 pixels"),
        ({"image_size": (14, 14), "rotations": (0, 45)}, "need at least 16 pixels"),
        ({"rotations": (0, 20, 0)}, "each may be there once"),
        ({"rotations": ()}, "at least 1 item"),
        ({"rotations": (0, 200)}, "less than or equal to 180"),
        ({"scales": (0.7, 1.2)}, "less than or equal to 1"),
        ({"occlusion": 0.7}, "less than or equal to 0.6"),
        ({"channels": 2}, "Input should be 1 or 3"),
        ({"files": "jpg"}, "'npz' or 'png'"),
        (
            {"channels": 3, "occlusion": 0.3, "rotations": tuple(range(0, 60, 10))},
            r"make 729,000 templates; at most 250,000",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_when_the_task_loads(given, message):
    with pytest.raises(ValidationError, match=message):
        ImageClassification(**given)


def test_a_ceiling_out_of_reach_is_refused_in_one_line():
    """Two classes that are one glyph cannot be told apart at any noise."""
    alphabet = small_alphabet(b"twin", n_classes=2)
    alphabet.masks[1] = alphabet.masks[0]
    with pytest.raises(InvalidTask, match=r"ceiling is 0.9; with these glyphs.* cannot make it"):
        alphabet.noise_for(0.9, Streams(b"twin"))


# --- learning ----------------------------------------------------------------------------------


def test_a_linear_model_lands_between_floor_and_ceiling(tmp_path):
    from sklearn.linear_model import RidgeClassifier

    params = ImageClassification(n_samples=1500, n_test=1000, n_classes=5, image_size=(20, 20))
    instance = params.draw(Streams(b"learn"))
    x, fresh = (
        pixels(instance, part, tmp_path).reshape(-1, 400).astype(float)
        for part in ("train", "test")
    )
    target = instance.public["train"].columns()["target"]
    codes = RidgeClassifier(alpha=1e6).fit(x, target).predict(fresh)
    p = instance.answers.law.p
    score = p[np.arange(len(p)), codes].mean()
    assert p.mean(axis=0).max() + 0.2 < score < p.max(axis=1).mean() - 0.02
