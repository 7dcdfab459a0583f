"""Customers and events: exact aggregates and laws, wanted ceilings, fixed bits, an agent."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.ensemble import HistGradientBoostingClassifier

from tasks.datasets.given_class import Part
from tasks.datasets.relational import AGGREGATES, aggregate, draw_events
from tasks.families import Relational
from tasks.grading.decide import decide
from tasks.grading.leak import leak_z
from tasks.grading.marks import Marker
from tasks.grading.prediction import Prediction
from tasks.instance import CHUNK_ROWS, Seed, Streams
from tasks.runner import TaskRunner
from tasks.spec import Task


def frames(instance):
    return {name: pd.DataFrame(table.columns()) for name, table in instance.public.items()}


def digest(instance):
    digest = hashlib.sha256()
    for name, table in instance.public.items():
        for column in table.columns().values():
            plain = column.astype("S8") if column.dtype == object else column
            digest.update(name.encode() + np.ascontiguousarray(plain).tobytes())
    digest.update(np.ascontiguousarray(instance.answers.labels).tobytes())
    return digest.hexdigest()[:16]


def test_the_bits_of_a_version_never_change():
    assert digest(Relational().draw(Streams(b"golden"))) == "842699533f6dd6ab"


def test_another_seed_gives_other_data():
    assert digest(Relational().draw(Streams(b"a"))) != digest(Relational().draw(Streams(b"b")))


def test_aggregates_are_what_their_names_say():
    """Against pandas, on the events of 500 customers, some of whom have none."""
    part = Part(streams=Streams(b"agg"), name="train", chunk=0, n_rows=500)
    events = draw_events(part, 3)
    found = dict(zip(AGGREGATES, aggregate(events), strict=True))
    log = pd.DataFrame({"owner": events.owner, "cents": events.cents, "minute": events.minute})
    log["order"] = events.kind == 2
    grouped = log.groupby("owner")
    every = range(500)
    expected = {
        "number of events": grouped.size(),
        "mean amount": grouped["cents"].mean(),
        "amount of the last event": grouped["cents"].last(),
        "largest amount": grouped["cents"].max(),
        "share of orders": grouped["order"].mean(),
        "mean amount of orders": log[log["order"]].groupby("owner")["cents"].mean(),
    }
    assert (events.counts == 0).any()
    for name, values in expected.items():
        assert np.allclose(found[name], values.reindex(every, fill_value=0)), name
    newest = grouped["minute"].max().reindex(every, fill_value=0)
    assert np.allclose(found["days since the last event"], 90 - newest / 1440)
    assert (grouped["minute"].diff().dropna() >= 0).all()


def test_the_class_depends_on_nothing_but_the_public_tables():
    """The aggregates of the written events, with the last told by event_id, are those of the
    law."""
    instance = Relational(n_samples=300, n_test=300).draw(Streams(b"p"))
    events = frames(instance)["events"]
    grouped = events.groupby("id")
    part = Part(streams=Streams(b"p"), name="train", chunk=0, n_rows=300)
    found = dict(zip(AGGREGATES, aggregate(draw_events(part, 12)), strict=True))
    last = grouped["amount"].last().reindex(range(300), fill_value=0)
    assert np.allclose(found["amount of the last event"], last * 100)
    assert np.allclose(found["number of events"], grouped.size().reindex(range(300), fill_value=0))


def test_events_come_in_the_order_of_time_and_of_known_customers_only():
    tables = frames(Relational().draw(Streams(b"o")))
    events = tables["events"]
    assert events["day"].is_monotonic_increasing
    assert list(events["event_id"]) == list(range(len(events)))
    customers = {*tables["train"]["id"], *tables["test"]["id"]}
    assert set(events["id"]) <= customers
    assert "target" not in tables["test"]
    assert 0.9 < len(events) / (12 * len(customers)) < 1.1
    half = events["id"].to_numpy()[: len(events) // 2] < 2000
    assert half.mean() == pytest.approx(0.5, abs=0.05)  # early or late tells nothing of the split


@pytest.mark.parametrize("ceiling", [0.75, 0.9])
def test_the_bayes_accuracy_is_the_wanted_ceiling(ceiling):
    p = Relational(ceiling=ceiling, n_test=20_000).draw(Streams(b"c")).answers.law.p
    assert p.max(axis=1).mean() == pytest.approx(ceiling, abs=0.006)


def test_labels_follow_their_law():
    for k in range(6):
        answers = Relational(n_test=10_000).draw(Streams(b"%d" % k)).answers
        p = answers.law.p[:, 1]
        assert abs((answers.labels - p).sum()) < 4.5 * np.sqrt((p * (1 - p)).sum())
        unsure = np.abs(p - 0.5) < 0.3
        error = np.sqrt((p[unsure] * (1 - p[unsure])).sum())
        assert abs((answers.labels - p)[unsure].sum()) < 4.5 * error
        assert abs(leak_z(decide("accuracy", answers.law), answers.law, answers.labels)) < 4


def test_a_second_chunk_of_customers_has_events_of_its_own():
    instance = Relational(n_samples=CHUNK_ROWS + 100, n_test=10, mean_events=2).draw(Streams(b"k"))
    counts = frames(instance)["events"]["id"].value_counts()
    assert counts.reindex(range(CHUNK_ROWS, CHUNK_ROWS + 100), fill_value=0).mean() > 1


def test_without_the_events_little_can_be_told_and_with_them_much():
    instance = Relational(n_samples=3000).draw(Streams(b"learn"))
    tables = frames(instance)
    marker = Marker(instance.contract, instance.answers)
    skill = {}
    for name in ("alone", "joined"):
        train, test = tables["train"], tables["test"]
        if name == "joined":
            grouped = tables["events"].groupby("id")
            more = grouped[["amount", "day"]].agg(["count", "mean", "last", "max"])
            more.columns = [" ".join(column) for column in more.columns]
            orders = tables["events"][tables["events"]["kind"] == "order"].groupby("id")
            more["orders"] = orders.size()
            more["spent"] = orders["amount"].mean()
            train, test = train.join(more, on="id"), test.join(more, on="id")
        model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
        x = train.drop(columns=["id", "target"])
        codes = model.fit(x, train["target"]).predict(test[x.columns])
        skill[name] = marker.mark("accuracy", Prediction(codes=codes)).skill
    assert skill["alone"] < 0.45
    assert skill["alone"] + 0.3 < skill["joined"] < 1


def test_more_events_than_fit_into_memory_are_refused():
    with pytest.raises(ValidationError, match="mean_events make 30,600,000 events; at most"):
        Relational(n_samples=1_000_000, mean_events=30)


def test_the_experiment_agent_joins_the_tables(tmp_path):
    task = Task.from_dict(
        {
            "id": "events",
            "task_type": "relational",
            "data_requirements": {"n_samples": 400, "n_test": 500, "n_aggregates": 2},
            "evaluation_criteria": {"min_accuracy": 0.65},
        },
        source="test",
    )
    trial = TaskRunner(tmp_path).run_task(task, timeout=100, seed=Seed.public(1))
    assert trial.evaluation.success, trial.evaluation.feedback
