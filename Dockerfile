# docker build -t edgekd .
# docker run --rm -v "$PWD/artifacts:/work/artifacts" --user "$(id -u):$(id -g)" edgekd
#
# Two stages: the first has pip and its downloads, the second only what was installed.
FROM python:3.11-slim-bookworm AS install

# PyPI's torch for Linux on x86-64 is a CUDA build of several GB; this index has the CPU build.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /source
RUN python3 -m venv /opt/edgekd
COPY . .
RUN /opt/edgekd/bin/pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" -c constraints.txt '.[build,tflite]'

FROM python:3.11-slim-bookworm

COPY --from=install /opt/edgekd /opt/edgekd
RUN useradd --uid 10001 --no-create-home edgekd && install -d -o edgekd -g edgekd /work /work/artifacts

# USER and HOME also serve a --user that /etc/passwd doesn't know.
ENV PATH=/opt/edgekd/bin:$PATH \
    HOME=/tmp \
    USER=edgekd \
    OMP_NUM_THREADS=1 \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONUNBUFFERED=1

USER 10001:10001
WORKDIR /work
ENTRYPOINT ["edgekd"]
CMD ["build", "--device", "pixel8"]
