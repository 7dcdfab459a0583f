"""The agent's image models: shifts are seen through, deadlines kept, odd data survived."""

import importlib
import time
from pathlib import Path

import numpy as np
import pytest

AGENT = Path(__file__).resolve().parents[2] / "agents" / "experiment"


@pytest.fixture
def image_model(monkeypatch):
    monkeypatch.syspath_prepend(str(AGENT))
    return importlib.import_module("image_model")


def shifted_bars(n, seed, side=14, channels=0):
    """Lying and standing bars of one size anywhere within 3 pixels, under strong noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    stack = rng.normal(100, 40, (n, side, side))
    for image, label, (y, x) in zip(stack, labels, rng.integers(7, size=(n, 2)), strict=True):
        bar = (slice(y, y + 6), slice(x + 3, x + 5))
        image[bar[:: -1 if label else 1]] += 50
    stack = np.clip(np.rint(stack), 0, 255).astype(np.uint8)
    return (np.repeat(stack[..., None], channels, axis=3) if channels else stack), labels


def ignore(_):
    """Take a log line."""


def in_seconds(seconds):
    return time.monotonic() + seconds


@pytest.mark.parametrize("channels", [0, 2])
def test_the_full_model_sees_through_shifts_that_blind_the_quick_one(image_model, channels):
    train, labels = shifted_bars(500, seed=1, channels=channels)
    test, truth = shifted_bars(400, seed=2, channels=channels)
    quick = image_model.quick_predict_proba(train, labels, test, log=ignore)
    full = image_model.fit_predict_proba(train, labels, test, deadline=in_seconds(60), log=ignore)
    right = [(p.argmax(axis=1) == truth).mean() for p in (quick, full)]
    assert right[1] > 0.8
    assert right[1] > right[0] + 0.05
    assert np.allclose(full.sum(axis=1), 1)
    assert abs(full.max(axis=1).mean() - right[1]) < 0.07  # its probabilities mean what they say


@pytest.mark.parametrize("seconds", [-1, 0.2, 1])
def test_it_answers_by_the_deadline_whatever_that_is(image_model, seconds):
    train, labels = shifted_bars(2000, seed=1, side=32)
    started = time.process_time()  # the wall's tells of other work on the machine too
    p = image_model.fit_predict_proba(
        train, labels, train[:50], deadline=in_seconds(seconds), log=ignore
    )
    assert time.process_time() - started < 2 * max(seconds, 0) + 6
    assert p.shape == (50, 2)
    assert np.isfinite(p).all()


@pytest.mark.parametrize(
    ("train", "labels"),
    [
        (np.zeros((40, 9, 9)), np.arange(40) % 2),
        (np.zeros((4, 9, 9)), np.array([3, 3, 8, 8])),
        (np.ones((30, 9, 9)), np.full(30, 5)),
        (np.random.default_rng(0).normal(size=(60, 7, 11)), np.array([9, *[0, 4] * 29, 0])),
    ],
    ids=["constant", "four rows", "one class", "a class of one row"],
)
def test_odd_data_still_give_probabilities_of_the_known_classes(image_model, train, labels):
    p = image_model.fit_predict_proba(train, labels, train[:3], deadline=in_seconds(30), log=ignore)
    assert p.shape == (3, len(np.unique(labels)))
    assert np.allclose(p.sum(axis=1), 1)


def test_columns_stand_in_the_order_of_the_codes(image_model):
    train, labels = shifted_bars(400, seed=3)
    p = image_model.quick_predict_proba(train, np.where(labels == 0, 7, 2), train, log=ignore)
    swapped = image_model.quick_predict_proba(train, np.where(labels == 0, 2, 7), train, log=ignore)
    assert np.allclose(p, swapped[:, ::-1])
