"""The selection layer through HTTP and containers of two frameworks: it learns, combines, splits.

One cluster of two workers serves all tests; each registers applications of its own. At the end the
logs of the frontends hold no traceback.
"""

from __future__ import annotations

import collections
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from clipper.deployers import python as python_deployer
from clipper.deployers import sklearn as sklearn_deployer
from clipper.deployers import xgboost as xgboost_deployer
from clipper.errors import ClipperException
from tests.e2e import models, trained
from tests.e2e.clusters import Cluster, eventually, local_cluster
from tests.e2e.stored_selection import stored_book, stored_state

SLO_MICROS = 20_000_000
"""Much longer than this machine stops for other reasons: what is tested is not speed."""

DIGITS = ("tree4", "tree5", "hasty", "best")
TALKERS = ("a", "b", "c")

STRAGGLERS = itertools.count(1)
"""Their versions; a test that runs again needs a new one."""

pytestmark = pytest.mark.timeout(300)


class Served(Cluster):
    """A cluster with models of digits and with ones that say their names."""

    broken: Path
    """While it exists, the best model of digits answers at random."""

    def add(
        self, app: str, names: tuple[str, ...], slo_micros: int = SLO_MICROS, **options: Any
    ) -> str:
        if app in self.connection.get_all_apps():  # the test runs again
            self.connection.unregister_application(app)
        self.connection.register_application(app, "doubles", "DEFAULT", slo_micros, **options)
        for name in names:
            self.connection.link_model_to_app(app, name)
        return app

    def learn(self, app: str, **body: Any) -> dict[str, int]:
        response = requests.post(self.url(app, "update"), json=body, timeout=60)
        assert response.status_code == 200, response.text
        counts: dict[str, int] = response.json()
        return counts


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("selection")
    with local_cluster(directory, workers=2) as cluster:
        served = Served(cluster.connection, cluster.manager)
        served.broken = directory / "broken"
        connection = cluster.connection
        for name, model, predict in (
            ("tree4", trained.shallow_tree(4), trained.predict_with_sklearn),
            ("tree5", trained.shallow_tree(5), trained.predict_with_sklearn),
            ("hasty", trained.hasty(), trained.predict_with_confidence),
        ):
            sklearn_deployer.deploy_sklearn_model(
                connection, name, 1, "doubles", predict, model.model
            )
        xgboost_deployer.deploy_xgboost_model(
            connection, "best", 1, "doubles", trained.predict_unless_broken(str(served.broken)),
            trained.xgboost().model, cache=False,
        )  # fmt: skip
        for name in TALKERS:
            python_deployer.deploy_python_closure(
                connection, name, 1, "doubles", models.saying(name)
            )
        yield served
    for log in (directory / "state" / "logs").glob("*frontend*"):
        text = log.read_text(errors="replace")
        assert "Traceback" not in text, text[-4000:]


def label_of(output: Any) -> int:
    return int(output["label"] if isinstance(output, dict) else output)


HEALTHY, FAILING, REPAIRED, TOGETHER = 1000, 1300, 1300, 20
QUERIES = HEALTHY + FAILING + REPAIRED


