"""Claims without a judge: true ones count, guessing loses, and no file does harm."""

import csv
import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.families import DataAnalysis
from tasks.grading import insights
from tasks.grading.claims import Claim, read_claims
from tasks.grading.insights import grade_insights, judge
from tasks.instance import PlantedFact, Seed, Streams

FACTS = DataAnalysis().draw(Streams(Seed.public(3).secret)).facts
PLANTED = {fact.type: dict(fact.args) for fact in FACTS.planted}
FEATURES = [name for name in FACTS.columns if name not in {"row", "time", "outcome"}]
IDLE = [name for name in FEATURES if not any(name in repr(fact.args) for fact in FACTS.planted)]


def claim(kind, confidence=0.9, **args):
    return {"type": kind, "args": args, "confidence": confidence}


def true_claims(confidence=0.95):
    return [claim(kind, confidence, **args) for kind, args in PLANTED.items()]


def false_claim(confidence=0.9):
    return claim("outliers", confidence, column=IDLE[0])


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(insights, "GUESSERS", 5)  # they take half of the time of a grading
    return tmp_path


@pytest.fixture
def grade(results):
    def grade(*claims):
        payload = {"schema": "insights/1", "claims": list(claims)}
        (results / "insights.json").write_text(json.dumps(payload), encoding="utf-8")
        return grade_insights(results, FACTS)

    return grade


def verdicts(report):
    return [verdict.verdict for verdict in report.verdicts]


# --- what a claim is worth -----------------------------------------------------------------------


def test_all_planted_facts_claimed_reach_the_ceiling(grade):
    report = grade(*true_claims(confidence=1.0))
    assert report.score == report.ceiling == 1.0
    assert report.verified == len(PLANTED) == 6
    assert report.brier == 0.0
    assert report.problems == ()


def test_each_fact_is_an_equal_share_of_the_score(grade):
    for n in range(7):
        report = grade(*true_claims()[:n])
        assert report.verified == n
        assert report.score == pytest.approx(n / 6)


def test_silence_scores_zero_and_has_no_brier_score(grade):
    report = grade()
    assert (report.score, report.verified, report.brier) == (0.0, 0, None)


def test_a_false_claim_costs_half_of_what_a_verified_one_earns(grade):
    report = grade(*true_claims()[:2], false_claim())
    assert verdicts(report) == ["verified", "verified", "false"]
    assert report.score == pytest.approx((2 - 0.5) / 6)


def test_a_true_claim_that_was_not_planted_costs_nothing(tmp_path):
    """The outcome depends on columns even where only outliers are planted."""
    facts = DataAnalysis(facts=("outliers",)).draw(Streams(b"bare")).facts
    whole = DataAnalysis(facts=("outliers",)).draw(Streams(b"bare")).details["additive"]
    said = [
        claim("relevant_features", columns=whole),
        claim("outliers", **facts.planted[0].args),
    ]
    payload = {"schema": "insights/1", "claims": said}
    (tmp_path / "insights.json").write_text(json.dumps(payload))
    report = grade_insights(tmp_path, facts)
    assert verdicts(report) == ["true but not planted", "verified"]
    assert report.score == 1.0


def test_the_same_fact_said_twice_counts_once_and_costs_nothing(grade):
    report = grade(*true_claims(), *true_claims())
    assert report.verified == 6
    assert report.score == 1.0
    assert verdicts(report)[6:] == ["true but not planted"] * 6


def test_some_of_the_relevant_columns_are_true_and_too_few_to_count(grade):
    columns = PLANTED["relevant_features"]["columns"]
    for n, verdict in ((1, "true but not planted"), (3, "true but not planted"), (4, "verified")):
        report = grade(claim("relevant_features", columns=columns[:n]))
        assert verdicts(report) == [verdict]


def test_one_wrong_column_among_the_relevant_ones_makes_the_claim_false(grade):
    columns = [*PLANTED["relevant_features"]["columns"], IDLE[0]]
    assert verdicts(grade(claim("relevant_features", columns=columns))) == ["false"]


