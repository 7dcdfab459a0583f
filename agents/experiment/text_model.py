"""Classes of texts: Markov models per class and logistic regression on word pairs, blended."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from agent_io import Job
from arrays import Floats, Ints
from blending import Blend, Member, folds
from predictions import Target, submit

WORD = r"\S+"
STRENGTHS = (1.0, 10.0)
SMOOTHING = (0.1, 0.5)


def run(job: Job) -> None:
    """Predict the class of each test text; hand in the blend after each kind of model."""
    test, train = job.table("test"), job.table("train")
    target = Target.read(job, train)
    train = train[target.known]
    ids = test[target.form.id_column]
    submit(job, target, ids, target.prior(len(test)), None)
    job.log(f"handed in the prior; {len(train)} train texts, {len(test)} test texts")
    text, unseen = (table["text"].fillna("").to_numpy(dtype=object) for table in (train, test))
    splits = folds(len(train), target.codes)
    held = np.concatenate([out for _, out in splits])
    blend = Blend(truth=target.matrix[held], classes=True)
    for name, model in (("naive Bayes", naive_bayes), ("logistic", logistic)):
        blend.members += cross_validated(model, target, text, unseen, splits)
        best = blend.best()
        estimate = submit(job, target, ids, best.test, (held, best.held_out))
        job.log(f"{name}: {estimate}; blend {blend.weights}")
    job.write_json(job.experiment / "models" / "blend.json", blend.weights)


def cross_validated(
    model: Any, target: Target, text: Any, unseen: Any, splits: list[tuple[Ints, Ints]]
) -> list[Member]:
    """Fit on each split; test predictions are the mean of the splits' models."""
    held_out: dict[str, list[Floats]] = {}
    test: dict[str, Floats] = {}
    for fit, out in splits:
        for name, p, q in model(target, text[fit], fit, text[out], unseen):
            held_out.setdefault(name, []).append(p)
            test[name] = test.get(name, 0.0) + q / len(splits)
    return [
        Member(name=name, held_out=np.concatenate(parts), test=test[name])
        for name, parts in held_out.items()
    ]


def logistic(
    target: Target, known: Any, fit: Ints, out: Any, unseen: Any
) -> Iterator[tuple[str, Floats, Floats]]:
    """Logistic regression on weighted words and word pairs."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORD, min_df=2)
    x = words.fit_transform(known)
    a, b = words.transform(out), words.transform(unseen)
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=500)
        model.fit(x, target.class_codes()[fit])
        yield f"logistic {strength:g}", _spread(model, a, target), _spread(model, b, target)


def naive_bayes(
    target: Target, known: Any, fit: Ints, out: Any, unseen: Any
) -> Iterator[tuple[str, Floats, Floats]]:
    """Naive Bayes on words, and on words and pairs."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    for longest in (1, 2):
        words = CountVectorizer(ngram_range=(1, longest), token_pattern=WORD)
        x = words.fit_transform(known)
        a, b = words.transform(out), words.transform(unseen)
        for alpha in SMOOTHING:
            model = MultinomialNB(alpha=alpha).fit(x, target.class_codes()[fit])
            name = f"naive Bayes {longest} {alpha}"
            yield name, _spread(model, a, target), _spread(model, b, target)


def _spread(model: Any, x: Any, target: Target) -> Floats:
    p = np.zeros((x.shape[0], target.matrix.shape[1]))
    p[:, model.classes_] = model.predict_proba(x)
    return p
