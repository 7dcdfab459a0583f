"""Images with term counts: posteriors that multiply, ceilings of each kind, fixed bits."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multinomial

from tasks.datasets import multi_modal
from tasks.errors import InvalidTask
from tasks.families import MultiModal
from tasks.instance import Streams


def load(instance, part, folder):
    file = folder / f"{part}.npz"
    instance.public[f"{part}.npz"].write(file)
    with np.load(file, allow_pickle=False) as arrays:
        return arrays["images"], arrays["text_features"]


def digest(instance, folder):
    digest = hashlib.sha256()
    for part in ("train", "test"):
        for array in load(instance, part, folder):
            digest.update(array.tobytes())
    digest.update(instance.public["train"].columns()["target"].tobytes())
    digest.update(instance.answers.labels.tobytes())
    return digest.hexdigest()[:16]


def leak_z(p, labels):
    codes, said = p.argmax(axis=1), p.max(axis=1)
    return ((codes == labels) - said).sum() / np.sqrt((said * (1 - said)).sum())


def skill(answers, codes):
    p = answers.law.p
    floor, ceiling = p.mean(axis=0).max(), p.max(axis=1).mean()
    return (p[np.arange(len(p)), codes].mean() - floor) / (ceiling - floor)


def test_the_bits_of_a_version_never_change(tmp_path):
    """A golden hash: whoever changes it raises the family's `version` too."""
    assert digest(MultiModal().draw(Streams(b"golden")), tmp_path) == "99c5450e58ebc041"


def test_the_same_seed_gives_the_same_data_and_another_seed_other_data(tmp_path):
    params = MultiModal(n_samples=100, n_test=50)
    first = digest(params.draw(Streams(b"a")), tmp_path)
    assert first == digest(params.draw(Streams(b"a")), tmp_path)
    assert first != digest(params.draw(Streams(b"b")), tmp_path)


