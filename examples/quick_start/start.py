"""First steps: a cluster in Docker, an application, a model and the link between them."""

from clipper_admin import ClipperConnection, DockerContainerManager
from clipper_admin.deployers.python import deploy_python_closure

clipper_conn = ClipperConnection(DockerContainerManager())
clipper_conn.start_clipper()

clipper_conn.register_application(
    name="hello-world", input_type="doubles", default_output="-1.0", slo_micros=100000
)


def feature_sum(xs):
    return [str(sum(x)) for x in xs]


deploy_python_closure(
    clipper_conn, name="sum-model", version=1, input_type="doubles", func=feature_sum
)
clipper_conn.link_model_to_app(app_name="hello-world", model_name="sum-model")

print("Ask http://%s/hello-world/predict" % clipper_conn.get_query_addr())
