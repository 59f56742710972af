"""Client methods about applications and their links (spec §10.2, "Applications")."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from clipper.admin.names import canonical_input_type
from clipper.admin.session import Session
from clipper.datatypes import OnDefault
from clipper.errors import ClipperException


class ApplicationMethods(Session):
    """Register, link, list and remove applications."""

    def register_application(
        self,
        name: str,
        input_type: str,
        default_output: str,
        slo_micros: int,
        *,
        on_default: str = OnDefault.OUTPUT,
        isolate_cache: bool = False,
        policy: str | None = None,
        policy_options: Mapping[str, Any] | None = None,
        min_confidence: float | None = None,
        calibration: str | None = None,
        loss: str | None = None,
        loss_scale: float | None = None,
        costs: Mapping[str, float] | None = None,
    ) -> None:
        """Register an application; ``/<name>/predict`` answers when this returns.

        Args:
            default_output: text returned when there is no prediction in time.
            slo_micros: latency objective in microseconds.
            on_default: ``output`` answers 200 with the default, ``error`` answers 503 or 504.
            isolate_cache: share no cached predictions with other applications.
            policy: name of the selection policy, see docs/selection.md; None: one model and the
                default output.
            policy_options: options of the policy, by name.
            min_confidence: from 0 to 1; an answer less sure becomes the default output, with the
                reason ``low-confidence``. Only policies that know how sure they are can miss it.
            calibration: ``none``, ``isotonic``, ``platt`` or ``temperature``: how feedback turns
                confidence into the probability of being right.
            loss: ``zero-one``, ``absolute`` or ``squared``: what a label in feedback means.
            loss_scale: distance from the label that counts as wholly wrong, for the last two.
            costs: model name → cost of one prediction, in any unit, for reports.

        Raises:
            ClipperException: it exists already, or an argument is not valid.
        """
        _check_on_default(on_default)
        selection = {
            "policy": policy,
            "policy_options": policy_options,
            "min_confidence": min_confidence,
            "calibration": calibration,
            "loss": loss,
            "loss_scale": loss_scale,
            "costs": costs,
        }
        additions = {name: value for name, value in selection.items() if value is not None}
        self._command(
            "add_app",
            name=name,
            input_type=canonical_input_type(input_type),
            default_output=default_output,
            latency_slo_micros=slo_micros,
            on_default=str(on_default),
            isolate_cache=isolate_cache,
            **additions,
        )
        self.logger.info(f"Application {name} was successfully registered")

    def update_application(
        self,
        name: str,
        *,
        slo_micros: int | None = None,
        default_output: str | None = None,
        on_default: str | None = None,
        isolate_cache: bool | None = None,
        policy: str | None = None,
        policy_options: Mapping[str, Any] | None = None,
        min_confidence: float | None = None,
        calibration: str | None = None,
        costs: Mapping[str, float | None] | None = None,
    ) -> None:
        """Change settings of an application; they are in force on every frontend on return.

        What is not given stays. Links and what the application has learned stay as well; no query
        is lost. The input type and what labels mean (``loss``) cannot be changed.

        Args:
            policy: another policy starts with its default options.
            policy_options: the options to change, by name; None as a value: back to the default.
            min_confidence: 0 asks for none any more.
            costs: the costs to change; None as a value: the model is no longer named.

        All others are as in `register_application`.

        Raises:
            ClipperException: there is no such application, nothing is to be changed, a value is
                not valid, or the policy does not go with the models that are linked.
        """
        if on_default is not None:
            _check_on_default(on_default)
        changes = {
            "latency_slo_micros": slo_micros,
            "default_output": default_output,
            "on_default": on_default,
            "isolate_cache": isolate_cache,
            "policy": policy,
            "policy_options": policy_options,
            "min_confidence": min_confidence,
            "calibration": calibration,
            "costs": costs,
        }
        given = {key: value for key, value in changes.items() if value is not None}
        self._command("update_app", name=name, **given)
        self.logger.info(f"Application {name} was successfully updated")

    def unregister_application(self, name: str) -> None:
        """Remove an application with its links; ClipperException if there is none."""
        self._command("delete_app", name=name)
        self.logger.info(f"Application {name} was successfully unregistered")

    def delete_application(self, name: str) -> None:
        """Old name of `unregister_application`."""
        self.logger.warning("Deprecated function, use unregister_application instead")
        self.unregister_application(name)

    def link_model_to_app(self, app_name: str, model_name: str) -> None:
        """Send the application's queries to the model's current version.

        An application with a selection policy can be linked to several models, one call each; the
        order counts for some policies.

        Raises:
            ClipperException: either is unknown, input types differ, or a model is linked already
                and the application has no policy that could do with another.
        """
        self._command("add_model_links", app_name=app_name, model_names=[model_name])
        self.logger.info(f"Model {model_name} is now linked to application {app_name}")

    def unlink_model_from_app(self, app_name: str, model_name: str) -> None:
        """Undo `link_model_to_app`; ClipperException if there is no such link."""
        self._command("delete_model_links", app_name=app_name, model_names=[model_name])
        self.logger.info(f"Model {model_name} is now removed to application {app_name}")

    def get_all_apps(self, verbose: bool = False) -> list[Any]:
        """Return application names, or with `verbose` their descriptions."""
        return list(self._question("get_all_applications", verbose=verbose))

    def get_app_info(self, name: str) -> dict[str, Any] | None:
        """Return an application's description; None, with a warning, if there is none."""
        info = self._question("get_application", name=name)
        if not info:
            self.logger.warning(f"Application {name} is not registered with Clipper")
            return None
        return dict(info)

    def get_linked_models(self, app_name: str) -> list[str]:
        """Return the names of the models linked to an application."""
        return list(self._question("get_linked_models", app_name=app_name))

    def get_policies(self) -> list[dict[str, Any]]:
        """Return the selection policies: name, text, options as JSON schemas."""
        return list(self._question("get_policies"))

    def get_policy(self, app_name: str) -> dict[str, Any]:
        """Return an application's policy, its settings and how it did on labelled queries.

        ``summary`` holds losses, regret against the best single model, agreement, late share,
        calibration error and cost; None where nothing is known yet.

        Raises:
            ClipperException: there is no such application.
        """
        return dict(self._question("get_policy", app_name=app_name))

    def get_feedback_log(self, app_name: str, count: int = 10_000) -> list[bytes]:
        """Return the newest labelled queries, oldest first, as records in MessagePack.

        Raises:
            ClipperException: there is no such application, or the count is out of range.
        """
        entries = self._question("get_feedback_log", app_name=app_name, count=count)
        return [base64.b64decode(entry) for entry in entries]


def _check_on_default(on_default: str) -> None:
    if on_default not in tuple(OnDefault):
        raise ClipperException(
            f"Invalid on_default: {on_default}. Use one of: {', '.join(OnDefault)}"
        )