@pytest.mark.parametrize(
    ("policy", "options"),
    [("exp3", {"eta": 0.1, "depth": 5.0}), ("exp4", {"eta": 0.2, "depth": 6.0})],
)
def test_the_best_model_fails_and_is_repaired(
    served: Served, policy: str, options: dict[str, float]
) -> None:
    """The shape of figure 8 of NSDI'17 (algorithms §1.8).

    In 40 simulated runs of each policy no window came nearer to its bound than three standard
    deviations of itself.
    """
    app = served.add(f"digits-{policy}", DIGITS, policy=policy, policy_options=options)
    wrong = {
        "best": 1.0 - trained.xgboost().accuracy,
        "survivor": 1.0 - trained.hasty().accuracy,
    }
    draw = random.Random(8)
    served.broken.unlink(missing_ok=True)
    rows, truth = trained.xgboost().x_test, trained.xgboost().y_test
    errors: list[bool] = []
    with requests.Session() as session:
        for first in range(0, QUERIES, TOGETHER):
            if first == HEALTHY:
                served.broken.touch()
            if first == HEALTHY + FAILING:
                served.broken.unlink()
            asked = [draw.randrange(len(rows)) for _ in range(TOGETHER)]
            answer = session.post(
                served.url(app), json={"input_batch": [rows[index].tolist() for index in asked]}
            ).json()
            parts = answer["batch_predictions"]
            assert not any(part["default"] for part in parts)
            errors += [
                label_of(part["output"]) != int(truth[index])
                for part, index in zip(parts, asked, strict=True)
            ]
            updates = [
                {"query_id": part["query_id"], "label": int(truth[index])}
                for part, index in zip(parts, asked, strict=True)
            ]
            learned = session.post(served.url(app, "update"), json={"updates": updates})
            assert learned.json() == {"accepted": TOGETHER, "duplicates": 0}, learned.text

    def error(first: int, last: int) -> float:
        return sum(errors[first:last]) / (last - first)

    repaired = HEALTHY + FAILING
    curve = " ".join(f"{error(first, first + 100):.2f}" for first in range(0, QUERIES, 100))
    assert error(HEALTHY - 400, HEALTHY) < wrong["best"] + 0.08, curve
    assert error(HEALTHY, HEALTHY + 40) > 2 * wrong["survivor"], curve
    assert error(repaired - 600, repaired) < wrong["survivor"] + 0.12, curve
    assert error(QUERIES - 600, QUERIES) < wrong["best"] + 0.08, curve
    assert error(0, QUERIES) < wrong["survivor"], f"worse than a model alone: {curve}"
    assert stored_book(served, app, policy)["led/n"] == QUERIES


def test_a_straggler_is_named_and_costs_nobody_the_answer(served: Served, tmp_path: Path) -> None:
    gate, journal = tmp_path / "gate", tmp_path / "journal"
    version = str(next(STRAGGLERS))
    python_deployer.deploy_python_closure(
        served.connection, "slow", version, "doubles", models.held_up(str(gate), str(journal))
    )
    # Long enough for two quick models; they disagree, so that the third vote is waited for.
    app = served.add("straggling", ("a", "b", "slow"), 2_000_000, policy="ensemble")
    with requests.Session() as one_worker:  # caches are its own

        def ask(*numbers: float) -> list[dict[str, Any]]:
            body = {"input_batch": [[number, 1.0] for number in numbers]}
            answer = one_worker.post(served.url(app), json=body, timeout=60).json()
            parts: list[dict[str, Any]] = answer.get("batch_predictions", [answer])
            return parts

        numbers = [float(number) for number in range(1, 41, 2)]
        parts = dict(zip(numbers, ask(*numbers), strict=True))
        for part in parts.values():
            assert part["default"] is False
            assert part["output"] in ("a", "b")
            assert sorted(part["models"]["answered"]) == ["a:1", "b:1"]
            assert part["models"]["late"] == [f"slow:{version}"]

        gate.touch()
        more = itertools.count(201, 2)
        eventually(lambda: ask(next(more))[0]["models"]["late"] == [], "it keeps up again")
        late = next(number for number in numbers if str(number) in journal.read_text().split())
        update = {"query_id": parts[late]["query_id"], "label": "held up"}
        one_worker.post(served.url(app, "update"), json=update, timeout=60).raise_for_status()
    known = stored_book(served, app, "ensemble")
    assert [v for k, v in known.items() if k.startswith("led_loss/slow:")] == [0.0]
    assert [v for k, v in known.items() if k.startswith("led_late/slow:")] == [1.0]
    assert journal.read_text().split().count(str(late)) == 1, "computed again for feedback"


