"""Every command on a cluster in memory: effect, output and exit code."""

from __future__ import annotations

import json
import pathlib
import pickle

import pytest
import requests

from clipper.admin.connection import ClipperConnection
from clipper.admin.http import Reply
from clipper.cli.app import explain
from clipper.cli.context import Context
from clipper.cli.models import natural, previous_version
from clipper.errors import ClipperException
from tests.fakes.fake_management import FakeCluster, FakeManager
from tests.unit.cli.conftest import Run

DEFAULT = '{"output": "-1", "default": true, "default_explanation": "No connected models"}'


def test_up_passes_its_options(run: Run, manager: FakeManager) -> None:
    outcome = run("-o", "json", "up", "--query-port", "1", "--workers", "3", "--cache-size", "9")
    assert outcome.code == 0
    assert json.loads(outcome.out)["query_address"] == "frontend:1"
    assert manager.start_options["clipper_query_port"] == 1  # type: ignore[attr-defined]
    assert manager.options is not None
    assert manager.options.qf_http_thread_pool_size == 3
    assert manager.options.cache_size_bytes == 9


def test_down(run: Run, cluster: FakeCluster) -> None:
    assert run("down", "--now", "--purge").code == 0
    assert cluster.events == ["stop all graceful=False", "delete state"]


def test_errors_are_one_sentence_and_exit_code_one(run: Run, cluster: FakeCluster) -> None:
    cluster.running = False
    outcome = run("status")
    assert outcome.code == 1
    assert outcome.out == ""
    assert outcome.err == "Error: Cluster fake is not running. Start it with `clipper up`\n"


def test_wrong_usage_is_exit_code_two(run: Run) -> None:
    assert run("scale", "m", "many").code == 2
    assert run("up", "--workers", "0").code == 2


def test_verbose_shows_the_traceback(run: Run, cluster: FakeCluster) -> None:
    cluster.running = False
    with pytest.raises(ClipperException):
        run("-v", "status")


def test_unreachable_frontend_leads_to_the_doctor() -> None:
    request = requests.Request("GET", "http://h:1/metrics").prepare()
    text = explain(requests.ConnectionError("long story", request=request))
    assert text == "http://h:1/metrics cannot be reached. Run `clipper doctor` to find out why"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "Cluster c cannot be started because it already exists. Please use "
            "ClipperConnection.connect() to connect to it.",
            "Cluster c runs already. `clipper status` shows it, `clipper down` stops it",
        ),
        (
            "No versions of model m registered with Clipper",
            "No versions of model m registered with Clipper. `clipper models` lists what there is",
        ),
        (
            "Received error status code: 503 and message: The store did not answer.",
            "The store did not answer. `clipper doctor` looks for the cause",
        ),
        ("Received error status code: 400 and message: slo must be above 0", "slo must be above 0"),
    ],
)
def test_failures_name_a_command_as_the_next_step(text: str, shown: str) -> None:
    assert explain(ClipperException(text)) == shown


def test_refusals_lose_their_prefix(run: Run) -> None:
    outcome = run("apps", "rm", "nope")
    assert outcome.code == 1
    assert outcome.err.startswith("Error: Application 'nope' does not exist. `clipper status`")


def test_apps(run: Run, cluster: FakeCluster) -> None:
    added = run("apps", "add", "a", "--default", "-1", "--slo-ms", "1.5", "--on-default", "error")
    assert added.code == 0
    assert cluster.apps["a"]["latency_slo_micros"] == 1500
    assert cluster.apps["a"]["default_output"] == "-1"
    assert run("apps", "add", "b", "--slo-micros", "7").code == 0
    assert cluster.apps["b"]["latency_slo_micros"] == 7
    assert run("apps", "add", "c", "--slo-micros", "7", "--slo-ms", "7").code == 1
    assert [one["name"] for one in json.loads(run("-o", "json", "apps").out)] == ["a", "b"]
    assert "doubles" in run("apps").out
    assert json.loads(run("-o", "json", "apps", "show", "a").out)["on_default"] == "error"
    assert run("apps", "show", "z").code == 1
    weights = """weights={"old": 9, "new": 1}"""
    changes = ("--slo-ms", "2", "--option", weights, "--option", "salt=null", "--cost", "m=2.5")
    assert run("apps", "update", "a", *changes).out == "Changed application a\n"
    assert cluster.apps["a"]["latency_slo_micros"] == 2000
    assert cluster.apps["a"]["policy_options"] == {"weights": {"old": 9, "new": 1}, "salt": None}
    assert cluster.apps["a"]["costs"] == {"m": 2.5}
    assert cluster.apps["a"]["default_output"] == "-1"
    assert run("apps", "update", "a", "--slo-micros", "7", "--slo-ms", "7").code == 1
    assert run("apps", "update", "z", "--default", "0").code == 1
    assert run("apps", "rm", "a").code == 0
    assert list(cluster.apps) == ["b"]