def test_a_file_has_the_same_bytes_each_time_it_is_written(tmp_path):
    instance = MultiModal(n_samples=100, n_test=50).draw(Streams(b"a"))
    for name in ("one", "two"):
        instance.public["train.npz"].write(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_labels_follow_the_law_they_are_graded_by():
    """The Bayes predictor is right as often as the law says: |z| < 4 for each of 4 seeds."""
    for seed in range(4):
        instance = MultiModal().draw(Streams(f"seed {seed}".encode()))
        answers = instance.answers
        assert np.allclose(answers.law.p.sum(axis=1), 1.0)
        assert abs(leak_z(answers.law.p, answers.labels)) < 4


def test_the_law_of_both_kinds_is_neither_too_sure_nor_too_unsure():
    """The log-loss of 20,000 rows is the law's own entropy, and their class frequencies its p."""
    params = MultiModal(n_samples=100, image_size=(14, 14), n_test=20_000)
    answers = params.draw(Streams(b"sure")).answers
    p, right = answers.law.p, answers.law.p[np.arange(20_000), answers.labels]
    surprise = -np.log(right) + (p * np.log(p)).sum(axis=1)
    assert abs(surprise.mean()) < 4.5 * surprise.std() / np.sqrt(20_000)
    assert abs(leak_z(p, answers.labels)) < 4


def test_each_kind_alone_allows_what_was_asked_and_both_allow_more():
    params = MultiModal(image_ceiling=0.7, text_ceiling=0.8, n_test=6000)
    ceilings = params.draw(Streams(b"c")).details["ceilings"]
    assert ceilings["image"] == pytest.approx(0.7, abs=0.03)
    assert ceilings["text"] == pytest.approx(0.8, abs=0.03)
    assert ceilings["both"] > 0.85


def test_the_posterior_of_stored_counts_is_that_of_a_mixture_of_multinomials():
    terms = multi_modal._random(
        Streams(b"t").stream("terms"), MultiModal(n_text_features=12, n_classes=2)
    )
    terms = replace(terms, focus=0.3)
    (counts,) = terms.counts(Streams(b"t"), "pilot", np.arange(30) % 2)
    common = terms.common / terms.common.sum()
    themes = terms.themes / terms.themes.sum(axis=1, keepdims=True)
    p = 0.3 * themes + 0.7 * common
    n = counts.sum(axis=1)
    likely = np.stack([multinomial.pmf(counts, n, theme) for theme in p], axis=1)
    wanted = np.stack([likely[:, :2].mean(axis=1), likely[:, 2:].mean(axis=1)], axis=1)
    log = terms.log_likelihood(counts)
    assert np.allclose(log[:, 1] - log[:, 0], np.log(wanted[:, 1] / wanted[:, 0]))


def test_terms_are_drawn_by_the_odds_that_the_law_counts_on():
    """Frequencies over 10,000 rows of one class are within 4.5 standard errors for each term."""
    terms = multi_modal._random(
        Streams(b"t").stream("terms"), MultiModal(n_text_features=12, n_classes=2)
    )
    terms = replace(terms, focus=0.3)
    blocks = terms.counts(Streams(b"t"), "pilot", np.zeros(10_000, dtype=np.int64))
    counts = np.concatenate(list(blocks))
    themes = (terms.themes / terms.themes.sum(axis=1, keepdims=True))[:2].mean(axis=0)
    p = 0.3 * themes + 0.7 * terms.common / terms.common.sum()
    surplus = counts - counts.sum(axis=1, keepdims=True) * p
    assert np.abs(surplus.mean(axis=0) / surplus.std(axis=0)).max() < 4.5 / np.sqrt(10_000)


def test_the_files_hold_what_the_notes_say(tmp_path):
    params = MultiModal(
        n_samples=90, n_test=40, image_size=(20, 24), n_text_features=30, text_ceiling=0.6
    )
    instance = params.draw(Streams(b"f"))
    images, counts = load(instance, "train", tmp_path)
    assert (images.shape, images.dtype) == ((90, 20, 24), np.uint8)
    assert (counts.shape, counts.dtype) == ((90, 30), np.int32)
    assert counts.min() >= 0
    assert counts.sum(axis=1).min() >= 20
    assert counts.sum(axis=1).max() <= 60
    unseen, uncounted = load(instance, "test", tmp_path)
    assert unseen.shape == (40, 20, 24)
    assert not (images[:40] == unseen).all(axis=(1, 2)).any()
    assert not (counts[:40] == uncounted).all(axis=1).any()
    train, test = (instance.public[name].columns() for name in ("train", "test"))
    assert list(train) == ["id", "target"]
    assert list(test) == ["id"]
    assert list(test["id"]) == list(instance.contract.ids) == list(range(90, 130))
    assert set(train["target"]) == {0, 1, 2}


def test_each_kind_helps_and_both_together_help_most(tmp_path):
    from sklearn.linear_model import LogisticRegression

    instance = MultiModal(n_samples=2000).draw(Streams(b"learn"))
    target = instance.public["train"].columns()["target"]
    train, test = (load(instance, part, tmp_path) for part in ("train", "test"))
    sd = instance.details["noise_sd"]
    logs = []
    for kind, strength in ((0, 1e-3), (1, 0.1)):
        x, fresh = (
            (part[0].reshape(len(part[0]), -1) - 104.0) / sd if kind == 0 else np.log1p(part[1])
            for part in (train, test)
        )
        model = LogisticRegression(C=strength, max_iter=300).fit(x, target)
        logs.append(model.predict_log_proba(fresh))
    image, text, both = (skill(instance.answers, log.argmax(axis=1)) for log in (*logs, sum(logs)))
    assert 0.3 < image < both
    assert 0.3 < text < both
    assert both < 1


@pytest.mark.parametrize("name", ["image_ceiling", "text_ceiling"])
def test_a_ceiling_out_of_reach_is_refused_in_one_line_that_names_it(name):
    params = MultiModal(
        n_classes=20, n_text_features=5, image_size=(8, 8), **{name: 0.999}
    ).model_copy(
        update={"n_test": 20} | ({} if name == "image_ceiling" else {"image_ceiling": 0.3})
    )
    with pytest.raises(InvalidTask, match=rf"data_requirements\.{name} is 0\.999") as caught:
        params.draw(Streams(b"few"))
    assert "\n" not in str(caught.value)