def test_a_change_point_may_be_off_by_three_percent_of_the_range(grade):
    fact = PLANTED["change_point"]
    span = float(np.ptp(FACTS.redraw(2000)["time"]))
    for share, verdict in ((-0.029, "verified"), (0.029, "verified"), (0.04, "false")):
        at = fact["at"] + share * span
        assert verdicts(grade(claim("change_point", column=fact["column"], at=at))) == [verdict]


def test_the_wrong_mechanism_or_driver_is_false(grade):
    column = PLANTED["missingness"]["column"]
    driver = next(name for name in IDLE if name != PLANTED["missingness"]["driver"])
    wrong = claim("missingness", column=column, mechanism="MAR", driver=driver)
    assert verdicts(grade(wrong)) == ["false"]
    other = "MCAR" if PLANTED["missingness"]["driver"] else "MAR"
    swapped = claim("missingness", column=column, mechanism=other)
    if other == "MAR":
        swapped["args"]["driver"] = driver
    assert verdicts(grade(swapped)) == ["false"]


def test_columns_may_be_named_in_any_order_and_more_than_once(grade):
    pair = list(reversed(PLANTED["interaction"]["columns"]))
    assert grade(claim("interaction", columns=[*pair, pair[0]])).verified == 1


def test_claims_are_matched_to_facts_so_that_most_are_verified():
    """The first claim could take either fact, the second only one: both count."""
    facts = [
        PlantedFact(type="change_point", args={"column": "a", "at": at}, text="")
        for at in (100, 104)
    ]
    claims = [
        Claim(type="change_point", args={"column": "a", "at": at}, confidence=1.0)
        for at in (102, 98)
    ]

    class Fresh:
        span = 100.0

    assert judge(claims, facts, Fresh()) == ("verified", "verified")


# --- guessing loses ------------------------------------------------------------------------------


def fish(rng):
    """Twenty claims by someone who knows the columns and has not looked at the cells."""
    said = []
    for _ in range(20):
        kind = str(rng.choice(list(PLANTED)))
        some = [str(name) for name in rng.permutation(FEATURES)]
        args = {
            "relevant_features": {"columns": some[: rng.integers(1, 6)]},
            "missingness": {"column": some[0], "mechanism": "MAR", "driver": some[1]},
            "change_point": {"column": some[0], "at": float(rng.uniform(0, 1e5))},
            "outliers": {"column": some[0]},
        }.get(kind, {"columns": some[:2]})
        said.append(claim(kind, 0.5, **args))
    return said


def test_fishing_scores_below_an_honest_empty_list(grade):
    rng = np.random.default_rng(0)
    scores = [grade(*fish(rng)).score for _ in range(10)]
    assert max(scores) < grade().score == 0.0
    assert np.mean(scores) < -1


def test_the_floor_is_what_blind_guessing_gives_which_is_no_more_than_silence(tmp_path):
    report = grade_insights(tmp_path, FACTS)
    assert 0.0 <= report.floor < 0.05
    assert report.floor < report.ceiling


def test_claiming_every_column_of_a_type_costs_more_than_the_hit_earns(grade):
    report = grade(*(claim("outliers", column=name) for name in FEATURES))
    assert report.verified == 1
    assert report.score < 0


# --- confidence ----------------------------------------------------------------------------------


def test_certainty_in_a_false_claim_is_worse_than_doubt(grade):
    certain, doubtful, honest = (grade(false_claim(c)).brier for c in (1.0, 0.5, 0.0))
    assert (certain, doubtful, honest) == (1.0, 0.25, 0.0)


def test_certainty_in_true_claims_is_better_than_doubt(grade):
    assert grade(*true_claims(0.99)).brier < grade(*true_claims(0.6)).brier


def test_a_claim_without_confidence_counts_as_certain(grade):
    said = false_claim()
    del said["confidence"]
    assert grade(said).brier == 1.0


# --- whatever lies there -------------------------------------------------------------------------

