"""Every row of the validation table (spec §3.4), with exact texts, without a store."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from clipper.datatypes import InputType, OnDefault, VersionedModelId
from clipper.errors import InvalidRequest
from clipper.management import service
from clipper.management.schemas import AddApp, AddModel, AppName, ModelLinks, ModelVersion
from clipper.selection.catalog import policy_names
from clipper.store.base import ApplicationRecord, Change, ConfigSnapshot, ModelRecord

DOUBLES = InputType.DOUBLES
V1 = VersionedModelId("m", "1")
V2 = VersionedModelId("m", "2")
EMPTY = ConfigSnapshot()
FULL = ConfigSnapshot(
    applications={
        "app": ApplicationRecord("app", DOUBLES, "0", 1000),
        "linked": ApplicationRecord("linked", DOUBLES, "0", 1000),
    },
    models={
        V1: ModelRecord("m", "1", DOUBLES),
        V2: ModelRecord("m", "2", DOUBLES),
        VersionedModelId("s", "1"): ModelRecord("s", "1", InputType.STRINGS),
        VersionedModelId("other", "1"): ModelRecord("other", "1", DOUBLES),
        VersionedModelId("gone", "1"): ModelRecord("gone", "1", DOUBLES),
    },
    links={"linked": ("m",)},
    current_versions={"m": "2", "s": "1", "other": "1"},
    serving_versions={"m": "1"},
)


def app(**changes: Any) -> AddApp:
    given = {"name": "new", "input_type": "i", "default_output": "0", "latency_slo_micros": 5}
    return AddApp.model_construct(**{**given, **changes})


def model(**changes: Any) -> AddModel:
    given = {
        "model_name": "new",
        "model_version": "1",
        "labels": ["a"],
        "input_type": "double",
        "container_name": "c",
        "model_data_path": "p",
        "batch_size": -1,
    }
    return AddModel.model_construct(**{**given, **changes})


def links(app_name: str, *model_names: str) -> ModelLinks:
    return ModelLinks(app_name=app_name, model_names=list(model_names))


def version(name: str, version: str) -> ModelVersion:
    return ModelVersion(model_name=name, model_version=version)


def test_add_app_stores_the_canonical_record() -> None:
    record = ApplicationRecord("new", InputType.INTEGERS, "0", 5)
    assert service.add_app(EMPTY, app()).change == Change(applications={"new": record})
    changed = service.add_app(EMPTY, app(on_default="error", isolate_cache=True)).change
    assert changed.applications["new"] == dataclasses.replace(
        record, on_default=OnDefault.ERROR, isolate_cache=True
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "app"}, "application 'app' already exists"),
        ({"input_type": "images"}, "images is not a valid input string"),
        (
            {"name": ""},
            "'' is not a valid application name: it is part of the URL, so it must not be empty "
            "or contain '/'",
        ),
        (
            {"name": "a/b"},
            "'a/b' is not a valid application name: it is part of the URL, so it must not be "
            "empty or contain '/'",
        ),
        (
            {"latency_slo_micros": 0},
            "latency_slo_micros must be greater than 0, in microseconds; got 0",
        ),
        (
            {"policy": "Exp3"},
            "policy 'Exp3' is not known; use one of: " + ", ".join(policy_names()),
        ),
        ({"on_default": "shrug"}, "on_default 'shrug' is not known; use one of: output, error"),
    ],
)
def test_add_app_refuses(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        service.add_app(FULL, app(**changes))
    assert caught.value.msg == text


@pytest.mark.parametrize("name", ["a.b", "a b", "ü", "%2f", "a:b,c"])
def test_add_app_is_as_permissive_about_names_as_the_original(name: str) -> None:
    assert name in service.add_app(FULL, app(name=name)).change.applications


def test_delete_app_takes_links_and_state_along() -> None:
    decision = service.delete_app(FULL, AppName(name="linked"))
    assert decision.change == Change(
        applications={"linked": None}, links={"linked": None}, delete_state_of=("linked",)
    )
    with pytest.raises(InvalidRequest, match=r"^Application 'x' does not exist$"):
        service.delete_app(FULL, AppName(name="x"))


def test_add_model_links_links() -> None:
    decision = service.add_model_links(FULL, links("app", "m"))
    assert decision.change == Change(links={"app": ("m",)})
    assert decision.text == "Successfully linked model with name 'm' to application 'app'"


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (links("x", "nobody"), "No app with name 'x' exists."),
        (links("app", "nobody", "m"), "No model with name 'nobody' exists."),
        (links("app", "gone"), "No model with name 'gone' exists."),
        (
            links("app", "m", "s"),
            "Model with name 's' has incompatible input_type 'strings'. "
            "Requested app to link to has input_type 'doubles'.",
        ),
        (
            links("linked"),
            "Please provide the name of the model that you want to link to the application "
            "'linked'",
        ),
        (
            links("linked", "m", "other"),
            "Applications must be linked with at most one model. Attempted to add links to 2 "
            "models.",
        ),
        (links("linked", "m"), "The model with name 'm' is already linked to 'linked'"),
        (links("linked", "other"), "A model with name m is already linked to 'linked'."),
    ],
)
def test_add_model_links_refuses_in_this_order(request_: ModelLinks, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        service.add_model_links(FULL, request_)
    assert caught.value.msg == text


def test_delete_model_links() -> None:
    assert service.delete_model_links(FULL, links("linked", "m")).change == Change(
        links={"linked": None}
    )
    assert service.delete_model_links(FULL, links("linked")).text == "Success!"
    assert service.delete_model_links(FULL, links("linked")).change.links == {"linked": ("m",)}
    with pytest.raises(InvalidRequest, match=r"^No app with name x exists\.$"):
        service.delete_model_links(FULL, links("x"))
    text = "^Cannot remove nonexistent link between app linked and model other$"
    with pytest.raises(InvalidRequest, match=text):
        service.delete_model_links(FULL, links("linked", "m", "other"))


def test_add_model_becomes_current_but_not_serving() -> None:
    decision = service.add_model(FULL, model(model_name="m", model_version="3"))
    record = decision.change.models[VersionedModelId("m", "3")]
    assert record == ModelRecord("m", "3", DOUBLES, ("a",), "c", "p")
    assert decision.change.current_versions == {"m": "3"}
    assert decision.change.serving_versions == {}


def test_add_model_keeps_no_label_as_no_label() -> None:
    change = service.add_model(FULL, model(labels=[])).change
    assert change.models[VersionedModelId("new", "1")].labels == ()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"batch_size": 0, "model_name": "a:b"},
            "The batch size must be positive or DEFAULT_BATCH_SIZE, which is -1",
        ),
        (
            {"batch_size": -2},
            "The batch size must be positive or DEFAULT_BATCH_SIZE, which is -1",
        ),
        (
            {"model_name": "a:b", "model_version": "1,2"},
            "Invalid model name supplied: a:b. Contains one of: ',', ':'",
        ),
        (
            {"model_version": "1,2", "labels": [":"]},
            "Invalid model version supplied: 1,2. Contains one of: ',', ':'",
        ),
        (
            {"labels": ["ok", "x:y"], "input_type": "?"},
            "Invalid label supplied: x:y. Contains one of: ',', ':'",
        ),
        ({"model_name": ""}, "Invalid model name supplied: it must not be empty"),
        ({"model_version": ""}, "Invalid model version supplied: it must not be empty"),
        ({"input_type": "tensor"}, "tensor is not a valid input string"),
        (
            {"model_name": "m", "input_type": "s"},
            "model with name 'm' and version '1' already exists",
        ),
        (
            {"model_name": "m", "model_version": "3", "input_type": "s"},
            "Model with name 'm' is already linked to app 'linked' using input type 'doubles'. "
            "The input type you provided for a new version of the model, 'strings', is not "
            "compatible.",
        ),
        (
            {"batch_policy": "magic"},
            "batch_policy 'magic' is not known; use one of: aimd, quantile, fixed",
        ),
        ({"batch_policy": "fixed"}, "batch_policy 'fixed' needs a batch_size greater than 0"),
        (
            {"batch_wait_ms": -1.0},
            "batch_wait_ms must be 0 or greater, in milliseconds; got -1.0",
        ),
        (
            {"probe_input": "x"},
            "probe_input must be one input of type 'doubles': an array of numbers",
        ),
    ],
)
def test_add_model_refuses_in_this_order(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        service.add_model(FULL, model(**changes))
    assert caught.value.msg == text


def test_versions_of_an_unlinked_model_may_differ_in_type() -> None:
    request = model(model_name="other", model_version="2", input_type="strings")
    service.add_model(FULL, request)


@pytest.mark.parametrize(
    ("input_type", "good", "bad"),
    [
        ("doubles", [1, 2.5, 10**300], [[[1.0]], [True], ["1"], 1.0, {}, [10**400]]),
        ("floats", [1, 3.4e38], [[1e39]]),
        ("integers", [1, -(2**31)], [[1.0], [2**31]]),
        ("strings", "", [[], 1]),
        ("bytes", "aGVsbG8", ["%%%", 1, "ü"]),
    ],
)
def test_probe_inputs_have_the_models_type(input_type: str, good: object, bad: list[Any]) -> None:
    service.add_model(FULL, model(input_type=input_type, probe_input=good))
    for value in bad:
        with pytest.raises(InvalidRequest, match="probe_input must be one input of type"):
            service.add_model(FULL, model(input_type=input_type, probe_input=value))


def test_set_model_version_warns_only_without_a_replica() -> None:
    success = "Successfully set model with name 'm' to version '2'"
    connected = service.set_model_version(FULL, version("m", "2"), {V2})
    assert connected == service.Decision(Change(current_versions={"m": "2"}), success)
    alone = service.set_model_version(FULL, version("m", "2"), set())
    assert alone.text == (
        f"{success}. Warning: version '2' has no connected replica; until one is ready, queries "
        "go to version '1'"
    )
    never = service.set_model_version(FULL, version("other", "1"), set())
    assert never.text.endswith("queries get the application's default output")


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (version("x", "1"), "Cannot set version for nonexistent model 'x'"),
        (version("m", "9"), "Cannot set non-existent version '9' for model with name 'm'"),
    ],
)
def test_set_model_version_refuses(request_: ModelVersion, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        service.set_model_version(FULL, request_, set())
    assert caught.value.msg == text


def test_set_model_version_refuses_a_type_that_a_linked_app_does_not_take() -> None:
    odd = ModelRecord("m", "9", InputType.BYTES)
    snapshot = dataclasses.replace(FULL, models={**FULL.models, odd.id: odd})
    with pytest.raises(InvalidRequest, match="already linked to app 'linked' using input type"):
        service.set_model_version(snapshot, version("m", "9"), {odd.id})


def test_deleting_the_current_version_leaves_no_pointer() -> None:
    decision = service.delete_versioned_model(FULL, version("m", "2"))
    assert decision.change == Change(
        models={V2: None}, current_versions={"m": None}, serving_versions={"m": None}
    )
    assert decision.text == (
        "Successfully deleted model with name 'm' and version '2'. It was the current version, so "
        "model 'm' has none now; choose one of 1 with set_model_version"
    )
    last = service.delete_versioned_model(FULL, version("other", "1"))
    assert last.text == "Successfully deleted model with name 'other' and version '1'"


def test_deleting_another_version_moves_only_pointers_to_it() -> None:
    change = service.delete_versioned_model(FULL, version("m", "1")).change
    assert change == Change(models={V1: None}, serving_versions={"m": None})
    with pytest.raises(
        InvalidRequest, match=r"^model with name 'm' and version '9' does not exist$"
    ):
        service.delete_versioned_model(FULL, version("m", "9"))