def test_models(run: Run, connection: ClipperConnection, cluster: FakeCluster) -> None:
    connection.deploy_model("m", "1", "doubles", "img", num_replicas=2)
    connection.deploy_model("m", "2", "doubles", "img")
    listed = {one["model_version"]: one for one in json.loads(run("-o", "json", "models").out)}
    assert listed["1"]["replicas_ready"] == listed["1"]["replicas_running"] == 2
    assert listed["2"]["is_current_version"]
    assert run("scale", "m", "3", "--version", "1").code == 0
    assert connection.get_num_replicas("m", "1") == 3
    assert run("rollback", "m").code == 0
    assert cluster.current == {"m": "1"}
    assert run("rollback", "m").code == 1
    assert run("models", "use", "m", "2").code == 0
    assert cluster.current == {"m": "2"}
    assert run("models", "rm", "m:3").code == 1
    assert run("models", "rm", "m:1").code == 0
    assert list(cluster.models) == [("m", "2")]
    assert run("models", "rm", "m").code == 0
    assert cluster.models == {}


def test_switching_to_an_unready_version_warns(run: Run, connection: ClipperConnection) -> None:
    connection.register_model("m", "1", "doubles")
    outcome = run("models", "set-version", "m", "1")
    assert outcome.code == 0
    assert "clipper scale m 1 --version 1" in outcome.err


def test_links(run: Run, connection: ClipperConnection, cluster: FakeCluster) -> None:
    connection.register_application("a", "doubles", "-1", 1000)
    connection.register_model("m", "1", "doubles")
    assert run("link", "a", "m").code == 0
    assert cluster.apps["a"]["linked_models"] == ["m"]
    assert run("unlink", "a", "m").code == 0
    assert cluster.apps["a"]["linked_models"] == []


def test_previous_version_is_the_one_registered_before() -> None:
    models = [
        {"model_name": "m", "model_version": v, "is_current_version": v == "b", "generation": g}
        for v, g in (("b", 7), ("a", 9), ("c", 3))
    ]
    assert previous_version(models, "m") == "c"
    assert sorted(["10", "9", "v2", "v10"], key=natural) == ["9", "10", "v2", "v10"]


@pytest.fixture
def script(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "my_model.py"
    path.write_text("def add_up(xs):\n    return [sum(x) for x in xs]\n")
    return path


def test_deploy_function_with_application(
    run: Run, cluster: FakeCluster, manager: FakeManager, script: pathlib.Path
) -> None:
    outcome = run(
        "deploy", f"{script}:add_up", "--app", "sums", "--slo-ms", "20", "--probe", "[1.0]"
    )
    assert outcome.code == 0
    assert "the image of add-up:1 gets no packages besides its base image's" in outcome.err
    assert pickle.loads(manager.bundle["func.pkl"])([[1, 2]]) == [3]
    assert cluster.apps["sums"]["latency_slo_micros"] == 20000
    assert cluster.apps["sums"]["linked_models"] == ["add-up"]
    assert cluster.models["add-up", "1"]["probe_input"] == [1.0]
    again = run("-o", "json", "deploy", f"{script}:add_up", "--app", "sums", "--replicas", "2")
    assert json.loads(again.out)["version"] == "2"
    assert cluster.apps["sums"]["linked_models"] == ["add-up"]
    assert "/sums/predict" in run("deploy", f"{script}:add_up").out  # nothing to link any more
    unasked = run("deploy", f"{script}:add_up", "--name", "other")
    assert "clipper link APP other" in unasked.out


def test_failed_deploy_leaves_no_application(
    run: Run, cluster: FakeCluster, script: pathlib.Path
) -> None:
    cluster.connect_after_s = 1e9
    cluster.failure = "ImportError: nothing"
    outcome = run("deploy", f"{script}:add_up", "--slo-ms", "20")
    assert outcome.code == 1
    assert "ImportError: nothing" in outcome.err
    assert (cluster.apps, cluster.models, cluster.containers) == ({}, {}, [])


def test_deploy_refuses_an_application_with_another_model(
    run: Run, connection: ClipperConnection, cluster: FakeCluster, script: pathlib.Path
) -> None:
    connection.register_application("a", "doubles", "-1", 1000)
    connection.register_model("m", "1", "doubles")
    connection.link_model_to_app("a", "m")
    outcome = run("deploy", f"{script}:add_up", "--app", "a")
    assert outcome.code == 1
    assert "clipper unlink a m" in outcome.err
    assert cluster.containers == []


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("{}", "is not path.py:function, nor a model file"),
        ("{}:nothing", "has no function nothing"),
        ("no.py:f", "There is no file no.py"),
        ("no.joblib", "There is no file no.joblib"),
    ],
)
def test_deploy_explains_what_it_cannot_load(
    run: Run, script: pathlib.Path, target: str, text: str
) -> None:
    outcome = run("deploy", target.format(script), "--name", "m")
    assert outcome.code == 1
    assert text in outcome.err