def test_an_unsure_answer_becomes_the_default(served: Served) -> None:
    app = served.add("careful", TALKERS, policy="ensemble", min_confidence=0.6)
    sure = served.predict(app, input=[2.0])
    assert (sure["output"], sure["default"]) == ("same", False)
    assert sure["confidence"] >= 0.6
    unsure = served.post(app, input=[1.0])
    assert unsure.headers["X-Clipper-Default"] == "low-confidence"
    body = unsure.json()
    assert (body["output"], body["default"]) == ("DEFAULT", True)
    assert body["confidence"] == pytest.approx(1 / 3, abs=1e-5)
    assert "confidence" in body["default_explanation"]
    # What was not returned is learned from all the same.
    assert served.learn(app, query_id=body["query_id"], label="b")["accepted"] == 1


@pytest.mark.parametrize("calibration", ["isotonic", "platt"])
def test_labels_calibrate_confidence(served: Served, calibration: str) -> None:
    app = served.add(
        f"calibrated-{calibration}", TALKERS,
        policy="ensemble", min_confidence=0.8, calibration=calibration,
    )  # fmt: skip
    before = served.predict(app, input=[2.0])
    assert (before["default"], before["confidence"]) == (False, 1.0)
    # All agree, and are right on one of two.
    parts = served.predict(app, input_batch=[[2.0 * n] for n in range(100)])["batch_predictions"]
    updates = [
        {"query_id": part["query_id"], "label": "same" if number % 2 else "other"}
        for number, part in enumerate(parts)
    ]
    served.learn(app, updates=updates)
    after = eventually(
        lambda: (found := served.predict(app, input=[4.0]))["default"] and found,
        "the answer is known to be unsure",
    )
    assert after["confidence"] == pytest.approx(0.5, abs=0.1)


def test_users_stay_with_their_model_whichever_worker_answers(served: Served) -> None:
    app = served.add("split", ("a", "b"), policy="ab", policy_options={"weights": {"a": 3, "b": 1}})
    given: dict[int, set[str]] = collections.defaultdict(set)
    workers = set()
    for uid, number in itertools.product(range(1, 41), (1.0, 3.0, 5.0)):
        answer = served.predict(app, input=[number], uid=uid)  # over a new connection
        given[uid].add(answer["output"])
        workers.add(answer["query_id"] >> 32)
    assert len(workers) == 2
    assert all(len(outputs) == 1 for outputs in given.values())
    by_model = collections.Counter(output for outputs in given.values() for output in outputs)
    assert by_model["a"] > by_model["b"] > 0


def test_a_split_is_moved_under_traffic_and_takes_only_the_users_who_must_move(
    served: Served,
) -> None:
    app = served.add("ramp", ("a", "b"), policy="ab", policy_options={"weights": {"a": 1}})
    users = range(1, 61)

    def asked() -> dict[int, str]:
        return {uid: served.predict(app, input=[1.0], uid=uid)["output"] for uid in users}

    assert set(asked().values()) == {"a"}
    moved: set[int] = set()
    for share in (1, 4, 9):
        options = {"weights": {"a": 10 - share, "b": share}}
        served.connection.update_application(app, policy_options=options)
        now = {uid for uid, output in asked().items() if output == "b"}
        assert now >= moved, "somebody moved back"
        moved = now
    assert 30 < len(moved) < 60
    served.connection.update_application(app, policy="static", policy_options={"model": "b"})
    assert set(asked().values()) == {"b"}


def test_what_was_learned_outlives_an_update_and_late_labels_still_count(served: Served) -> None:
    app = served.add("retuned", ("a", "b"), policy="ensemble")
    parts = served.predict(app, input_batch=[[2.0 * n + 1] for n in range(40)])["batch_predictions"]
    early, late = parts[:20], parts[20:]
    served.learn(app, updates=[{"query_id": p["query_id"], "label": "b"} for p in early])
    served.connection.update_application(app, policy="exp3", min_confidence=0.0)
    served.learn(app, updates=[{"query_id": p["query_id"], "label": "b"} for p in late])
    assert stored_book(served, app, "ensemble")["led/n"] == 40
    assert stored_book(served, app, "exp3") == {}
    summary = served.connection.get_policy(app)["summary"]
    assert (summary["labelled"], summary["mean_loss"]) == (0, None)
    assert served.predict(app, input=[1.0])["output"] in ("a", "b")
    assert served.connection.get_linked_models(app) == ["a", "b"]


