# Two images from one file: `serve` has what the endpoint imports, `train` everything; both share the large layers.
# `make images` builds them; docs/RUNBOOK.md explains the arguments. No BuildKit is needed.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
# Settings of pip, for uv too, stay in the build stages; a certificate and wheels may lie in build/image of the context.
ARG PIP_CERT=/etc/ssl/certs/ca-certificates.crt
ARG PIP_FIND_LINKS=
ARG PIP_INDEX_URL=https://pypi.org/simple
ENV SSL_CERT_FILE=${PIP_CERT} \
    UV_COMPILE_BYTECODE=true \
    UV_CONSTRAINT=/build/constraints.txt \
    UV_DEFAULT_INDEX=${PIP_INDEX_URL} \
    UV_FIND_LINKS=${PIP_FIND_LINKS} \
    UV_NO_CACHE=true \
    UV_PYTHON=/opt/venv/bin/python
WORKDIR /build
COPY pyproject.toml constraints.txt build/imag[e] ./
RUN python3 -m venv --without-pip /opt/venv \
 && python3 -m venv /opt/uv \
 && /opt/uv/bin/python -m pip install --no-cache-dir --disable-pip-version-check "$(grep '^uv==' constraints.txt)" \
 && ln -s /opt/uv/bin/uv /usr/local/bin/uv

FROM build AS serve-packages
# Which build of torch: cpu, or a CUDA version as cu130. A folder of wheels holds the one that is wanted.
ARG TORCH=cpu
RUN if [ -z "$UV_FIND_LINKS" ]; then export UV_TORCH_BACKEND="$TORCH"; fi \
 && uv pip install --group serve

FROM serve-packages AS code
COPY README.md LICENSE ./
COPY model model
COPY components components
COPY pipelines pipelines
WORKDIR /
# /layer: what is new, so that no image holds the packages of `serve` twice.
RUN touch build/before \
 && uv pip install --no-deps --no-build-isolation ./build \
 && mkdir layer \
 && find opt/venv -cnewer build/before ! -type d -exec cp --archive --parents --target-directory=/layer {} +

FROM ${BASE_IMAGE} AS runtime
# The root file system may be read-only: everything that libraries write on their own goes below /tmp.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    USER=rmtl \
    MPLCONFIGDIR=/tmp/matplotlib \
    XDG_CACHE_HOME=/tmp/cache \
    XDG_CONFIG_HOME=/tmp/config \
    XDG_DATA_HOME=/tmp/share \
    DVC_SITE_CACHE_DIR=/tmp/dvc \
    DVC_NO_ANALYTICS=1 \
    GX_ANALYTICS_ENABLED=false \
    MLFLOW_DISABLE_TELEMETRY=true \
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false
# A login shell resets PATH; /etc/profile reads this file.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin rmtl \
 && echo "PATH=/opt/venv/bin:\$PATH" > /etc/profile.d/venv.sh
COPY --from=serve-packages /opt/venv /opt/venv
WORKDIR /app
COPY params.yaml constraints.txt LICENSE ./
COPY recipes recipes

FROM runtime AS serve
COPY --from=code /layer/ /
ARG VERSION=unknown
ARG RMTL_GIT_REVISION=unknown
ENV RMTL_GIT_REVISION=${RMTL_GIT_REVISION} RMTL_PORT=8080
LABEL org.opencontainers.image.title="residual-mtl-serve" \
      org.opencontainers.image.description="Endpoint: 68 facial landmarks and 7 apparent expressions" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${RMTL_GIT_REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      residual-mtl.intended-use="Research on landmarks and apparent expressions in pictures. An apparent expression is what a face looks like to an onlooker, not what the person feels. Not for emotion inference at work or in education, nor for decisions about people."
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=5s --start-period=120s --retries=3 \
  CMD ["python", "-c", "import http.client as h, os; c = h.HTTPConnection('127.0.0.1', int(os.environ['RMTL_PORT']), timeout=4); c.request('GET', '/ping'); exit(c.getresponse().status != 200)"]
CMD ["rmtl", "deploy", "--foreground", "--weights", "/mnt/models", "--host", "0.0.0.0"]

FROM serve-packages AS train-packages
WORKDIR /
RUN touch build/before \
 && uv pip install --requirements build/pyproject.toml --extra postgres \
 && mkdir layer \
 && find opt/venv -cnewer build/before ! -type d -exec cp --archive --parents --target-directory=/layer {} +

FROM runtime AS train
COPY --from=train-packages /layer/ /
COPY --from=code /layer/ /
ARG VERSION=unknown
ARG RMTL_GIT_REVISION=unknown
ENV RMTL_GIT_REVISION=${RMTL_GIT_REVISION}
LABEL org.opencontainers.image.title="residual-mtl" \
      org.opencontainers.image.description="Training pipeline: 68 facial landmarks and 7 apparent expressions" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${RMTL_GIT_REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      residual-mtl.intended-use="Research on landmarks and apparent expressions in pictures. An apparent expression is what a face looks like to an onlooker, not what the person feels. Not for emotion inference at work or in education, nor for decisions about people."
USER 10001:10001
CMD ["rmtl", "--help"]
