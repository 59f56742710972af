# Both frontends and the embedded store; the first word of the command says which one runs:
#   docker build -t clipper/query_frontend:0.5.0 .
#   docker run clipper/query_frontend:0.5.0 query-frontend --help
ARG PYTHON=3.11
FROM python:${PYTHON}-slim

ARG PYTHON=3.11
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_TRUSTED_HOST

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

COPY containers/frontend/requirements.txt /opt/clipper/requirements.txt
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
        -r /opt/clipper/requirements.txt \
    && echo /opt/clipper \
        > "$(python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/clipper.pth" \
    && useradd --uid 10001 --user-group --create-home --home-dir /home/clipper clipper \
    && install -d -o 10001 -g 10001 /data

COPY containers/frontend/health.py containers/frontend/discover.py /opt/clipper/
COPY clipper/__init__.py clipper/artifacts.py clipper/clock.py clipper/daemon.py \
     clipper/datatypes.py clipper/errors.py clipper/http_cycle.py clipper/http_protocol.py \
     clipper/inputs.py clipper/jsonfaults.py clipper/logs.py clipper/outputs.py clipper/settings.py \
     /opt/clipper/clipper/
COPY clipper/batching /opt/clipper/clipper/batching
COPY clipper/cache /opt/clipper/clipper/cache
COPY clipper/frontend /opt/clipper/clipper/frontend
COPY clipper/management /opt/clipper/clipper/management
COPY clipper/metrics /opt/clipper/clipper/metrics
COPY clipper/query /opt/clipper/clipper/query
COPY clipper/replicas /opt/clipper/clipper/replicas
COPY clipper/rpc /opt/clipper/clipper/rpc
COPY clipper/selection /opt/clipper/clipper/selection
COPY clipper/store /opt/clipper/clipper/store

ARG VERSION=0.5.0
LABEL ai.clipper.version="${VERSION}" \
      ai.clipper.python="${PYTHON}"

USER 10001
WORKDIR /home/clipper
STOPSIGNAL SIGTERM
EXPOSE 1337 1338 6379 7000
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-IS", "/opt/clipper/health.py"]
ENTRYPOINT ["python", "-m", "clipper.daemon"]
CMD ["--help"]