def test_deploy_explains_a_file_that_fails(run: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    outcome = run("deploy", f"{tmp_path / 'broken.py'}:f")
    assert outcome.code == 1
    assert "failed: ZeroDivisionError: division by zero" in outcome.err


@pytest.mark.parametrize(
    ("input_type", "argument", "sent"),
    [
        ("doubles", "[1.0, 2]", [1.0, 2]),
        ("strings", "plain text", "plain text"),
        ("strings", '"quoted"', "quoted"),
        ("strings", "123", "123"),
        ("bytes", "aGk=", "YUdrPQ=="),
        ("bytes", '"aGk="', "aGk="),
    ],
)
def test_predict_sends_the_input(
    run: Run,
    connection: ClipperConnection,
    cluster: FakeCluster,
    input_type: str,
    argument: str,
    sent: object,
) -> None:
    connection.register_application("a", input_type, "-1", 1000)
    outcome = run("predict", "a", argument, "--version", "2")
    assert (outcome.code, outcome.out) == (0, "6.6\n")
    assert cluster.predictions == [("/a/predict", {"input": sent, "version": "2"})]


def test_predict_reads_stdin_and_files(
    run: Run, connection: ClipperConnection, cluster: FakeCluster, tmp_path: pathlib.Path
) -> None:
    connection.register_application("a", "doubles", "-1", 1000)
    (tmp_path / "in.json").write_text("[[1], [2]]")
    run("predict", "a", "-", stdin="[3]")
    run("predict", "a", f"@{tmp_path / 'in.json'}", "--batch")
    bodies = [body for _, body in cluster.predictions]
    assert bodies == [{"input": [3]}, {"input_batch": [[1], [2]]}]
    assert run("predict", "a", "@nowhere").code == 1
    assert run("predict", "a", "not json").code == 1


def test_default_output_is_a_failure_unless_allowed(
    run: Run, connection: ClipperConnection, cluster: FakeCluster
) -> None:
    connection.register_application("a", "doubles", "-1", 1000)
    cluster.prediction = Reply(200, DEFAULT, "no-replica")
    outcome = run("predict", "a", "[1]")
    assert (outcome.code, outcome.out) == (1, "-1\n")
    assert "Default output: No connected models" in outcome.err
    assert run("predict", "a", "[1]", "--allow-default").code == 0
    cluster.prediction = Reply(400, '{"error": "Json error", "cause": "bad"}')
    refused = run("predict", "a", "[1]", "--allow-default")
    assert (refused.code, refused.err) == (
        1,
        "Error: The query was refused (400): Json error: bad\n",
    )


def test_feedback(run: Run, connection: ClipperConnection, cluster: FakeCluster) -> None:
    connection.register_application("a", "doubles", "-1", 1000)
    cluster.prediction = Reply(200, "Feedback received? 1")
    outcome = run("feedback", "a", "[1]", "0.5", "--uid", "4")
    assert outcome.out == "Feedback received? 1\n"
    run("feedback", "a", "[1]", "-1.5")
    assert cluster.predictions.pop()[1]["label"] == -1.5
    assert cluster.predictions == [("/a/update", {"uid": 4, "input": [1], "label": 0.5})]


@pytest.mark.parametrize(("word", "uid"), [("0", 0), ("-7", -7), ("ann", "ann"), ("1.5", "1.5")])
def test_a_user_is_the_same_to_predict_and_to_feedback(
    run: Run, connection: ClipperConnection, cluster: FakeCluster, word: str, uid: object
) -> None:
    connection.register_application("a", "doubles", "-1", 1000)
    run("predict", "a", "[1]", "--uid", word)
    cluster.prediction = Reply(200, "Feedback received? 1")
    run("feedback", "a", "[1]", "1", "--uid", word)
    assert [body["uid"] for _, body in cluster.predictions] == [uid, uid]


def test_logs(run: Run, cluster: FakeCluster) -> None:
    assert run("logs", "query-frontend", "-n", "1").out == "query-frontend-0 last\n"
    assert run("logs", "m:2", "-n", "1").out == "model-m_2-0 last\n"
    assert len(run("logs", "m").out.splitlines()) == 4
    assert len(run("logs").out.splitlines()) == 8
    cluster.running = False  # the logs of a cluster that died are wanted most
    assert run("logs", "store", "-n", "1").out == "store-0 last\n"
    unknown = run("logs", "mm")
    assert unknown.code == 1
    assert "There are: model-m_1-0, model-m_2-0, query-frontend-0, store-0" in unknown.err


def test_status_for_programs_and_people(run: Run, connection: ClipperConnection) -> None:
    connection.register_application("a", "doubles", "-1", 1000)
    connection.deploy_model("m", "1", "doubles", "img")
    report = json.loads(run("-o", "json", "status").out)
    assert report["applications"][0]["name"] == "a"
    assert report["models"][0]["replicas_ready"] == 1
    assert [worker["worker_id"] for worker in report["workers"]] == ["w1", "w2"]
    assert "w2" in run("status").out


def test_doctor_of_a_stopped_cluster(run: Run, cluster: FakeCluster, context: Context) -> None:
    cluster.running = False
    context.port_is_free = lambda host, port: port != 7000
    outcome = run("-o", "json", "doctor")
    assert outcome.code == 1
    problems = [one for one in json.loads(outcome.out) if not one["ok"]]
    assert problems[0]["next_step"] == "Run `clipper up`"
    assert [one["detail"] for one in problems[1:]] == ["port 7000 is taken by another process"]


def test_doctor_of_a_healthy_cluster(run: Run, connection: ClipperConnection) -> None:
    connection.register_application("a", "doubles", "-1", 1000)
    connection.deploy_model("m", "1", "doubles", "img")
    connection.link_model_to_app("a", "m")
    outcome = run("doctor")
    assert "PROBLEM" not in outcome.out
    assert outcome.code == 0


def test_doctor_of_a_silent_supervisor(
    run: Run, manager: FakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silence() -> None:
        raise ClipperException("The supervisor did not answer 'status' within 5 s")

    monkeypatch.setattr(manager, "status", silence)
    outcome = run("doctor", "-o", "json")
    assert outcome.code == 1
    problems = [one for one in json.loads(outcome.out) if not one["ok"]]
    assert ["did not answer 'status'" in one["detail"] for one in problems] == [True]
    assert "clipper down --now" in problems[0]["next_step"]


def test_an_interrupted_command_says_so(
    run: Run,
    manager: FakeManager,
    cluster: FakeCluster,
    script: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(name: str, version: str) -> str | None:
        raise KeyboardInterrupt

    cluster.connect_after_s = 1e9
    monkeypatch.setattr(manager, "container_failure", interrupt)
    outcome = run("deploy", f"{script}:add_up", "--app", "a", "--slo-ms", "20")
    assert (outcome.code, "is undone" in outcome.err) == (130, True)
    assert (cluster.apps, cluster.models, cluster.containers) == ({}, {}, [])


def test_a_reader_that_has_seen_enough_is_no_failure(
    run: Run, manager: FakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_to_closed_pipe(logging_dir: str) -> list[str]:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(manager, "get_logs", write_to_closed_pipe)
    assert run("logs").err == ""
