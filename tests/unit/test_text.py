"""Texts of hidden-Markov grammars: exact posteriors, order that matters, fixed bits."""

import hashlib
import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.datasets import text
from tasks.datasets.vocabulary import COMMON, vocabulary
from tasks.errors import InvalidTask
from tasks.families import TextClassification
from tasks.instance import Streams


def digest(instance):
    digest = hashlib.sha256()
    for name in ("train", "test"):
        columns = instance.public[name].columns()
        digest.update("\n".join(columns["text"]).encode())
    digest.update(instance.public["train"].columns()["target"].tobytes())
    digest.update(instance.answers.labels.tobytes())
    return digest.hexdigest()[:16]


def skill(answers, codes):
    p = answers.law.p
    floor, ceiling = p.mean(axis=0).max(), p.max(axis=1).mean()
    return (p[np.arange(len(p)), codes].mean() - floor) / (ceiling - floor)


def test_the_bits_of_a_version_never_change():
    """A golden hash: whoever changes it raises the family's `version` too."""
    assert digest(TextClassification().draw(Streams(b"golden"))) == "906d9331ccdd4449"


def test_the_same_seed_gives_the_same_texts_and_another_seed_others():
    first = digest(TextClassification().draw(Streams(b"a")))
    assert first == digest(TextClassification().draw(Streams(b"a")))
    assert first != digest(TextClassification().draw(Streams(b"b")))


def test_labels_follow_the_law_they_are_graded_by():
    """The Bayes predictor is right as often as the law says: |z| < 4 for each of 4 seeds."""
    for seed in range(4):
        answers = TextClassification().draw(Streams(f"seed {seed}".encode())).answers
        p, codes = answers.law.p, answers.law.p.argmax(axis=1)
        said = p.max(axis=1)
        surplus = ((codes == answers.labels) - said).sum()
        assert np.allclose(p.sum(axis=1), 1.0)
        assert abs(surplus) < 4 * np.sqrt((said * (1 - said)).sum())


@pytest.mark.parametrize("ceiling", [0.7, 0.9])
def test_the_bayes_accuracy_of_fresh_texts_is_the_wanted_ceiling(ceiling):
    """Within 4.5 standard errors of 10,000 texts plus the pilot's own error."""
    params = TextClassification(ceiling=ceiling, n_test=10_000)
    best = params.draw(Streams(b"c")).answers.law.p.max(axis=1)
    assert abs(best.mean() - ceiling) < 4.5 * best.std() / np.sqrt(10_000) + 0.002


def test_the_forward_pass_sums_over_all_paths_of_states():
    """Against brute force over the 6⁴ paths of short documents of unequal length."""
    grammar = text._random(
        Streams(b"g").stream("structure"), TextClassification(vocabulary=50, n_classes=2)
    )
    grammar = replace(grammar, order=0.8)
    words = np.array([[3, 17, 3, 41], [0, 8, -1, -1], [5, -1, -1, -1], [49, 2, 30, -1]])
    emission = grammar.tickets / grammar.tickets.sum(axis=1, keepdims=True)
    for row, posterior in zip(words, grammar.posterior(words), strict=True):
        seen = row[row >= 0]
        odds = []
        for step in grammar.transitions:
            total = 0.0
            for path in itertools.product(range(text.STATES), repeat=len(seen)):
                chance = emission[path[0], seen[0]] / text.STATES
                for before, state, word in zip(path, path[1:], seen[1:], strict=False):
                    chance *= step[before, state] * emission[state, word]
                total += chance
            odds.append(total)
        assert np.allclose(posterior, np.array(odds) / sum(odds))


@given(
    seed=st.binary(min_size=1, max_size=6), n_classes=st.integers(2, 8), size=st.integers(50, 999)
)
@settings(max_examples=25, deadline=None)
def test_every_grammar_visits_states_equally_often_so_word_counts_tell_nothing(
    seed, n_classes, size
):
    params = TextClassification(n_classes=n_classes, vocabulary=size)
    grammar = replace(text._random(Streams(seed).stream("structure"), params), order=0.7)
    even = np.full(text.STATES, 1 / text.STATES)
    assert np.allclose(even @ grammar.transitions, even)
    assert np.allclose(grammar.transitions.sum(axis=2), 1)
    assert len(set(grammar.tickets.sum(axis=1))) == 1
    assert (grammar.tickets > 0).all()


def test_documents_have_the_stated_columns_words_and_lengths():
    params = TextClassification(
        n_samples=400, n_test=100, mean_length=15, vocabulary=120, ceiling=0.7
    )
    instance = params.draw(Streams(b"t"))
    train, test = (instance.public[name].columns() for name in ("train", "test"))
    assert list(train) == ["id", "text", "target"]
    assert list(test) == ["id", "text"]
    assert list(test["id"]) == list(instance.contract.ids) == list(range(400, 500))
    assert set(train["target"]) == {0, 1, 2}
    assert not set(train["text"]) & set(test["text"])
    lengths = {len(document.split()) for document in train["text"]}
    assert (min(lengths), max(lengths)) == (8, 22)
    assert {word for document in train["text"] for word in document.split()} <= set(vocabulary(120))


def test_the_order_of_words_matters_and_their_counts_do_not():
    """Pairs of words clear the floor and stay below the ceiling; single words do not help."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    instance = TextClassification(n_samples=3000).draw(Streams(b"learn"))
    train, test = (instance.public[name].columns() for name in ("train", "test"))
    found = {}
    for longest in (1, 2):
        counts = CountVectorizer(ngram_range=(longest, longest), token_pattern=r"\S+")
        model = MultinomialNB(alpha=0.3).fit(counts.fit_transform(train["text"]), train["target"])
        found[longest] = skill(instance.answers, model.predict(counts.transform(test["text"])))
    assert abs(found[1]) < 0.15
    assert 0.3 < found[2] < 0.9


def test_texts_too_short_for_the_ceiling_are_refused_in_one_line():
    params = TextClassification(n_classes=10, mean_length=5, ceiling=0.9)
    with pytest.raises(InvalidTask, match=r"ceiling is 0\.9; possible here: 0\.\d+ to 0\.\d+$"):
        params.draw(Streams(b"short"))


def test_vocabularies_hold_different_words_and_grow_by_adding():
    largest = vocabulary(5000)
    assert len(largest) == len(set(largest)) == 5000
    assert all(word.isalpha() and word.islower() for word in largest)
    assert vocabulary(300) == largest[:300] == list(COMMON[:300])