HOSTILE = {
    "empty": b"",
    "no json": b"{claims: []",
    "not utf-8": b"\xff\xfe\x00{",
    "deep": b"[" * 200_000,
    "deep objects": b'{"a":' * 200_000,
    "deep inside": b'{"schema": "insights/1", "claims": ' + b"[" * 60 + b"]" * 60 + b"}",
    "nan": b'{"schema": "insights/1", "claims": [{"type": "outliers", "confidence": NaN}]}',
    "infinity": b'{"schema": "insights/1", "claims": Infinity}',
    "long number": b'{"schema": "insights/1", "claims": [' + b"9" * 100_000 + b"]}",
    "list": b"[]",
    "null": b"null",
    "no schema": b'{"claims": []}',
    "other schema": b'{"schema": ["insights/1"], "claims": []}',
    "no claims": b'{"schema": "insights/1"}',
    "claims by name": b'{"schema": "insights/1", "claims": {"a": 1}}',
    "huge": b" " * (2**20 + 1),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_reported_in_one_line_and_scores_zero(results, content):
    (results / "insights.json").write_bytes(content)
    report = grade_insights(results, FACTS)
    assert (report.score, report.verified, report.brier, report.verdicts) == (0.0, 0, None, ())
    (problem,) = report.problems
    assert problem.startswith("insights.json is no")
    assert problem.isprintable()
    assert len(problem) < 400


def test_a_missing_file_is_named(results):
    assert grade_insights(results, FACTS).problems == (
        "insights.json is missing: write your claims to results/insights.json",
    )
    (missing,) = grade_insights(results / "nowhere", FACTS).problems
    assert "missing" in missing


def _fifo(path):
    os.mkfifo(path)


def _folder(path):
    path.mkdir()


def _link(path):
    aside = path.with_name("aside.json")
    aside.write_text('{"schema": "insights/1", "claims": []}')
    path.symlink_to(aside)


def _dangling(path):
    path.symlink_to("/nowhere")


def _loop(path):
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (_fifo, "a FIFO"),
        (_folder, "a folder"),
        (_link, "a symbolic link"),
        (_dangling, "a symbolic link"),
        (_loop, "a symbolic link"),
    ],
    ids=["fifo", "folder", "link", "dangling link", "loop"],
)
@pytest.mark.timeout(100)
def test_what_is_no_regular_file_is_not_opened(results, make, problem):
    make(results / "insights.json")
    report = grade_insights(results, FACTS)
    assert report.problems == (f"insights.json is not read: {problem}",)
    assert report.score == 0.0


def test_of_ten_thousand_claims_twenty_are_read(grade):
    report = grade(*true_claims(), *[false_claim()] * 9994)
    assert len(report.verdicts) == 20
    assert report.verified == 6
    assert report.score == pytest.approx((6 - 0.5 * 14) / 6)
    assert report.problems == ("10,000 claims; only the first 20 are read",)


MALFORMED = {
    "a number": 7,
    "nothing": {},
    "type no text": {"type": ["outliers"], "args": {"column": FEATURES[0]}},
    "unknown type": {"type": "leak", "args": {"column": FEATURES[0]}},
    "no args": {"type": "outliers"},
    "args a list": {"type": "outliers", "args": [FEATURES[0]]},
    "unknown column": claim("outliers", column="v1"),
    "column a list": claim("outliers", column=[FEATURES[0]]),
    "no columns": claim("relevant_features", columns=[]),
    "columns a text": claim("relevant_features", columns=FEATURES[0]),
    "too many columns": claim("relevant_features", columns=[FEATURES[0]] * 1000),
    "columns of numbers": claim("relevant_features", columns=[1, 2]),
    "a pair of one": claim("interaction", columns=[FEATURES[0]] * 2),
    "a pair of three": claim("redundant_pair", columns=FEATURES[:3]),
    "mechanism": claim("missingness", column=FEATURES[0], mechanism="MNAR"),
    "mechanism a list": claim("missingness", column=FEATURES[0], mechanism=["MAR"]),
    "no driver": claim("missingness", column=FEATURES[0], mechanism="MAR"),
    "chance driven": claim("missingness", column=FEATURES[0], mechanism="MCAR", driver=FEATURES[1]),
    "no place": claim("change_point", column=FEATURES[0]),
    "place a text": claim("change_point", column=FEATURES[0], at="100"),
    "place true": claim("change_point", column=FEATURES[0], at=True),
    "place too large": claim("change_point", column=FEATURES[0], at=10**400),
    "confidence above 1": claim("outliers", 1.01, column=FEATURES[0]),
    "confidence below 0": claim("outliers", -0.1, column=FEATURES[0]),
    "confidence a text": claim("outliers", "high", column=FEATURES[0]),
    "confidence null": claim("outliers", None, column=FEATURES[0]),
    "confidence true": claim("outliers", True, column=FEATURES[0]),
}


