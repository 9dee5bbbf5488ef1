# docker build -t edgekd .                                     all of edgekd, for builds
# docker build -t edgekd:verify --target verify .              what checks and measures finished files, without torch
#
# The stages of pip have its downloads; what is shipped has only what was installed.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS source
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
RUN python3 -m venv --without-pip /opt/edgekd
COPY . .

FROM source AS install-verify
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m pip --python /opt/edgekd/bin/python install -c constraints.txt '.[litert]'

FROM source AS install
# PyPI's torch for Linux on x86-64 is a CUDA build of several GB; this index has the CPU build.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m pip --python /opt/edgekd/bin/python install --extra-index-url "$TORCH_INDEX" -c constraints.txt '.[build,tflite,report]'

FROM ${BASE} AS runtime
LABEL org.opencontainers.image.title="edgekd" \
      org.opencontainers.image.description="Distil, prune, quantize and prove a model against a phone's or board's budget" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --no-create-home edgekd && install -d -o edgekd -g edgekd /work /work/artifacts
# HOME and USER also serve a --user that /etc/passwd doesn't know. Only /tmp and what is mounted below /work is written to.
ENV PATH=/opt/edgekd/bin:$PATH \
    HOME=/tmp \
    USER=edgekd \
    OMP_NUM_THREADS=1 \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /work
# as Ctrl-C: finished steps are kept. A process with the number 1 would ignore SIGTERM.
STOPSIGNAL SIGINT
ENTRYPOINT ["edgekd"]

FROM runtime AS verify
COPY --from=install-verify /opt/edgekd /opt/edgekd
CMD ["--help"]

FROM runtime AS build
COPY --from=install /opt/edgekd /opt/edgekd
CMD ["build", "--device", "pixel8"]