def test_a_shadow_is_asked_and_never_returned(served: Served) -> None:
    app = served.add("shadowed", ("a", "b"), policy="shadow", policy_options={"model": "b"})
    parts = served.predict(app, input_batch=[[2.0 * n + 1] for n in range(50)])["batch_predictions"]
    assert {part["output"] for part in parts} == {"b"}
    served.learn(app, updates=[{"query_id": p["query_id"], "label": "a"} for p in parts])
    values = stored_book(served, app, "shadow")
    losses = {key: value for key, value in values.items() if key.startswith("led_loss/")}
    assert {key.split("/")[1].split(":")[0]: value for key, value in losses.items()} == {
        "a": 0.0,
        "b": 50.0,
    }


def test_a_cascade_asks_the_dear_model_only_where_the_cheap_one_is_unsure(served: Served) -> None:
    app = served.add(
        "cascade", ("hasty", "best"), policy="cascade", policy_options={"threshold": 0.8}
    )
    cheap, dear = trained.hasty(), trained.xgboost()
    parts = served.predict(app, input_batch=cheap.queries())["batch_predictions"]
    sure = cheap.model.predict_proba(cheap.x_test).max(axis=1) >= 0.8
    assert 0.2 < sure.mean() < 0.9
    for part, trusts, low, high in zip(parts, sure, cheap.expected, dear.expected, strict=True):
        assert part["models"]["answered"] == (["hasty:1"] if trusts else ["hasty:1", "best:1"])
        assert label_of(part["output"]) == (low if trusts else high)
    assert cheap.served_accuracy([label_of(p["output"]) for p in parts]) > cheap.accuracy


def test_the_default_policy_takes_one_model_and_answers_as_ever(served: Served) -> None:
    app = served.add("old", ("a",))
    with pytest.raises(ClipperException, match="A model with name a is already linked to 'old'"):
        served.connection.link_model_to_app(app, "b")
    answer = served.predict(app, input=[1.0], uid="ann")
    assert answer == {"query_id": answer["query_id"], "output": "a", "default": False}
    for uid, known in ((0, 1), (7, 0)):
        update = {"uid": uid, "input": [1.0], "label": 1.0}
        response = requests.post(served.url(app, "update"), json=update, timeout=10)
        assert (response.status_code, response.text) == (200, f"Feedback received? {known}")


def test_a_query_of_a_deleted_application_teaches_its_successor_nothing(served: Served) -> None:
    served.add("successor", ("a", "b"), policy="ensemble")
    query_id = served.predict("successor", input=[1.0])["query_id"]
    served.connection.unregister_application("successor")
    app = served.add("successor", ("a", "b"), policy="exp3")
    update = {"query_id": query_id, "label": "a"}
    response = requests.post(served.url(app, "update"), json=update, timeout=60)
    assert (response.status_code, response.text[:10]) == (400, "query_id: "), response.text
    assert stored_state(served, app).version == 0


QUERY = "the id of a query"
"""Stands for one that the application has answered."""

BARE = {"input": [1.0], "label": "a"}

REFUSED: list[tuple[Any, str]] = [
    ({"query_id": 12345, "label": "a"}, "query_id: no query 12345"),
    ({"query_id": "7", "label": "a"}, "query_id: expected"),
    ({"query_id": -1, "label": "a"}, "query_id: expected"),
    ({"query_id": QUERY}, "label: missing"),
    ({"query_id": QUERY, "label": ["a"]}, "label: "),
    ({"query_id": QUERY, "label": None}, "label: "),
    ({"query_id": QUERY, "label": "x" * 100_000}, "label: 100000 characters"),
    ({"query_id": QUERY, "label": "a", "lable": "b"}, "lable: unknown field"),
    ({"query_id": QUERY, "label": "a", "idempotency_key": "k" * 100_000}, "idempotency_key: "),
    ({"uid": {}, **BARE}, "uid: "),
    ({"uid": 0, "input": "text", "label": "a"}, "key input expected type Array"),
    ({"updates": []}, "updates: "),
    ({"updates": [BARE] * 10_001}, "updates: 10001 labels"),
    ({"updates": [BARE], "label": 1}, "label: unknown field"),
    ({"updates": [BARE, {"query_id": 12345, "label": "a"}]}, "updates[1].query_id: no query"),
    ({"updates": [BARE, {**BARE, "label": {}}]}, "updates[1].label: "),
    ({"updates": [BARE, {**BARE, "input": ["one"]}]}, "updates[1].input: "),
    ({"updates": [BARE, {**BARE, "uid": ""}]}, "updates[1].uid: "),
    ({"updates": [BARE, {**BARE, "updates": []}]}, "updates[1].updates: unknown field"),
    ({"updates": [{"query_id": n, "label": "a"} for n in range(10_000)]}, "updates[0].query_id"),
]