@pytest.mark.parametrize("said", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_claim_is_reported_and_neither_earns_nor_costs(results, said):
    payload = {"schema": "insights/1", "claims": [said]}
    (results / "insights.json").write_text(json.dumps(payload))
    read = read_claims(results, FACTS.columns)
    (problem,) = read.problems
    assert problem.startswith("claim 1: ")
    assert problem.isprintable()
    assert read.claims[0].malformed


def test_malformed_claims_do_not_touch_the_score_of_the_others(grade):
    report = grade(*MALFORMED.values(), *true_claims())
    assert report.score == 0.0  # the true ones stand behind the twentieth
    report = grade(*true_claims(1.0), *MALFORMED.values())
    assert (report.score, report.verified, report.brier) == (1.0, 6, 0.0)
    assert verdicts(report)[6:] == ["malformed"] * 14


def test_confidence_beyond_the_range_of_floats_is_malformed(results):
    text = json.dumps({"schema": "insights/1", "claims": [false_claim()]})
    (results / "insights.json").write_text(text.replace("0.9", "1e999"))
    (problem,) = read_claims(results, FACTS.columns).problems
    assert problem == "claim 1: outliers: `confidence` must be a finite number"


def test_text_is_kept_for_people_on_one_line_and_cut(grade):
    said = {**true_claims()[0], "text": "line\nbreak \u202e\x1b[31m" + "x" * 5000}
    (verdict,) = grade(said).verdicts
    assert verdict.text.startswith("line\\nbreak \\u202e\\x1b[31m")
    assert verdict.text.isprintable()
    assert len(verdict.text) < 400


# --- claims in a table ---------------------------------------------------------------------------


def table(results, *rows, header=("type", "args", "confidence", "text", "evidence")):
    with (results / "insights.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def test_claims_in_a_table_count_as_those_in_json(results):
    args = [(kind, json.dumps(dict(args))) for kind, args in PLANTED.items()]
    table(results, *((*pair, "1", "said, in words", "a.png;b.png") for pair in args))
    report = grade_insights(results, FACTS)
    assert (report.score, report.brier, report.problems) == (1.0, 0.0, ())
    assert report.evidence == {"a.png", "b.png"}
    assert report.verdicts[0].text == "said, in words"


def test_confidence_text_and_evidence_may_be_left_out_of_a_table(results):
    args = json.dumps(dict(PLANTED["outliers"]))
    table(results, ("outliers", args), header=("type", "args"))
    report = grade_insights(results, FACTS)
    assert (report.verified, report.brier, report.evidence) == (1, 0.0, frozenset())


def test_json_wins_over_a_table(grade, results):
    table(results, ("outliers", json.dumps(dict(PLANTED["outliers"])), "1", "", ""))
    assert grade().verdicts == ()


HOSTILE_TABLES = {
    "empty": b"",
    "no table": b"hello",
    "other columns": b"a,b\n1,2\n",
    "not utf-8": b"type,args\n\xff,{}\n",
    "quote never closed": b'type,args\n"outliers,{}\n',
    "long cell": b"type,args\n" + b"x" * 200_000 + b",1\n",
    "nul": b'type,args\n\0,\0\n"',
    "huge": b"type,args\n" * 2**17,
}


@pytest.mark.parametrize("content", HOSTILE_TABLES.values(), ids=HOSTILE_TABLES.keys())
def test_a_hostile_table_is_reported_in_one_line(results, content):
    (results / "insights.csv").write_bytes(content)
    report = grade_insights(results, FACTS)
    assert (report.score, report.verdicts) == (0.0, ())
    (problem,) = report.problems
    assert problem.startswith("insights.csv is no")
    assert problem.isprintable()


@pytest.mark.parametrize(
    "row",
    [
        (),
        ("outliers",),
        ("outliers", ""),
        ("outliers", "[1]"),
        ("outliers", '{"column": NaN}'),
        ("outliers", '{"column": "' + FEATURES[0] + '"}', "NaN"),
        ("outliers", '{"column": "' + FEATURES[0] + '"}', "high"),
        ("outliers", "{" * 90),
        ("outliers", '{"column": 1}', "1", "text", "a.png", "more", "and more"),
    ],
)
def test_a_malformed_row_is_a_malformed_claim(results, row):
    table(results, ("constant", "{}"), row or ("x",))
    read = read_claims(results, FACTS.columns)
    assert [bool(one.malformed) for one in read.claims] == [True, True]
    assert all(problem.isprintable() for problem in read.problems)


def test_of_a_table_of_ten_thousand_rows_twenty_are_read(results):
    table(results, *[("outliers", json.dumps({"column": IDLE[0]}))] * 10_000)
    read = read_claims(results, FACTS.columns)
    assert len(read.claims) == 20
    assert read.problems == ("10,000 claims; only the first 20 are read",)


# --- evidence ------------------------------------------------------------------------------------


def test_evidence_of_verified_claims_only_is_kept(grade):
    good = {**true_claims()[0], "evidence": ["a.png"]}
    bad = {**false_claim(), "evidence": ["b.png"]}
    assert grade(good, bad).evidence == {"a.png"}


@pytest.mark.parametrize(
    "evidence", [None, 7, {"a": 1}, [None, 7, ["a.png"]], ["x" * 1000], "", [""], [" "]]
)
def test_evidence_of_another_form_is_none_and_no_offence(grade, evidence):
    report = grade({**true_claims()[0], "evidence": evidence})
    assert (report.verified, report.evidence) == (1, frozenset())


# --- contradictions ------------------------------------------------------------------------------


def test_of_two_claims_that_contradict_each_other_one_costs(grade):
    fact = PLANTED["missingness"]
    other = "MCAR" if fact["mechanism"] == "MAR" else "MAR"
    driver = None if other == "MCAR" else IDLE[0]
    contrary = claim("missingness", column=fact["column"], mechanism=other, driver=driver)
    report = grade(claim("missingness", **fact), contrary)
    assert verdicts(report) == ["verified", "false"]
    assert report.score == pytest.approx(0.5 / 6)


# --- anything at all -----------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
ARGS = st.fixed_dictionaries(
    {},
    optional={
        "column": JSON | st.sampled_from(FACTS.columns),
        "columns": JSON | st.lists(st.sampled_from(FACTS.columns), max_size=4),
        "mechanism": JSON | st.sampled_from(["MAR", "MCAR"]),
        "driver": JSON | st.sampled_from(FACTS.columns),
        "at": JSON,
    },
)
CLAIM = JSON | st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(PLANTED)), "args": ARGS}, optional={"confidence": JSON}
)


@given(claims=JSON | st.lists(CLAIM, max_size=25))
@settings(max_examples=80, deadline=None)
def test_any_json_is_read_without_an_exception(claims, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    payload = {"schema": "insights/1", "claims": claims}
    (folder / "insights.json").write_text(json.dumps(payload), encoding="utf-8")
    read = read_claims(folder, FACTS.columns)
    assert len(read.claims) <= 20
    for one in read.claims:
        assert 0 <= one.confidence <= 1
    assert all(problem.isprintable() for problem in read.problems)