@pytest.mark.parametrize("policy", ["exp3", "exp4", "ensemble"])
def test_feedback_that_is_wrong_is_refused_by_the_name_of_its_field(
    served: Served, policy: str
) -> None:
    app = served.add(f"refusing-{policy}", ("a", "b"), policy=policy)
    query_id = served.predict(app, input=[1.0])["query_id"]
    for body, named in REFUSED:
        sent = body | {"query_id": query_id} if body.get("query_id") == QUERY else body
        response = requests.post(served.url(app, "update"), json=sent, timeout=60)
        assert response.status_code == 400, (str(body)[:200], response.text)
        assert named in response.text, (str(body)[:200], response.text)
    huge = {"Idempotency-Key": "k" * 10_000}
    response = requests.post(
        served.url(app, "update"), json={"updates": [BARE]}, headers=huge, timeout=60
    )
    assert (response.status_code, response.text[:17]) == (400, "idempotency_key: ")
    assert stored_state(served, app).version == 0, "something of it was learned"
    assert served.learn(app, query_id=query_id, label="a") == {"accepted": 1, "duplicates": 0}


def test_labels_that_are_no_numbers_are_refused_where_numbers_count(served: Served) -> None:
    app = served.add("numbers", ("a",), policy="exp3", loss="absolute", loss_scale=2.0)
    for label in ("cat", True, 10**400):
        body = {"uid": 0, "input": [1.0], "label": label}
        response = requests.post(served.url(app, "update"), json=body, timeout=60)
        assert (response.status_code, response.text[:7]) == (400, "label: "), response.text


def test_the_default_policy_refuses_feedback_in_the_originals_words(served: Served) -> None:
    app = served.add("old-refusing", ("a",))
    for body, named in (
        ({"query_id": 1, "label": 1}, "required key: uid"),
        ({"updates": [{"uid": 0, **BARE}]}, "required key: uid"),
        ({"uid": "ann", "input": [1.0], "label": 1}, "not of type long"),
        ({"uid": 0, **BARE}, "key label expected type Number"),
        ({"uid": 0, "label": 1}, "required key: input"),
    ):
        response = requests.post(served.url(app, "update"), json=body, timeout=60)
        assert response.status_code == 400
        assert response.text.startswith("Error parsing JSON: "), response.text
        assert named in response.text


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"policy": "best"}, "policy 'best' is not known"),
        ({"policy": "exp3", "policy_options": {"eta": -1}}, "policy_options.eta: "),
        ({"policy": "exp3", "policy_options": {"etta": 1}}, "policy_options.etta: unknown"),
        ({"policy": "ab", "policy_options": {"weights": {"a": "1"}}}, "policy_options.weights.a: "),
        ({"policy": "ensemble", "min_confidence": 1.5}, "min_confidence"),
        ({"policy": "ensemble", "calibration": "magic"}, "calibration"),
        ({"policy": "exp3", "loss": "log"}, "loss"),
        ({"policy": "exp3", "loss_scale": 0}, "loss_scale"),
    ],
)
def test_a_registration_that_is_wrong_is_refused_by_the_name_of_its_field(
    served: Served, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ClipperException, match=r"400") as caught:
        served.connection.register_application("wrong", "doubles", "x", SLO_MICROS, **options)
    assert named in caught.value.msg
    assert "wrong" not in served.connection.get_all_apps()
